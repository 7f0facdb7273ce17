"""`mycelial status`, `halt`, `resume`, `stop`, `flatten`, `order`: asked over the running process's own socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..connectors.control import ask as ask_socket
from ..connectors.state_folder import find
from ..core.errors import MycelialError
from . import common


def ask(state: Path | None, command: str, json: bool, **fields: Any) -> None:
    """Ask for something and print what was answered."""
    answer = answer_of(state, command, **{name: value for name, value in fields.items() if value is not None})
    if json:
        common.out_json(answer)
    else:
        common.out(f"{answer['command']}: {answer['effect']}")


def status(state: Path | None, json: bool) -> None:
    """Print how the process stands."""
    answer = answer_of(state, "status")
    if json:
        common.out_json(answer)
        return
    for name, value in answer.items():
        if name != "ok":
            common.out(f"{name:12} {_SHORT.get(name, _plain)(value)}")


def answer_of(state: Path | None, command: str, **fields: Any) -> dict[str, Any]:
    """The answer of the process of this state folder; its refusal becomes an error with its exit code."""
    timeout = common.settings(None, None, ()).settings.run.control_timeout_seconds
    answer = ask_socket(find(state or common.DEFAULT_STATE), command, timeout, **fields)
    if not answer.get("ok"):
        refused = MycelialError(str(answer.get("error", "refused without a reason")))
        refused.exit_code = int(answer.get("exit_code", 1))
        raise refused
    return answer


def _moats(value: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} {one['status']} ({one['grade'] or '-'})" for name, one in value.items()) or "-"


def _discovery(value: Mapping[str, Any]) -> str:
    kinds = {kind: value[kind] for kind in ("anomalies", "correlations") if kind in value}
    told = (
        f"{kind} {one['found']} of {one['tested']} (by chance {one['expected']:.1f})" for kind, one in kinds.items()
    )
    return ", ".join(told) or "-"


def _standing(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{scope} {one['state']}: {one['reason']}" for scope, one in value.items()) or "-"


def _limits(value: Mapping[str, Any]) -> str:
    """What is used up at all; the object has every limit."""
    used = {name: one for name, one in value.items() if one["used"] not in (None, "0")}
    return ", ".join(f"{name} {one['used']} of {one['limit']}" for name, one in used.items()) or "-"


_SHORT: Mapping[str, Callable[[Any], str]] = {
    "moats": _moats,
    "discovery": _discovery,
    "standing": _standing,
    "limits": _limits,
}
"""How people read what is long; the object has it all."""


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value) if value not in ("", None) else "-"
