"""The wire form of messages: JSON, so that a tap can be read; what is malformed, too large or not finite is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isfinite
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from .errors import BusError
from .messages import (
    AnyMessage,
    BaselineIdea,
    MarketData,
    Message,
    MycelialIdea,
    SynthesizedTrade,
    channel_of,
)

MAX_MESSAGE_BYTES = 65_536
"""A limit of the protocol, not a setting: both ends of a channel must agree on it."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wire form: who published (`producer`, `epoch` of its life), the gap-free number, the message."""

    producer: str
    epoch: int
    seq: int
    body: AnyMessage


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The wire form; BusError when a number is not finite or the message is too large."""
    _refuse_not_finite(envelope.body)
    try:
        raw = _encoder.encode(envelope)
    except (TypeError, ValueError, msgspec.EncodeError) as error:
        raise BusError(f"{type(envelope.body).__name__} cannot be encoded: {error}") from error
    if len(raw) > MAX_MESSAGE_BYTES:
        raise BusError(f"message of {len(raw)} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
    return raw


def decode(raw: bytes, channel_name: str) -> Envelope:
    """The envelope behind `raw`; BusError when it is malformed, too large or does not belong on the channel."""
    if len(raw) > MAX_MESSAGE_BYTES:
        raise BusError(f"message of {len(raw)} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
    try:
        envelope = _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BusError(f"malformed message: {error}") from error
    validate(envelope.body, channel_name)
    return envelope


def validate(message: Message, channel_name: str) -> None:
    """Refuse what is not the channel's struct or carries a number that is not finite; BusError."""
    expected = channel_of(channel_name).struct
    if type(message) is not expected:
        raise BusError(f"{type(message).__name__} does not belong on {channel_name}")
    _refuse_not_finite(message)


def _refuse_not_finite(message: Message) -> None:
    try:
        if not finiteness(type(message))(message):
            _search_not_finite(message)
    except (TypeError, AttributeError, OverflowError) as error:
        raise BusError(f"{type(message).__name__} has a field of the wrong type: {error}") from error


def _search_not_finite(message: msgspec.Struct) -> None:
    for name in message.__struct_fields__:
        value = getattr(message, name)
        numbers = value.values() if isinstance(value, dict) else (value,)
        if not all(isfinite(number) for number in numbers if isinstance(number, float)):
            raise BusError(f"{type(message).__name__}.{name} is not finite: {value!r}")
        for item in value if isinstance(value, tuple) else ():
            if isinstance(item, msgspec.Struct):
                _search_not_finite(item)


@cache
def finiteness(struct: type[Message]) -> Callable[[Any], bool]:
    """A quick test whether all floats of a message are finite; True is certain, after False `validate` tells.

    A sum of finite numbers may overflow, which is a false alarm; no number that is not finite escapes it. The test
    raises TypeError, AttributeError or OverflowError where a field is of the wrong type.
    """
    if struct in _OFTEN:
        return _OFTEN[struct]
    sums = _sums(struct)
    if not sums:
        return lambda message: True
    if len(sums) == 1:
        (only,) = sums
        return lambda message: isfinite(only(message))
    first, second = sums
    return lambda message: isfinite(first(message) + second(message))


_OFTEN: dict[type[Message], Callable[[Any], bool]] = {
    MarketData: lambda one: isfinite(sum(one.features.values(), one.close + one.high + one.low)),
    BaselineIdea: lambda one: isfinite(sum([vote.confidence for vote in one.votes], one.price)),
    MycelialIdea: lambda one: isfinite(
        one.price + one.score + one.edge + one.interestingness + one.simulated_pnl + one.total_pnl + one.win_rate
    ),
    SynthesizedTrade: lambda one: isfinite(one.price + one.baseline_confidence + one.mycelial_score + one.edge),
}
"""The tests of nearly all messages, written out because they cost less so; a test compares them with `_sums`."""


def _sums(struct: type[Message]) -> list[Callable[[Any], float]]:
    """Readers whose results together contain every float of a message; at most two, which is what messages have."""
    sums: list[Callable[[Any], float]] = []
    floats = _float_fields(struct)
    if len(floats) == 1:
        sums.append(_reader(floats[0]))
    elif floats:
        read = attrgetter(*floats)
        sums.append(lambda message: sum(read(message)))
    for name, hint in get_type_hints(struct).items():
        inner = get_args(hint)
        if hint == dict[str, float]:
            sums.append(_sum_of_table(attrgetter(name)))
        elif get_origin(hint) is tuple and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
            sums += [_sum_of_rows(attrgetter(name), _reader(field)) for field in _float_fields(inner[0])]
    return sums


def _float_fields(struct: type[msgspec.Struct]) -> list[str]:
    return [name for name, hint in get_type_hints(struct).items() if hint is float]


def _reader(field: str) -> Callable[[Any], float]:
    return attrgetter(field)


def _sum_of_table(table: Callable[[Any], dict[str, float]]) -> Callable[[Any], float]:
    return lambda message: sum(table(message).values())


def _sum_of_rows(rows: Callable[[Any], tuple[Any, ...]], number: Callable[[Any], float]) -> Callable[[Any], float]:
    return lambda message: sum(map(number, rows(message)))
