"""The Dockerfile in a Debian of its own, where no engine of containers runs: its lines, its user, its health, its end.

Long: a Debian is fetched, and all packages are installed. What cannot be had here is skipped and counted.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.bootstrap import Environment, find_python
from tests.worlds import ROOT

from . import debian
from .debian import Rooted
from .test_dockerfile import BUILD, COMPILERS, FEW, RUNTIME, Started, environ

USER = RUNTIME.of("USER")[0].words


def test_a_python_is_told_from_its_libraries() -> None:
    assert {"libssl3", "libsqlite3-0"} < set(debian.NEEDED.split(","))
    assert debian.Rooted(Path("/nowhere"), {"PIP_FIND_LINKS": "/usr", "UV_EXTRA_INDEX_URL": "https://h/x file:///etc"})._places() == ["/etc", "/usr"]  # fmt: skip # noqa: E501


class Inside(Started):
    """ENTRYPOINT and CMD as the image's user, in the Debian root."""

    image: Rooted

    def __init__(self, image: Rooted, *more: str) -> None:
        self.image, self.stage = image, RUNTIME
        words = [*image.words(RUNTIME, "ENTRYPOINT"), *image.words(RUNTIME, "CMD"), *more]
        started, given = image.words_inside(RUNTIME, words, "/app", USER)
        self.popen = subprocess.Popen(
            started, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )

    def asked(self) -> subprocess.CompletedProcess[str]:
        started, given = self.image.words_inside(RUNTIME, self.image.words(RUNTIME, "HEALTHCHECK"), "/app", USER)
        return subprocess.run(started, env=given, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Rooted:
    if why := debian.missing():
        pytest.skip(why)
    ours = {**environ(), "HOME": os.environ["HOME"]}
    setup = Environment(ROOT, ours)
    reached = setup._registries(setup._pip(find_python(ours)) or [])
    try:
        folder = debian.make(tmp_path_factory.mktemp("debian"))
        made = Rooted(folder, reached)
        made.build(BUILD)
    except subprocess.CalledProcessError as error:
        if "debootstrap" in error.cmd or "install" in str(error.cmd) or "uv" in str(error.cmd):
            pytest.skip(f"no Debian or no packages can be reached: {str(error.stderr)[-200:]}")
        raise
    subprocess.run(["chown", "-R", USER, str(folder / "state")], check=True)
    return made


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_it_lives_as_its_user_in_a_debian_of_its_own(image: Rooted) -> None:
    assert len(image.did) == len(BUILD.of("RUN"))
    found = image.run(
        RUNTIME, ["/bin/sh", "-c", f"for one in {' '.join(COMPILERS[:3])}; do command -v $one; done; id -u"], "/"
    )
    assert found.stdout.split() == ["0"]  # no compiler, and nothing but the answer to `id`
    with Inside(image, *FEW) as started:
        started.until_healthy()
        code, out, err = started.stop()
    assert code == 0, err
    assert "simulated" in (out + err).lower()
    state = image.folder / "state" / "paper"
    assert (state / "ledger.sqlite").stat().st_uid == int(USER.partition(":")[0])
    app = image.folder / "app"
    assert {path.stat().st_uid for path in app.rglob("*")} == {0}  # what runs cannot change itself
