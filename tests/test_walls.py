"""The walls of the house that no type checker sees: who may build an approval, read the time, or reach a broker."""

from __future__ import annotations

import ast
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import src
from src.connectors.memory_ledger import MemoryLedger
from src.core.bus import LocalBus
from src.core.clock import SimClock
from src.core.desk import Desk
from src.core.engine import Engine
from src.core.history import HistoryFeed
from src.core.market import Market
from src.core.portfolio import Portfolio
from src.services.gate import RiskGate
from src.services.supervisor import FixedSupervisor
from src.wiring import House, Plan, build
from tests.golden import tape
from tests.money import SHIPPED, exchange
from tests.worlds import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
Wall = Callable[[ast.AST], bool]


def inside(path: Path) -> str:
    """A source file's name inside `src`."""
    return path.relative_to(ROOT / "src").as_posix()


def offenders(wall: Wall, parse: Callable[[Path], ast.AST] | None = None) -> list[str]:
    """Files of src with a node that the wall forbids."""
    read = parse or (lambda path: ast.parse(path.read_text(encoding="utf-8")))
    return [inside(path) for path in SOURCES if any(wall(node) for node in ast.walk(read(path)))]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else f"?.{node.attr}"
    return ""


def calls(node: ast.AST) -> str:
    """The dotted name that a node calls."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def imports(node: ast.AST) -> Iterator[str]:
    """Full names that a node imports from outside."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def builds_an_approval(node: ast.AST) -> bool:
    """By its name, under any alias, or by conversion and replacement."""
    called = calls(node).rpartition(".")[2]
    if called == "Approved":
        return True
    if isinstance(node, ast.ImportFrom | ast.Import):
        return any(alias.name.endswith("Approved") and alias.asname for alias in node.names)
    mentions = isinstance(node, ast.Call) and any(dotted(a).endswith("Approved") for a in node.args)
    return mentions and called in {"convert", "decode", "Decoder", "partial", "make"}


TIME_NAMES = {
    "now",
    "utcnow",
    "today",
    "time",
    "time_ns",
    "monotonic",
    "perf_counter",
    "perf_counter_ns",
    "monotonic_ns",
}


def reads_the_time(node: ast.AST) -> bool:
    """`import time`, or a clock call of datetime, date, numpy or pandas."""
    if any(name.partition(".")[0] == "time" for name in imports(node)):
        return True
    head, _, last = calls(node).rpartition(".")
    return last in TIME_NAMES and head.rpartition(".")[2] in {"datetime", "date", "time", "Timestamp", "pd", "?"}


def draws_globally(node: ast.AST) -> bool:
    """`import random`, numpy's global state, or a generator without a seed."""
    if any(name.partition(".")[0] in {"random", "secrets"} for name in imports(node)):
        return True
    name = calls(node)
    if name in {"uuid.uuid4", "uuid4", "uuid1", "uuid.uuid1", "os.urandom"}:
        return True
    if name.endswith("default_rng") and isinstance(node, ast.Call):
        return not (node.args or node.keywords)
    return name.startswith(("np.random.", "numpy.random.")) and name.rpartition(".")[2][0].islower()


def prints(node: ast.AST) -> bool:
    """A bare print."""
    return calls(node) == "print"


def sleeps(node: ast.AST) -> bool:
    """A sleep of any library."""
    return calls(node).rpartition(".")[2] == "sleep"


def lists_all_keys(node: ast.AST) -> bool:
    """Redis KEYS, as a method or as a command: it stops a server that others use."""
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.strip().upper().startswith("KEYS ")
    ):
        return True
    if not isinstance(node, ast.Call):
        return False
    head, _, last = calls(node).rpartition(".")
    if last == "execute_command":
        return any(isinstance(a, ast.Constant) and str(a.value).upper().startswith("KEYS") for a in node.args)
    return last == "keys" and (bool(node.args) or any(w in head for w in ("redis", "client", "server", "connection")))


def submits(node: ast.AST) -> bool:
    """A call of `submit` on a broker, or with a broker's one argument: pools take a function and its arguments."""
    if not isinstance(node, ast.Call) or not calls(node).endswith(".submit"):
        return False
    return calls(node).endswith("broker.submit") or len(node.args) + len(node.keywords) == 1


def test_only_the_gate_builds_an_approval() -> None:
    assert offenders(builds_an_approval) == ["services/gate.py"]


def test_m_f24_only_the_desk_submits() -> None:
    assert offenders(submits) == ["core/desk.py"]


def test_only_the_engine_and_the_books_send() -> None:
    def sends(node: ast.AST) -> bool:
        return calls(node).endswith("desk.send")

    assert offenders(sends) == ["core/outbound.py", "services/pnl_tracker.py"]


def test_only_the_clock_reads_the_time() -> None:
    """Apart from the scripts of other engines, which their own interpreters run."""
    found = [name for name in offenders(reads_the_time) if not name.startswith("backtesting/bench/peers/")]
    assert found == ["core/clock.py"]


def test_nothing_is_left_to_chance() -> None:
    """Apart from the names that the command line gives to runs and requests: nothing decides by them."""
    assert [name for name in offenders(draws_globally) if not name.startswith("commands/")] == []


