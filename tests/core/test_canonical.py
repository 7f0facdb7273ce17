"""The one encoder: bytes that are promised, and what it refuses."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from src.core import canonical, words
from src.core.errors import DataError
from src.core.types import Command, CommandKind, Decision, Fill, OrderId, Pair, Side


def test_bytes_are_sorted_compact_utf8() -> None:
    value = {"b": [1, 2.5, None, True], "a": {"z": "Zürich", "y": Decimal("1.50")}, "ab": 1e16}
    assert canonical.encode(value) == '{"a":{"y":"1.50","z":"Zürich"},"ab":1e16,"b":[1,2.5,null,true]}'.encode()


def test_struct_fields_are_sorted_and_money_is_a_string() -> None:
    fill = Fill(
        "f1", OrderId("o1"), Pair("BTC/USDT"), Side.BUY, *map(Decimal, ("0.10", "100.5", "0.01", "0")), 5, "entry"
    )
    assert canonical.encode(fill) == (
        b'{"amount":"0.10","at":5,"fee":"0.01","final":true,"id":"f1","order_id":"o1","pair":"BTC/USDT",'
        b'"price":"100.5","reason":"entry","side":"buy","simulated":true,"slippage":"0"}'
    )


def test_digest_is_the_hash_of_the_bytes() -> None:
    value = {"x": [0.1, -0.0]}
    assert canonical.digest(value) == hashlib.sha256(b'{"x":[0.1,-0.0]}').hexdigest()


@pytest.mark.parametrize("number", [0.1, 6.6e-05, 1e16, 5e-324, 1.7976931348623157e308, -0.0, 2 / 3])
def test_floats_come_back_exactly(number: float) -> None:
    back = float(canonical.encode(number))
    assert back.hex() == number.hex()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), r"\$: nan"),
        ({"a": [1.0, float("inf")]}, r"\$\.a\[1\]: inf"),
        ({"a": {"b": float("-inf")}}, r"\$\.a\.b: -inf"),
        ({"m": Decimal("NaN")}, r"\$\.m: NaN"),
        ({"m": (Decimal("Infinity"),)}, r"\$\.m\[0\]: Infinity"),
        (Decision(at=1, kind="idea", detail={"score": float("nan")}), r"\$\.detail\.score: nan"),
    ],
)
def test_refuses_what_is_not_finite_and_names_the_place(value: object, place: str) -> None:
    with pytest.raises(DataError, match=place):
        canonical.encode(value)


@pytest.mark.parametrize("value", [object(), {1: 2}, "\ud800", {"f": len}])
def test_refuses_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(DataError, match="no canonical JSON"):
        canonical.encode(value)


def test_words_that_look_like_nan_are_fine() -> None:
    value = Command(CommandKind.HALT, "null and NaN and Infinity", "cli")
    assert b"null and NaN and Infinity" in canonical.encode(value)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_same_bytes_in_another_process(seed: str) -> None:
    code = (
        "from src.core import canonical;"
        "print(canonical.digest({'set': {'b', 'a', 'c'}, **{k: i for i, k in enumerate('zyx')}}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == canonical.digest({"x": 2, "y": 1, "z": 0, "set": ["a", "b", "c"]})


def test_lines_are_what_each_value_alone_is() -> None:
    values = [{"b": "two\nlines", "a": None}, Decision(at=1, kind="idea", reason="null"), {"n": [0.1, Decimal("1.50")]}]
    assert canonical.encode_lines(values) == [canonical.encode(value) for value in values]
    assert canonical.encode_lines([]) == []


@pytest.mark.parametrize("number", [float("nan"), -float("nan"), float("inf"), float("-inf"), Decimal("NaN")])
def test_nulls_that_do_not_apply_hide_no_number_that_is_not_finite(number: float) -> None:
    with pytest.raises(DataError, match=r"not a finite number at \$\.b\[0\]"):
        canonical.encode({"a": None, "b": [number]})
    with pytest.raises(DataError, match=r"not a finite number at \$\.b:"):
        canonical.encode_lines([{"a": None}, {"b": number}])


class Shown(msgspec.Struct):
    """Writes down what it does not know."""

    name: str
    number: float
    until: int | None = None
    score: float | None = None


class Short(Shown, omit_defaults=True):
    """Leaves out what it does not know."""


@pytest.mark.parametrize("kind", [Shown, Short])
@pytest.mark.parametrize(("until", "score"), [(None, None), (3, None), (3, 0.5)])
def test_fields_that_do_not_apply_hide_no_number_that_is_not_finite(
    kind: type[Shown], until: int | None, score: float | None
) -> None:
    assert (
        canonical.encode(kind("null", 1.0, until, score))
        == canonical.encode_lines([kind("null", 1.0, until, score)])[0]
    )
    with pytest.raises(DataError, match=r"not a finite number at \$\.number"):
        canonical.encode(kind("a", math.nan, until, score))
    with pytest.raises(DataError, match=r"not a finite number at \$\.score"):
        canonical.encode(kind("a", 1.0, until, math.inf))


def test_the_largest_numbers_stand_beside_nulls() -> None:
    assert (
        canonical.encode([2**70, 1.7976931348623157e308, None])
        == b"[1180591620717411303424,1.7976931348623157e308,null]"
    )


def test_a_line_without_canonical_form_is_refused() -> None:
    with pytest.raises(DataError, match="no canonical JSON"):
        canonical.encode_lines([{"a": 1}, {"b": object()}])


@pytest.mark.parametrize(
    "word", ["null", "NaN", "Inf", "-Infinity", "a null", "NaNnull", "nul", "na", "In", "", "Nan", "nulnull"]
)
@pytest.mark.parametrize("before", ["", "a", "nul", "N" * 70])
def test_the_compiled_look_finds_the_words_that_are_looked_for_one_by_one(word: str, before: str) -> None:
    text = canonical.encode([before, word, before])
    assert words.is_clean(text) is not any(found in text for found in (b"null", b"NaN", b"Inf"))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity")])
def test_a_text_of_one_number_that_is_not_finite_is_not_clean(number: float) -> None:
    for values in ([number], [1.0, number], [{"a": None, "b": number}]):
        with pytest.raises(DataError, match="not a finite number"):
            canonical.encode_lines(values, words.is_clean)
        with pytest.raises(DataError, match="not a finite number"):
            canonical.encode(values[-1], words.is_clean)
