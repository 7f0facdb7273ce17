"""The monitor's pages without a browser: what they show empty and full, in trouble, and of hostile names."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import charts, theme
from dashboard.controls import whether_it_trades
from dashboard.data import HELD_SECONDS, Answer, Door, Engine
from dashboard.explain import EXPLAIN
from dashboard.ledger import READ_SECONDS
from dashboard.views.backtests import words_of
from src.core.clock import Timer
from src.core.errors import MycelialError, NotRunning, TimeoutExceeded
from tests.commands.cli import refused
from tests.dashboard import seeds
from tests.dashboard.seeds import HOSTILE
from tests.dashboard.test_ledger import first_and_next, grown
from tests.worlds import ROOT

PAGES = ("overview", "swarm", "assets", "orders", "moats", "backtests", "system")
SOURCES = sorted((ROOT / "dashboard").rglob("*.py"))
MILLION = 1_000_000


def _page(name: str) -> None:
    """One page as the app shows it: side bar, banner, page."""
    import importlib

    from dashboard import controls, parts

    controls.sidebar()
    parts.live(lambda: parts.banner(parts.door()))
    importlib.import_module(f"dashboard.views.{name}").show()


Look = Callable[..., AppTest]


@contextmanager
def looking_at(folder: Path) -> Iterator[Look]:
    """Shows pages of the folder `state` beside `runs`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYCELIAL_STATE", str(folder / "state"))
        patch.setenv("MYCELIAL_RUNS", str(folder / "runs"))
        patch.setenv("MYCELIAL_DATA", str(folder))
        st.cache_resource.clear()
        yield lambda name, **state: shown(name, state)
        st.cache_resource.clear()


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    """Show a page of this test's own folders."""
    with looking_at(tmp_path) as look:
        yield look


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AppTest]:
    """All pages of a process that answers, with a full ledger and a run."""
    folder = tmp_path_factory.mktemp("alive")
    seeds.full(folder / "state")
    seeds.logged(folder / "state")
    seeds.a_run(folder / "runs", "one", -0.2)
    with looking_at(folder) as look, seeds.answering(folder / "state", []):
        return {name: look(name, zone="Asia/Tokyo", asset="BTC/USD") for name in PAGES}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AppTest]:
    """All pages of a ledger whose process is gone."""
    folder = tmp_path_factory.mktemp("ended")
    seeds.full(folder / "state", 200)
    seeds.a_run(folder / "runs", "one", -0.2)
    with looking_at(folder) as look:
        return {name: look(name, asset=HOSTILE) for name in PAGES}


