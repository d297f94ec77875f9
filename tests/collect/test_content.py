"""Digests, copies and facts of files, folders, arrays and models."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml.collect.content import describe_path
from provml.collect.datasets import describe_dataset
from provml.collect.models import describe_model


def sha256(content: bytes) -> str:
    """The digest by hand."""
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_digested_and_copied_on_request(run: provml.Run, tmp_path: Path) -> None:
    """A recorded file could not be recognised, or its copy would differ."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * 3_000_000)
    run.log_dataset("d", path, copy=True)
    run.log_dataset("d", str(path))
    first, second = provml.load(run.path).artifacts()
    assert first.sha256 == second.sha256 == sha256(b"x" * 3_000_000)
    assert first.facts["size"] == 3_000_000
    assert (run.path / first.facts["copy"]).read_bytes() == path.read_bytes()
    assert "copy" not in second.facts
    assert not list(run.path.rglob("*.part"))


def test_small_artifacts_are_kept_and_large_ones_linked(run: provml.Run, tmp_path: Path) -> None:
    """A plot would be lost with its folder, or a large file would fill the store."""
    small, large = tmp_path / "plot.png", tmp_path / "large.bin"
    small.write_bytes(b"png")
    with large.open("wb") as file:
        file.truncate(11 * 2**20)
    run.log_artifact(small)
    run.log_artifact(large)
    run.log_artifact(small, "linked", copy=False)
    plot, big, linked = provml.load(run.path).artifacts()
    assert (plot.name, (run.path / plot.facts["copy"]).read_bytes()) == ("plot.png", b"png")
    assert "copy" not in big.facts
    assert "copy" not in linked.facts
    assert big.facts["path"] == str(large)


def test_a_folder_is_digested_by_its_manifest(tmp_path: Path) -> None:
    """Two equal folders would differ by the order in which the system lists them."""
    for name in ("one", "two"):
        for file in ("b", "a/c", "a/b") if name == "one" else ("a/b", "a/c", "b"):
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
    one, two = (describe_path(tmp_path / name) for name in ("one", "two"))
    manifest = "".join(f"{sha256(n.encode())}  {n}\n" for n in ("a/b", "a/c", "b"))
    assert one["sha256"] == two["sha256"] == sha256(manifest.encode())
    assert (one["files"], one["size"]) == (3, 7)


def make_snapshot(folder: Path, content: bytes) -> Path:
    """A folder of links, as in the cache of the Hugging Face hub."""
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "b1").write_bytes(content)
    snapshot = folder / "snapshots" / "abc"
    (snapshot / "tokenizer").mkdir(parents=True)
    (snapshot / "model.bin").symlink_to("../../blobs/b1")
    (snapshot / "tokenizer" / "vocab").symlink_to("../../../blobs/b1")
    return snapshot


def test_links_to_files_are_read_and_copied(run: provml.Run, tmp_path: Path) -> None:
    """Changed weights behind a link would go unseen, or the copy would be a dangling link."""
    one, other = (make_snapshot(tmp_path / text, text.encode()) for text in ("one", "two"))
    plain = tmp_path / "plain"
    (plain / "tokenizer").mkdir(parents=True)
    (plain / "model.bin").write_bytes(b"one")
    (plain / "tokenizer" / "vocab").write_bytes(b"one")
    run.log_model("m", one)
    (recorded,) = provml.load(run.path).artifacts()
    assert recorded.sha256 == describe_path(plain)["sha256"] != describe_path(other)["sha256"]
    assert recorded.facts["size"] == 6
    blob = str(tmp_path / "one" / "blobs" / "b1")
    assert recorded.facts["links"] == {"model.bin": blob, "tokenizer/vocab": blob}
    copy = run.path / recorded.facts["copy"]
    assert (copy / "model.bin").read_bytes() == b"one"
    assert not (copy / "model.bin").is_symlink()
    (stated,) = (
        dict(s.attributes)
        for s in provml.load(run.path).statements()
        if ("prov:type", "provml:Model") in s.attributes
    )
    assert "model.bin" in stated["provml:links"].lexical


