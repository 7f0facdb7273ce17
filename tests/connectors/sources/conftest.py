from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.sources.served import Served


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server on loopback; no proxy of this machine comes between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Served()
    yield server
    server.close()
