"""What a sweep tries: values of settings as users write them, checked before the first run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any, get_args, get_origin

import msgspec
from pydantic import BaseModel

from ..connectors.config_files import NOT_HASHED, declared
from ..core.errors import UsageError

MOST_VALUES = 10_000
"""Of one setting, and of all together: more is a typing error and not a wish."""


_ELEMENT = re.compile(r"[\w.]+\[\d+\](\[\d+\]|\.\w+)*")
_STEP = re.compile(r"\[(\d+)\]|\.(\w+)")


class Axis(msgspec.Struct, frozen=True):
    """One setting and the values it takes, as text that `--set` understands.

    `span` are the ends of a range without a step, which has no values of its own: only a search can use it. `whole`:
    the setting takes whole numbers.
    """

    leaf: str
    values: tuple[str, ...]
    span: tuple[Decimal, Decimal] | None = None
    whole: bool = False


Point = tuple[tuple[str, str], ...]
"""(setting, value) of one trial, in the order of the axes."""


def axes(grid: Sequence[str]) -> list[Axis]:
    """`costs.fee_ratio=0.001,0.0026` and `learners.entry_score=0.7:0.9:0.05` (both ends included), each `--grid` one.

    UsageError for what is no setting, is given twice, overlaps, or has nothing to choose from.
    """
    if not grid:
        raise UsageError("nothing to sweep: give --grid NAME=VALUES, for example --grid costs.fee_ratio=0.001,0.0026")
    found: list[Axis] = []
    for given in grid:
        axis = _axis(given)
        if any(axis.leaf == other.leaf for other in found):
            raise UsageError(f"--grid {axis.leaf}: given twice; give all its values at once")
        found.append(axis)
    return found


def points(found: Sequence[Axis]) -> list[Point]:
    """Every combination, the last setting changing fastest; UsageError for a range without a step."""
    total = 1
    for axis in found:
        if axis.span is not None:
            raise UsageError(f"--grid {axis.leaf}={axis.span[0]}:{axis.span[1]}: no step; write FROM:TO:STEP")
        total *= len(axis.values)
    if total > MOST_VALUES:
        raise UsageError(f"--grid: {total:,} combinations are more than {MOST_VALUES:,}; use --optuna N")
    return [
        tuple(zip([axis.leaf for axis in found], values, strict=True))
        for values in product(*(axis.values for axis in found))
    ]


def words_of(point: Point) -> tuple[str, ...]:
    """The point as `--grid` took it; `TrialSettings.sets_of` makes words for `--set` of it."""
    return tuple(f"{leaf}={value}" for leaf, value in point)


def steps_of(leaf: str) -> tuple[str, tuple[str | int, ...]]:
    """A setting, and the way to an element inside it where it is a list.

    >>> steps_of("analysts.teams[0].rsi"), steps_of("costs.fee_ratio")
    (('analysts.teams', (0, 'rsi')), ('costs.fee_ratio', ()))
    """
    if _ELEMENT.fullmatch(leaf) is None:
        return leaf, ()
    name, bracket, inside = leaf.partition("[")
    return name, tuple(int(place) if place else field for place, field in _STEP.findall(bracket + inside))


def kind_of(leaf: str) -> Any:
    """The declared type of a setting or of an element inside one; None where there is no such."""
    name, steps = steps_of(leaf)
    kind = declared().get(name)
    for step in steps:
        kind = _inside(kind, step)
    return kind


def _inside(kind: Any, step: str | int) -> Any:
    if isinstance(step, str):
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        return fields[step].annotation if step in fields else None
    kinds = get_args(kind) if get_origin(kind) is tuple else ()
    found = kinds[0] if Ellipsis in kinds else kinds[step] if step < len(kinds) else None
    return get_args(found)[0] if hasattr(found, "__metadata__") else found


def _axis(given: str) -> Axis:
    leaf, equals, text = given.partition("=")
    leaf = leaf.strip()
    if not equals or not text.strip():
        raise UsageError(f"--grid {given}: write NAME=VALUES, for example --grid costs.fee_ratio=0.001,0.0026")
    _refuse_unknown(leaf)
    parts = _split(text)
    if len(parts) == 1 and parts[0].count(":") == 1 and (ends := _numbers(parts[0])) is not None:
        low, high = ends
        if low >= high:
            raise UsageError(f"--grid {leaf}={text}: the range is empty, {low} is not below {high}")
        return Axis(leaf, (), (low, high), kind_of(leaf) is int)
    values = [value for part in parts for value in _values(leaf, part)]
    _refuse_same(leaf, values)
    if len(values) < 2:
        raise UsageError(f"--grid {leaf}={text}: one value only, nothing to sweep; give more, or use --set {leaf}=...")
    return Axis(leaf, tuple(values))


def _refuse_unknown(leaf: str) -> None:
    if leaf.startswith("simulated."):
        raise UsageError(f"--grid {leaf}: the market is the same for all trials; change it with --set")
    if leaf in NOT_HASHED:
        raise UsageError(f"--grid {leaf}: changes nothing that is decided")
    if kind_of(leaf) is not None:
        return
    inside = [other for other in declared() if other.startswith(f"{leaf}.")]
    if inside:
        raise UsageError(f"--grid {leaf}: names a section, name one of its settings: {', '.join(inside)}")
    around = [other for other in declared() if leaf.startswith((f"{other}.", f"{other}["))]
    if around:
        inside_of = f"or what is in it and there, counted from 0, as {around[0]}[0]"
        raise UsageError(f"--grid {leaf}: {around[0]} is one setting, give it whole, {inside_of}")
    close = difflib.get_close_matches(leaf[:80], list(declared()), n=1)
    raise UsageError(f"--grid {leaf}: unknown setting" + (f', did you mean "{close[0]}"?' if close else ""))


def _split(text: str) -> list[str]:
    """At commas, but not inside of brackets: lists are values as well."""
    parts, depth, begin = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "[{") - (sign in "]}")
        if sign == "," and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()]


def _values(leaf: str, part: str) -> list[str]:
    """One value, or those of FROM:TO:STEP in exact decimals."""
    if not part:
        raise UsageError(f"--grid {leaf}: an empty value; write {leaf}=A,B")
    numbers = _numbers(part) if part.count(":") == 2 else None
    if numbers is None:
        return [part]
    low, high, step = numbers
    if step <= 0 or low > high:
        raise UsageError(f"--grid {leaf}={part}: write FROM:TO:STEP with FROM below TO and a step above 0")
    count = int((high - low) / step) + 1
    if count > MOST_VALUES:
        raise UsageError(f"--grid {leaf}={part}: {count:,} values are more than {MOST_VALUES:,}")
    return [f"{(low + step * number).normalize():f}" for number in range(count)]


def _numbers(part: str) -> list[Decimal] | None:
    try:
        found = [Decimal(number) for number in part.split(":")]
    except InvalidOperation:
        return None
    return found if all(number.is_finite() for number in found) else None


def _refuse_same(leaf: str, values: Sequence[str]) -> None:
    seen = set()
    for value in values:
        numbers = _numbers(value)
        same = value if numbers is None else str(numbers[0].normalize())
        if same in seen:
            raise UsageError(f"--grid {leaf}: {value} twice; do the ranges overlap?")
        seen.add(same)
