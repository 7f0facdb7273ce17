"""What looking costs, measured: the engine's slowdown, the age of what is shown, memory over an hour of viewing.

All of it is long: a machine that does other things as well would be measured instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
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
    return _used(Path(f"/proc/{pid}/stat"))


def _used(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def thread_seconds(pid: int) -> dict[str, float]:
    """What each living thread of a process used so far."""
    return {path.parent.name: _used(path) for path in Path(f"/proc/{pid}/task").glob("*/stat")}


def answering(pid: int) -> float:
    """Share of a process's own time that its two busiest threads, which walk and write, did not have."""
    before, whole = thread_seconds(pid), processor_seconds(pid)
    Event().wait(WINDOW_SECONDS)
    used = [seconds - before.get(thread, 0.0) for thread, seconds in thread_seconds(pid).items()]
    return 1 - sum(sorted(used)[-2:]) / (processor_seconds(pid) - whole)


def test_five_viewers_take_three_percent_of_the_engine_at_most(tmp_path: Path, server: Server, browser: Any) -> None:
    """Of its processor time: browser and monitor take theirs from the same machine here, whatever they look at."""
    with run(tmp_path, "--speed", "max", "--set", "simulated.history_days=1") as engine:
        patiently(lambda: engine.slices(300))
        alone = answering(engine.popen.pid)
        for page in LOOKED_AT:
            patiently(lambda page=page: Viewer(browser, server).open(page))
        looked_at = [answering(engine.popen.pid) for _ in range(ROUNDS)]
        engine.popen.terminate()
        engine.end()
    assert alone < 0.05, "walking and writing are not all that it does"
    assert median(looked_at) - alone <= 0.03, (alone, looked_at)


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
