"""Notes which settings are looked at while something runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from src.connectors import config_files
from src.connectors.config_files import Loaded
from src.core.config import Section, Settings


class Watch:
    """The names of settings that were read from watched trees."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self._names: dict[int, str] = {}
        self._kept: list[object] = []

    def over[Part: Section | Settings](self, part: Part, name: str = "") -> Part:
        """The same tree, or the part of one that is called `name`, watched from now on."""
        self._kept.append(part)  # else another object might get the number of a section
        self._walk(part, name)
        return part

    def _walk(self, value: object, name: str) -> None:
        if isinstance(value, Section):
            self._names[id(value)] = name
            for field, one in vars(value).items():
                self._walk(one, f"{name}.{field}" if name else field)
        elif isinstance(value, tuple):
            for place, one in enumerate(value):
                self._walk(one, f"{name}.{place}")

    def note(self, section: object, field: str) -> None:
        """A field of a section was read."""
        name = self._names.get(id(section))
        if name:
            self.read.add(f"{name}.{field}")

    def unread(self, leaf: str) -> bool:
        """Whether neither a leaf was read nor the list or table it stands in."""
        parts = leaf.split(".")
        return not any(".".join(parts[:end]) in self.read for end in range(2, len(parts) + 1))


@contextmanager
def watching() -> Iterator[Watch]:
    """Every tree that the command line loads is watched, and those that are named; hashing it is no reading."""
    watch = Watch()
    plain, load = Section.__getattribute__, config_files.load

    def noting(self: Any, field: str) -> Any:
        value = plain(self, field)
        if field in type(self).model_fields and not _leads_to_sections(value):
            reader = sys._getframe(1).f_globals["__name__"]
            if reader not in ("src.connectors.config_files", "tests.settings.leaves"):
                watch.note(self, field)
        return value

    def loading(*arguments: Any) -> Loaded:
        loaded = load(*arguments)
        watch.over(loaded.settings)
        return loaded

    with patch.object(Section, "__getattribute__", noting), patch("src.commands.common.load", loading):
        yield watch


def _leads_to_sections(value: object) -> bool:
    return isinstance(value, Section) or (isinstance(value, tuple) and bool(value) and isinstance(value[0], Section))
