"""What pydantic found, in plain words and at the place in the file, because a user reads neither types nor URLs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.config import Settings
from .config_yaml import Marked, Place, Problem, path_text, shown

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "names with values",
    "model_type": "names with values",
}


def in_words(
    error: ValidationError, merged: Mapping[str, Marked], is_secret: Callable[[str], bool]
) -> Iterable[Problem]:
    """One problem a value that does not fit; settings that are absent altogether are the caller's to report."""
    found: dict[tuple[Place, str, str], Problem] = {}
    for detail in error.errors(include_url=False):
        problem = _problem(detail, merged, is_secret)
        if problem is not None:  # of a list's absent elements only the last is told: it counts them all
            absent = detail["type"] == "missing" and isinstance(detail["loc"][-1], int)
            found[problem.place, problem.key, "" if absent else problem.message] = problem
    return found.values()


def _problem(detail: ErrorDetails, merged: Mapping[str, Marked], is_secret: Callable[[str], bool]) -> Problem | None:
    path = tuple(detail["loc"])
    name = next((path_text(path[:n]) for n in range(len(path), 0, -1) if path_text(path[:n]) in merged), None)
    if name is None:
        return _of_section(detail, path, merged)
    depth = name.count(".") + 1
    marked, inner = merged[name].at(path[depth:])
    if detail["type"] == "too_short" and len(marked.plain()) >= detail["ctx"]["min_length"]:
        return None  # pydantic did not count the elements it refused, which are told by themselves
    place = marked.key_place if detail["type"] == "extra_forbidden" else marked.place
    # Outside a file the place names the setting already: only the element inside it is added.
    key = path_text((*path[:depth], *inner)) if place.line else path_text(inner)
    return Problem(place, key, _message(detail, path, path[depth + len(inner) :], marked, is_secret(name)))


def _of_section(detail: ErrorDetails, path: tuple[str | int, ...], merged: Mapping[str, Marked]) -> Problem | None:
    """A rule over several settings of a section; it is shown at the section's first setting."""
    if detail["type"] == "missing":
        return None
    prefix = path_text(path)
    places = [marked.key_place for name, marked in merged.items() if not prefix or name.startswith(f"{prefix}.")]
    said = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else detail["msg"]
    return Problem(min(places), prefix, said)


def _message(
    detail: ErrorDetails, path: tuple[str | int, ...], missing: tuple[str | int, ...], marked: Marked, secret: bool
) -> str:
    kind, limits = detail["type"], detail.get("ctx", {})
    value = "a hidden value" if secret else shown(marked.plain())
    if kind == "missing":
        return _absent(missing, value)
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {_described(marked, value)}"
    if kind == "literal_error":
        return f"{value} is unknown, choose {limits['expected']}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{value} is {words} {_number(limits[bound])}"
    if kind in ("too_short", "too_long"):
        bound, words = ("min_length", "least") if kind == "too_short" else ("max_length", "most")
        return f"must be a list of at {words} {limits[bound]} values, not {value}"
    if kind == "value_error":
        return str(limits["error"])
    return detail["msg"][:1].lower() + detail["msg"][1:]


_BOUNDS = {
    "less_than_equal": ("le", "above the largest allowed value"),
    "greater_than_equal": ("ge", "below the smallest allowed value"),
    "less_than": ("lt", "not allowed, it must be less than"),
    "greater_than": ("gt", "not allowed, it must be greater than"),
}


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else f"{bound}"


def _described(marked: Marked, value: str) -> str:
    return f"text {value}" if isinstance(marked.value, str) else value


def _absent(missing: tuple[str | int, ...], value: str) -> str:
    if missing and isinstance(missing[0], int):
        return f"must be a list of {missing[0] + 1} values, not {value}"
    return f"{path_text(missing)} is missing"


def _unknown(path: tuple[str | int, ...]) -> str:
    names = [name for section in _sections_at(Settings, path[:-1]) for name in section.model_fields]
    close = difflib.get_close_matches(str(path[-1])[:80].strip(), names, n=1)
    return "unknown setting" + (f', did you mean "{close[0]}"?' if close else "")


def _sections_at(annotation: Any, path: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """The section types a value at `path` may have."""
    if not path:
        return _sections(annotation)
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return _sections_at(annotation, rest)
    fields = [section.model_fields[step] for section in _sections(annotation) if step in section.model_fields]
    return [section for field in fields for section in _sections_at(field.annotation, rest)]


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for inner in get_args(annotation) for section in _sections(inner)]
