"""The rows of the fault matrix that gate, limits and kill switch answer, each by its name."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from src.commands import live
from src.connectors.config_files import DEFAULT_FILE, load
from src.connectors.halt_file import HALT, HaltFile
from src.connectors.memory_ledger import Kept, MemoryLedger
from src.core.config import LedgerSettings, Settings
from src.core.errors import ConfigError, LedgerError, UsageError
from src.core.outbound import WITHHELD
from src.core.ports import Row
from src.core.standing import Level
from src.core.types import Command, CommandKind, Denied, Order, Side
from src.services.commands import command_handlers
from src.services.kill_switch import KillSwitch
from src.services.recovery import Recorded, catch_up
from tests.golden import tape
from tests.money import ADA, BTC, ETH, HOUR, PAIRS
from tests.services.test_account_gate import DAY, HELD, MIDNIGHT, Account, buy, sell
from tests.walked import Walk
from tests.worlds import ROOT

ENTRY_BAR = 45
"""The bar of the tape at whose close the one entry is decided."""
LIMITS = sorted(Settings.model_fields["limits"].annotation.model_fields)  # type: ignore[union-attr]


# --- K: the kill switch ----------------------------------------------------------------------------------------------


class Pulling(MemoryLedger):
    """A ledger that lets somebody throw the switch while the row of an order is written down."""

    def __init__(self, settings: LedgerSettings) -> None:
        super().__init__(settings)
        self.throw: Callable[[], None] = lambda: None

    def append(self, rows: Any, durable: bool) -> Kept:
        if any(row.kind == "order" and b'"reference"' in row.body for row in rows):
            self.throw()
        return super().append(rows, durable)


def armed(walk: Walk, folder: Path) -> KillSwitch:
    engine = walk.house.engine
    switch = KillSwitch(engine.standing, HaltFile(folder), engine.inbox.put)
    engine.outbound.guard = switch
    return switch


def states(walk: Walk) -> list[str]:
    """What became of orders."""
    rows = [msgspec.json.decode(row.body) for row in walk.ledger.rows("order")]
    return [row["state"] for row in rows if "state" in row]


THROWS: dict[str, Callable[[KillSwitch, Path], object]] = {
    "signal": lambda switch, folder: switch.pull("storm"),
    "file": lambda switch, folder: (folder / HALT).write_text("storm"),
    "command": lambda switch, folder: switch.foresee(
        Command(CommandKind.HALT, "storm", "control", level=Level.HALTED.value)
    ),
    "reduce only": lambda switch, folder: switch.foresee(
        Command(CommandKind.HALT, "storm", "control", level=Level.REDUCE_ONLY.value)
    ),
}


@pytest.mark.parametrize("way", THROWS)
@pytest.mark.parametrize("step", ["before the slice", "among the agents", "after approval", "after the send"])
def test_k1_thrown_during_each_step_of_an_order(tmp_path: Path, way: str, step: str) -> None:
    """Whatever the moment, the order that has not left does not leave, and the record says so."""
    walk = Walk(make_ledger=Pulling)
    switch = armed(walk, tmp_path)
    walk.until(ENTRY_BAR - 1)

    def throw(*unused: object) -> None:
        THROWS[way](switch, tmp_path)

    assert isinstance(walk.ledger, Pulling)
    if step == "before the slice":
        throw()
    elif step == "among the agents":
        walk.bus.subscribe("synthesized-trade-log", throw, "test")
    elif step == "after approval":
        walk.ledger.throw = throw
    walk.until(ENTRY_BAR)
    if step == "after the send":
        throw()
    switch.look()
    walk.all()
    left = [order for report in walk.reports for order in report.fills]
    if step == "after the send":
        assert left[0].side is Side.BUY
    else:
        assert left == []
        assert states(walk) == [WITHHELD]
        (line,) = walk.decided(ENTRY_BAR, "refusal")
        assert (line.reason, line.detail["value"]) == ("kill_switch", f"{level_of(way)}: storm")
        assert walk.house.desk.portfolio.cash == walk.tree.account.start_quote


def level_of(way: str) -> str:
    return "reduce_only" if way == "reduce only" else "halted"


def test_k1_an_order_that_was_withheld_is_not_sent_when_its_slice_is_walked_again(tmp_path: Path) -> None:
    walk = Walk(make_ledger=Pulling)
    switch = armed(walk, tmp_path)
    assert isinstance(walk.ledger, Pulling)
    walk.ledger.throw = lambda: switch.pull("storm")
    walk.until(ENTRY_BAR + 3)
    (kept,) = [m["id"] for m in map(decoded, walk.ledger.rows("order")) if m.get("state") == WITHHELD]
    again = Walk()
    slices = [report.at for report in walk.reports]
    feed = iter(_slices(again, len(slices)))
    catch_up(again.house.engine, feed, slices[-1], Recorded((), (), withheld={kept: "halted: storm"}))
    assert again.house.desk.portfolio.cash == walk.house.desk.portfolio.cash == walk.tree.account.start_quote
    unguarded = Walk()
    unguarded.until(ENTRY_BAR + 3)
    assert unguarded.house.desk.portfolio.cash < walk.tree.account.start_quote


def _slices(walk: Walk, count: int) -> Iterator[Any]:
    from src.core.history import HistoryFeed

    for number, slice_ in enumerate(HistoryFeed(walk.history)):
        if number == count:
            return
        yield slice_


def decoded(row: Row) -> dict[str, Any]:
    return msgspec.json.decode(row.body, type=dict[str, Any])


def test_k1_exits_of_the_machine_stay_too_but_what_protects_and_what_a_person_asks_for_leave(tmp_path: Path) -> None:
    walk = Walk()
    switch = armed(walk, tmp_path)
    walk.until(ENTRY_BAR + 1)
    assert walk.house.desk.portfolio.positions
    switch.pull("storm")
    switch.look()
    walk.until(ENTRY_BAR + 8)  # the horizon has passed, and nobody sells
    assert walk.house.desk.portfolio.positions
    assert walk.house.engine.refusals["not_active"] > 0
    assert [order.kind for order in walk.house.desk.broker.open_orders()] == ["stop"], "the stop rests where it was"
    walk.put(Command(CommandKind.FLATTEN, "out", "control"))
    walk.until(ENTRY_BAR + 10)
    assert not walk.house.desk.portfolio.positions


def test_k2_without_a_database_the_halt_is_in_force_and_durable_in_the_file(tmp_path: Path) -> None:
    walk = Walk()
    switch = armed(walk, tmp_path)

    def record(command: Command) -> None:
        switch.foresee(command)
        if not switch.without_ledger(command):
            raise LedgerError("the disk is full")

    handlers = command_handlers(walk.put, record, dict, (tape.PAIR,))
    assert handlers["halt"]({"reason": "no database"})["command"] == "halt"
    assert HaltFile(tmp_path).read() == "no database"
    with pytest.raises(LedgerError):
        handlers["flatten"]({})
    assert walk.all().house.desk.portfolio.cash == walk.tree.account.start_quote


@pytest.mark.parametrize("harm", ["folder", "link"])
def test_k2_a_sign_that_cannot_be_read_is_a_sign(tmp_path: Path, harm: str) -> None:
    (tmp_path / HALT).mkdir() if harm == "folder" else (tmp_path / HALT).symlink_to("nowhere")
    walk = Walk()
    armed(walk, tmp_path).look()
    assert walk.all().house.desk.portfolio.cash == walk.tree.account.start_quote
    assert walk.reports[-1].halted.startswith("the file HALT cannot be read")


def test_k3_it_stays_over_a_restart_until_a_reason_clears_it_and_both_are_in_the_record(tmp_path: Path) -> None:
    walk = Walk()
    switch = armed(walk, tmp_path)
    walk.until(3)
    switch.pull("storm")
    switch.look()
    walk.until(4)
    later = Walk()
    later.restore(walk.saved())
    later.until(5, first=5)
    assert later.house.engine.standing.shown() == {"all": {"state": "halted", "reason": "storm", "source": "signal"}}
    switch = armed(later, tmp_path)
    with pytest.raises(UsageError, match="say why"):
        command_handlers(later.put, lambda c: None, dict, (tape.PAIR,))["resume"]({"reason": " "})
    switch.clear()
    command_handlers(later.put, lambda c: None, dict, (tape.PAIR,))["resume"]({"reason": "calm again"})
    later.until(6)
    assert later.reports[-1].halted == ""
    kinds = [(line["kind"], line["reason"]) for line in (*walk.lines(), *later.lines()) if line["kind"] in KINDS]
    assert kinds == [("halt", "storm"), ("resume", "calm again")]


KINDS = ("halt", "resume")


def test_k3_a_checkpoint_that_does_not_say_how_it_stood_is_no_proof() -> None:
    walk = Walk()
    walk.until(3)
    state = walk.house.engine.state()
    del state["standing"]
    later = Walk()
    later.house.engine.restore(state)
    throw = later.house.engine.standing.of()
    assert throw is not None
    assert throw.level is Level.HALTED


def test_k4_of_conflicting_throws_the_strictest_holds_and_a_milder_one_softens_nothing() -> None:
    account = Account()
    account.at(MIDNIGHT, held=HELD)
    account.standing.throw(Level.HALTED, "by hand", "control", BTC)
    for number in range(100):
        account.standing.throw(Level.REDUCE_ONLY, f"policy {number}", "policy")
    assert (account.ask(sell()), account.ask(buy(pair=ETH))) == ("not_active", "not_active")


def test_k5_a_runaway_loop_sends_one_order_and_then_no_more_than_the_rate() -> None:
    account = Account(limits__max_orders_minute=5, limits__max_messages_minute=5)
    asked = [account.ask(buy(id=f"same-{n}")) for n in range(1000)]
    assert (asked[0], set(asked[1:])) == ("", {"duplicate"})
    asked = [account.ask(buy(f"1.{n + 1:04d}", id=f"other-{n}")) for n in range(1000)]
    assert (asked.count(""), asked.count("orders_per_minute")) == (4, 996)


# --- G: the settings of limits ---------------------------------------------------------------------------------------


def overlaid(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The shipped settings as a file of one's own, with one change."""
    tree = yaml.safe_load(DEFAULT_FILE.read_text())
    change(tree["limits"])
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize("name", LIMITS)
def test_g1_no_limit_has_a_default(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"limits\.{name} is missing"):
        load(overlaid(tmp_path, lambda limits: limits.pop(name)), None, {}, ())


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_order_quote", 0, "max_order_quote"),
        ("max_order_quote", ".inf", "max_order_quote"),
        ("max_daily_loss_ratio", 1.01, "max_daily_loss_ratio"),
        ("max_orders_minute", 0, "max_orders_minute"),
        ("max_orders_minute", "many", "max_orders_minute"),
        ("max_unknown_orders", -1, "max_unknown_orders"),
        ("duplicate_seconds", True, "duplicate_seconds"),
        ("max_everything", 1, "unknown setting"),
    ],
)
def test_g1_what_is_no_limit_is_named(tmp_path: Path, name: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(overlaid(tmp_path, lambda limits: limits.update({name: value})), None, {}, ())


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("max_order_quote", "max_position_quote"),
        ("max_orders_minute", "max_messages_minute"),
        ("max_orders_day", "max_messages_day"),
    ],
)
def test_g1_limits_that_contradict_each_other(tmp_path: Path, narrow: str, wide: str) -> None:
    path = overlaid(tmp_path, lambda limits: limits.update({narrow: limits[wide] + 1}))
    with pytest.raises(ConfigError, match=f"{narrow}: must not be above {wide}"):
        load(path, None, {}, ())


