"""Who is who where real money moves: an account at Kraken behind the one order path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from .connectors.kraken.account import Statuses, TradedAccount
from .connectors.kraken.build import traded_account
from .connectors.kraken.streams import Ports
from .connectors.sqlite_ledger import LedgerReader
from .core.config import Settings
from .core.ports import Clock, Ledger
from .core.types import Order
from .services.gate import RiskGate
from .services.limits import Watch
from .services.supervisor.coordinator import Coordinator
from .services.supervisor.live import LiveBroker, Phase
from .services.supervisor.order_records import Booked, record_of


class LiveParts(msgspec.Struct, frozen=True):
    """What is built before the house: the account, not open yet, and the ledger's word on its executions."""

    account: TradedAccount
    path: Path
    clock: Clock


def account_of(
    settings: Settings, folder: Path, ledger: Path, clock: Clock, ports: Ports, statuses: Statuses
) -> LiveParts:
    """The account behind `kraken.key_file`; ConfigError where the file cannot be used."""
    booked = [record_of(row.body) for row in LedgerReader(ledger, settings.ledger).rows("execution")]
    known = [one.execution for one in booked if isinstance(one, Booked)]
    known.sort(key=lambda one: (one.at, one.execution_id))
    ids = [one.execution_id for one in known][-settings.kraken.streams.executions_kept :]
    since = known[-1].at if known else clock.now_ms()
    return LiveParts(
        traded_account(settings.kraken, folder, clock, ports, statuses, since, ids), ledger, clock
    )  # fmt: skip


def live_broker(
    settings: Settings,
    parts: LiveParts,
    ledger: Ledger,
    name: UUID,
    gate: RiskGate,
    watch: Watch,
    say: Callable[[str], None],
    changed: Callable[[Phase], None],
) -> LiveBroker:
    """Coordinator and driver over the account, with everything that the ledger remembers of its orders."""

    def may_send(order: Order) -> str:
        return broker.guard(order)

    coordinator = Coordinator(
        settings.execution, may_send, name, gate.reduce, simulated=False, tick=parts.account.tick
    )  # fmt: skip
    coordinator.recall(LedgerReader(parts.path, settings.ledger).rows())
    broker = LiveBroker(coordinator, parts.account, ledger, watch.standing, parts.clock.now_ms, say, changed)
    watch.unknown_orders = lambda: len(coordinator.unknown_orders())
    return broker
