"""How well secrets are told from other text, and that none stays in anything that is kept."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np
import pytest
from collect.secret_corpus import FALSE_SHAPES, TRUE_SHAPES
from hypothesis import given, settings
from hypothesis import strategies as st

import provml
from provml.base.settings import MaskSettings
from provml.collect import secret_formats
from provml.collect.plain_text import is_plain
from provml.collect.secret_search import find_secrets
from provml.collect.secret_signs import has_signs
from provml.collect.secrets import (
    MASK,
    OutputMasker,
    is_secret_file,
    is_secret_name,
    mask_argv,
    mask_bytes,
    mask_text,
    use_mask_settings,
)

KEY = "".join(("gh", "p_", "aB3" * 12))
"""A token of a known format, in parts, so that no scanner finds it here."""

HOSTILE = (
    *("x", "token", "pass", "eyJ-", "://", "bearer ", "secret_", "key=", "a_", "-", "_", "=", "\\"),
    *('password="', "password='a' ", "://a:", "://a:b@", "login ", "mysql -p", "api_key: ", "--a "),
    *("passwords=['", "authorization: a b ", " -u ", "-----BEGIN " + "PRIVATE KEY-----", "1:A"),
    *(
        "password = the ",
        "key=token=",
        "docker login ",
        "sk-",
        "ghp_",
        '"',
        "{",
        "password: str = ",
    ),
)


def test_every_known_secret_is_searched_for() -> None:
    """A secret would be kept because its text looks like a name or a path."""
    assert [text for text, _ in TRUE_SHAPES if is_plain(text.encode())] == []
    for known in secret_formats.TOKEN_FORMATS:
        own = re.search(r"[\w-]*$", known.prefix)
        assert own is not None
        assert len(own[0]) + _parser.parse(known.body).getwidth()[0] >= 12, known


def test_every_known_secret_has_a_sign() -> None:
    """A secret in a short text would be kept, because no pattern is compiled for it."""
    assert [text for text, _ in TRUE_SHAPES if not has_signs(text.encode())] == []


@settings(max_examples=300, deadline=None)
@given(known=st.sampled_from(secret_formats.TOKEN_FORMATS), data=st.data())
def test_every_token_format_has_a_sign(
    known: secret_formats.TokenFormat, data: st.DataObject
) -> None:
    """The tokens of one vendor would be kept in short texts and masked in long ones."""
    body = data.draw(st.from_regex(re.compile(known.body, re.ASCII), fullmatch=True))
    text = f"{known.prefix}{body}".encode()
    assert has_signs(text) or not find_secrets(text)


_SIGN_PIECES = (
    *(
        "pin",
        "pat",
        "PW",
        "x",
        "9",
        "dsn",
        "AC",
        "SK",
        "f" * 32,
        "B7" * 12,
        "abc-12",
        "--",
        "set -x ",
    ),
    *(
        "hf_",
        "wandb_v1_",
        "eyJ",
        "://",
        "@",
        "?sig=",
        "hooks/catch/1/",
        " -p",
        "mysql",
        "login ",
        "~",
    ),
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from([*HOSTILE, *_SIGN_PIECES, KEY, "\n", ": "]), st.text(max_size=9)),
        max_size=12,
    )
)
def test_texts_without_signs_contain_no_secret(pieces: list[str]) -> None:
    """A secret would be kept because its text has no sign that the patterns look for."""
    text = "".join(pieces).encode("utf-8", "surrogatepass")
    assert has_signs(text) or not find_secrets(text)


def test_what_every_run_records_has_no_signs() -> None:
    """Each run would compile all patterns, which takes longer than the rest of its start."""
    for text in (
        "event\ncommand_started\nprovml",
        "event\nfiles watched\nprovml\nstrace\nfiles that a program opens through io_uring",
        "environment\nC.UTF-8\nLANG\nDebian GNU/Linux 12 (bookworm)\nAMD EPYC 7B13",
        f"code\ntrain.py\n/home/ann/train.py\nartifacts/code/{'0f' * 8}-train.py\nsha256",
    ):
        assert not has_signs(text.encode()), text


def test_ordinary_texts_are_not_searched() -> None:
    """Each run would start later by the time that the patterns take to compile."""
    texts = ("train", "2.1.0", "/home/ann/models/train.py", "start\nprovjson\n3.11.7\ncpython")
    for text in (*texts, f"kind\nsha256\n{'0f' * 32}\nsize"):
        assert is_plain(text.encode())


@given(st.lists(st.sampled_from([*HOSTILE, KEY, "a", "B7", "/", ".", "\n", "f" * 64]), max_size=9))
@settings(max_examples=300)
def test_plain_texts_contain_no_secret(pieces: list[str]) -> None:
    """A secret would be kept because its text counts as plain."""
    text = "".join(pieces).encode()
    assert not is_plain(text) or not find_secrets(text)


def test_recall_and_precision_are_as_documented() -> None:
    """A change of the rules would let known formats of secrets pass, or mask ordinary text."""
    missed = [text for text, secrets in TRUE_SHAPES if any(s in mask_text(text) for s in secrets)]
    wrong = [text for text in FALSE_SHAPES if mask_text(text) != text]
    found = len(TRUE_SHAPES) - len(missed)
    assert len(TRUE_SHAPES) >= 100
    assert len(FALSE_SHAPES) >= 200
    assert found / len(TRUE_SHAPES) >= 0.95, missed
    assert found / (found + len(wrong)) >= 0.99, wrong


def test_a_masked_text_does_not_change_again() -> None:
    """A text that was masked and is recorded again would lose more and more of itself."""
    for text, _ in TRUE_SHAPES:
        once = mask_text(text)
        assert mask_text(once) == once


def test_secrets_are_found_in_long_texts_too() -> None:
    """A log of some pages would be searched with other patterns that miss what short ones find."""
    padding = "the loss went down\n" * 1000
    for text, secrets in TRUE_SHAPES:
        masked = mask_text(f"{padding}{text}\n{padding}")
        assert not any(secret in masked for secret in secrets), text
    for text in FALSE_SHAPES:
        assert mask_text(f"{padding}{text}\n{padding}") == f"{padding}{text}\n{padding}"


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_texts_take_linear_time(part: str) -> None:
    """One call would stand still for minutes: quadratic time takes hours for this text."""
    mask_text(part * (400_000 // len(part)))


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), max_size=30))
def test_any_text_can_be_masked(parts: list[str]) -> None:
    """A text of a training would raise an error in the call that records it."""
    text = "".join(parts)
    masked = mask_text(text)
    if MASK not in masked:
        assert masked == text


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), cut=st.integers(0, 300))
def test_output_in_blocks_is_masked_like_the_whole(content: bytes, cut: int) -> None:
    """Output without secrets would lose bytes, or change their order."""
    masker = OutputMasker()
    kept = masker.mask(content[:cut]) + masker.mask(content[cut:]) + masker.finish()
    if mask_bytes(content) == content:
        assert kept == content


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_secret_across_two_blocks_is_masked(cut: int) -> None:
    """A token that a program prints while the block ends would be kept in two halves."""
    key = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEabc\nMIIEdef\n-----END RSA PRIVATE KEY-----\n"
    content = f"start\ntoken {KEY} end\n{key}password=sesame1".encode()
    masker = OutputMasker()
    kept = masker.mask(content[:cut]) + masker.mask(content[cut:]) + masker.finish()
    assert kept == mask_bytes(content)
    assert KEY.encode() not in kept
    assert b"MIIE" not in kept
    assert b"sesame1" not in kept


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSWORD", "DB_PASS", "my_token", "openai_key", "github_pat", "creds", "basic_auth"),
        *("passcode", "otp", "pin", "pw", "ACME_TOKEN", "stripe_key", "dbPassword", "sshKey"),
        *("secret_key_base", "password2", "auth.client_secret", "contraseña", "Authorization"),
    ],
)
def test_more_secret_names(name: str) -> None:
    """A secret under this name would be recorded."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "eos_token",
            "image_token_id",
            "num_key_value_heads",
            "primary_key",
            "sort_key",
            "rng_key",
        ),
        *("password_length", "token_count", "forward_pass", "pass_rate", "pin_memory", "secretary"),
        *("author", "patience", "optimizer", "use_auth_token", "has_password", "generated_tokens"),
    ],
)
def test_more_names_that_only_resemble_secrets(name: str) -> None:
    """A hyperparameter would be masked."""
    assert not is_secret_name(name)