def test_g1_a_limit_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(DEFAULT_FILE.read_text().replace("\nlimits: ", "\nlimits:\n  max_order_quote: 5\nunused: "))
    path.write_text(DEFAULT_FILE.read_text().replace("  max_order_quote:", "  max_order_quote: 5\n  max_order_quote:"))
    with pytest.raises(ConfigError, match="max_order_quote"):
        load(path, None, {}, ())


def test_g3_live_takes_no_limit_that_its_owner_has_not_stated(tmp_path: Path) -> None:
    shipped = load(None, None, {}, ())
    with pytest.raises(
        UsageError, match=r"takes no limits from the shipped file: risk\.max_drawdown_ratio, .* and \d\d more"
    ):
        live.refuse_unstated_limits(shipped.origin)
    stated = [name for name in shipped.origin if name.startswith(("limits.", "risk."))]
    plain = yaml.safe_load(DEFAULT_FILE.read_text())
    given = [f"{name}={plain[name.split('.')[0]][name.split('.')[1]]}" for name in stated]
    with pytest.raises(UsageError, match=f"takes no limits from the shipped file: {stated[0]};"):
        live.refuse_unstated_limits(load(None, None, {}, given[1:]).origin)
    live.refuse_unstated_limits(load(None, None, {}, given).origin)
    live.refuse_unstated_limits(load(overlaid(tmp_path, dict), None, {}, ()).origin)