def shown(name: str, state: dict[str, Any]) -> AppTest:
    """A page that was run without an error."""
    app = AppTest.from_function(_page, args=(name,), default_timeout=30)
    for key, value in state.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest, code: bool = True) -> str:
    """Everything that a page says in Markdown, boxes and, as it stands, code."""
    kinds = [app.markdown, app.caption, app.warning, app.error, app.info, app.subheader, *([app.code] if code else [])]
    return "\n".join(str(one.value) for kind in kinds for one in kind)


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_page_names_the_command_that_fills_it(look: Look, name: str) -> None:
    app = look(name)
    assert any(one.value.startswith("mycelial ") for one in app.code), words(app)
    assert "engine down" in words(app)
    assert app.button(key="halt").disabled


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_ended_run(ended: dict[str, AppTest], name: str) -> None:
    app = ended[name]
    assert "SIMULATED" in app.warning[0].value
    assert "mode paper" in app.warning[0].value
    assert "engine down" in words(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_running_process(alive: dict[str, AppTest], name: str) -> None:
    app = alive[name]
    assert "running" in words(app)
    assert "SIMULATED" in app.warning[0].value
    assert not app.button(key="halt").disabled
    assert all(one.help for one in app.metric)  # every figure opens its explanation
    assert {one.label for one in app.metric} <= {label for label, _ in EXPLAIN.values()}


def figures(app: AppTest) -> dict[str, str]:
    """Figures of a page by their label."""
    return {one.label: str(one.value) for one in app.metric}


def test_overview_tells_the_streams_exactly(ended: dict[str, AppTest]) -> None:
    told = figures(ended["overview"])
    assert told == {"Baseline": "9,970.00", "Mycelial": "10,010.00", "Synthesized": "10,199.00"}


def test_figures_of_the_process(alive: dict[str, AppTest]) -> None:
    overview, swarm, assets, orders = (figures(alive[name]) for name in ("overview", "swarm", "assets", "orders"))
    assert (overview["Equity"], overview["Collisions"]) == ("10,123.50", "7")
    assert overview["Market time"] == "21:00"  # noon in Tokyo
    assert (swarm["Population"], swarm["Toxic"], swarm["Contagion"]) == ("30", "1", "0.250")
    assert (assets["Price"], assets["Positions"], assets["Trades"], assets["Won"]) == ("50.0000", "0.02", "40", "50 %")
    assert orders["Exposure"] == "+8.00 %"


def test_who_took_from_whom_and_who_is_poisoned(alive: dict[str, AppTest], ended: dict[str, AppTest]) -> None:
    for app, noon, midnight in ((alive["swarm"], "21:00:00", "09:00:00"), (ended["swarm"], "12:00:00", "00:00:00")):
        taken = cells(app, "giver", "taker")
        assert (taken[0]["giver"], taken[0]["taker"]) == ("learner-code-2", "learner-code-1")
        assert (len(taken), taken[0]["gain"]) == (2, 0.0125)  # of those who are gone nothing is told
        assert str(taken[0]["time"]) == f"2024-01-01 {noon}"  # in Tokyo, and in UTC
        (known, _) = cells(app, "learner", "since")
        assert (known["learner"], str(known["since"])) == ("learner-code-1", f"2024-01-01 {midnight}")
        (child,) = cells(app, "child", "replaces")
        assert (child["child"], child["replaces"], child["generation"]) == ("learner-code-1~1", "learner-code-1", 2)
        assert str(child["time"]) == f"2024-01-01 {midnight}"


def cells(app: AppTest, *columns: str) -> list[dict[str, Any]]:
    """The rows of the table that has these columns."""
    tables = (one.value for one in app.dataframe)
    found: list[dict[str, Any]] = next(one for one in tables if set(columns) <= set(one.columns)).to_dict("records")
    return found


def test_the_life_of_an_asset(alive: dict[str, AppTest], ended: dict[str, AppTest]) -> None:
    told = figures(alive["assets"])
    assert (told["Stage of life"], told["Size share"], told["Net returns"]) == ("probation", "50 %", "-6.20 %")
    assert "Why: its trades lost more than \\-5 \\%" in words(alive["assets"])
    (change,) = cells(alive["assets"], "from", "to")
    assert (change["from"], change["to"], change["net returns %"]) == ("active", "probation", -5.12)
    unwell = cells(alive["assets"], "size %")
    assert [(one["stage"], one["size %"]) for one in unwell] == [("probation", 50.0), ("hibernating", 0.0)]
    assert "It never had a team or a trade" in words(ended["assets"])


def test_the_log_file(alive: dict[str, AppTest], ended: dict[str, AppTest], look: Look, tmp_path: Path) -> None:
    assert [row["level"] for row in cells(alive["system"], "said")] == ["error", "info", "info", "info"]
    assert "There is no log here" in words(ended["system"])
    seeds.logged(tmp_path / "state")
    order = look("system", log_words="O1")
    assert [row["event"] for row in cells(order, "said")] == ["fill", "order"]
    loud = look("system", log_level="warning")
    assert [row["level"] for row in cells(loud, "said")] == ["error"]
    assert "No line is so loud" in words(look("system", log_level="critical"))


def test_what_a_moat_knows_is_shown_with_its_deviations(alive: dict[str, AppTest]) -> None:
    rows = {row["figure"]: (row["moat"], row["value"], row["deviations"])
            for row in cells(alive["moats"], "figure", "deviations")}  # fmt: skip
    assert rows["documents"] == ("government", 12.0, 1.5)
    assert rows["event_hours"][:2] == ("government", 9.0)
    assert "documents.z" not in rows


def test_halt_needs_confirmation_and_a_reason(look: Look, tmp_path: Path) -> None:
    """Pressed to its end in the browser's test, where dialogs stay open."""
    seeds.full(tmp_path / "state", 5)
    asked: list[tuple[str, dict[str, Any]]] = []
    with seeds.answering(tmp_path / "state", asked):
        app = look("moats")
        app.button(key="halt").click().run()
        assert asked == []
        assert any(one.key == "halt_yes" for one in app.button)
        door = Door(tmp_path / "state", tmp_path / "runs", None)
        assert door.engine.command("halt", reason="maintenance", pair=None) == "halt: done"
        assert asked == [("halt", {"reason": "maintenance"})]


HELD, EXITS = {"state": "halted", "reason": "look"}, {"state": "reduce_only", "reason": "look"}


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ({}, "Trading"),
        ({"all": HELD}, "Halted"),
        ({"all": HELD, "BTC/USD": EXITS}, "Halted"),
        ({"all": EXITS}, "Exits only"),
        ({"all": EXITS, "BTC/USD": HELD}, "Exits only, but BTC/USD halted"),
        ({"ETH/USD": EXITS, "BTC/USD": HELD}, "Trading, but BTC/USD halted, ETH/USD exits only"),
        ({f"A{n}/USD": HELD for n in range(5)}, "Trading, but A0/USD halted, A1/USD halted, A2/USD halted, 2 more"),
    ],
)
def test_the_side_bar_says_what_is_held_back(standing: dict[str, Any], said: str) -> None:
    assert whether_it_trades(Answer({"standing": standing})).replace("\\", "") == said
    assert whether_it_trades(Answer({"standing": standing}, "no process answers")) == "Engine down"


