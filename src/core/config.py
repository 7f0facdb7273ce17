"""The frozen tree of settings: every number of the system has a name here and a value in `config/`, none in code.

Unknown keys, wrong types and values out of range are refused. Reading YAML, and saying in which line a value
stood, is the work of `connectors/config_files.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .config_base import Count, Money, MoneyRatio, NotNegative, Positive, Ratio, Section
from .config_evidence import GateSettings, ValidationSettings
from .config_execution import Execution
from .config_limits import LimitSettings
from .config_moats import (
    CalendarSettings,
    Company,
    DailyPricesSettings,
    EdgarSettings,
    FederalRegisterSettings,
    GithubSettings,
    MoatBoardSettings,
    MoatHttp,
    MoatPace,
    MoatPaces,
    MoatPolling,
    Moats,
    MoatStrength,
    NetworkSettings,
    Pace,
    PlantedMoats,
    Repository,
    SimulatedMoats,
)
from .config_monitoring import Monitoring
from .config_policies import Policies
from .config_stress import StressSettings
from .config_swarm import (
    BuilderSettings,
    Consensus,
    Controls,
    Evolution,
    ExplorerMoat,
    ExplorerTeam,
    Haven,
    Horizon,
    Instigators,
    LearnerMoat,
    Learners,
    Lifecycle,
    PatternSettings,
    Prospecting,
    Research,
    Sharing,
)
from .config_venues import KrakenSettings

__all__ = [
    "Account", "Agents", "AnalystTeam", "Analysts", "BuilderSettings", "BusSettings", "CalendarSettings", "Company",
    "Consensus", "Controls", "Costs", "DailyPricesSettings", "EdgarSettings", "Evolution", "Exchange", "Execution",
    "ExplorerMoat", "ExplorerTeam", "FederalRegisterSettings", "GateSettings", "GithubSettings", "Haven", "Horizon",
    "Indicators", "Instigators", "KrakenSettings", "LearnerMoat", "Learners", "LedgerSettings", "Lifecycle",
    "LimitSettings", "MemorySettings", "MoatBoardSettings", "MoatHttp", "MoatPace", "MoatPaces", "MoatPolling",
    "MoatStrength", "Moats", "Monitoring", "NetworkSettings", "Pace", "PatternSettings", "PlantedMoats", "Policies",
    "Prospecting", "Repository", "Research", "Risk", "Run", "Section", "Settings", "Sharing", "SimulatedMarket",
    "SimulatedMoats", "StatisticsSettings", "StressSettings", "Trading", "ValidationSettings",
]  # fmt: skip


class Costs(Section):
    """What a side costs, on its own notional."""

    fee_ratio: MoneyRatio
    slippage_ratio: MoneyRatio

    @property
    def per_side(self) -> Decimal:
        """Fee plus slippage of one side."""
        return self.fee_ratio + self.slippage_ratio

    @property
    def round_trip(self) -> float:
        """Additive cost of a round trip, as a ratio."""
        return float(2 * self.per_side)


class Account(Section):
    """The account and the size of an entry."""

    start_quote: Money
    entry_equity_ratio: MoneyRatio
    stop_ratio: MoneyRatio
    amount_decimals: Annotated[int, Field(ge=0, le=12)]


class Exchange(Section):
    """Manners of the simulated exchange."""

    max_volume_ratio: MoneyRatio


class AnalystTeam(Section):
    """One parameter set of the technical analysts."""

    rsi: Annotated[int, Field(ge=2, le=200)]
    macd: tuple[Count, Count, Count]
    bollinger: Annotated[int, Field(ge=2, le=200)]

    @model_validator(mode="after")
    def _fast_before_slow(self) -> AnalystTeam:
        if self.macd[0] >= self.macd[1]:
            raise ValueError("macd: the fast period must be shorter than the slow one")
        return self


class Analysts(Section):
    """Technical analysts: three parameter sets and the signals they read."""

    teams: tuple[AnalystTeam, AnalystTeam, AnalystTeam]
    rsi_oversold_points: Annotated[float, Field(gt=0, lt=100)]
    rsi_overbought_points: Annotated[float, Field(gt=0, lt=100)]
    rsi_max_confidence: Ratio
    macd_gain: Positive
    macd_min_confidence: Ratio
    macd_max_confidence: Ratio
    band_confidence: Ratio
    band_close_confidence: Ratio
    band_close_ratio: Ratio


class Indicators(Section):
    """Windows of the shared features, in bars."""

    rsi: Annotated[int, Field(ge=2)]
    atr: Annotated[int, Field(ge=2)]
    adx: Annotated[int, Field(ge=2)]
    ema_fast: Annotated[int, Field(ge=2)]
    ema_slow: Annotated[int, Field(ge=2)]
    macd: tuple[Count, Count, Count]
    bollinger: Annotated[int, Field(ge=2)]
    bollinger_deviations: Positive
    volume_window: Annotated[int, Field(ge=2)]
    atr_rank_window: Annotated[int, Field(ge=2)]
    volatility_memory: Annotated[float, Field(gt=0, lt=1)]
    volatility_warmup: Count


class Trading(Section):
    """When ideas meet."""

    collision_window_seconds: NotNegative


class Risk(Section):
    """Limits of the guardian and the gate."""

    max_drawdown_ratio: Ratio
    max_positions: Count
    max_data_age_intervals: Count


class BusSettings(Section):
    """The bus and its server."""

    port: Annotated[int, Field(ge=0, le=65535)]
    settle_timeout_seconds: Positive
    connect_timeout_seconds: Positive
    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    max_generations: Count
    max_messages_per_owner: Count
    dead_letters_kept: Count
    control_secret: str | None


class LedgerSettings(Section):
    """The single-writer queue."""

    queue_rows: Count
    group_rows: Count
    group_seconds: NotNegative
    durable_timeout_seconds: Positive
    retry_seconds: Positive
    busy_timeout_seconds: Positive
    row_bytes: Count
    checkpoint_seconds: Positive
    anchor_folder: Annotated[str, Field(min_length=1)] | None


class Agents(Section):
    """How agents are kept in check."""

    step_budget_seconds: Positive
    faults_before_quarantine: Count


class SimulatedMarket(Section):
    """The market for machines with neither data nor network."""

    pairs: Annotated[tuple[str, ...], Field(min_length=1)]
    start_prices: dict[str, Positive]
    start: str
    timeframe: str
    history_days: Annotated[int, Field(ge=0)]
    volatility_day_ratio: Positive
    volatility_persistence: Annotated[float, Field(ge=0, lt=1)]
    volatility_shock: NotNegative
    tail_degrees: Annotated[float, Field(gt=2)]
    correlation: Ratio
    regime_days: Positive
    regime_drift_day_ratio: NotNegative
    volume_quote: Positive
    plant_correlation: Annotated[float, Field(ge=0, lt=1)]
    plant_horizon: Count
    moats: PlantedMoats


class MemorySettings(Section):
    """The pattern memory: whose outcomes it keeps, what counts as similar, what is advised, and the store behind."""

    enabled: bool
    books: tuple[Literal["mycelial", "synthesized"], ...]
    store: Literal["chroma", "none"]
    similar: Count
    min_similarity: Annotated[float, Field(ge=-1, le=1)]
    min_known_ratio: Ratio
    buy_min_similar: Count
    buy_min_success: Ratio
    buy_min_profit_ratio: float
    small_min_similar: Count
    small_min_success: Ratio
    avoid_profit_ratio: float
    avoid_success: Ratio
    clusters: Count
    cluster_rounds: Count
    keep_days: Count
    max_records: Count
    queue_records: Count
    batch_records: Count
    batch_seconds: NotNegative
    canaries: Count
    canary_distance: Positive
    attempts: Count
    retry_seconds: Positive
    close_timeout_seconds: Positive
    damaged_kept: Annotated[int, Field(ge=0)]


class StatisticsSettings(Section):
    """How results are judged: intervals, false discoveries, what is looked for between moats and market."""

    confidence_ratio: Annotated[float, Field(gt=0, lt=1)]
    draws: Annotated[int, Field(ge=100)]
    block_days: Count
    min_blocks: Annotated[int, Field(ge=2)]
    false_discovery_ratio: Annotated[float, Field(gt=0, lt=1)]
    kept_intervals: Count
    window_hours: Annotated[int, Field(ge=2)]
    change_hours: Count
    anomaly_z: Positive
    correlation: Annotated[float, Field(gt=0, lt=1)]
    correlation_shift_hours: Count
    shown: Count
    effect_lags: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    effect_horizon: Count
    effect_block_intervals: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _room_to_shift(self) -> StatisticsSettings:
        if 4 * self.correlation_shift_hours > self.window_hours:
            raise ValueError("correlation_shift_hours: must be at most a quarter of window_hours")
        if self.effect_block_intervals <= self.effect_horizon:
            raise ValueError("effect_block_intervals: must be above effect_horizon")
        return self


class Run(Section):
    """The long-running process."""

    mode: Literal["advise", "paper", "live"]
    speed: str
    control_timeout_seconds: Positive
    min_free_disk_mb: Count


class Settings(Section):
    """The whole tree."""

    costs: Costs
    account: Account
    exchange: Exchange
    indicators: Indicators
    analysts: Analysts
    learners: Learners
    sharing: Sharing
    evolution: Evolution
    patterns: PatternSettings
    research: Research
    instigators: Instigators
    haven: Haven
    controls: Controls
    consensus: Consensus
    prospecting: Prospecting
    builder: BuilderSettings
    lifecycle: Lifecycle
    trading: Trading
    risk: Risk
    limits: LimitSettings
    bus: BusSettings
    ledger: LedgerSettings
    agents: Agents
    simulated: SimulatedMarket
    memory: MemorySettings
    moats: Moats
    statistics: StatisticsSettings
    validation: ValidationSettings
    gate: GateSettings
    stress: StressSettings
    policies: Policies
    kraken: KrakenSettings
    execution: Execution
    monitoring: Monitoring
    run: Run