def test_linked_folders_are_read_and_loops_end(tmp_path: Path) -> None:
    """A dataset on another disk would go unread, or a link to a parent would never end."""
    folder, elsewhere = tmp_path / "data", tmp_path / "disk"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a").write_bytes(b"aa")
    (elsewhere / "back").symlink_to(folder)
    (folder / "train").symlink_to(elsewhere)
    (folder / "up").symlink_to(tmp_path)
    (folder / "self").symlink_to("self")
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (folder / "pipe").symlink_to(tmp_path / "pipe")
    before = describe_path(folder)
    assert before["links"] == {"train": str(elsewhere)}
    assert before["skipped"] == {
        "broken": "the link leads nowhere",
        "pipe": "the link leads to a named pipe",
        "self": f"the link can't be followed: {os.strerror(errno.ELOOP)}",
        "train/back": "the link leads to a folder that contains it",
        "up": "the link leads to a folder that contains it",
    }
    (elsewhere / "a").write_bytes(b"bb")
    assert describe_path(folder)["sha256"] != before["sha256"]


def test_a_copied_folder_keeps_links_that_lead_to_no_file(run: provml.Run, tmp_path: Path) -> None:
    """The copy of a folder would fail, or contain what a loop leads to."""
    folder = tmp_path / "data"
    (folder / "empty").mkdir(parents=True)
    (folder / "up").symlink_to(tmp_path)
    (folder / "a").write_bytes(b"a")
    os.mkfifo(folder / "pipe")
    run.log_artifact(folder)
    (recorded,) = provml.load(run.path).artifacts()
    copy = run.path / recorded.facts["copy"]
    assert sorted(path.name for path in copy.iterdir()) == ["a", "empty", "up"]
    assert recorded.sha256 == describe_path(folder)["sha256"]
    assert recorded.facts["skipped"]["pipe"] == "a named pipe"


def test_a_link_that_was_logged_says_where_it_leads(tmp_path: Path) -> None:
    """The reader would not learn which file "latest" was."""
    (tmp_path / "v1").write_bytes(b"1")
    (tmp_path / "latest").symlink_to("v1")
    facts = describe_path(tmp_path / "latest")
    assert facts["links"] == {".": str(tmp_path / "v1")}
    assert facts["sha256"] == sha256(b"1")


def test_a_name_with_a_line_break_is_escaped(tmp_path: Path) -> None:
    """One file's name could imitate the manifest lines of other files."""
    (tmp_path / "a\nb").write_bytes(b"1")
    line = f"\\{sha256(b'1')}  a\\nb\n"
    assert describe_path(tmp_path)["sha256"] == sha256(line.encode())


def test_a_missing_path_is_rejected(run: provml.Run) -> None:
    """A mistyped path would be recorded as if it had been used."""
    for call in (
        lambda: run.log_dataset("d", "/no/such/file"),
        lambda: run.log_artifact("/no/such/file"),
        lambda: run.log_model("m", Path("/no/such/file")),
        lambda: run.log_source_code("/no/such/file"),
    ):
        with pytest.raises(provml.ContentNotFoundError, match="/no/such/file"):
            call()
    assert provml.load(run.path).artifacts() == []


class CloudPath:
    """A path in an object store, which downloads the file when its local path is needed."""

    def __fspath__(self) -> str:
        raise ConnectionError("no network")


def test_a_path_that_fails_is_recorded(run: provml.Run) -> None:
    """The network error of a path's own library would end the training."""
    run.log_dataset("d", CloudPath())
    run.log_artifact(CloudPath())
    run.log_model("m", CloudPath())
    recorded = provml.load(run.path).artifacts()
    assert [content.name for content in recorded] == ["d", "CloudPath", "m"]
    assert all("no network" in content.facts["unread"] for content in recorded)


def test_uris_are_recorded_unread(run: provml.Run) -> None:
    """A dataset in an object store would be treated as a missing file."""
    run.log_dataset("d", "s3://bucket/key")
    assert provml.load(run.path).artifacts()[0].facts == {"kind": "uri", "uri": "s3://bucket/key"}


def test_values_that_are_not_content_are_rejected(run: provml.Run, tmp_path: Path) -> None:
    """None, a number or a device would be recorded as data."""
    for data in (None, 3, 1.5, b"bytes"):
        with pytest.raises(provml.InvalidArgumentError):
            run.log_dataset("d", data)
        with pytest.raises(provml.InvalidArgumentError):
            run.log_model("m", data)
    with pytest.raises(provml.InvalidArgumentError):
        run.log_artifact("/dev/null")
    with pytest.raises(provml.InvalidArgumentError):
        run.log_dataset("d", np.zeros(3), copy=True)


