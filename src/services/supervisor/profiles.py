"""Which profile a position is handled by: a fixed one, or the adaptive choice among the three."""

from __future__ import annotations

from ...core.config_policies import Policies, PolicyProfile
from .context import SymbolContext


class Profiles:
    """The profile of the settings, or by the market: volatile, then strongly trending, else balanced."""

    def __init__(self, settings: Policies) -> None:
        self._by_name = {name: getattr(settings.profiles, name) for name in ("conservative", "balanced", "aggressive")}
        self._fixed = settings.profile
        self._high = settings.high_volatility_ratio
        self._strong = settings.strong_trend_adx_points

    def name_of(self, context: SymbolContext) -> str:
        """Which of the three; what is not known counts as calm and without a trend."""
        if self._fixed != "adaptive":
            return self._fixed
        if context.volatility is not None and context.volatility > self._high:
            return "conservative"
        strong = context.trend is not None and context.trend > self._strong
        return "aggressive" if strong else "balanced"

    def of(self, context: SymbolContext) -> PolicyProfile:
        """The numbers to go by."""
        profile: PolicyProfile = self._by_name[self.name_of(context)]
        return profile
