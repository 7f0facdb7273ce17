"""The frozen tree of settings: every number of the system has a name here and a value in `config/`, none in code.

Unknown keys, wrong types and values out of range are refused. Reading YAML, and saying in which line a value
stood, is the work of `connectors/config_files.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
MoneyRatio = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, nothing unknown, nothing coerced but numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


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


class Horizon(Section):
    """One horizon of the learners, in base intervals."""

    name: str
    intervals: Count


LearnerMoat = Literal["market", "code", "government", "logistics", "corporate"]


class Learners(Section):
    """Pattern learners: online classifiers over {down, flat, up}."""

    standard: dict[LearnerMoat, Annotated[int, Field(ge=0)]]
    team: Annotated[int, Field(ge=0)]
    horizons: Annotated[tuple[Horizon, ...], Field(min_length=1)]
    learning_rate: Positive
    learning_rate_spread: NotNegative
    learning_rate_floor: Ratio
    learning_rate_halving: Positive
    feature_mask_ratio: Annotated[float, Field(gt=0, le=1)]
    feature_clip: Positive
    flat_min: Ratio
    flat_max: Positive
    rank_window: Count
    rank_warmup: Count
    entry_score: Ratio
    entry_score_spread: Ratio
    calibration_memory: Annotated[float, Field(gt=0, lt=1)]
    calibration_min_t2: NotNegative
    min_learners: Count
    silence_profit_ratio: Annotated[float, Field(le=0)]
    silence_min_trades: Annotated[int, Field(ge=0)]
    voice_profit_ratio: Annotated[float, Field(le=0)]
    book_trades: Count


class Sharing(Section):
    """How learners take from their neighbours on the network."""

    every_intervals: Count
    margin_nats: NotNegative
    blend_ratio: Ratio
    mutation_ratio: NotNegative
    min_outcomes: NotNegative
    inside_neighbours: Annotated[int, Field(ge=0)]
    across_neighbours: Annotated[int, Field(ge=0)]


class Evolution(Section):
    """How the worst learners make room for children of better ones."""

    every_intervals: Count
    replaced_ratio: Ratio
    min_outcomes: NotNegative
    mutation_ratio: NotNegative
    learning_rate_spread: NotNegative


class PatternSettings(Section):
    """What of a learner's opinions is worth remembering."""

    archive_every_intervals: Count
    lifetime_intervals: Count
    min_value: NotNegative
    min_outcomes: NotNegative
    novel_generations: Count


class Haven(Section):
    """The learners under watch: all of one mind, and poisoned on purpose."""

    contagion_similarity: Ratio
    contagion_min_learners: Count
    contagion_every_intervals: Count
    toxic_ratio: Ratio
    toxic_weight: NotNegative


class Controls(Section):
    """Simple learners that the swarm is held against."""

    horizons: Annotated[tuple[Count, ...], Field(min_length=1)]
    ridge_penalty: Positive
    ridge_memory: Annotated[float, Field(gt=0, le=1)]
    ridge_every_intervals: Count
    min_outcomes: NotNegative


class Consensus(Section):
    """The Rule of 3."""

    required_votes: Count
    min_confidence_ratio: Ratio
    window_seconds: NotNegative


ExplorerMoat = Literal["code", "government", "logistics", "corporate"]


class ExplorerTeam(Section):
    """One team of explorers: its name and what a moat that speaks of an asset is worth to it."""

    name: Annotated[str, Field(pattern=r"^\w+$")]
    weights: dict[ExplorerMoat, NotNegative]


class Prospecting(Section):
    """The eight-point score of the market explorers. Members 1, 2, 3 have the factors at that place."""

    scan_seconds: Positive
    lookback_factors: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]
    threshold_factors: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]
    propose_points: Annotated[int, Field(ge=1, le=8)]
    window_hours: Positive
    trend_days: Positive
    min_bars_ratio: Annotated[float, Field(gt=0, le=1)]
    volume_quote: tuple[Positive, Positive]
    volatility_ratio: tuple[Positive, Positive]
    spread_ratio: Positive
    trend_ratio: Positive
    moat_min_z: Positive
    cross_moat_one: Positive
    cross_moat_two: Positive
    teams: Annotated[tuple[ExplorerTeam, ...], Field(min_length=1)]
    moat_assets: dict[ExplorerMoat, tuple[str, ...]]

    @model_validator(mode="after")
    def _rising(self) -> Prospecting:
        for name in ("volume_quote", "volatility_ratio"):
            one, two = getattr(self, name)
            if one > two:
                raise ValueError(f"{name}: the first threshold must not be above the second")
        if self.cross_moat_one > self.cross_moat_two:
            raise ValueError("cross_moat_one: must not be above cross_moat_two")
        if len({team.name for team in self.teams}) != len(self.teams):
            raise ValueError("teams: two teams have one name")
        return self