def test_files_that_hold_secrets() -> None:
    """The diff would show what a file of secrets contains, or leave out code."""
    for name in (
        "conf/secrets.yaml",
        ".npmrc",
        "config/token.txt",
        "a/id_ed25519",
        "api_keys.json",
    ):
        assert is_secret_file(name), name
    for name in ("provml/secrets.py", "tokens.json", "password_reset.html", "keys.py", "README.md"):
        assert not is_secret_file(name), name


def test_passwords_of_known_commands_are_masked() -> None:
    """A password would be readable in the recorded command line."""
    assert mask_argv(["curl", "-u", "ann:sesame", "x"]) == ["curl", "-u", MASK, "x"]
    assert mask_argv(["sshpass", "-p", "sesame", "ssh"]) == ["sshpass", "-p", MASK, "ssh"]
    assert mask_argv(["sshpass", "-psesame", "ssh"]) == ["sshpass", f"-p{MASK}", "ssh"]
    assert mask_argv(["/usr/bin/mysql", "-u", "ml", "-psesame"])[3] == f"-p{MASK}"
    assert mask_argv(["redis-cli", "-a", "sesame", "ping"]) == ["redis-cli", "-a", MASK, "ping"]
    assert mask_argv(["ssh-keygen", "-N", "sesame"])[2] == MASK
    assert mask_argv(["ssh", "-p", "2222", "-N", "host"]) == ["ssh", "-p", "2222", "-N", "host"]
    assert mask_argv(["train.py", "-p8", "-P", "x"]) == ["train.py", "-p8", "-P", "x"]
    assert mask_argv(["docker", "run", "-u", "1000:1000"]) == ["docker", "run", "-u", "1000:1000"]


