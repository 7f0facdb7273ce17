"""Secrets by the command line: sealed, rotated and opened without being shown, as the operation page tells it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from src.connectors.kraken.key_file import read_key

from .cli import Say, mycelial

CANARY = "canary-77aa"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "kraken.key"
    path.write_text(f"{CANARY}\nc2VjcmV0\n")
    path.chmod(0o400)
    return path


def test_the_drill(say: Say, key: Path) -> None:
    """Seal, throw the open file away, rotate twice, open: the exchange's reader takes what comes out."""
    said = [say("seal-secret", "kraken.key", "--from", key)]
    key.unlink()
    ring = Path("secrets/key-ring").read_bytes()
    said.append(say("rotate-secrets"))
    said.append(say("rotate-secrets", "--json"))
    assert msgspec.json.decode(said[-1].stdout) == {"folder": "secrets", "secrets": 1, "retired": 1}
    assert Path("secrets/key-ring").read_bytes() != ring
    said.append(say("open-secret", "kraken.key", "opened"))
    assert [done.returncode for done in said] == [0, 0, 0, 0]
    assert not [done for done in said if CANARY in done.stdout + done.stderr]
    assert read_key(Path("opened")).key == CANARY


def test_a_secret_comes_by_standard_input_too(tmp_path: Path) -> None:
    with (tmp_path / "in").open("w+b") as given:
        given.write(b"word")
        given.seek(0)
        done = mycelial("seal-secret", "word", cwd=tmp_path, stdin=given)
    assert (done.returncode, done.stdout) == (0, "secrets/word.sealed: sealed\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("seal-secret", "../x", "--from", "kraken.key"), 4, "small letters"),
        (("seal-secret", "x", "--from", "nothing"), 2, "there is no such file"),
        (("seal-secret", "x", "--from", "wide"), 4, "chmod 400 wide"),
        (("open-secret", "x", "y"), 2, "there is no key ring"),
        (("rotate-secrets",), 2, "there is no key ring"),
    ],
)
def test_mistakes_are_named(say: Say, key: Path, words: tuple[str, ...], code: int, said: str) -> None:
    Path("wide").write_text(CANARY)
    done = say(*words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert CANARY not in done.stderr
    assert "Traceback" not in done.stderr
