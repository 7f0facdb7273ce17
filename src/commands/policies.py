"""`mycelial policies`: how each policy stands, what it recommended and what was done; one command changes a state."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from ..backtesting import report
from ..backtesting.text import NOTHING
from ..connectors.story_files import read_story
from ..core import records
from ..core.clock import iso
from ..core.config_policies import PolicyState
from ..core.errors import UsageError
from ..services.supervisor.policies import POLICIES
from ..services.supervisor.shadow import PolicyReport, compared
from . import common, control
from .policy_lines import Changes, changes_of, lines_of, reader_of

_STATES: dict[str, PolicyState] = {"off": "off", "shadow": "shadow", "on": "on"}


def change(policy: str, state: str | None, reason: str | None, folder: Path | None, json: bool) -> None:
    """Ask the running process to give a policy another state; it is written down before it is answered."""
    if state is None:
        raise UsageError(f"policies {policy}: write off, shadow or on after it")
    if state == "on" and not (reason or "").strip():
        raise UsageError(f"policies {policy} on: say why, for it will act: --reason 'its shadow earned more'")
    control.ask(folder, "policy", json, policy=policy, to=state, reason=reason)


def show(run: str | None, folder: Path | None, sets: tuple[str, ...], json: bool) -> None:
    """Print the table: states now, recommendations, what became of them, and what shadows would have brought."""
    if run is not None and folder is not None:
        raise UsageError("--run and --state: name one of them")
    reader = reader_of(run, folder)
    settings = common.settings(None, None, sets).settings
    changes = changes_of(reader)
    states = {name: getattr(settings.policies.states, name) for name in POLICIES}
    states |= {one.policy: _STATES[one.state] for _, one in changes if one.policy in POLICIES and one.state in _STATES}
    trades = read_story(reader.path, settings.ledger).trades
    found = compared(list(lines_of(reader)), trades, states)
    if json:
        common.out_json({"policies": [_fields(one) for one in found], "changes": _changes(changes)})
    else:
        _print(found, changes)


def _fields(one: PolicyReport) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(one)
    fields["worth"] = None if one.worth is None else records.plain(one.worth)
    return fields


def _changes(changes: Changes) -> list[dict[str, str]]:
    return [
        {"at": iso(at), "policy": one.policy, "state": one.state, "reason": one.reason, "source": one.source}
        for at, one in changes
    ]


def _print(found: list[PolicyReport], changes: Changes) -> None:
    table = Table(title="Policies")
    for heading in ("policy", "state", "said", "done", "merged", "overruled", "shadow", "agreed", "aside", "worth"):
        table.add_column(heading, justify="left" if heading in ("policy", "state", "aside") else "right")
    for one in found:
        aside = ", ".join(f"{reason} {count}" for reason, count in one.aside.items())
        aside = ", ".join(part for part in (aside, f"FAILED {one.faults}" if one.faults else "") if part)
        worth = NOTHING if one.worth is None else f"{one.worth:.2f}"
        counts = (one.recommended, one.done, one.merged, one.overruled, one.shadow, one.agreed)
        table.add_row(one.policy, one.state, *map(str, counts), aside or NOTHING, worth)
    report.terminal(sys.stdout).print(table)
    for line in _changes(changes):
        common.out(f"{line['at']}  {line['policy']} {line['state']}: {line['reason']} ({line['source']})")
