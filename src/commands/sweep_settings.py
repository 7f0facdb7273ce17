"""The settings of each trial: thousands of them, so the files are read once for every value and not for every trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.config import Settings
from ..core.errors import ConfigError, UsageError
from . import common
from .options import RunOptions
from .sweep_space import Point, steps_of, words_of

Way = Sequence[str | int]
"""Names of sections and fields, and places in lists, from a settings tree to a value in it."""


class TrialSettings:
    """Settings in force with those of a point in their place, as `--set` would put them there."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self.base = self._loaded(())
        self._values: dict[tuple[str, str], Any] = {}

    def at(self, point: Point) -> Settings:
        """The settings of a trial; ConfigError names the setting that does not fit."""
        try:
            changed = self.base
            for leaf, text in point:
                changed = _with(changed, _way(leaf), self._value(leaf, text))
            return Settings.model_validate(changed.model_dump())
        except (ConfigError, ValidationError):  # one that fits only together with others, or a mistake to be named
            return self._loaded(point)

    def sets_of(self, point: Point) -> tuple[str, ...]:
        """The point as words of `--set`; a list of which elements are set is given whole."""
        whole: dict[str, Any] = {}
        for leaf, text in point:
            name, steps = steps_of(leaf)
            if steps:
                before = whole[name] if name in whole else _plain(_at(self.base, name.split("."), leaf))
                whole[name] = _put(before, steps, _read(text), leaf)
            else:
                whole[name] = text
        return tuple(
            f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in whole.items()
        )

    def _value(self, leaf: str, text: str) -> Any:
        if (leaf, text) not in self._values:
            self._values[leaf, text] = _at(self._loaded(((leaf, text),)), _way(leaf), leaf)
        return self._values[leaf, text]

    def _loaded(self, point: Point) -> Settings:
        options, sets = self._options, self.sets_of(point) if point else ()
        try:
            return common.settings(options.config, options.env, (*options.sets, *sets)).settings
        except ConfigError as error:
            if not point:
                raise
            raise ConfigError(_as_given(str(error), sets, words_of(point))) from None


def _as_given(message: str, sets: Sequence[str], words: Sequence[str]) -> str:
    """What is wrong, said of what the user wrote."""
    if len(sets) == len(words):
        for mine, given in zip(sets, words, strict=True):
            message = message.replace(f"--set {mine}", f"--grid {given}")
    return message.replace("--set ", "--grid ")


def _way(leaf: str) -> Way:
    name, steps = steps_of(leaf)
    return (*name.split("."), *steps)


def _at(tree: Any, way: Way, leaf: str) -> Any:
    """The value at `way`; UsageError where a list is shorter."""
    for step in way:
        tree = _item(tree, step, leaf) if isinstance(step, int) else getattr(tree, step)
    return tree


def _with(tree: Any, way: Way, value: Any) -> Any:
    """A copy with another value at `way`."""
    if not way:
        return value
    step, *rest = way
    if isinstance(step, int):
        return (*tree[:step], _with(tree[step], rest, value), *tree[step + 1 :])
    return tree.model_copy(update={step: _with(getattr(tree, step), rest, value)})


def _plain(value: Any) -> Any:
    """As YAML writes it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _put(tree: Any, way: Way, value: Any, leaf: str) -> Any:
    """A plain tree with another value at `way`."""
    if not way:
        return value
    step, *rest = way
    inner = _put(_plain(_item(tree, step, leaf)), rest, value, leaf)
    return {**tree, step: inner} if isinstance(tree, dict) else [*tree[:step], inner, *tree[int(step) + 1 :]]


def _item(tree: Any, step: str | int, leaf: str) -> Any:
    """An element of a list, or a value of a mapping; UsageError where a list is shorter."""
    try:
        return tree[step]
    except IndexError:
        raise UsageError(f"--grid {leaf}: there is no element [{step}], only {len(tree)}, counted from 0") from None


def _read(text: str) -> Any:
    """An element's value: a number, a list or true, or else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
