"""One encoder for everything that is hashed, so that equal content has equal bytes in every file and ledger.

Canonical JSON: keys sorted, no spaces, UTF-8, Decimal as strings, floats in shortest round-trip form. Times are
rendered by the caller (integer milliseconds, or `clock.iso`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from .errors import DataError

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")
_packer = msgspec.msgpack.Encoder(decimal_format="string")
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]", re.DOTALL)
"""A float of 64 bits in MessagePack whose exponent has all bits set: NaN or infinite (IEEE 754, 3.4)."""
_N, _I = b"NI"
"""Bytes: to look for a single one is many times quicker than for a word, and most texts have neither."""


Clean = Callable[[bytes], bool]
"""Whether a text surely has no `null`, `NaN` and `Inf`; see `words`. Who has none looks for each of them."""


def encode(value: Any, clean: Clean | None = None) -> bytes:
    """Canonical JSON of structs, mappings with string keys, sequences, strings, numbers, Decimal, None.

    DataError names the place of a number that is not finite or of a value that has no canonical form.

    >>> encode({"b": 1.0, "a": Decimal("1.50")})
    b'{"a":"1.50","b":1.0}'
    """
    try:
        raw = _encoder.encode(value)
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise DataError(f"no canonical JSON for this value: {error}") from error
    if not (clean is not None and clean(raw)) and _is_suspect(raw, value):
        _refuse_not_finite(value)
    return raw


def encode_lines(values: Sequence[Any], clean: Clean | None = None) -> list[bytes]:
    r"""`encode` of each value, in one call: most of what one costs is the call.

    >>> encode_lines([{"b": "\n"}, {"a": 1}])
    [b'{"b":"\\n"}', b'{"a":1}']
    """
    try:
        raw = _encoder.encode_lines(values)
    except (TypeError, UnicodeEncodeError, RecursionError):
        return [encode(value) for value in values]  # names the one that has no canonical form
    if not (clean is not None and clean(raw)) and _is_suspect(raw, values):
        return [encode(value) for value in values]
    return raw.split(b"\n")[:-1]  # JSON has no line ends inside a line


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(encode(value)).hexdigest()


def _is_suspect(raw: bytes, value: Any) -> bool:
    """Whether there may be a number that is not finite: NaN and inf become `null`, Decimal("NaN") or Infinity a string.

    Most nulls are things that do not apply; MessagePack keeps them apart, and is as quick as JSON.
    """
    if (_N in raw and raw.find(b"NaN") >= 0) or (_I in raw and raw.find(b"Inf") >= 0):
        return True
    nulls = raw.count(b"null")
    if not nulls or nulls == _absent(value):
        return False
    try:
        return _NOT_FINITE.search(_packer.encode(value)) is not None
    except OverflowError:  # JSON has integers of any size
        return True


def _absent(value: Any) -> int:
    """How many fields of a struct do not apply and are written down as `null`; nobody looks inside of its fields."""
    return sum([getattr(value, name) is None for name in _optional(value.__class__)])


@cache
def _optional(kind: type) -> tuple[str, ...]:
    """The fields of a kind of structs that are None unless somebody says otherwise, and are always written down."""
    if not issubclass(kind, msgspec.Struct) or kind.__struct_config__.omit_defaults:
        return ()
    defaults = kind.__struct_defaults__
    names = kind.__struct_fields__[len(kind.__struct_fields__) - len(defaults) :]
    return tuple(name for name, default in zip(names, defaults, strict=True) if default is None)


def _refuse_not_finite(value: Any) -> None:
    for place, number in _numbers(value, "$"):
        if not (number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)):
            raise DataError(f"not a finite number at {place}: {number}; leave out what is not known")


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float | Decimal]]:
    if isinstance(value, float | Decimal):
        yield place, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{place}[{index}]")
