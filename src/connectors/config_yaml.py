"""YAML text to values that know their line and column, because a message about a setting must say where it stood.

The language is YAML 1.2's core: `null`, `true`, `false`, whole numbers and floats; everything else is text, so
that `no`, `1:30`, `010` and dates mean what they look like. Anchors, aliases, tags, duplicate keys, second
documents and deep nesting are refused: a settings file needs none of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 256 * 1024  # of the format: a larger settings file is a mistake or an attack
MAX_DEPTH = 16  # of the format
MAX_DIGITS = 18  # a whole number fits 64 bits; more digits are text, which money accepts and no count does
MAX_FLOAT = 64  # characters

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stood: later layers win, and messages are sorted by it. Line 0: not a file."""

    layer: int
    line: int
    column: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One line of a report: where, which setting (may be empty), what is wrong with it."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        colon = "" if self.place.line else ":"
        return f"{self.place}{colon} {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Marked:
    """A scalar, a list or a mapping, with the place of its key (or its own, in a list) and of its value."""

    value: str | int | float | bool | list[Marked] | dict[str, Marked] | None
    place: Place
    key_place: Place

    def plain(self) -> Any:
        """The value without its marks."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    def at(self, path: Path) -> tuple[Marked, Path]:
        """Follow `path` as far as it exists: the innermost value reached, and the part of the path that led there."""
        node, done = self, ()  # type: tuple[Marked, Path]
        for step in path:
            inner = node._child(step)
            if inner is None:
                break
            node, done = inner, (*done, step)
        return node, done

    def _child(self, step: str | int) -> Marked | None:
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


class Unreadable(Exception):
    """Nothing can be said about the values of this text; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def path_text(path: Path) -> str:
    """`("analysts", "teams", 0, "rsi")` as `analysts.teams[0].rsi`; a name that is no plain word is quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]{1,80}", step) else shown(step))
    return text


def shown(value: Any) -> str:
    """A value for a message: one line, at most 60 characters, text in quotes."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.17g}" if not math.isfinite(value) else repr(value)
    if isinstance(value, str):
        return '"' + (ascii(value)[1:-1] if len(value) <= 60 else ascii(value[:57])[1:-1] + "...") + '"'
    return f"a list of {len(value)} values" if isinstance(value, list) else "a section"


def read(text: str, at: Callable[[int, int], Place], key: Path = ()) -> Marked:
    """The one document in `text`; `at(line, column)`, both from 1, makes its places.

    Raises:
        Unreadable: not YAML, or YAML that settings may not use; with every such place, not only the first.
    """
    reader = _Reader(text, at)
    try:
        found = reader.document(key)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = at(mark.line + 1, mark.column + 1) if mark else at(1, 1)
        raise Unreadable(
            [*reader.problems, Problem(where, "", f"not YAML: {error.problem or error.context}")]
        ) from None
    except yaml.reader.ReaderError as error:
        before = text[: int(error.position)]
        where = at(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise Unreadable([Problem(where, "", "a character that text may not contain")]) from None
    if reader.problems:
        raise Unreadable(reader.problems)
    return found


class _Loader(yaml.SafeLoader):
    """The scanner and parser of PyYAML with the scalars of YAML 1.2's core."""

    yaml_implicit_resolvers = {}  # type: dict[str, list[tuple[str, re.Pattern[str]]]]  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), ["" if c == "\0" else c for c in _first]
    )


class _Reader:
    """Builds marked values from the parser's events and notes what is refused."""

    def __init__(self, text: str, at: Callable[[int, int], Place]) -> None:
        self.loader: Any = None  # PyYAML's own methods have no types
        self.text = text
        self.place = at
        self.problems: list[Problem] = []

    def document(self, key: Path) -> Marked:
        """Read stream start, one document, stream end."""
        self.loader = _Loader(self.text)
        self.loader.get_event()
        if self.loader.check_event(yaml.StreamEndEvent):
            raise Unreadable([Problem(self.place(1, 1), path_text(key), "empty")])
        self.loader.get_event()
        found = self._value(key, None)
        self.loader.get_event()
        if not self.loader.check_event(yaml.StreamEndEvent):
            self._refuse(self.loader.peek_event(), (), "a second document, one is allowed")
        return found

    def _value(self, path: Path, key_place: Place | None) -> Marked:
        event = self.loader.get_event()
        here = self._at(event)
        self._refuse_marks(event, path)
        self._refuse_half_characters(event, path)
        value: Any = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif len(path) >= MAX_DEPTH and not isinstance(event, yaml.AliasEvent):
            raise Unreadable([*self.problems, Problem(here, "", f"nested deeper than {MAX_DEPTH} levels")])
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(path)
        return Marked(value, here, key_place or here)

    def _sequence(self, path: Path) -> list[Marked]:
        items: list[Marked] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            items.append(self._value((*path, len(items)), None))
        self.loader.get_event()
        return items

    def _mapping(self, path: Path) -> dict[str, Marked]:
        items: dict[str, Marked] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            event = self.loader.get_event()
            self._refuse_marks(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                raise Unreadable([*self.problems, Problem(self._at(event), path_text(path), "a key must be a word")])
            self._refuse_half_characters(event, path)
            value = self._value((*path, event.value), self._at(event))
            if event.value in items:
                first = items[event.value].key_place
                said = f"given twice, first in line {first.line}" if first.line else "given twice"
                self._refuse(event, (*path, event.value), said)
            else:
                items[event.value] = value
        self.loader.get_event()
        return items

    def _scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit).rpartition(":")[2]
        if tag == "null":
            return None
        if tag == "bool":
            return bool(event.value[0] in "tT")
        if tag == "int" and len(event.value) <= MAX_DIGITS:
            return int(event.value)
        if tag == "float" and len(event.value) <= MAX_FLOAT:
            return float(
                event.value.replace(".inf", "inf").replace(".nan", "nan").replace(".I", "I").replace(".N", "N")
            )
        return str(event.value)

    def _refuse_marks(self, event: yaml.Event, path: Path) -> None:
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, path, f"aliases (*{shown(anchor)[1:-1]}) are not allowed, write the value out")
        elif anchor is not None:
            self._refuse(event, path, f"anchors (&{shown(anchor)[1:-1]}) are not allowed, write the value out")
        if tag is not None:
            self._refuse(event, path, f"tags ({shown(tag)[1:-1]}) are not allowed, write the plain value")

    def _refuse_half_characters(self, event: yaml.Event, path: Path) -> None:
        """Half of a surrogate pair, which an escape in quotes or a foreign environment can smuggle in."""
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= c <= "\udfff" for c in event.value):
            self._refuse(event, path, "not valid Unicode text")

    def _refuse(self, event: yaml.Event, path: Path, message: str) -> None:
        self.problems.append(Problem(self._at(event), path_text(path), message))

    def _at(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return self.place(mark.line + 1, mark.column + 1) if mark else self.place(1, 1)
