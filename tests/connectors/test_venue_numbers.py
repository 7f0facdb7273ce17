"""A message about a number names the venue that said it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from src.connectors.alpaca import numbers as alpaca
from src.connectors.kraken import numbers as kraken
from src.core.errors import Malformed

READERS: dict[str, Any] = {"alpaca": alpaca, "kraken": kraken}
WRONG: dict[str, Callable[[Any], object]] = {
    "cash is 'much', no number": lambda reader: reader.decimal("much", "cash"),
    "limit is -1, no price": lambda reader: reader.price_of("-1", "limit"),
    r"an answer that is no JSON \(HTML, not JSON\)": lambda reader: reader.load(b" <html>"),
    r"an answer that is no JSON \(NaN is no number\)": lambda reader: reader.load(b'{"cash": NaN}'),
}


@pytest.mark.parametrize("venue", READERS)
@pytest.mark.parametrize("said", WRONG)
def test_whose_number_it_was(venue: str, said: str) -> None:
    with pytest.raises(Malformed, match=f"^{venue}: {said}$"):
        WRONG[said](READERS[venue])
