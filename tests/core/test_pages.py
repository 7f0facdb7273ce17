"""What was passed of a table is given back to the system, and nobody who kept a row of it sees a difference."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from src.backtesting.footprint import rss_mb
from src.core.pages import Pages

from .walks import batch, rows, same, walk

LONG = 2_600  # more than two rounds of giving back


def test_given_back_rows_are_zeros_and_the_rest_stands() -> None:
    pages = Pages()
    tables = [pages.array(4_000, 3), pages.array(4_000)]
    for table in tables:
        table[...] = np.arange(table.size).reshape(table.shape)
    pages.give_back(2_000)
    for table in tables:
        row = table[0].nbytes
        gone = 2_000 * row // mmap.PAGESIZE * mmap.PAGESIZE // row
        assert not table[:gone].any()
        assert np.array_equal(table[2_000:].ravel(), np.arange(table[:2_000].size, table.size))


def test_nothing_is_given_back_of_a_table_that_was_not_begun_or_has_no_row() -> None:
    pages = Pages()
    empty, table = pages.array(0, 3), pages.array(10, 2)
    table[...] = 1.0
    pages.give_back(0)
    pages.give_back(10)  # less than a page
    assert empty.shape == (0, 3)
    assert table.all()


def test_the_system_has_the_memory_again() -> None:
    if rss_mb() is None:
        pytest.skip("the system does not tell the resident memory")
    pages = Pages()
    table = pages.array(64, 131_072)  # 64 MiB, a row a MiB
    table[...] = 1.0
    full = rss_mb()
    pages.give_back(48)
    after = rss_mb()
    assert full is not None
    assert after is not None
    assert 40 < full - after < 56


def test_a_long_batch_gives_back_and_kept_rows_stay_what_they_were() -> None:
    bars = walk(np.random.default_rng(9), LONG)
    source = batch(bars)
    whole = rows(source, bars)
    assert source._passed > LONG // 2, "nothing was given back: the test proves nothing"
    for first in (0, 1_000, 2_000):
        part = bars.rows(first, first + 200)
        assert same(rows(batch(bars), part), type(whole)(*[column[first : first + 200] for column in whole]))


def test_a_batch_that_is_set_back_behind_what_it_gave_back_computes_it_again() -> None:
    bars = walk(np.random.default_rng(9), LONG)
    first, second = batch(bars), batch(bars)
    rows(first, bars.rows(0, 50))
    state = first.state()
    rows(first, bars.rows(50, LONG))
    rows(second, bars.rows(0, 50))
    assert same(first.restore(state), second.restore(state))
    assert same(rows(first, bars.rows(50, 90)), rows(second, bars.rows(50, 90)))