@dataclasses.dataclass
class Inner:
    token: str


@dataclasses.dataclass
class Config:
    api_key: str
    inner: Inner


class Custom:
    """An object whose text names no field."""

    def __init__(self, password: str) -> None:
        self.password = password

    def __repr__(self) -> str:
        return f"<Custom {self.password}>"


Login = collections.namedtuple("Login", "user password")


def _hidden(values: list[str]) -> str:
    values.append(f"sesame{len(values)}q7x")
    return values[-1]


def _log_everywhere(run: provml.Run, secret: Any, folder: Path) -> None:
    objects = [
        Config(secret(), Inner(secret())),
        Custom(secret()),
        Login("ann", secret()),
        argparse.Namespace(password=secret(), inner=argparse.Namespace(secret=secret())),
        np.array([("ann", secret())], dtype=[("user", "U9"), ("password", "U20")]),
        np.array([f"password={secret()}"]),
        f"password={secret()}".encode(),
        ValueError(f"password={secret()}"),
        {"name": "DB_PASSWORD", "value": secret()},
        [("Authorization", secret())],
    ]
    for number, value in enumerate(objects):
        run.log_param(f"object{number}", value)
        run.log_param(f"nested{number}", {"list": [value]})
        run.set_tag(f"tag{number}", value)
        run.update_metadata(f"key{number}", value)
        run.log_event("seen", metadata={"value": value})
    run.log_params({"my_token": secret(), "password": 12345678, "deep": {"some_key": secret()}})
    run.log(f"called with password={secret()}")
    run.log("x" * 5000 + f" token={secret()}")
    run.log_metric("text", f"password={secret()}")
    run.log_metric("bytes", f"password={secret()}".encode())
    run.log_metric("api_key", secret())
    run.log_dataset("data", f"s3://key:{secret()}@bucket/x")
    (folder / ".env").write_text(f"A={secret()}")
    run.log_artifact(folder / ".env", metadata={"token": secret()})
    names = f"name password={secret()}"
    run.log_param(names, 1)
    run.log_event(names, source=names, context=names)
    run.log_metric(names, 1.0, names, unit=names)
    run.metrics(names).log(**{names: 1.0})


