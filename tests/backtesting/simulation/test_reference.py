"""The simulation over the smallest path that keeps the rules: it passes, unless a rule is broken in it."""

from __future__ import annotations

import msgspec
import pytest

from src.backtesting.simulation.campaign import Play, campaign, first_found
from src.backtesting.simulation.planted import PLANTED
from src.backtesting.simulation.process import Seams

from .ground import ground
from .reference import Reference

NO_STOPS = "stop_not_resized"
"""This path places none."""


def test_what_keeps_the_rules_passes() -> None:
    outcome = campaign(range(150), Play(ground(Reference)))
    assert outcome.findings == {}, outcome.remained
    assert outcome.orders > 450
    assert outcome.conflicts == 0


@pytest.mark.parametrize("name", sorted(set(PLANTED) - {NO_STOPS}))
def test_what_breaks_a_rule_does_not(name: str) -> None:
    assert first_found(PLANTED[name], ground(Reference), range(120)) is not None


def test_the_same_seed_plays_the_same_run() -> None:
    play = Play(ground(Reference))
    one, other = play.run(play.schedule(17)), play.run(play.schedule(17))
    assert one == other
    assert play.run(play.schedule(18)).digest != one.digest


class Forgetful(Reference):
    """Does not write executions down, but remembers them."""

    def _write(self, kind: str, key: str, body: object) -> None:
        if kind == "fill":
            assert isinstance(body, msgspec.Struct)
            self._fills.append(body)  # type: ignore[arg-type]
            self._orders[body.order_id].filled += body.amount  # type: ignore[attr-defined]
            return
        super()._write(kind, key, body)


class Hopeful(Reference):
    """Is ready before it asked."""

    ready = True  # type: ignore[assignment]


class Hasty(Reference):
    """Takes a second entry beside the first."""

    def take(self, order, now):  # type: ignore[no-untyped-def]
        kept, self._orders = self._orders, {}
        try:
            return super().take(order, now)
        finally:
            self._orders = {**kept, **self._orders}


@pytest.mark.parametrize(("path", "broken"), [(Forgetful, "I13"), (Hopeful, "I4"), (Hasty, "I16")])
def test_other_faults_of_a_path_break_the_invariant_that_names_them(path: type[Reference], broken: str) -> None:
    def build(seams: Seams) -> Reference:
        return path(seams)

    play = Play(ground(build))
    assert any(broken in play.run(play.schedule(seed)).broken for seed in range(40))
