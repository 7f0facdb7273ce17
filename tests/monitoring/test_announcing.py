"""What is told of a run: to people only what matters and never how large the account is; to the log with its order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.commands.announcing import Announcer
from src.connectors.discord import Discord, Notice, Severity
from src.connectors.logs import Logs
from src.connectors.private_file import Secret
from src.connectors.redaction import Redaction
from src.core.types import Command, CommandKind, Decision
from tests.golden import tape
from tests.monitoring.test_discord import PATH, Hasty
from tests.monitoring.test_discord import hook as hook  # the fixture
from tests.monitoring.test_logs import lines
from tests.monitoring.test_measures import Run
from tests.monitoring.webhook import Webhook
from tests.worlds import settings


class Told(Run):
    """The scripted tape's house with its announcer and a log."""

    def __init__(self, folder: Path, history_ends: int = 0) -> None:
        super().__init__()
        self.told: list[Notice] = []
        self.alarms: list[str] = []
        self.logs = Logs(settings().monitoring.logs, folder, "run-1", Redaction())
        self.announcer = Announcer(
            *(self.house, self.ledger, self.logs.logger, self.told.append, "[PAPER SIMULATED]"),
            *(history_ends, self.alarms.append),
        )

    def walk(self, bars: int = tape.BARS) -> None:
        before = len(self.reports)
        super().walk(bars)
        for report in self.reports[before:]:
            self.announcer(report)

    def again(self, **changes: Any) -> None:
        """The newest report with something else in it."""
        self.announcer(msgspec.structs.replace(self.reports[-1], **changes))

    def texts(self) -> list[str]:
        return [notice.text for notice in self.told]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path)
    yield made
    made.logs.close()
    made.house.close()


def test_a_halt_and_its_end_are_told_once(run: Told) -> None:
    run.walk(2)
    run.house.engine.inbox.put(Command(CommandKind.HALT, "look at BTC", "person"))
    run.walk(6)
    run.house.engine.inbox.put(Command(CommandKind.RESUME, "looked", "person"))
    run.walk(8)
    assert [(one.event, one.severity, one.text) for one in run.told] == [
        ("halts", Severity.CRITICAL, "[PAPER SIMULATED] HALTED: look at BTC"),
        ("halts", Severity.INFO, "[PAPER SIMULATED] resumed: entries are possible again"),
    ]


def test_people_hear_last_what_is(run: Told, hook: Webhook) -> None:
    """Through the webhook, within the seconds in which the same is told once."""
    people = Discord(Secret(PATH), settings().monitoring.discord, str, Hasty(), base=hook.url)
    run.announcer._tell_people = people.tell
    people.start()
    for bars, kind in ((2, CommandKind.HALT), (4, CommandKind.RESUME), (6, CommandKind.HALT)):
        run.house.engine.inbox.put(Command(kind, "daily loss", "person"))
        run.walk(bars)
    for up in (False, True, False):
        run.again(bus_up=up)
    for failure in ("full", None, "full"):
        run.ledger.failure = failure
        run.again(bus_up=False)
    run.ledger.failure = None
    people.close()
    words = [text.removeprefix("[PAPER SIMULATED] ").partition(":")[0] for text in hook.texts(9)]
    assert words[:3] == ["HALTED", "resumed", "HALTED"]
    assert words[3:6] == ["the bus is down", "the bus is up again", "the bus is down"]
    assert words[6:] == ["the ledger cannot be written", "the ledger is written again", "the ledger cannot be written"]


def test_history_is_told_to_nobody(tmp_path: Path) -> None:
    run = Told(tmp_path, history_ends=tape.closed_at(4))
    run.house.engine.inbox.put(Command(CommandKind.HALT, "old", "person"))
    run.walk(3)
    run.house.engine.inbox.put(Command(CommandKind.RESUME, "old", "person"))
    run.walk(5)
    assert run.told == []
    run.house.engine.inbox.put(Command(CommandKind.HALT, "new", "person"))
    run.walk(6)
    assert run.texts() == ["[PAPER SIMULATED] HALTED: new"]
    run.logs.close()
    run.house.close()
    assert [line["event"] for line in lines(tmp_path)] == ["halted", "resumed", "halted"]


def test_faults_of_the_bus_the_ledger_and_agents(run: Told) -> None:
    run.walk(1)
    run.again(bus_up=False)
    run.again(bus_up=False)
    run.again()
    run.ledger.failure = "no space left"
    run.again()
    run.ledger.failure = "no space left at all"
    run.again()
    run.ledger.failure = None
    run.house.model.quarantined["analyst-1"] = "it raised ValueError"
    run.again()
    assert [(one.event, one.severity.value, one.text.partition("] ")[2]) for one in run.told] == [
        ("faults", "warning", "the bus is down: no new entries"),
        ("faults", "info", "the bus is up again"),
        ("faults", "critical", "the ledger cannot be written: no space left"),
        ("faults", "info", "the ledger is written again"),
        ("faults", "warning", "agent analyst-1 was taken out: it raised ValueError"),
    ]


def test_an_alarm_is_told_logged_and_counted(run: Told, tmp_path: Path) -> None:
    run.walk(1)
    detail = {"says": "no stop for 0.5 BTC"}
    alarm = Decision(run.reports[-1].at, "alarm", tape.PAIR, None, "unprotected", "coordinator", detail)
    run.again(decisions=(alarm,))
    (notice,) = run.told
    assert (notice.event, notice.severity) == ("alarms", Severity.CRITICAL)
    assert notice.text == "[PAPER SIMULATED] ALARM unprotected of BTC/USDT: no stop for 0.5 BTC"
    assert run.alarms == ["unprotected"]
    run.logs.close()
    (line,) = (line for line in lines(tmp_path) if line["event"] == "alarm")
    assert (line["code"], line["pair"], line["at"]) == ("unprotected", "BTC/USDT", "2021-01-01T01:00:00.000Z")


def test_a_day_is_summed_up_without_the_size_of_the_account(run: Told) -> None:
    run.walk()
    days = [one for one in run.told if one.event == "daily"]
    assert [one.text.split(" ")[2] for one in days] == ["2021-01-01:", "2021-01-02:"]
    equity = [report.equity for report in run.reports]
    second = (equity[46] / equity[22] - 1) * 100  # bar 46 closes at the last hour of the second day
    trades = [t for r in run.reports[23:47] for t in r.trades if t.stream == "synthesized"]
    assert f" {second.quantize(Decimal('0.01'))} %, {len(trades)} trades, " in days[1].text
    whole = {str(int(report.equity)) for report in run.reports} | {str(int(report.cash)) for report in run.reports}
    assert not any(figure in notice.text for notice in run.told for figure in whole)


def test_orders_fills_and_trades_are_lines_of_the_log_with_their_order(run: Told, tmp_path: Path) -> None:
    run.walk()
    run.logs.close()
    found = lines(tmp_path)
    orders = [order for report in run.reports for order in report.orders]
    fills = [fill for report in run.reports for fill in report.fills]
    assert orders
    assert [line["order"] for line in found if line["event"] == "order"] == [order.id for order in orders]
    assert [line["order"] for line in found if line["event"] == "fill"] == [fill.order_id for fill in fills]
    assert {line["run"] for line in found} == {"run-1"}
    trades = [line for line in found if line["event"] == "trade"]
    assert len(trades) == sum(t.stream == "synthesized" for r in run.reports for t in r.trades) > 0


def test_a_long_reason_is_cut(run: Told) -> None:
    run.walk(1)
    run.again(halted="x" * 5000)
    assert len(run.told[0].text) < 350