def test_a_pair_that_is_held_back_halts_nothing_else(look: Look, tmp_path: Path) -> None:
    seeds.full(tmp_path / "state", 5)
    with seeds.answering(tmp_path / "state", [], {HOSTILE: EXITS, "BTC/USD": HELD}):
        app = look("moats")
    (told,) = [one.value for one in app.sidebar.markdown if "Trading" in one.value]
    assert told.startswith("**Trading, but \\<script\\>")
    assert "Halted" not in words(app)
    assert any("BTC\\/USD halted: look" in one.value for one in app.error)


def test_hostile_names_stay_names(alive: dict[str, AppTest], ended: dict[str, AppTest]) -> None:
    for app in (*alive.values(), *ended.values()):
        said = words(app, code=False)
        assert "<script" not in said.replace("\\<script", "")
        assert "![i]" not in said
        assert ":red[" not in said
    assert "\\<script" in words(ended["assets"])  # it is shown, as text
    copied = next(one.value for one in ended["assets"].code if "why-not" in one.value and "script" in one.value)
    assert shlex.split(copied) == ["mycelial", "why-not", HOSTILE, "--at", "last"]
    assert "<script" not in charts.network([{"name": HOSTILE, "pair": HOSTILE}], frozenset(), theme.LIGHT).to_json()


def test_nothing_is_shown_as_raw_html() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "unsafe_allow_html" not in text, path
        assert "st.html" not in text, path
        assert "components" not in text, path


