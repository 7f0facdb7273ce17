"""Whether real money may be risked: only what its owner states in three places, as the promotion gate let it pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..backtesting.code_hash import code_sha256
from ..backtesting.evidence.examination import Rules
from ..backtesting.evidence.verdict import Bound, Refused, find_verdict, judged_folders
from ..connectors.config_files import DEFAULT_FILE, config_sha256
from ..core.clock import from_iso, iso, wall_ms
from ..core.config import Settings
from ..core.errors import UsageError
from .options import ProcessOptions

LIVE = "live"
LIMITS = ("limits.", "risk.")
"""The sections whose every setting is a limit of the account."""
_FIRST_MS, _LAST_MS = from_iso("2024-01-01"), from_iso("2090-01-01")
"""Between these the clock of a machine may be right; the project is younger than the first."""
_NAMED = 3
"""How many settings an error message names."""


def refuse_unstated_limits(origins: Mapping[str, str]) -> None:
    """UsageError for limits that only the shipped file states: real money needs limits that its owner has chosen.

    `origins`: the place that each setting's value came from, by dotted name, as `show-config --origin` tells it. An
    overlay, a file of one's own, the environment and the command line are statements of the owner.
    """
    missing = [name for name, place in origins.items() if name.startswith(LIMITS) and _is_shipped(place)]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UsageError(
            f"--mode live takes no limits from the shipped file: {', '.join(missing[:_NAMED])}{more}; "
            "state each of them in an overlay of yours (`show-config --origin` tells where values come from)"
        )


def refuse_wrong_clock(now_ms: int) -> None:
    """UsageError for a time (UTC ms) that cannot be: orders would carry deadlines that are over, or never come."""
    if not _FIRST_MS <= now_ms < _LAST_MS:
        raise UsageError(f"--mode live: the clock says {iso(now_ms)}; set it by a time server, or use paper")


def _is_shipped(place: str) -> bool:
    file, colon, _ = place.rpartition(":")
    return bool(colon) and Path(file).resolve() == DEFAULT_FILE


def refuse_unless_wanted(mode: str | None, settings: Settings, origins: Mapping[str, str]) -> None:
    """UsageError unless a file of the owner's and the command line both say live; the key is the third to agree.

    `mode` is that of the command line, None where it says none.
    """
    place = origins["run.mode"]
    stated = settings.run.mode == LIVE and ":" in place and not _is_shipped(place)
    if mode != LIVE:
        raise UsageError(f"run.mode is live in {place}, but --mode live is not given: both have to say so")
    if not stated:
        raise UsageError(
            f"--mode live: run.mode is {settings.run.mode} in {place}; "
            "a file of yours has to say `run: {mode: live}`, an overlay for instance"
        )
    if settings.kraken.key_file is None:
        raise UsageError("--mode live: kraken.key_file names no key; the file holds key and secret, mode 0400")


def refuse(mode: str | None, settings: Settings, origins: Mapping[str, str], runs_dir: Path) -> Path:
    """The verdict that lets it pass; UsageError for want of one for this code and configuration, limits or facts."""
    bound = Bound(
        code_sha256(), config_sha256(settings), Rules(settings.gate, settings.validation, settings.statistics)
    )
    answer = find_verdict(judged_folders(runs_dir), bound)
    if isinstance(answer, Refused):
        raise UsageError(f"--mode live needs the verdict of the promotion gate: {answer.reason}; use paper")
    refuse_unstated_limits(origins)
    refuse_wrong_clock(wall_ms())
    refuse_unless_wanted(mode, settings, origins)
    return answer.path


def on_the_exchange(options: ProcessOptions, mode: str) -> ProcessOptions:
    """Live means the exchange's own feed; UsageError where another one is asked for."""
    if mode != LIVE:
        return options
    if options.feed not in (None, "kraken"):
        raise UsageError(f"--mode live --feed {options.feed}: real money moves by the prices of the exchange alone")
    return msgspec.structs.replace(options, feed="kraken")
