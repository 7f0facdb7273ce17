"""The tables of a ledger as they are now; how older files get there is told by `migrations/versions`."""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA = 1
"""Number of the newest migration. A file with a higher one was written by a newer version."""

METADATA = sa.MetaData()


def _text(name: str, *, nullable: bool = True, primary_key: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable and not primary_key, primary_key=primary_key, unique=unique)


def _integer(name: str, *, nullable: bool = True, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable and not primary_key, primary_key=primary_key)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float())


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


META = sa.Table("meta", METADATA, _text("name", primary_key=True), _text("value", nullable=False))

HEAD = sa.Table(
    "head",
    METADATA,
    _integer("id", primary_key=True),
    _integer("seq", nullable=False),
    _blob("hash"),
)

JOURNAL = sa.Table(
    "journal",
    METADATA,
    _integer("seq", primary_key=True),
    _integer("at", nullable=False),
    _text("kind", nullable=False),
    _text("key", nullable=False, unique=True),
    _text("body", nullable=False),
    _blob("prev"),
    _blob("hash"),
)

ORDERS = sa.Table(
    "orders",
    METADATA,
    _text("id", primary_key=True),
    *(_text(name) for name in ("pair", "side", "amount", "kind")),
    _integer("at"),
    *(_text(name) for name in ("reference", "reason", "stop", "state")),
    _integer("seq", nullable=False),
    sa.Index("orders_pair_at", "pair", "at"),
)

FILLS = sa.Table(
    "fills",
    METADATA,
    _text("id", primary_key=True),
    *(_text(name, nullable=False) for name in ("order_id", "pair", "side", "amount", "price", "fee", "slippage")),
    _integer("at", nullable=False),
    _text("reason", nullable=False),
    _text("stream", nullable=False),
    _integer("seq", nullable=False),
    sa.Index("fills_order", "order_id"),
    sa.Index("fills_pair_at", "pair", "at"),
)

TRADES = sa.Table(
    "trades",
    METADATA,
    _text("trade_id", primary_key=True),
    *(_text(name, nullable=False) for name in ("stream", "pair")),
    *(_text(name) for name in ("strategy_type", "agent_id", "pattern_id")),
    *(_integer(name, nullable=False) for name in ("entry_timestamp", "exit_timestamp")),
    _real("hold_duration_seconds"),
    *(
        _text(name, nullable=False)
        for name in ("entry_price", "exit_price", "price_change_pct", "pnl_pct", "pnl_absolute", "trade_result")
    ),
    *(_real(f"{name}_at_entry") for name in ("rsi", "macd", "bb_position", "volume", "atr")),
    _text("signal_source"),
    _real("prediction_score"),
    _real("cross_moat_score"),
    _integer("collision_detected"),
    *(_text(name, nullable=False) for name in ("position_size", "fees_paid", "slippage_pct")),
    _text("exit_reason"),
    _integer("seq", nullable=False),
    _integer("created_at", nullable=False),
    sa.Index("trades_pair", "pair"),
    sa.Index("trades_stream_exit", "stream", "exit_timestamp"),
    sa.Index("trades_agent", "agent_id"),
    sa.Index("trades_strategy", "strategy_type"),
    sa.Index("trades_entry", "entry_timestamp"),
)

PATTERNS = sa.Table(
    "patterns",
    METADATA,
    _text("id", primary_key=True),
    _text("agent_id", nullable=False),
    _integer("timestamp", nullable=False),
    _real("pattern_value"),
    _text("raw_features", nullable=False),
    _real("age_minutes"),
    _real("decay_factor"),
    *(_text(name) for name in ("moat", "product", "signal_type")),
    _integer("seq", nullable=False),
    _integer("created_at", nullable=False),
    sa.Index("patterns_agent", "agent_id"),
    sa.Index("patterns_timestamp", "timestamp"),
)

COMMANDS = sa.Table(
    "commands",
    METADATA,
    _integer("seq", primary_key=True),
    _integer("at", nullable=False),
    *(_text(name, nullable=False) for name in ("kind", "reason", "source")),
    *(_text(name) for name in ("pair", "side", "amount")),
)

DEAD_LETTERS = sa.Table(
    "dead_letters",
    METADATA,
    _integer("seq", primary_key=True),
    _integer("at", nullable=False),
    *(_text(name, nullable=False) for name in ("kind", "key", "reason", "sha256")),
    _integer("size", nullable=False),
    _text("excerpt", nullable=False),
)

CHECKPOINTS = sa.Table(
    "checkpoints",
    METADATA,
    _text("name", primary_key=True),
    _integer("number", nullable=False),
    _integer("at", nullable=False),
    _text("sha256", nullable=False),
    _blob("state"),
)
