"""The settings in force: files, overlay, environment and command line laid over each other, with every mistake named.

Command line (`--set A.B=V`) > environment (`MYCELIAL__A__B`) > overlay (`agent_config.test.yaml` beside the file) >
file. Code holds no defaults: every setting stands in the file.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..core import canonical
from ..core.config import Settings
from ..core.errors import ConfigError
from .config_words import in_words
from .config_yaml import MAX_BYTES, Marked, Place, Problem, Unreadable, path_text, read, shown

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "config" / "agent_config.yaml"
ENVIRONMENTS = ("dev", "prod", "test")
PREFIX = "MYCELIAL__"

SECRET_WORDS = ("secret", "token", "key", "password")

_FILE, _OVERLAY, _ENVIRON, _SET = range(4)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for every dotted name (`costs.fee_ratio`) the place its value came from.

    `files` are the files that were read, as messages show them; `environment` is dev, prod, test or None.
    """

    settings: Settings
    origin: Mapping[str, str]
    files: tuple[str, ...]
    environment: str | None


def load(config_file: Path | None, env: str | None, environ: Mapping[str, str], sets: Sequence[str]) -> Loaded:
    """Read every layer, check the tree and say where each value came from.

    Args:
        config_file: the file with all settings; None: `config/agent_config.yaml` of the project.
        env: dev, prod or test; None: MYCELIAL_ENV, else APP_ENV, else no overlay.
        environ: the environment; `MYCELIAL__COSTS__FEE_RATIO` is costs.fee_ratio.
        sets: `costs.fee_ratio=0.001`; the last of several for one setting wins.

    Raises:
        ConfigError: with all mistakes of all layers, one a line.
    """
    problems: list[Problem] = []
    file = config_file or DEFAULT_FILE
    environment = _environment(env, environ, problems)
    paths = [file] if environment is None else [file, file.with_name(f"{file.stem}.{environment}{file.suffix}")]
    layers = [_file_layer(path, layer, problems) for layer, path in enumerate(paths)]
    layers += [_environ_layer(environ, problems), _set_layer(sets, problems)]
    merged = {name: marked for found in layers for name, marked in (found or {}).items()}
    if layers[0] is not None:
        problems += _missing(layers[0], file, problems)
    settings = _validated(merged, problems)
    if settings is None or problems:
        raise ConfigError("\n".join(map(str, sorted(problems))))
    origin = {name: _origin(merged[name]) for name in declared()}
    return Loaded(settings, origin, tuple(_shown_path(path) for path in paths), environment)


def config_sha256(settings: Settings) -> str:
    """Sha256 of the tree in force as canonical JSON, without `NOT_HASHED`; equal amounts of money count as equal."""
    return canonical.digest({name: value for name, value in _leaves(settings) if name not in NOT_HASHED})


