"""The settings of each trial: thousands of them, so the files are read once for every value and not for every trial."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.config import Settings
from ..core.errors import ConfigError
from . import common
from .options import RunOptions
from .sweep_space import Point, sets_of


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
                changed = _with(changed, leaf.split("."), self._value(leaf, text))
            return Settings.model_validate(changed.model_dump())
        except (ConfigError, ValidationError):  # one that fits only together with others, or a mistake to be named
            return self._loaded(point)

    def _value(self, leaf: str, text: str) -> Any:
        if (leaf, text) not in self._values:
            value: Any = self._loaded(((leaf, text),))
            for step in leaf.split("."):
                value = getattr(value, step)
            self._values[leaf, text] = value
        return self._values[leaf, text]

    def _loaded(self, point: Point) -> Settings:
        options = self._options
        try:
            return common.settings(options.config, options.env, (*options.sets, *sets_of(point))).settings
        except ConfigError as error:
            if not point:
                raise
            raise ConfigError(str(error).replace("--set ", "--grid ")) from None


def _with[S: BaseModel](section: S, path: list[str], value: Any) -> S:
    """A copy with another value at `path`."""
    name, *rest = path
    return section.model_copy(update={name: _with(getattr(section, name), rest, value) if rest else value})