def _read_store(store: Path) -> bytes:
    files = [path for path in sorted(store.rglob("*")) if path.is_file()]
    return b"\n".join(str(path).encode() + path.read_bytes() for path in files)


def test_no_secret_is_in_any_file_of_the_store(tmp_path: Path) -> None:
    """A secret that a script logs in any way would be published with the run."""
    store, values = tmp_path / "store", []

    def secret() -> str:
        return _hidden(values)

    with provml.start_run(
        f"exp password={secret()}",
        store=store,
        owner=f"ann token={secret()}",
        external_id=f"https://host/x?token={secret()}",
        tags={"t": f"https://ann:{secret()}@host/"},
        metadata={"m": {"password": secret()}},
        collect=(),
    ) as run:
        _log_everywhere(run, secret, tmp_path)
        run.end_run("failed", reason=f"password={secret()}", exception=OSError(f"pwd={secret()}"))
    kept = _read_store(store)
    assert [value for value in (*values, "12345678") if value.encode() in kept] == []
    recorded = provml.load(run.path)
    assert recorded.params["object2"] == {"user": "ann", "password": MASK}
    assert recorded.params["object0"] == {"api_key": MASK, "inner": {"token": MASK}}
    assert recorded.params["password"] == MASK


def test_output_and_code_are_kept_masked_and_shown_whole(tmp_path: Path) -> None:
    """What a script prints and contains would be kept with its secrets, or hidden on the screen."""
    script = tmp_path / "train.py"
    script.write_text('password = "sesame-in-code"\nprint("token=sesame-printed1", "loss", 0.5)\n')
    command = ["run", "--store", "store", sys.executable, "train.py", "--token", "sesame-option"]
    done = subprocess.run(
        [sys.executable, "-m", "provml", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "token=sesame-printed1 loss 0.5" in done.stdout
    kept = _read_store(tmp_path / "store")
    assert b"sesame" not in kept
    assert b"token=*** loss 0.5" in kept
    (copy,) = (tmp_path / "store").rglob("train.py")
    assert copy.read_text().startswith('password = "***"')


def test_the_diff_is_masked_and_leaves_out_files_of_secrets(
    run: provml.Run, tmp_path: Path
) -> None:
    """A secret that is in the working tree would be in the recorded diff."""
    folder = tmp_path / "code"
    folder.mkdir()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    names = ("train.py", "secrets.yaml", ".npmrc", "token.txt")
    for name in names:
        (folder / name).write_text("a = 1\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    for name in names:
        (folder / name).write_text("a = 2\nvalue = sesame\n")
    (folder / "train.py").write_text("a = 2\napi_key = 'sesame'\n")
    run.log_source_code(folder / "train.py")
    (diff,) = run.path.glob("artifacts/*/source.diff")
    text = diff.read_text()
    assert "sesame" not in text
    assert "+a = 2\n+api_key = '***'" in text
    assert "secrets.yaml" not in text


@pytest.mark.parametrize("value", ["off", "allow"])
def test_masking_can_be_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A parameter that is masked by mistake could not be recorded at all."""
    if value == "off":
        monkeypatch.setenv("PROVML_MASK", "off")
    else:
        monkeypatch.setenv("PROVML_MASK_ALLOW", "api_key, sesame*")
    try:
        with provml.start_run("e", store=tmp_path, formats=()) as run:
            run.log_param("api_key", "plain")
            run.log_param("text", "password=sesame")
        assert provml.load(run.path).params == {"api_key": "plain", "text": "password=sesame"}
    finally:
        use_mask_settings(MaskSettings(True, ()))


def test_a_wrong_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in the setting would switch masking off, or leave it on unnoticed."""
    monkeypatch.setenv("PROVML_MASK", "offf")
    with pytest.raises(provml.InvalidArgumentError, match="on or off"):
        provml.start_run("e", store=tmp_path)
    assert not os.listdir(tmp_path)
