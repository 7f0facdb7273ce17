"""What may be asked of a running process: checked, written down durably, then left for the next slice."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..core.errors import NotFound, UsageError
from ..core.standing import Level
from ..core.types import Command, CommandKind, Pair, Side
from .supervisor.policies import POLICIES
from .supervisor.policy_supervisor import STATES

Fields = Mapping[str, Any]
Handler = Callable[[dict[str, Any]], dict[str, Any]]

SOURCE = "control"
MAX_REASON_CHARACTERS = 500  # of the format: a reason is a sentence
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")  # of the format: plain decimals, so that it can be booked
_SAID: Mapping[str, str] = {CommandKind.EMERGENCY_SHUTDOWN: "stop --emergency"}
"""How the command line says what has another name here."""
_EFFECTS = {
    CommandKind.HALT: "nothing leaves from now on but stops and what you ask for to get out; what waits to be bought "
    "is cancelled with the next slice, and there are no new teams; `mycelial resume REASON` lifts it",
    CommandKind.RESUME: "entries are allowed again; takes effect with the next slice",
    CommandKind.STOP: "the run drains and ends; takes effect with the next slice",
    CommandKind.EMERGENCY_SHUTDOWN: "no new entries or teams, what waits is cancelled, the run saves and ends; "
    "takes effect with the next slice, which comes at once; it stays halted until `mycelial resume REASON`",
    CommandKind.FLATTEN: "holdings are sold; takes effect with the next slice",
    CommandKind.ORDER: "passes the same gate as every order; takes effect with the next slice",
    CommandKind.RECONCILE: "orders and balances are compared with the exchange; takes effect with the next slice",
    CommandKind.POLICY: "takes effect with the next slice and outlasts restarts; orders and stops stay as they are",
}
_REDUCED = "no new entries from now on, nor teams where it is for all; exits and stops go on"


def command_handlers(
    put: Callable[[Command], None],
    record: Callable[[Command], None],
    status: Callable[[], dict[str, Any]],
    pairs: Sequence[Pair],
    new_id: Callable[[], str] = lambda: "",
) -> dict[str, Handler]:
    """Handlers by command name: halt, resume, stop, emergency_shutdown, flatten,
    order, policy, reconcile and status; each takes the request's fields.

    A command is checked, handed to `record` (which returns only when it is durable), then to `put`; only then is it
    answered. `new_id` names it, so that what was recorded and what took effect can be matched. What `record` raises
    reaches the caller, and the command is not put. UsageError and NotFound name the field and the remedy. Everything
    is called from the thread that calls the handlers.
    """

    def accept(command: Command) -> dict[str, Any]:
        command = msgspec.structs.replace(command, id=new_id())
        record(command)
        put(command)
        return _accepted(command)

    def tell(fields: dict[str, Any]) -> dict[str, Any]:
        _only(fields, "status")
        return status()

    return {
        "halt": lambda fields: accept(_halt(fields, pairs)),
        "resume": lambda fields: accept(_of_pair(CommandKind.RESUME, fields, pairs)),
        "stop": lambda fields: accept(_stop(fields)),
        "emergency_shutdown": lambda fields: accept(_with_reason(CommandKind.EMERGENCY_SHUTDOWN, fields)),
        "flatten": lambda fields: accept(_flatten(fields, pairs)),
        "order": lambda fields: accept(_order(fields, pairs)),
        "policy": lambda fields: accept(_policy(fields)),
        "reconcile": lambda fields: accept(_reconcile(fields)),
        "status": tell,
    }


def _accepted(command: Command) -> dict[str, Any]:
    effect = _REDUCED if command.level == Level.REDUCE_ONLY else _EFFECTS[command.kind]
    answer = {"command": command.kind.value, "effect": effect, "reason": command.reason}
    if command.kind is CommandKind.RECONCILE:
        answer["id"] = command.id  # by which its answer is asked for
    for name in ("pair", "side", "amount", "policy", "state"):
        value = getattr(command, name)
        if value not in (None, ""):
            answer[name] = str(value)
    return answer


def _with_reason(kind: CommandKind, fields: Fields) -> Command:
    _only(fields, kind, "reason")
    return Command(kind, _reason(fields, kind), SOURCE)


def _halt(fields: Fields, pairs: Sequence[Pair]) -> Command:
    """Everything or one pair, halted or only reduced."""
    reduce_only = fields.get("reduce_only", False)
    if not isinstance(reduce_only, bool):
        raise UsageError(f"halt: reduce_only {str(reduce_only)[:40]!r}: write true or false")
    command = _of_pair(CommandKind.HALT, fields, pairs, "reduce_only")
    return msgspec.structs.replace(command, level=(Level.REDUCE_ONLY if reduce_only else Level.HALTED).value)


def _of_pair(kind: CommandKind, fields: Fields, pairs: Sequence[Pair], *more: str) -> Command:
    _only(fields, kind, "reason", "pair", *more)
    pair = None if fields.get("pair") is None else _pair(fields, kind, pairs)
    return Command(kind, _reason(fields, kind), SOURCE, pair)


def _stop(fields: Fields) -> Command:
    _only(fields, CommandKind.STOP, "reason")
    return Command(CommandKind.STOP, _reason(fields, CommandKind.STOP, "asked to stop"), SOURCE)


def _flatten(fields: Fields, pairs: Sequence[Pair]) -> Command:
    _only(fields, CommandKind.FLATTEN, "pair", "reason")
    pair = None if fields.get("pair") is None else _pair(fields, CommandKind.FLATTEN, pairs)
    return Command(CommandKind.FLATTEN, _reason(fields, CommandKind.FLATTEN, "asked to flatten"), SOURCE, pair)


def _order(fields: Fields, pairs: Sequence[Pair]) -> Command:
    kind = CommandKind.ORDER
    _only(fields, kind, "pair", "side", "amount", "reason")
    pair, side, amount = _pair(fields, kind, pairs), _side(fields), _amount(fields)
    return Command(kind, _reason(fields, kind, "manual order"), SOURCE, pair, side, amount)


def _policy(fields: Fields) -> Command:
    kind = CommandKind.POLICY
    _only(fields, kind, "policy", "to", "reason")
    policy, state = str(fields.get("policy")), str(fields.get("to"))
    if policy not in POLICIES:
        near = difflib.get_close_matches(policy, POLICIES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(POLICIES)}"
        raise NotFound(f"policy: no policy {policy[:40]!r}; {hint}")
    if state not in STATES:
        raise UsageError(f"policy: to {state[:40]!r}: write {', '.join(STATES)}")
    reason = _reason(fields, kind, None if state == "on" else f"asked to be {state}")
    return Command(kind, reason, SOURCE, policy=policy, state=state)


def _reconcile(fields: Fields) -> Command:
    _only(fields, CommandKind.RECONCILE, "reason")
    return Command(CommandKind.RECONCILE, _reason(fields, CommandKind.RECONCILE, "asked to reconcile"), SOURCE)


def _only(fields: Fields, command: str, *known: str) -> None:
    """A field that is not understood is refused: what it was meant to limit would silently not be limited."""
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'no fields'}"
            raise UsageError(f"{command}: unknown field {name[:40]!r}, {hint}")


def _reason(fields: Fields, command: str, usual: str | None = None) -> str:
    """One printable line, because it is shown in terminals; `usual` where none need be given."""
    given = fields.get("reason")
    if given is None and usual is not None:
        return usual
    if not isinstance(given, str) or not given.strip():
        said = _SAID.get(command, command)
        raise UsageError(f"{command}: say why, for instance `mycelial {said} 'exchange maintenance'`")
    line = " ".join(given.split())
    if not line.isprintable() or len(line) > MAX_REASON_CHARACTERS:
        raise UsageError(f"{command}: the reason is one printable line of at most {MAX_REASON_CHARACTERS} characters")
    return line


def _pair(fields: Fields, command: str, pairs: Sequence[Pair]) -> Pair:
    given = fields.get("pair")
    if not isinstance(given, str):
        raise UsageError(f"{command}: name a pair, for instance {pairs[0] if pairs else 'BTC/USD'}")
    if given in pairs:
        return Pair(given)
    near = difflib.get_close_matches(given.upper(), pairs, 1)
    hint = f"did you mean {near[0]}?" if near else f"it trades {', '.join(pairs)}"
    raise NotFound(f"{command}: this run has no pair {given[:40]!r}; {hint}")


def _side(fields: Fields) -> Side:
    given = str(fields.get("side"))
    if given not in tuple(Side):
        raise UsageError(f"order: side {given[:40]!r}: write buy or sell")
    return Side(given)


def _amount(fields: Fields) -> Decimal:
    """Base units as a decimal string or a whole number; a JSON fraction is refused, for it is binary."""
    given = fields.get("amount")
    text = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text) or not Decimal(text):
        raise UsageError(
            f"order: amount {str(given)[:40]!r}: write a positive number of base units, for instance '0.5'"
        )
    return Decimal(text)