def imported(path: Path) -> set[str]:
    """What a file of the monitor imports from `src`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    froms = (node.module or "" for node in nodes if isinstance(node, ast.ImportFrom))
    return {name for name in froms if name.partition(".")[0] == "src"}


def test_the_monitor_knows_the_rest_by_its_door_alone() -> None:
    for path in SOURCES:
        allowed = {"src.core.messages", "src.core.types"}
        if path.name == "data.py":
            allowed |= {"src.connectors.control", "src.connectors.state_folder", "src.core.clock", "src.core.errors"}
        assert imported(path) <= allowed, path
    assert imported(ROOT / "dashboard" / "data.py") > {"src.connectors.control"}


def test_nobody_in_src_knows_the_monitor() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "from dashboard" not in text, path
        assert "import dashboard" not in text.replace("from ..commands import dashboard", ""), path


def test_colours_are_readable_and_differ_without_hue() -> None:
    for colours in (theme.LIGHT, theme.DARK):
        assert theme.contrast(colours.ink, colours.paper) >= 7
        assert theme.contrast(colours.soft, colours.paper) >= 4.5
        for colour in (*colours.series, colours.up, colours.down):
            assert theme.contrast(colour, colours.paper) >= 3
        assert len(set(colours.series)) == len(colours.series)


@pytest.mark.long
def test_a_ledger_of_a_million_rows(tmp_path: Path, look: Look) -> None:
    path = grown(tmp_path / "state" / "ledger.sqlite", MILLION) if (tmp_path / "state").mkdir() is None else tmp_path
    found, first, again = first_and_next(path)
    assert found.seq >= MILLION - 20
    assert first < 3.0
    assert again < READ_SECONDS
    timer = Timer()
    app = look("overview")
    began = timer.seconds()
    app.run()
    assert timer.seconds() - began < 0.3


# --- the process


def test_viewers_share_one_answer(tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    (tmp_path / "state").mkdir()
    with seeds.answering(tmp_path / "state", asked):
        door = Door(tmp_path / "state", tmp_path / "runs", None)
        counted = [0]
        plain = door.engine._ask

        def ask(name: str, fields: Any) -> dict[str, Any]:
            counted[0] += 1
            return plain(name, fields)

        door.engine._ask = ask  # type: ignore[method-assign]
        viewers = [Thread(target=door.engine.status) for _ in range(20)]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join()
        assert counted[0] <= 2
        assert door.mode() == "paper"
        assert door.simulated()
    assert door.process() is None


class Hand(Timer):
    """A timer that a test turns."""

    def __init__(self) -> None:
        self.at = 0.0

    def seconds(self) -> float:
        return self.at


def test_a_late_process_is_shown_older_and_an_ended_one_is_not(tmp_path: Path) -> None:
    hand = Hand()
    engine = Engine(tmp_path, hand)
    answers: list[dict[str, Any] | MycelialError] = [{"ok": True, "mode": "paper"}]

    def ask(name: str, fields: Any) -> dict[str, Any]:
        if isinstance(answers[-1], MycelialError):
            raise answers[-1]
        return answers[-1]

    engine._ask = ask  # type: ignore[method-assign]
    assert (engine.status().fields["mode"], engine.status().age) == ("paper", 0.0)
    answers.append(TimeoutExceeded("no answer within 1.5 s"))
    hand.at = HELD_SECONDS - 1
    held = engine.status()
    assert (held.alive, held.fields["mode"], held.age) == (True, "paper", HELD_SECONDS - 1)
    hand.at = HELD_SECONDS + 1
    assert (engine.status().alive, engine.status().fields) == (False, {})
    answers.append({"ok": True, "mode": "paper"})
    hand.at += 1
    assert engine.status().age == 0.0
    answers.append(NotRunning("no process answers here"))
    hand.at += 1
    assert (engine.status().said, engine.status().fields) == ("no process answers here", {})


def test_damaged_runs_say_so(look: Look, tmp_path: Path) -> None:
    seeds.a_run(tmp_path / "runs", "good", 0.1)
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "result.json").write_text("{")
    app = look("backtests")
    assert app.selectbox(key="run").options == ["good"]


def test_runs_are_compared(look: Look, tmp_path: Path) -> None:
    for name, profit in (("a", 0.1), ("b", -0.2)):
        seeds.a_run(tmp_path / "runs", name, profit)
    app = look("backtests", others=["a"], run="b")
    assert any(one.value == "mycelial compare b a" for one in app.code)


def test_words_of_a_backtest() -> None:
    assert words_of("d", "BTC/USDT", "20220101-", "1h", 7) == [
        *("backtest", "--data", "d", "--timeframe", "1h", "--seed", "7"),
        *("--pairs=BTC/USDT", "--timerange=20220101-"),
    ]
    assert words_of("d", "BTC/USDT;rm", "", "1h", 7) is None
    assert words_of("d", "", "yesterday", "1h", 7) is None


def test_a_job_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    state = seeds.full(tmp_path / "state")
    door = Door(state, tmp_path / "runs", None)
    job = door.jobs.start("verification", ["verify", str(state)])
    assert job is not None
    assert door.jobs.start("second", ["--help"]) is None  # one at a time
    assert job.wait(60) == 6  # a seeded account does not add up
    assert "the mark says 9000" in job.tail()


# --- the command


def test_a_taken_port_is_said(say: Any) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done: subprocess.CompletedProcess[str] = say("dashboard", "--port", str(taken.getsockname()[1]))
    refused(done, 4, "cannot be had", "--port")


def test_the_command_keeps_the_monitor_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from src.commands import dashboard

    words = dashboard.command(8501)
    assert "--server.address=127.0.0.1" in words
    assert "--client.showErrorDetails=none" in words
    assert "--server.enableXsrfProtection=true" in words
    monkeypatch.chdir(tmp_path)
    told = dashboard.environment(Path("s"), Path("d"))
    assert told["MYCELIAL_STATE"] == str(tmp_path / "s")
    assert told["MYCELIAL_DATA"] == str(tmp_path / "d")


def test_figures_are_pure() -> None:
    members = [{"name": f"a{n}", "pair": "BTC/USD", "moat": "code", "generation": 0, "parent": "a0"} for n in range(40)]
    drawn = [charts.network(members, frozenset({"a1"}), theme.DARK).to_json() for _ in range(2)]
    assert drawn[0] == drawn[1]
    x, y = charts.thinned(list(range(100_000)), [float(n % 977) for n in range(100_000)])
    assert len(x) <= charts.POINTS + 2
    assert (min(y), max(y), x[0], x[-1]) == (0.0, 976.0, 0, 99_999)


@pytest.mark.parametrize("name", PAGES)
def test_every_column_opens_its_explanation(alive: dict[str, AppTest], ended: dict[str, AppTest], name: str) -> None:
    for app in (alive[name], ended[name]):
        for one in app.dataframe:
            told = json.loads(one.proto.columns)
            columns = {column for column in one.value.columns if not told.get(column, {}).get("help")}
            assert not columns, f"without an explanation: {sorted(columns)}"
