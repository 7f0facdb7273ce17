"""A Debian of its own in a folder, in which an image's lines are carried out as in a container: by `chroot`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .dockerfile import Carried, Stage

SUITE = "bookworm"
NEEDED = "ca-certificates,libssl3,libsqlite3-0,libffi8,libbz2-1.0,liblzma5,zlib1g,libreadline8,libuuid1"
"""What a Python of elsewhere is linked with; the image's base brings the same."""
ENTER = """
mount -t proc proc "$ROOT/proc"
for place in $PLACES; do mkdir -p "$ROOT$place"; mount --bind "$place" "$ROOT$place"; done
exec chroot --userspec="$AS" "$ROOT" /usr/bin/env -i "$@"
"""
"""Mounts are of this process alone and vanish with it."""


def missing() -> str:
    """Why there can be no Debian here; empty where there can."""
    tools = [name for name in ("debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    if tools:
        return f"{', '.join(tools)} is not installed"
    if os.geteuid() != 0:
        return "only root may change the root"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "nothing may be mounted here"


def make(folder: Path) -> Path:
    """A minimal Debian with this Python under `/usr/local`, as the image's base has it."""
    words = ["debootstrap", "--variant=minbase", f"--include={NEEDED}", SUITE, str(folder)]
    subprocess.run(words, check=True, capture_output=True, timeout=900)
    folder.chmod(0o755)  # a root that only root may enter is none for the image's user
    put_python(folder)
    return folder


def put_python(folder: Path) -> None:
    """This interpreter with pip, without tests and headers; it finds itself by where it stands."""
    here = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for source in (here / "bin" / version, *here.glob("lib/libpython*.so*")):
        shutil.copy(source, folder / "usr/local" / source.parent.name)
    leave = shutil.ignore_patterns("test", "tests", "__pycache__", "config-*", "idlelib", "tkinter")
    shutil.copytree(here / "lib" / version, folder / "usr/local/lib" / version, ignore=leave, dirs_exist_ok=True)
    (folder / "usr/local/bin/python").symlink_to(version)
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):  # how this machine finds and trusts others
        if (Path("/") / name).is_file():
            shutil.copy(Path("/") / name, folder / name)
    subprocess.run(["chroot", str(folder), "/sbin/ldconfig"], check=True)


class Rooted(Carried):
    """An image in a Debian root: its places are what they are called, and its lines are run inside."""

    def at(self, text: str) -> str:
        return text

    def variables(self, stage: Stage) -> dict[str, str]:
        """What the image sets, and how packages are reached."""
        base = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root"}
        reach = {
            name: value for name, value in self.environ.items() if re.match(r"(PIP|UV)_|SSL_|https?_|HTTPS?_", name)
        }
        return {**base, **reach, **stage.environment(), **self.instead}

    def words_inside(
        self, stage: Stage, words: list[str], cwd: str, user: str = "0:0"
    ) -> tuple[list[str], dict[str, str]]:
        """How a program is started inside, and the environment that takes."""
        told = [f"{name}={value}" for name, value in self.variables(stage).items()]
        inside = ["/bin/sh", "-ec", 'cd "$0"; exec "$@"', cwd, *words]
        given = {"PATH": os.environ["PATH"], "ROOT": str(self.folder), "AS": user, "PLACES": " ".join(self._places())}
        return ["unshare", "--mount", "sh", "-ec", ENTER, "sh", *told, *inside], given

    def _places(self) -> list[str]:
        """Folders of this machine in which packages lie; an index names files beside itself."""
        told = " ".join(value for name, value in self.environ.items() if name.startswith(("PIP_", "UV_")))
        found = re.findall(r"(?:file://|(?<=\s)|^)(/[\w./-]+)", told)
        return sorted({path.removesuffix("/simple") for path in found if Path(path).is_dir()})

    def build(self, stage: Stage, leave_out: tuple[str, ...] = ()) -> None:
        here = "/"
        for line in stage.lines:
            if line.name == "WORKDIR":
                here = line.words.replace("${APP}", stage.environment()["APP"])
                (self.folder / here.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif line.name == "COPY":
                self._copy(line.words.split(), self.folder / here.lstrip("/"))
            elif line.name == "RUN":
                self.run(stage, ["/bin/sh", "-ec", line.words], here)
                self.did.append(line.words)

    def run(self, stage: Stage, words: list[str], cwd: str, user: str = "0:0") -> subprocess.CompletedProcess[str]:
        """Run something inside to its good end."""
        started, given = self.words_inside(stage, words, cwd, user)
        done = subprocess.run(started, env=given, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done