def test_g3_an_overlay_beside_the_file_states_them(tmp_path: Path) -> None:
    plain = yaml.safe_load(DEFAULT_FILE.read_text())
    (tmp_path / "own.yaml").write_text(DEFAULT_FILE.read_text())
    (tmp_path / "own.prod.yaml").write_text(yaml.safe_dump({name: plain[name] for name in ("limits", "risk")}))
    origin = load(tmp_path / "own.yaml", "prod", {}, ()).origin
    assert all("own.prod.yaml" in place for name, place in origin.items() if name.startswith("limits."))
    live.refuse_unstated_limits(origin)


def test_g4_a_file_that_changes_while_it_runs_changes_no_limit(tmp_path: Path) -> None:
    path = overlaid(tmp_path, lambda limits: limits.update(max_order_quote=100))
    account = Account(limits__max_order_quote=load(path, None, {}, ()).settings.limits.max_order_quote)
    assert account.ask(buy("1.1")) == "order_notional"
    overlaid(tmp_path, lambda limits: limits.update(max_order_quote=10**6))
    assert account.ask(buy("1.1")) == "order_notional"


# --- T and M: time and prices ----------------------------------------------------------------------------------------

TURNS = {
    "spring forward in Europe": "2024-03-31",
    "fall back in Europe": "2024-10-27",
    "a leap day": "2024-02-29",
    "after a leap second": "2017-01-01",
    "the end of a year": "2024-12-31",
    "the end of a month": "2024-04-30",
}


