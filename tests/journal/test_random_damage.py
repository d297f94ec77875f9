"""Random damage of every file of a run: nothing wrong is read, and nothing is lost, silently."""

from __future__ import annotations

import random
import warnings

import damaging
import pytest

from provml.errors import ProvMLError
from provml.run_check import check_run

_LEFT_OUT = ("record", "line")


@pytest.mark.parametrize(
    "rounds", [pytest.param(2000, marks=pytest.mark.soak, id="2000"), pytest.param(100, id="100")]
)
def test_every_damage_is_stated(tmp_path, rounds):
    """A damaged file would give a wrong value, or lose one, without a word."""
    rng = random.Random(rounds)
    folder = damaging.record_run(tmp_path / "store", "run")
    other = damaging.record_run(tmp_path / "other", "run")
    whole = damaging.read_values(folder)
    assert check_run(folder).ok
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "documents.sha256"
    ]
    assert len(files) == 7  # two pairs, run.json, the copy and the document
    stranger = {path.suffix: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    for round_ in range(rounds):
        path = rng.choice(files)
        content = path.read_bytes()
        others = [own.read_bytes() for own in files if own.suffix == path.suffix and own != path]
        others.append(stranger[path.suffix])
        kind, changed = damaging.mutate(rng, content, others)
        if changed == content:
            continue
        path.write_bytes(changed)
        try:
            judge(folder, path, whole, f"round {round_}: {kind}, {path.name}")
        finally:
            path.write_bytes(content)
    assert check_run(folder).ok


def judge(folder, path, whole, what):
    """Compare what is read from a damaged run with what was written."""
    check = check_run(folder)
    assert not check.ok, what
    texts = [str(found) for found in check.damage]
    assert any(path.name in text or path.parent.name in text for text in texts), (what, texts)
    journal_damage = [found for found in check.damage if found.file and "/" not in found.file]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            seen = damaging.read_values(folder)
        except ProvMLError as error:  # a version that provml can't read
            assert "version" in str(error), what
            return
    for key, rows in whole.items():
        if key == "about":
            continue
        wrong = [row for row in seen.get(key, []) if row not in rows]
        assert not wrong or any("not verified" in text for text in texts), (what, key, wrong[:3])
    if seen != whole:
        assert journal_damage, what
        assert caught, what
    if path.suffix == ".samples":
        assert any(found.unit is not None or "header" in found.problem for found in journal_damage)
