"""Reads a Dockerfile, and carries out what it says in a folder instead of an image."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from tests.worlds import ROOT

FILE = ROOT / "Dockerfile"


class Line(NamedTuple):
    """One instruction: `words` after its name, options like `--from=build` apart."""

    name: str
    options: dict[str, str]
    words: str


class Stage(NamedTuple):
    """What stands between one FROM and the next."""

    name: str
    base: str
    lines: list[Line]

    def of(self, name: str) -> list[Line]:
        """The instructions of one name."""
        return [line for line in self.lines if line.name == name]

    def environment(self) -> dict[str, str]:
        """All variables that ENV sets."""
        pairs = [pair for line in self.of("ENV") for pair in line.words.split()]
        return dict(pair.split("=", 1) for pair in pairs)


def instructions(text: str) -> list[Line]:
    """All instructions of a Dockerfile without line continuations."""
    found = []
    for raw in text.splitlines():
        if not raw.strip() or raw.startswith("#"):
            continue
        name, _, rest = raw.partition(" ")
        options = dict(re.findall(r"(?:^|\s)--([a-z-]+)=(\S+)", _leading(rest)))
        found.append(Line(name, options, rest[len(_leading(rest)) :].strip()))
    return found


def _leading(rest: str) -> str:
    return re.match(r"((--[a-z-]+=\S+\s+)*)", rest).group(1)  # type: ignore[union-attr]


def stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage with their defaults, and the stages."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in instructions(text):
        if line.name == "ARG" and not found:
            name, _, value = line.words.partition("=")
            arguments[name] = value
        elif line.name == "FROM":
            base, _, name = line.words.partition(" AS ")
            found.append(Stage(name, base, []))
        else:
            found[-1].lines.append(line)
    return arguments, found


def in_context(path: str) -> bool:
    """Whether `.dockerignore` lets a file of the repository into the build; the last pattern that fits counts."""
    inside = True
    for raw in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = raw.strip()
        if pattern and not pattern.startswith("#") and _fits(path, pattern.removeprefix("!")):
            inside = pattern.startswith("!")
    return inside


def _fits(path: str, pattern: str) -> bool:
    parts = path.split("/")
    places = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern[3:]) for part in parts)
    return any(fnmatch(place, pattern) for place in places)


class Carried:
    """An image's files in `folder`, made by the Dockerfile's own lines, with its absolute places below that folder.

    `instead`: variables that a test sets otherwise than the image.
    """

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = environ
        self.instead: dict[str, str] = {}
        self.did: list[str] = []

    def at(self, text: str) -> str:
        """`text` with the image's places in this folder."""
        return re.sub(r"(?<![\w.])/(app|opt|state)(?=/|:|$)", lambda found: f"{self.folder}/{found.group(1)}", text)

    def variables(self, stage: Stage) -> dict[str, str]:
        """The environment inside, and nothing of ours but what reaches a package index."""
        own = {name: self.at(value) for name, value in stage.environment().items()}
        own["PATH"] = f"{own.get('PATH', '')}:{self.environ['PATH']}"
        return {**self.environ, "HOME": str(self.folder), **own, **self.instead}

    def build(self, stage: Stage, leave_out: tuple[str, ...] = ()) -> None:
        """Carry out WORKDIR, COPY and RUN of the first stage, without RUN lines in which one of `leave_out` stands."""
        variables, here = self.variables(stage), self.folder
        for line in stage.lines:
            if line.name == "WORKDIR":
                here = Path(os.path.expandvars(line.words.replace("${APP}", variables["APP"])))
                here.mkdir(parents=True, exist_ok=True)
            elif line.name == "COPY":
                self._copy(line.words.split(), here)
            elif line.name == "RUN" and not any(word in line.words for word in leave_out):
                subprocess.run(["/bin/sh", "-ec", line.words], cwd=here, env=variables, check=True, timeout=600)
                self.did.append(line.words)

    def _copy(self, words: list[str], here: Path) -> None:
        *sources, target = words
        for source in sources:
            origin, place = ROOT / source, here / target
            if origin.is_file():
                shutil.copy(origin, place)
            else:
                for path in sorted(path for path in origin.rglob("*") if path.is_file()):
                    if in_context(str(path.relative_to(ROOT))):
                        copy = place / path.relative_to(origin)
                        copy.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, copy)

    def words(self, stage: Stage, name: str) -> list[str]:
        """The exec form of ENTRYPOINT, CMD or HEALTHCHECK."""
        text = stage.of(name)[-1].words
        return [self.at(word) for word in json.loads(text[text.index("[") :])]
