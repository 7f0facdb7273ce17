"""Live trading from its start to its end, for the settings that nothing else reads."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from src.commands.at_exchange import on_exchange
from src.commands.feeds import Source
from src.connectors.state_folder import StateFolder
from tests.kraken.local import LocalKraken
from tests.kraken.session import Session, towards
from tests.settings.watched import Watch


def living(watch: Watch, folder: Path) -> None:
    """An account that opens, is ready, and is left again."""
    with LocalKraken() as exchange:
        session = Session(exchange, folder, watch.over(towards(exchange, folder)))
        with session.stack:
            session.ready()
        with ExitStack() as stack, StateFolder.open(folder / "state", "live") as state:
            source = Source(session.feed, "kraken", 0, exchange=session.feed)
            on_exchange(session.settings, source, state, session.ledger, 7, None, stack, "")
