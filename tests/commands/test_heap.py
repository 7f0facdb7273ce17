"""The collector passes over what was there before a walk, and still finds what the walk leaves behind."""

from __future__ import annotations

import gc
import weakref

import pytest

from src.commands.heap import spared


class Knot:
    """Refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_passed_over_and_what_is_new_is_collected() -> None:
    with spared():
        assert gc.get_freeze_count() > 10_000
        known = {id(one) for one in gc.get_objects()}
        assert id(pytest) not in known
        new = weakref.ref(Knot())
        gc.collect()
        assert new() is None
    assert gc.get_freeze_count() == 0


def test_an_error_gives_everything_back() -> None:
    with pytest.raises(ValueError, match="on the way"), spared():
        raise ValueError("on the way")
    assert gc.get_freeze_count() == 0
