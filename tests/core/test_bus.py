"""LocalBus keeps the contract of all buses, with and without taking every message through its wire form."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.core.envelopes import finiteness
from src.core.errors import BusError
from src.core.messages import CHANNELS, Barrier
from src.core.signing import sign, verify_signature
from src.core.types import Side, Vote
from tests.checks import bus_checks
from tests.checks.bus_checks import IDEAS, MARKET, NOW, SECRET, Rig, baseline, halt, idea, market, run_traffic, settings


@pytest.fixture(params=[False, True], ids=["by reference", "through the wire form"])
def make(request: pytest.FixtureRequest) -> bus_checks.Make:
    def build(**changes: Any) -> Rig:
        clock = SimClock(NOW)
        bus = LocalBus(clock, settings(**changes), validate=request.param)
        return Rig(bus, clock, bus.receive)

    return build


@pytest.mark.parametrize("check", bus_checks.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Any, make: bus_checks.Make) -> None:
    check(make)


def test_both_forms_deliver_the_same() -> None:
    runs = []
    for validate in (False, True):
        clock = SimClock(NOW)
        runs.append(run_traffic(LocalBus(clock, settings(), validate=validate), clock, seed=7, slices=200))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 1000


def test_what_cannot_be_encoded_is_refused_in_the_wire_form() -> None:
    bus = LocalBus(SimClock(NOW), settings(), validate=True)
    for channel, message in (
        (MARKET, market(pair=object())),
        (MARKET, market(pair=5)),
        (IDEAS, idea(side="sideways")),
        (MARKET, market(source="x" * 70_000)),
        (MARKET, market(source="\ud800")),
    ):
        with pytest.raises(BusError):
            bus.publish(channel, message)
    assert bus.counts() == {}


def test_the_written_out_tests_for_finite_numbers_see_every_number() -> None:
    rows = {"features": {"rsi": math.inf}, "votes": (Vote("a", Side.BUY, math.nan),)}
    for message in (market(), idea(), baseline()):
        test, fields = finiteness(type(message)), message.__struct_fields__
        assert test(message)
        spoilt = {name: math.nan for name in fields if isinstance(getattr(message, name), float)}
        spoilt |= {name: row for name, row in rows.items() if name in fields}
        for name, value in spoilt.items():
            assert not test(msgspec.structs.replace(message, **{name: value})), name


def test_every_struct_of_the_table_has_a_test_for_finite_numbers() -> None:
    for channel in CHANNELS:
        if channel.struct is not Barrier:
            assert callable(finiteness(channel.struct))


def test_signature_covers_every_field() -> None:
    signed = sign(halt(), SECRET)
    # `openssl dgst -sha256 -hmac SECRET` over the same JSON gives it too.
    assert signed.signature == "15d58943a71a1625d76434cb0348f7ce146493905ba020d307fa2b0e969e1b83"
    assert verify_signature(signed, SECRET)
    for change in ({"reason": "x"}, {"at": NOW - 1}, {"known_at": NOW - 1}):
        assert not verify_signature(halt(signature=signed.signature, **change), SECRET)
    assert not verify_signature(signed, None)
    assert not verify_signature(signed, "")


def test_deliveries_are_cheap() -> None:
    bus = LocalBus(SimClock(NOW), settings(max_messages_per_owner=10_000))
    for number in range(100):
        bus.subscribe("market-data:*", lambda message: None, f"owner {number}")
    messages = [market(float(number)) for number in range(100)]
    best = min(_seconds(bus, messages) for _ in range(20))
    # Fifteen times slower than measured, so that a busy machine does not fail it; per-handler checks would.
    assert 100 * 100 / best > 2_500_000


def _seconds(bus: LocalBus, messages: list[Any]) -> float:
    timer = Timer()
    start = timer.seconds()
    for message in messages:
        bus.publish(MARKET, message)
    bus.settle()
    return timer.seconds() - start