class BuilderSettings(Section):
    """Who gets a team of agents. `bootstrap_pairs`: these from the start, instead of the bootstrap bases."""

    max_active: Count
    cooldown_seconds: NotNegative
    request_dedupe_seconds: NotNegative
    request_after_hours: Positive
    bootstrap_pairs: tuple[str, ...]
    bootstrap_bases: tuple[str, ...]
    bootstrap_quotes: tuple[str, ...]
    bootstrap_days: Positive
    bootstrap_largest: Annotated[int, Field(ge=0)]


class Lifecycle(Section):
    """The life of an asset, by the sum of its trades' net returns. Ratios are limits: exactly there is still above."""

    probation_ratio: Annotated[Decimal, Field(le=0, allow_inf_nan=False)]
    deep_probation_ratio: Annotated[Decimal, Field(le=0, allow_inf_nan=False)]
    hibernation_ratio: Annotated[Decimal, Field(le=0, allow_inf_nan=False)]
    hibernation_days: Positive
    lift_ratio: Annotated[Decimal, Field(le=0, allow_inf_nan=False)]
    deep_lift_ratio: Annotated[Decimal, Field(le=0, allow_inf_nan=False)]
    lift_after_intervals: Annotated[int, Field(ge=0)]
    probation_size: MoneyRatio
    deep_probation_size: MoneyRatio

    @model_validator(mode="after")
    def _falling(self) -> Lifecycle:
        order = (self.lift_ratio, self.probation_ratio, self.deep_probation_ratio, self.hibernation_ratio)
        if list(order) != sorted(order, reverse=True) or not (
            self.deep_probation_ratio <= self.deep_lift_ratio <= self.lift_ratio
        ):
            raise ValueError("lifecycle: lift >= probation >= deep probation >= hibernation; deep lift between them")
        return self


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


class Agents(Section):
    """How agents are kept in check."""

    step_budget_seconds: Positive
    faults_before_quarantine: Count


class PlantedMoats(Section):
    """What moats say of the simulated market; the commits of an asset can lead its price."""

    enabled: bool
    commits_day: NotNegative
    commits_correlation: Annotated[float, Field(ge=0, lt=1)]
    commits_lag: Annotated[int, Field(ge=0)]
    commits_horizon: Count
    history_days: Annotated[int, Field(ge=0)]
    event_days: Positive
    filings_day: NotNegative
    day_ratio: NotNegative


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
    """The pattern memory: what counts as similar, what is advised, and the store that is written behind."""

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
    queue_records: Count
    batch_records: Count
    batch_seconds: NotNegative
    canaries: Count
    canary_distance: Positive
    attempts: Count
    retry_seconds: Positive
    close_timeout_seconds: Positive
    damaged_kept: Annotated[int, Field(ge=0)]


class MoatPace(Section):
    """How often the sources of one moat are asked, and how fast what they said loses weight."""

    interval_seconds: Positive
    half_life_seconds: Positive


class MoatPaces(Section):
    """One pace for each moat."""

    market: MoatPace
    code: MoatPace
    logistics: MoatPace
    government: MoatPace
    corporate: MoatPace


class MoatHttp(Section):
    """Manners towards every server; `attempts` counts the immediate repeat after a broken connection."""

    user_agent: Annotated[str, Field(min_length=1)]
    timeout_seconds: Positive
    budget_seconds: Positive
    max_answer_bytes: Count
    attempts: Count
    retry_after_cap_seconds: Positive


class MoatPolling(Section):
    """How the poller asks: back-off after failures, when silence is stale, and how much it keeps."""

    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    stale_intervals: Positive
    longest_wait_seconds: Positive
    clock_tolerance_seconds: NotNegative
    queue_observations: Count
    ids_kept: Count
    series_kept: Count


