"""Ids of orders are those of RFC 9562, made without the object that the standard library wraps around them."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from src.services.supervisor.plan import _uuid5


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_id_is_that_of_the_standard_library(name: str) -> None:
    assert _uuid5(NAMESPACE_OID.bytes, name) == str(uuid5(NAMESPACE_OID, name))
