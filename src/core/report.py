"""What the spine says of a slice that it walked: everything outside lives on this."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .types import Decision, Fill, Order, Snapshot, Trade


class Report(msgspec.Struct, frozen=True):
    """Everything one slice led to; ledger, screens, metrics and files live on Reports.

    `written`: the decisions as `records.decision_lines`.
    """

    at: int
    slices: int
    bars: int
    decisions: tuple[Decision, ...]
    written: tuple[bytes, ...]
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    trades: tuple[Trade, ...]
    equity: Decimal
    cash: Decimal
    halted: str
    bus_up: bool
    stopping: bool
    simulated: bool
    snapshot: Snapshot
