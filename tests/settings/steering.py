"""A supervisor with every policy on, over positions that win and lose."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from uuid import UUID

from src.commands.bench_cycle import SEED, cycle_of
from src.services.supervisor.policies import POLICIES
from src.services.supervisor.policy_supervisor import PolicySupervisor
from tests.settings.leaves import tree
from tests.settings.watched import Watch

CYCLES = 200


def steering(watch: Watch, folder: Path) -> None:
    """Each profile by itself and the adaptive choice, until there are enough returns for groups of alike assets."""
    on = {f"policies.states.{name}": "on" for name in POLICIES}
    for profile in ("conservative", "balanced", "aggressive", "adaptive"):
        settings = watch.over(tree(on, {"policies.profile": profile}))
        supervisor = PolicySupervisor(settings.policies, settings.account, UUID(int=SEED))
        step = cycle_of(supervisor, settings, 6)
        for _ in range(CYCLES):
            step()
        supervisor.risk({}, Decimal(1), Decimal(1))
