"""The first schema: a hash-chained journal, its head, checkpoints, and the tables that grow from the journal."""

from __future__ import annotations

from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE head (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL)",
    """CREATE TABLE journal (
        seq INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
        body TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL)""",
    """CREATE TABLE orders (
        id TEXT NOT NULL PRIMARY KEY, pair TEXT, side TEXT, amount TEXT, kind TEXT, at INTEGER, reference TEXT,
        reason TEXT, stop TEXT, state TEXT, seq INTEGER NOT NULL)""",
    "CREATE INDEX orders_pair_at ON orders (pair, at)",
    """CREATE TABLE fills (
        id TEXT NOT NULL PRIMARY KEY, order_id TEXT NOT NULL, pair TEXT NOT NULL, side TEXT NOT NULL,
        amount TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL, slippage TEXT NOT NULL, at INTEGER NOT NULL,
        reason TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL)""",
    "CREATE INDEX fills_order ON fills (order_id)",
    "CREATE INDEX fills_pair_at ON fills (pair, at)",
    """CREATE TABLE trades (
        trade_id TEXT NOT NULL PRIMARY KEY, stream TEXT NOT NULL, pair TEXT NOT NULL, strategy_type TEXT,
        agent_id TEXT, pattern_id TEXT, entry_timestamp INTEGER NOT NULL, exit_timestamp INTEGER NOT NULL,
        hold_duration_seconds FLOAT, entry_price TEXT NOT NULL, exit_price TEXT NOT NULL,
        price_change_pct TEXT NOT NULL, pnl_pct TEXT NOT NULL, pnl_absolute TEXT NOT NULL, trade_result TEXT NOT NULL,
        rsi_at_entry FLOAT, macd_at_entry FLOAT, bb_position_at_entry FLOAT, volume_at_entry FLOAT,
        atr_at_entry FLOAT, signal_source TEXT, prediction_score FLOAT, cross_moat_score FLOAT,
        collision_detected INTEGER, position_size TEXT NOT NULL, fees_paid TEXT NOT NULL, slippage_pct TEXT NOT NULL,
        exit_reason TEXT, seq INTEGER NOT NULL, created_at INTEGER NOT NULL)""",
    "CREATE INDEX trades_pair ON trades (pair)",
    "CREATE INDEX trades_stream_exit ON trades (stream, exit_timestamp)",
    "CREATE INDEX trades_agent ON trades (agent_id)",
    "CREATE INDEX trades_strategy ON trades (strategy_type)",
    "CREATE INDEX trades_entry ON trades (entry_timestamp)",
    """CREATE TABLE patterns (
        id TEXT NOT NULL PRIMARY KEY, agent_id TEXT NOT NULL, timestamp INTEGER NOT NULL, pattern_value FLOAT,
        raw_features TEXT NOT NULL, age_minutes FLOAT, decay_factor FLOAT, moat TEXT, product TEXT, signal_type TEXT,
        seq INTEGER NOT NULL, created_at INTEGER NOT NULL)""",
    "CREATE INDEX patterns_agent ON patterns (agent_id)",
    "CREATE INDEX patterns_timestamp ON patterns (timestamp)",
    """CREATE TABLE commands (
        seq INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
        source TEXT NOT NULL, pair TEXT, side TEXT, amount TEXT)""",
    """CREATE TABLE dead_letters (
        seq INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
        reason TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, excerpt TEXT NOT NULL)""",
    """CREATE TABLE checkpoints (
        name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL, at INTEGER NOT NULL, sha256 TEXT NOT NULL,
        state BLOB NOT NULL)""",
)


def upgrade() -> None:
    """Create everything; journal and meta refuse to be changed afterwards."""
    for statement in _TABLES:
        op.execute(statement)
    for table in ("journal", "meta"):
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