@pytest.mark.parametrize("day", TURNS.values(), ids=TURNS.keys())
def test_t3_the_daily_limits_begin_anew_once_with_the_utc_day(day: str) -> None:
    from src.core.clock import from_iso

    start = from_iso(day)
    account, passed = Account(start - 2 * HOUR, limits__max_orders_day=1), []
    begun: list[Decimal | None] = []
    for half_hour in range(-2, 100):
        at = start + half_hour * 1_800_000
        account.at(at, equity=str(10_030 + half_hour))
        passed.append((at - start, account.ask(buy(f"1.{half_hour + 2:03d}", at=at)) == ""))
        base = account.watch.breakers._base
        begun += [base] if base not in begun else []
    assert [since // DAY for since, fine in passed if fine] == [-1, 0, 1, 2]
    assert [since for since, fine in passed if fine][1:] == [0, DAY, 2 * DAY]
    assert len(begun) == 4


def test_t1_a_clock_that_goes_back_begins_no_day_again() -> None:
    account = Account(limits__max_orders_day=1, limits__max_daily_loss_ratio="0.03")
    account.at(MIDNIGHT, equity="10000")
    assert account.ask(buy("1.1")) == ""
    account.at(MIDNIGHT - HOUR, equity="9600")
    assert account.ask(buy("1.2")) == "daily_loss"
    account.at(MIDNIGHT + HOUR, equity="9600")
    assert account.ask(buy("1.3")) == "daily_loss", "the day had begun, and does not begin again"
    account.watch.forgive()
    assert account.ask(buy("1.4")) == "orders_per_day"


@pytest.mark.parametrize("year", [1970, 2099])
def test_t4_live_refuses_a_clock_that_cannot_be_right(year: int) -> None:
    from src.core.clock import from_iso

    with pytest.raises(UsageError, match=f"the clock says {year}"):
        live.refuse_wrong_clock(from_iso(f"{year}-01-01"))
    live.refuse_wrong_clock(from_iso("2026-11-21"))


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_m2_a_single_print_buys_nothing_and_several_are_believed(factor: float) -> None:
    account = Account(limits__median_closes=5)
    for hour in range(5):
        account.at(MIDNIGHT + hour * HOUR)
    reasons = []
    for hour in range(5, 10):
        account.at(MIDNIGHT + hour * HOUR, {BTC: 100.0 * factor}, held=HELD)
        wanted = buy(f"0.0{hour}", reference=Decimal(str(100.0 * factor)))
        denied = account.gate.review(msgspec.structs.replace(wanted, pair=BTC), account.state)
        reasons.append(denied.reason if isinstance(denied, Denied) else "")
        assert account.ask(sell(f"0.0{hour}")) == "", "who is in may get out"
    assert set(reasons) == {"position_open"}
    seen = [account_collar(account, hour, factor) for hour in range(10, 11)]
    assert seen == [""]
    fresh = Account(limits__median_closes=5)
    for hour in range(5):
        fresh.at(MIDNIGHT + hour * HOUR)
    assert [account_collar(fresh, hour, factor) for hour in range(5, 10)] == ["price_collar"] * 2 + [""] * 3


def account_collar(account: Account, hour: int, factor: float) -> str:
    """What the gate says of an entry at a wild price."""
    account.at(MIDNIGHT + hour * HOUR, {BTC: 100.0 * factor})
    return account.ask(buy(f"0.0{hour}", reference=Decimal(str(100.0 * factor))))


def test_m3_without_a_price_nothing_is_bought() -> None:
    account = Account()
    account.at(MIDNIGHT + HOUR, {BTC: float("nan")})
    assert account.ask(buy(reference=Decimal(0))) == "bad_amount"
    fresh = Account()
    fresh.watch._closes.clear()
    fresh.state = fresh.state.__class__(
        msgspec.structs.replace(fresh.state.snapshot, close=fresh.state.snapshot.close * float("nan")),
        {}, [], Decimal(10**9), Decimal(10_000), Decimal(10_000), "", True, Decimal(0),
    )  # fmt: skip
    assert fresh.ask(buy()) == "price_collar"


# --- L6 --------------------------------------------------------------------------------------------------------------


def test_l6_a_thousand_who_want_the_same_get_it_once_and_limits_hold_in_sum() -> None:
    account = Account(limits__max_gross_exposure_ratio="0.05")
    waiting: list[Order] = []
    for number in range(1000):
        account.state.open_orders = list(waiting)
        wanted = buy(f"1.{number:04d}", PAIRS[number % 2], id=f"o{number}")
        if account.ask(wanted) == "":
            waiting.append(wanted)
    assert [order.pair for order in waiting] == list(PAIRS[:2])
    account.state.open_orders = list(waiting)
    assert account.ask(buy("3", ADA)) == "gross_exposure"


# --- the only door ---------------------------------------------------------------------------------------------------

SENDERS = {"core/desk.py": {"broker.submit"}, "services/supervisor/driver.py": {"venue.place"}}
SIMULATION = "backtesting/simulation/"
"""Stands between coordinator and simulated venue, so that things go wrong there; it hands on what it is given."""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def test_orders_leave_by_two_call_sites_and_both_take_what_the_gate_approved() -> None:
    """`submit` of a broker, `place` of a venue: who calls them, or hands them on, is named here."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        inside = path.relative_to(ROOT / "src").as_posix()
        names = set() if inside.startswith(SIMULATION) else doors(ast.parse(path.read_text()))
        if names:
            found[inside] = names
    assert found.items() <= SENDERS.items()
    assert "core/desk.py" in found


def doors(tree: ast.AST) -> set[str]:
    """`broker.submit` and `venue.place`, called or handed on, under any owner."""
    names = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    ends = {".".join(part.lstrip("_") for part in name.split(".")[-2:]) for name in names}
    return ends & {"broker.submit", "venue.place"}


@pytest.mark.parametrize("code", ["self._broker.submit(a)", "x = desk.broker.submit", "self.venue.place(p)"])
def test_the_search_for_doors_finds_them(code: str) -> None:
    assert len(doors(ast.parse(code))) == 1


def test_only_an_approval_fits_through_the_doors() -> None:
    from src.core.ports import Broker
    from src.core.venue import Place

    assert Broker.submit.__annotations__["approved"] == "Approved"
    assert Place.__annotations__["approved"] == "Approved"
    assert not issubclass(Order, Denied)
