"""`mycelial reconcile`: the running process compares its orders and positions with the exchange, now."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

from ..core.clock import Timer
from ..core.errors import CheckFailed, TimeoutExceeded, UsageError
from . import common, control

_LOOK_SECONDS = 0.1
"""Between two looks for the answer; it comes with a slice."""


def run(state: Path | None, json: bool) -> None:
    """Print what does not agree; CheckFailed (exit 6) when something does not, TimeoutExceeded while no slice comes."""
    if not control.answer_of(state, "status").get("orders"):
        raise UsageError("reconcile: this run sends no orders, so there is nothing to compare")
    name = str(control.answer_of(state, "reconcile")["id"])
    found = _answer(state, name)["found"]
    if json:
        common.out_json({"agrees": not found, "found": found})
    else:
        common.out("\n".join(found) or "orders, executions and balances agree with the exchange")
    if found:
        raise CheckFailed(f"reconcile: {len(found)} do not agree with the exchange: {found[0]}")


def _answer(state: Path | None, name: str) -> dict[str, Any]:
    seconds = common.settings(None, None, ()).settings.run.control_timeout_seconds
    timer, never = Timer(), Event()
    ends = timer.seconds() + seconds
    while timer.seconds() < ends:
        answer = control.answer_of(state, "reconciled", id=name)
        if answer["done"]:
            return answer
        timer.wait(never, _LOOK_SECONDS)
    raise TimeoutExceeded(f"reconcile: asked for; its slice did not come within {seconds:g} s, ask again")
