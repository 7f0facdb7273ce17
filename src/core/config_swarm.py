"""The settings of learning, discovery and the life of an asset."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .config_base import Count, MoneyRatio, NotNegative, Positive, Ratio, Section


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

    @model_validator(mode="after")
    def _told_apart(self) -> Learners:
        for part in ("name", "intervals"):
            if len({getattr(horizon, part) for horizon in self.horizons}) != len(self.horizons):
                raise ValueError(f"horizons: two horizons have one {part}")
        if self.flat_min > self.flat_max:
            raise ValueError("flat_min: must not be above flat_max")
        return self


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
    lessons: Annotated[int, Field(ge=0)]


class Research(Section):
    """How the three researchers judge archived patterns. Qualities in [0, 100], 50 is the base rate."""

    window_intervals: Count
    min_similarity: Annotated[float, Field(gt=0, le=1)]
    min_moments: Count
    full_t: Positive
    approve_quality: Annotated[float, Field(ge=50, le=100)]
    reject_quality: Annotated[float, Field(ge=0, le=50)]
    queue_cases: Count


class Instigators(Section):
    """When a group of learners is told to share. Diversities are mean cosine distances, in [0, 2]."""

    every_intervals: Count
    quiet_intervals: Count
    min_diversity: NotNegative
    max_diversity: NotNegative


class Haven(Section):
    """The learners under watch: all of one mind, and poisoned on purpose."""

    contagion_ratio: Ratio
    contagion_similarity: Ratio
    contagion_min_learners: Count
    contagion_every_intervals: Count
    toxic_ratio: Ratio
    toxic_weight: NotNegative
    emergency_flatten: bool
    emergency_patience_intervals: Count


class Controls(Section):
    """Simple learners that the swarm is held against."""

    enabled: bool
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
    delisted_days: Positive

    @model_validator(mode="after")
    def _falling(self) -> Lifecycle:
        order = (self.lift_ratio, self.probation_ratio, self.deep_probation_ratio, self.hibernation_ratio)
        if list(order) != sorted(order, reverse=True) or not (
            self.deep_probation_ratio <= self.deep_lift_ratio <= self.lift_ratio
        ):
            raise ValueError("lifecycle: lift >= probation >= deep probation >= hibernation; deep lift between them")
        return self
