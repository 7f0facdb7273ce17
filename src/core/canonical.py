"""One encoder for everything that is hashed, so that equal content has equal bytes in every file and ledger.

Canonical JSON: keys sorted, no spaces, UTF-8, Decimal as strings, floats in shortest round-trip form. Times are
rendered by the caller (integer milliseconds, or `clock.iso`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from .errors import DataError

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")


def encode(value: Any) -> bytes:
    """Canonical JSON of structs, mappings with string keys, sequences, strings, numbers, Decimal, None.

    DataError names the place of a number that is not finite or of a value that has no canonical form.

    >>> encode({"b": 1.0, "a": Decimal("1.50")})
    b'{"a":"1.50","b":1.0}'
    """
    try:
        raw = _encoder.encode(value)
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise DataError(f"no canonical JSON for this value: {error}") from error
    # What a number that is not finite is written as: NaN and inf become `null`, Decimal("NaN") or Infinity a string.
    if b"null" in raw or b"NaN" in raw or b"Inf" in raw:
        _refuse_not_finite(value)
    return raw


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(encode(value)).hexdigest()


def _refuse_not_finite(value: Any) -> None:
    text = repr(value)  # quick, and most nulls are things that do not apply
    if "nan" not in text and "inf" not in text and "NaN" not in text and "Inf" not in text:
        return
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
