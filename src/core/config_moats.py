"""The settings of the sources outside the market, and of what is made up in their place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .config_base import Count, NotNegative, Positive, Section


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


class Pace(Section):
    """How often the sources of a moat are asked."""

    interval_seconds: Positive


class MoatPace(Pace):
    """The same of a moat outside the market, and how fast what it said loses weight."""

    half_life_seconds: Positive


class MoatPaces(Section):
    """One pace for each moat; bars have no age that would count."""

    market: Pace
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
    documents_days: Count
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