@pytest.mark.parametrize("wall", [prints, sleeps, lists_all_keys], ids=lambda wall: wall.__name__)
def test_nobody_does(wall: Wall) -> None:
    assert offenders(wall) == []


@pytest.mark.parametrize(
    ("wall", "code"),
    [
        (builds_an_approval, "types.Approved(order, 1)"),
        (builds_an_approval, "from x import Approved as A"),
        (builds_an_approval, "msgspec.convert(raw, Approved)"),
        (reads_the_time, "import time"),
        (reads_the_time, "from time import perf_counter"),
        (reads_the_time, "datetime.now(UTC)"),
        (reads_the_time, "datetime.datetime.utcnow()"),
        (reads_the_time, "date.today()"),
        (reads_the_time, "pd.Timestamp.now()"),
        (draws_globally, "import random"),
        (draws_globally, "np.random.seed(1)"),
        (draws_globally, "np.random.default_rng()"),
        (draws_globally, "uuid4()"),
        (prints, "print(1)"),
        (sleeps, "time.sleep(1)"),
        (sleeps, "sleep(1)"),
        (lists_all_keys, "client.keys('*')"),
        (lists_all_keys, "self._redis.keys()"),
        (lists_all_keys, "x.execute_command('KEYS', '*')"),
        (submits, "self.broker.submit(a)"),
        (submits, "door.submit(approved)"),
    ],
)
def test_each_wall_stops_what_it_is_there_for(wall: Wall, code: str) -> None:
    assert any(wall(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    ("wall", "code"),
    [
        (builds_an_approval, "isinstance(verdict, Approved)"),
        (reads_the_time, "datetime.fromtimestamp(1, UTC)"),
        (reads_the_time, "clock.now_ms()"),
        (draws_globally, "np.random.default_rng(seed)"),
        (draws_globally, "generator.normal()"),
        (lists_all_keys, "table.keys()"),
        (submits, "pool.submit(function, 1, 2)"),
    ],
)
def test_walls_let_through_what_is_right(wall: Wall, code: str) -> None:
    assert not any(wall(node) for node in ast.walk(ast.parse(code)))


def test_the_sources_under_test_are_those_of_this_repository() -> None:
    assert src.__file__ is not None
    assert Path(src.__file__).resolve().is_relative_to(ROOT)
    assert len(SOURCES) > 40


FORBIDDEN = (Desk, Engine, Portfolio, type(exchange(SHIPPED)), RiskGate, FixedSupervisor, MemoryLedger, House, Market)
ATOMS = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType)


def reachable(start: object, shut: tuple[type, ...]) -> Iterator[tuple[str, object]]:
    """Everything that can be had from an object by attributes, items, closures and bound methods, with its path.

    Doors of a type in `shut` are not gone through: they are shared by all, and have other owners behind them.
    """
    seen = {id(start)}
    queue = deque([("agent", start)])
    keep = []
    while queue:
        path, value = queue.popleft()
        yield path, value
        if isinstance(value, shut):
            continue
        for name, inner in parts(value):
            if id(inner) not in seen and not isinstance(inner, ATOMS):
                seen.add(id(inner))
                keep.append(inner)
                queue.append((f"{path}.{name}", inner))


def parts(value: object) -> Iterator[tuple[str, object]]:
    """What an object holds."""
    if isinstance(value, dict | types.MappingProxyType):
        for key, inner in value.items():
            yield f"key {key!r}", key
            yield f"[{key!r}]", inner
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from ((f"[{index}]", inner) for index, inner in enumerate(value))
    elif isinstance(value, weakref.ref):
        yield "()", value()
    elif isinstance(value, types.MethodType):
        yield "__self__", value.__self__
    if isinstance(value, types.FunctionType):
        yield from ((f"cell {n}", cell.cell_contents) for n, cell in enumerate(value.__closure__ or ()))
        yield "defaults", value.__defaults__
    yield from vars(value).items() if hasattr(value, "__dict__") else ()
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                yield slot, getattr(value, slot)


@pytest.fixture(scope="module")
def house() -> House:
    """A house that has lived through the whole tape."""
    clock, history = SimClock(), tape.history()
    plan = Plan(history.pairs, tape.HOUR, seed=7)
    built = build(SHIPPED, plan, clock, LocalBus(clock, SHIPPED.bus), MemoryLedger(SHIPPED.ledger), history)
    for slice_ in HistoryFeed(history):
        built.engine.on_slice(slice_)
    return built


def test_no_agent_can_reach_what_moves_money(house: House) -> None:
    """Agents speak by the bus alone. The bus is the one shut door: the engine listens behind it."""
    members = house.model.members()
    assert len(members) >= 5
    for agent in members:
        found = [path for path, value in reachable(agent, (LocalBus,)) if isinstance(value, FORBIDDEN)]
        assert found == [], agent.name


def test_the_search_for_handles_finds_them(house: House) -> None:
    """Without the shut door the engine is found, and so is a handle that somebody planted deep inside."""
    agent = house.model.members()[0]
    assert any(isinstance(value, Engine) for _, value in reachable(agent, ()))
    desk = house.desk
    for planted in ({"a": [(desk,)]}, lambda: desk, desk.send):
        agent.planted = planted
        try:
            assert any(isinstance(value, Desk) for _, value in reachable(agent, (LocalBus,)))
        finally:
            del agent.planted