class Repository(Section):
    """One repository of the code moat and the asset whose work it is."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    asset: Annotated[str, Field(min_length=1)]
    language: str


class GithubSettings(Section):
    """The code moat. `login_env` names the environment variable with the login; null where a server needs none."""

    base_url: str
    login_env: str | None
    lookback_seconds: Positive
    min_contributors: Count
    max_commits: Count
    page_rows: Count
    novelty_min: NotNegative
    novelty_max: Positive
    repositories: Annotated[tuple[Repository, ...], Field(min_length=1)]


class Company(Section):
    """A listed company by its number at the SEC."""

    ticker: Annotated[str, Field(min_length=1)]
    cik: Annotated[int, Field(ge=1, le=9_999_999_999)]


class EdgarSettings(Section):
    """Filings. `identity_env` names the environment variable with `NAME MAIL`, which the SEC asks everybody for."""

    base_url: str
    identity_env: str
    lookback_days: Positive
    companies: Annotated[tuple[Company, ...], Field(min_length=1)]


class FederalRegisterSettings(Section):
    """Documents of the agencies, by their slugs."""

    base_url: str
    lookback_days: Positive
    page_rows: Annotated[int, Field(ge=1, le=1000)]
    max_pages: Count
    agencies: Annotated[tuple[str, ...], Field(min_length=1)]


class CalendarSettings(Section):
    """Scheduled events; `file` lies beside the settings file."""

    file: str
    warn_days: Positive


class NetworkSettings(Section):
    """Hash rate and difficulty, from one of two kinds of server."""

    provider: Literal["charts", "mempool"]
    charts_url: str
    mempool_url: str
    lookback_days: Count


class DailyPricesSettings(Section):
    """Daily closes of listed shares and funds, as CSV; null as address switches them off."""

    base_url: str | None
    suffix: str
    lookback_days: Positive
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]


class SimulatedMoats(Section):
    """What the simulated sources invent; they are for simulations alone."""

    assets: Annotated[tuple[str, ...], Field(min_length=1)]
    commits_day: NotNegative
    filings_day: NotNegative
    documents_day: NotNegative
    hashrate_th_s: Positive
    difficulty: Positive
    network_day_ratio: NotNegative
    fear_greed_deviation: NotNegative


class MoatStrength(Section):
    """How strongly the moats speak together: points of 100, and from how many a moat is called what."""

    readings: Count
    full_z: Positive
    strong_points: NotNegative
    moderate_points: NotNegative
    weak_points: NotNegative


class MoatBoardSettings(Section):
    """How what the moats said becomes features. Calendar time, whatever the bar."""

    enabled: tuple[Literal["code", "government", "logistics", "corporate"], ...]
    window_days: Annotated[int, Field(ge=2)]
    min_history_days: Count
    clip: Positive
    neutral_z: NotNegative
    stale_half_lives: Positive
    commits_hours: Count
    event_hours: Count
    change_days: Count
    freight: str
    filings_days: Count
    basket_days: Count
    miners: Annotated[tuple[str, ...], Field(min_length=1)]
    region: str
    government: str
    sector: str
    strength: MoatStrength

    @model_validator(mode="after")
    def _history_inside_the_window(self) -> MoatBoardSettings:
        if self.min_history_days >= self.window_days:
            raise ValueError("min_history_days: must be shorter than window_days")
        return self


class Moats(Section):
    """Sources outside the market."""

    board: MoatBoardSettings

    pace: MoatPaces
    http: MoatHttp
    polling: MoatPolling
    github: GithubSettings
    edgar: EdgarSettings
    federal_register: FederalRegisterSettings
    calendar: CalendarSettings
    network: NetworkSettings
    daily_prices: DailyPricesSettings
    simulated: SimulatedMoats


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
    haven: Haven
    controls: Controls
    consensus: Consensus
    prospecting: Prospecting
    builder: BuilderSettings
    lifecycle: Lifecycle
    trading: Trading
    risk: Risk
    bus: BusSettings
    ledger: LedgerSettings
    agents: Agents
    simulated: SimulatedMarket
    memory: MemorySettings
    moats: Moats
    run: Run