def describe(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(dotted name, plain value, origin) of every setting in the order of the tree; a secret that is set is '***'."""
    return [
        (name, "***" if is_secret(name) and value is not None else value, loaded.origin[name])
        for name, value in _leaves(loaded.settings)
    ]


def is_secret(name: str) -> bool:
    """Whether a setting's value is hidden wherever it would be shown."""
    return any(word in name.lower() for word in SECRET_WORDS)


def secret_values(settings: Settings) -> list[str]:
    """The texts that nobody may see; where a setting names a file with a secret, its name is none."""
    return [
        value
        for name, value in _leaves(settings)
        if is_secret(name) and isinstance(value, str) and not name.endswith("_file")
    ]


@cache
def declared() -> Mapping[str, Any]:
    """Every setting by its dotted name, with its type, in the order of the tree; sections are no settings."""
    return dict(_declared(Settings, ""))


def _declared(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        if (inner := _section(field.annotation)) is not None:
            yield from _declared(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.annotation


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


# What `config_sha256` leaves out: where the process listens, what nobody may see, and whatever watches a run and
# decides nothing. Paths, mode and seed are arguments of the command line and no settings at all.
NOT_HASHED = (
    *("bus.port", "bus.control_secret", "kraken.key_file", "ledger.anchor_folder"),
    *(name for name in declared() if name.startswith("monitoring.")),
)


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name in declared():
        value: Any = settings
        for step in name.split("."):
            value = getattr(value, step)
        yield name, _plain(value)


def _plain(value: Any) -> Any:
    """Money as a decimal string without a tail of zeros, the rest as JSON knows it."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value


# --- layers -----------------------------------------------------------------------------------------------------


def _environment(env: str | None, environ: Mapping[str, str], problems: list[Problem]) -> str | None:
    """The overlay's name; an unknown one is a problem, not a silent absence."""
    asked = [(f"--env {env}", env)] if env is not None else []
    asked += [
        (f"environment {name}={environ[name]}", environ[name])
        for name in ("MYCELIAL_ENV", "APP_ENV")
        if environ.get(name)
    ]
    if not asked:
        return None
    said, name = asked[0]
    if name in ENVIRONMENTS:
        return name
    problems.append(Problem(Place(_SET, 0, 0, said), "", f"unknown, choose one of {', '.join(ENVIRONMENTS)}"))
    return None


def _file_layer(path: Path, layer: int, problems: list[Problem]) -> dict[str, Marked] | None:
    """The settings of one file; None when nothing in it can be used."""
    name = _shown_path(path)
    try:
        tree = _tree(_text(path), layer, name)
    except Unreadable as error:
        problems += error.problems
        return None
    except _Refused as error:
        problems.append(Problem(Place(layer, 0, 0, name), "", str(error)))
        return None
    if not isinstance(tree.value, dict):
        problems.append(
            Problem(tree.place, "", f"must be sections with settings under them, not {shown(tree.plain())}")
        )
        return None
    return dict(_settings_under(Settings, (), tree, problems))


@lru_cache(maxsize=4)
def _tree(text: str, layer: int, name: str) -> Marked:
    """What a file says; who loads the same file for each of many runs reads it once. Nobody changes what is given."""
    return read(text, lambda line, column: Place(layer, line, column, name))


class _Refused(Exception):
    """A file that is not even looked at."""


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise _Refused("not a file" if path.exists() else "no such file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _Refused(f"larger than {MAX_BYTES // 1024} kB, which no settings file needs")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Refused(f"not UTF-8 (line {line}), save it as UTF-8") from None
    except OSError as error:
        raise _Refused(f"cannot be read: {error.strerror}") from None


def _settings_under(
    section: type[BaseModel], path: tuple[str, ...], tree: Marked, problems: list[Problem]
) -> Iterator[tuple[str, Marked]]:
    """Walk a mapping along the declared sections; yields settings, notes unknown names and sections that are none."""
    assert isinstance(tree.value, dict)
    for name, marked in tree.value.items():
        here = (*path, name)
        if name not in section.model_fields:
            problems.append(Problem(marked.key_place, path_text(here), _unknown(name, section)))
        elif (inner := _section(section.model_fields[name].annotation)) is None:
            yield path_text(here), marked
        elif isinstance(marked.value, dict):
            yield from _settings_under(inner, here, marked, problems)
        else:
            message = f"must be a section with settings under it, not {shown(marked.plain())}"
            problems.append(Problem(marked.place, path_text(here), message))


def _environ_layer(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Marked]:
    found: dict[str, Marked] = {}
    known = {_variable(name): name for name in declared()}
    for variable in sorted(environ):
        if not variable.upper().startswith(PREFIX):
            continue
        place = Place(_ENVIRON, 0, 0, f"environment {variable}")
        name = known.get(variable.upper())
        if name is None:
            problems.append(Problem(place, "", "unknown setting" + _nearest(variable.upper(), list(known), quote="")))
        elif name in found:
            problems.append(Problem(place, "", f"given twice, also as {found[name].place.name}"))
        elif (marked := _value(name, environ[variable], place, problems)) is not None:
            found[name] = marked
    return found


def _set_layer(sets: Sequence[str], problems: list[Problem]) -> dict[str, Marked]:
    found: dict[str, Marked] = {}
    for given in sets:
        name, equals, text = given.partition("=")
        name = name.strip()
        place = Place(_SET, 0, 0, f"--set {name}={'***' if is_secret(name) else text}" if equals else f"--set {given}")
        if not equals:
            problems.append(Problem(place, "", "write --set NAME=VALUE, for example --set costs.fee_ratio=0.001"))
        elif name not in declared():
            problems.append(Problem(place, "", _unknown_dotted(name)))
        elif (marked := _value(name, text, place, problems)) is not None:
            found[name] = marked
    return found


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "__")


def _value(name: str, text: str, place: Place, problems: list[Problem]) -> Marked | None:
    """A value from outside a file: YAML on one line; for a text setting the text itself (digits stay text)."""
    stripped = text.strip()
    if stripped in ("", "~", "null"):
        return Marked(None, place, place)
    if _is_text(declared()[name]) and stripped[0] not in "\"'" and text.isprintable():
        return Marked(text, place, place)
    try:
        return read(text, lambda line, column: place)
    except Unreadable as error:
        problems += [Problem(place, "", problem.message) for problem in error.problems]
        return None


def _is_text(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    return annotation is str or set(get_args(annotation)) == {str, type(None)}


# --- checks -----------------------------------------------------------------------------------------------------


def _missing(found: Mapping[str, Marked], file: Path, problems: Sequence[Problem]) -> list[Problem]:
    """What the file must name and does not; a section that is already reported is not named again."""
    broken = {problem.key for problem in problems if problem.place.layer == _FILE}
    place = Place(_FILE, 0, 0, _shown_path(file))
    return [
        Problem(place, "", f"{name} is missing, every setting must stand in this file")
        for name in declared()
        if name not in found and not any(name.startswith(f"{key}.") for key in broken)
    ]


def _validated(merged: Mapping[str, Marked], problems: list[Problem]) -> Settings | None:
    """The frozen tree, or None with every value that does not fit added to `problems`.

    Strict JSON validation is the one mode of pydantic that neither takes "3" or true for a number nor insists on
    tuples and Decimals that YAML cannot write.
    """
    tree: dict[str, Any] = {}
    for name, marked in merged.items():
        section, _, last = name.rpartition(".")
        inner = tree
        for step in section.split(".") if section else ():
            inner = inner.setdefault(step, {})
        inner[last] = marked.plain()
    try:
        return Settings.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        problems += in_words(error, merged, is_secret)
        return None


def _unknown(name: str, section: type[BaseModel]) -> str:
    close = difflib.get_close_matches(name[:80].strip(), list(section.model_fields), n=1)
    if close:
        return f'unknown setting, did you mean "{close[0]}"?'
    elsewhere = [other for other in declared() if other.rpartition(".")[2] == name]
    return "unknown setting" + (f', did you mean "{elsewhere[0]}"?' if elsewhere else "")


def _unknown_dotted(name: str) -> str:
    inside = [other for other in declared() if other.startswith(f"{name}.")]
    if inside:
        return f"names a section, name one of its settings: {', '.join(inside)}"
    whole = [other for other in declared() if name.startswith((f"{other}.", f"{other}["))]
    if whole:
        return f"{whole[0]} is one setting, give it whole"
    return "unknown setting" + _nearest(name, list(declared()), quote='"')


def _nearest(name: str, known: list[str], quote: str) -> str:
    close = difflib.get_close_matches(name[:80], known, n=1)
    return f", did you mean {quote}{close[0]}{quote}?" if close else ""


def _shown_path(path: Path) -> str:
    """Relative to the working directory when inside it."""
    whole, here = Path(os.path.abspath(path)), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def _origin(marked: Marked) -> str:
    place = marked.key_place
    return f"{place.name}:{place.line}" if place.line else "--set" if place.layer == _SET else place.name
