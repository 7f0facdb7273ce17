"""The command line in this process, as the tests of the commands have it; and what Streamlit leaves is put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.commands.conftest import say

__all__ = ["say"]


@pytest.fixture(autouse=True, scope="module")
def same_main() -> Iterator[None]:
    """AppTest puts its page in the place of the program's main module: processes started later would run the page."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