def test_an_unreadable_file_says_why(run: provml.Run, tmp_path: Path) -> None:
    """A file system error would stop the training, or would be recorded as a digest."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "a").write_text("a")
    run.log_dataset("d", folder)
    (recorded,) = provml.load(run.path).artifacts()
    assert recorded.facts["files"] == 1
    if os.getuid():
        (folder / "a").chmod(0)
        run.log_dataset("d", folder / "a")
        assert "unread" in provml.load(run.path).artifacts()[1].facts


def test_file_names_that_are_not_text(run: provml.Run, tmp_path: Path) -> None:
    """A file name of arbitrary bytes would break the document."""
    path = os.fsencode(tmp_path) + b"/\xff\xfe.bin"
    with open(path, "wb") as file:
        file.write(b"1")
    run.log_artifact(os.fsdecode(path), "odd")
    (recorded,) = provml.load(run.path).artifacts()
    assert recorded.facts["path"].endswith("\\xff\\xfe.bin")
    assert recorded.sha256 == sha256(b"1")


ARRAY_DIGEST = """
import numpy as np
from provml.collect.datasets import describe_dataset
print(describe_dataset({"x": np.arange(6.0).reshape(2, 3), "y": np.array(["a", "é"])}, None,
                       False)["sha256"])
"""


def test_arrays_have_one_digest_in_every_process() -> None:
    """The same data would have a different digest in the next process."""
    data = {"y": np.array(["a", "é"]), "x": np.arange(6.0).reshape(2, 3)}
    own = describe_dataset(data, Path(), copy=False)
    other = subprocess.check_output([sys.executable, "-c", ARRAY_DIGEST], text=True).strip()
    assert own["sha256"] == other


def test_an_array_digest_depends_only_on_content() -> None:
    """Memory order would change a digest, or shape and dtype would not."""

    def digest(array: Any) -> str:
        return str(describe_dataset(array, Path(), copy=False)["sha256"])

    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    assert digest(array) == digest(np.asfortranarray(array)) == digest(array[:, ::1].copy())
    assert digest(array[:, ::2]) == digest(array[:, ::2].copy())
    different = {digest(a) for a in (array, array.T, array.ravel(), array.astype(np.int32))}
    assert len(different) == 4
    assert digest(np.zeros((0, 3))) != digest(np.zeros((3, 0)))


def test_objects_without_a_digest_say_so() -> None:
    """A generator would appear to have been hashed."""
    facts = describe_dataset((n for n in range(3)), Path(), copy=False)
    assert facts["python"] == "builtins.generator"
    assert "unread" in facts
    assert "sha256" not in facts
    assert describe_dataset(np.array([object()]), Path(), copy=False)["unread"]


class Net:
    """An object with the attributes of a torch module."""

    def __init__(self, scale: float) -> None:
        self.weights = {"b": np.ones(2) * scale, "a": np.zeros(3)}

    def state_dict(self) -> dict[str, Any]:
        return self.weights


def test_models_are_digested_by_their_parameters() -> None:
    """Two models would be distinguished by identity and not by their weights."""
    one, same, other = (describe_model(Net(s), Path(), None) for s in (1.0, 1.0, 2.0))
    assert one["sha256"] == same["sha256"] != other["sha256"]
    assert (one["digest_of"], one["parameters"]) == ("state_dict", 5)
    plain = describe_model({"coef": [1.0]}, Path(), None)
    assert (plain["digest_of"], len(plain["sha256"])) == ("values", 64)
    assert "can't be imported" in describe_model(lambda: None, Path(), None)["unread"]


def test_versions_of_a_model_are_revisions(run: provml.Run, tmp_path: Path) -> None:
    """A later checkpoint would replace the previous one, or lose its origin."""
    run.log_dataset("train", np.arange(3), context=provml.Context.TRAINING)
    run.log_dataset("held out", np.arange(4), context=provml.Context.EVALUATION)
    for step in range(2):
        run.log_model("net", Net(step), context=provml.Context.TRAINING, step=step)
    derived = {
        (str(s.arguments["prov:generatedEntity"]), str(s.arguments["prov:usedEntity"]))
        for s in provml.load(run.path).statements()
        if s.kind == "wasDerivedFrom"
    }
    assert derived == {
        ("run:model/net", "run:dataset/train"),
        ("run:model/net/2", "run:dataset/train"),
        ("run:model/net/2", "run:model/net"),
    }
