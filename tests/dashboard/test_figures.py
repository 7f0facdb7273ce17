"""What looking costs, measured: the engine's slowdown, the age of what is shown, memory over an hour of viewing.

All of it is long: a machine that does other things as well would be measured instead.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

import pytest

from tests.commands.cli import FEW, Process
from tests.dashboard.viewing import NEEDED, PAGES, Server, Viewer, browser, patiently

__all__ = ["browser"]

pytestmark = [NEEDED, pytest.mark.long, pytest.mark.timeout(1800)]

LOOKED_AT = ("", "swarm", "assets", "orders", "system")
WINDOW_SECONDS, ROUNDS = 10.0, 4
HOUR_OF_LOOKS = 2400
"""One look takes 1.5 seconds."""
TICKS = os.sysconf("SC_CLK_TCK")


def run(folder: Path, *words: str) -> Process:
    """An engine of the monitor's state folder."""
    return Process("--bus", "local", "--set", "memory.store=none", *words, cwd=folder, state=folder / "state")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    found.ready()
    yield found
    found.end()


def processor_seconds(pid: int) -> float:
    """What a process used of processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def slices_a_second(engine: Process) -> float:
    """Slices for a second of the engine's own processor time: what else the machine does changes it little."""
    before = engine.status()["slices"], processor_seconds(engine.popen.pid)
    Event().wait(WINDOW_SECONDS)
    after = engine.status()["slices"], processor_seconds(engine.popen.pid)
    return (after[0] - before[0]) / (after[1] - before[1])  # type: ignore[no-any-return]


def put_aside(folder: Path, other: Path) -> Server:
    """A monitor of what the ledger of `folder` holds now, whose engine is not there."""
    (other / "state").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "state" / "ledger.sqlite")) as ledger:
        ledger.execute("VACUUM INTO ?", (str(other / "state" / "ledger.sqlite"),))
    server = Server(other)
    server.ready()
    return server


def test_five_viewers_slow_the_engine_by_three_percent_at_most(tmp_path: Path, server: Server, browser: Any) -> None:
    """Against the same five who look at a copy of its ledger.

    The browser and the monitor share the machine, and with it its caches, whatever they look at; what is asked here
    is what the engine itself loses by being looked at.
    """
    with run(tmp_path, "--speed", "max", "--set", "simulated.history_days=1") as engine:
        patiently(lambda: engine.slices(300))
        elsewhere = put_aside(tmp_path, tmp_path / "aside")
        here = [Viewer(browser, server) for _ in LOOKED_AT]
        there = [Viewer(browser, elsewhere) for _ in LOOKED_AT]
        ratios = [looked_at(engine, there, here) / looked_at(engine, here, there) for _ in range(ROUNDS)]
        engine.popen.terminate()
        engine.end()
    elsewhere.end()
    assert median(ratios) <= 1.03, ratios


def looked_at(engine: Process, viewers: Sequence[Viewer], others: Sequence[Viewer]) -> float:
    """Slices a second while `viewers` look and the `others` do not."""
    for other in others:
        other.page.goto("about:blank")
    for viewer, page in zip(viewers, LOOKED_AT, strict=True):
        viewer.open(page)
    return slices_a_second(engine)


def test_at_the_speed_of_the_wall_nothing_shown_is_older_than_two_seconds(
    tmp_path: Path, server: Server, browser: Any
) -> None:
    with run(tmp_path, *FEW, "--speed", "1x", "--set", "simulated.history_days=1") as engine:
        patiently(lambda: engine.slices(288))
        viewer = Viewer(browser, server)
        viewer.open("")
        viewer.looked_again(2)
        ages = []
        for _ in range(20):
            viewer.looked_again()
            said = re.search(r"data ([\d.]+) s old", viewer.page.get_by_text("running · data").first.inner_text())
            assert said
            ages.append(float(said[1]))
        engine.popen.terminate()
        engine.end()
    assert max(ages) <= 0.5  # as drawn; it is drawn anew every 1.5 seconds


def test_an_hour_of_viewing_stays_small(tmp_path: Path, browser: Any) -> None:
    """As many looks as an hour has, at a page that looks again as soon as it can, while the ledger grows."""
    server = Server(tmp_path, Path(__file__).with_name("fast_app.py"))
    server.ready()
    with run(tmp_path, *FEW, "--speed", "6000x", "--set", "simulated.history_days=1") as engine:
        patiently(lambda: engine.slices(300))
        viewer, held = Viewer(browser, server), []
        for page in PAGES:
            viewer.open(page)
            viewer.page.evaluate(_COUNT)
            looks = HOUR_OF_LOOKS // len(PAGES)
            viewer.page.wait_for_function("most => window.looks >= most", arg=looks, polling=500, timeout=900_000)
            held.append(server.megabytes())
        engine.popen.terminate()
        engine.end()
    server.end()
    assert max(held) < 300, held
    assert held[-1] - held[1] < 60, held  # the first page of all loads what the others need


_COUNT = """() => {
  window.looks = 0; let before = '';
  new MutationObserver(() => {
    const line = [...document.querySelectorAll('[data-testid=stCaptionContainer]')].map(one => one.innerText)
      .find(one => one.includes('running')) || before;
    if (line !== before) { window.looks += 1; before = line; }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
"""Counts how often the line with the age of the data changed."""
