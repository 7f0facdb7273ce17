"""Secrets at rest: nobody else sees them, a rotation may be cut short anywhere, messages give nothing away."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from src.connectors.secret_files import KEY_RING, Secret, open_sealed, read_secret, rotate, seal, write_secret
from src.core.errors import ConfigError, NotFound, UsageError

CANARY = b"canary-8d1f\nc2VjcmV0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sealed secrets."""
    place = tmp_path / "secrets"
    seal(place, "kraken.key", Secret(CANARY))
    seal(place, "webhook", Secret(b"https://example.invalid/x"))
    return place


def test_what_is_sealed_opens_and_is_nowhere_in_the_open(folder: Path) -> None:
    assert open_sealed(folder, "kraken.key").reveal() == CANARY
    assert open_sealed(folder, "webhook").reveal() == b"https://example.invalid/x"
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [KEY_RING, "kraken.key.sealed", "webhook.sealed"]
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in files)
    assert not [path for path in files if b"canary" in path.read_bytes()]


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(CANARY)
    assert (repr(secret), str(secret), f"{secret}") == ("***", "***", "***")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o404, 0o444, 0o640, 0o777, 0o000])
def test_other_rights_are_refused_and_the_remedy_named(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(CANARY)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_secret(path)
    assert "canary" not in str(caught.value)
    if mode != 0o000:  # who is not root is told that it cannot be read
        assert f"chmod 400 {path}" in str(caught.value)


def test_links_folders_pipes_and_endless_files_are_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    write_secret(real, Secret(CANARY))
    link, pipe, big, empty = (tmp_path / name for name in ("link", "pipe", "big", "empty"))
    link.symlink_to(real)
    os.mkfifo(pipe, 0o400)
    write_secret(big, Secret(b"x" * 65_537))
    write_secret(empty, Secret(b""))
    for path in (link, pipe, big, empty, tmp_path):
        with pytest.raises(ConfigError):
            read_secret(path)
    with pytest.raises(NotFound):
        read_secret(tmp_path / "nothing")


def test_a_rotation_changes_every_key_and_no_secret(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = rotate(folder)
    assert (done.secrets, done.retired) == (2, 1)
    assert all(before[path.name] != path.read_bytes() for path in folder.iterdir())
    assert open_sealed(folder, "kraken.key").reveal() == CANARY
    old = Fernet(before[KEY_RING].strip())
    with pytest.raises(InvalidToken):
        old.decrypt((folder / "kraken.key.sealed").read_bytes())
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in folder.iterdir())


@pytest.mark.parametrize("place", range(4))
def test_a_rotation_cut_short_anywhere_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """A full disk at the first, second, third and fourth file it puts in place: ring, two secrets, ring."""
    real, calls = Path.replace, []

    def full(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == place + 1:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="No space left"):
        rotate(folder)
    monkeypatch.undo()
    assert open_sealed(folder, "kraken.key").reveal() == CANARY
    assert open_sealed(folder, "webhook").reveal() == b"https://example.invalid/x"
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))
    done = rotate(folder)
    assert done.retired == (1 if place == 0 else 2)
    assert len((folder / KEY_RING).read_bytes().split()) == 1
    assert open_sealed(folder, "kraken.key").reveal() == CANARY


def test_a_secret_that_cannot_be_opened_stops_a_rotation_before_it_begins(folder: Path) -> None:
    damaged = folder / "webhook.sealed"
    content = damaged.read_bytes()
    damaged.unlink()
    write_secret(damaged, Secret(content[:-9] + b"AAAAAAAA="))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match=r"webhook\.sealed: no key of key-ring opens it"):
        rotate(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_lost_key_ring_is_not_made_anew_over_sealed_secrets(folder: Path) -> None:
    (folder / KEY_RING).unlink()
    with pytest.raises(ConfigError, match="put the key ring back"):
        seal(folder, "new", Secret(b"x"))
    with pytest.raises(NotFound, match="there is no key ring"):
        open_sealed(folder, "webhook")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "Key", KEY_RING, "x" * 64])
def test_names_that_are_no_plain_files(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="small letters"):
        seal(folder, name, Secret(b"x"))


def test_a_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    for act in (lambda: seal(folder, "x", Secret(b"x")), lambda: rotate(folder)):
        with pytest.raises(ConfigError, match="chmod 700"):
            act()


def test_a_key_ring_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / KEY_RING).chmod(0o440)
    with pytest.raises(ConfigError, match="mode 0400"):
        open_sealed(folder, "webhook")
