"""Whether real money may be risked: only by what the promotion gate let pass, as it is."""

from __future__ import annotations

from pathlib import Path

from ..backtesting.code_hash import code_sha256
from ..backtesting.evidence.examination import Rules
from ..backtesting.evidence.verdict import Bound, Refused, find_verdict, judged_folders
from ..connectors.config_files import config_sha256
from ..core.config import Settings
from ..core.errors import UsageError


def refuse(settings: Settings, runs_dir: Path) -> None:
    """UsageError, always: without a verdict for this code and configuration, that; else that there is no exchange."""
    bound = Bound(
        code_sha256(), config_sha256(settings), Rules(settings.gate, settings.validation, settings.statistics)
    )
    answer = find_verdict(judged_folders(runs_dir), bound)
    if isinstance(answer, Refused):
        raise UsageError(f"--mode live needs the verdict of the promotion gate: {answer.reason}; use paper")
    raise UsageError(
        f"--mode live: {answer.path} lets it pass, but this version has no exchange to trade on: use paper"
    )
