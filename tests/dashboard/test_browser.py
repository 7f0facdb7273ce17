"""The monitor in a real browser beside a real process: empty, live, halted and resumed, by mouse and by keyboard.

One browser, one server, one `mycelial run`. Pictures are left in `build/screenshots` for whoever changes a page.
Nothing here depends on how fast the machine is: whatever is looked for is waited for, for a long time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.commands.cli import Process
from tests.dashboard import seeds
from tests.dashboard.viewing import (
    CAPTIONS,
    ENGINE,
    NEEDED,
    PAGES,
    WAIT_MS,
    Server,
    Viewer,
    browser,
    patiently,
    sync_api,
)

__all__ = ["browser"]

pytestmark = [NEEDED, pytest.mark.timeout(1200)]
SEEDED = "20240101-000000-aaaa"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    found = Server(folder)
    try:
        found.ready()
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def viewer(browser: Any, server: Server) -> Iterator[Viewer]:
    found = Viewer(browser, server)
    yield found
    found.context.close()


@pytest.mark.long
def test_the_first_page_comes_within_three_seconds(viewer: Viewer) -> None:
    """Long, for it needs a machine that does nothing else."""
    assert min(viewer.open("") for _ in range(3)) < 3.0


def test_any_page_may_be_the_first_and_says_what_to_do(viewer: Viewer) -> None:
    viewer.open("system")  # the first page of a fresh process also loads its libraries; it may be any of them
    viewer.open("")
    viewer.text("engine down")
    viewer.picture("overview-empty")


@pytest.mark.parametrize("page", PAGES)
def test_empty_pages(viewer: Viewer, page: str) -> None:
    viewer.open(page)
    shown = viewer.page.locator('[data-testid="stCode"]:visible').first
    assert shown.inner_text().strip().startswith("mycelial ")


@pytest.fixture(scope="module")
def engine(folder: Path, viewer: Viewer) -> Iterator[Process]:
    """Starts where the empty pages were looked at."""
    for name, profit in ((SEEDED, -0.2), ("20240102-000000-bbbb", 0.1)):
        seeds.a_run(folder / "runs", name, profit)
    with Process(*ENGINE, cwd=folder, state=folder / "state") as process:
        patiently(lambda: process.line("metrics on"))
        patiently(lambda: process.slices(288 + 2))
        yield process
        process.popen.terminate()
        process.end()


def test_live_update_is_seen_without_reloading(viewer: Viewer, engine: Process) -> None:
    viewer.open("")
    viewer.text("SIMULATED: every price is made up")
    viewer.text("running · data")
    line = viewer.page.get_by_text("ledger row").first
    before = line.inner_text()
    marked = viewer.page.evaluate("window.kept = 1")
    viewer.page.wait_for_function(
        f"before => {CAPTIONS}.some(one => one.innerText.includes('ledger row') && one.innerText !== before)",
        arg=before,
    )
    assert viewer.page.evaluate("window.kept") == marked
    viewer.page.wait_for_function(  # not older than two seconds, once this machine has a moment
        f"() => {CAPTIONS}.some(one => Number((one.innerText.match(/data ([\\d.]+) s old/) || [0, 9])[1]) <= 2)"
    )


@pytest.mark.parametrize("page", PAGES)
def test_full_pages(viewer: Viewer, engine: Process, page: str) -> None:
    viewer.open(page)
    viewer.text("SIMULATED: every price is made up")
    if page in ("", "swarm", "assets", "moats"):
        viewer.page.locator(".js-plotly-plot .main-svg").first.wait_for()
    viewer.readable()
    viewer.picture(page or "overview")


def test_charts_stay_where_they_are(viewer: Viewer, engine: Process) -> None:
    """A refresh changes a chart in place: the node that was marked is still there after two of them.

    An engine that is late on a busy machine is shown by another chart for a while; one that flickers never stays.
    """
    viewer.open("assets")
    chart = viewer.page.locator(".js-plotly-plot").first
    for _ in range(5):
        chart.wait_for()
        chart.evaluate("node => { node.marked = true }")
        viewer.looked_again(2)
        if viewer.page.evaluate("Boolean((document.querySelector('.js-plotly-plot') || {}).marked)"):
            return
    raise AssertionError("the chart is made anew with each refresh")


def test_a_time_zone_is_chosen_and_shown(viewer: Viewer, engine: Process) -> None:
    """Market time is that of the banner, which counts in UTC, nine hours later."""
    viewer.open("")
    viewer.choose("Time zone", "Asia/Tokyo")
    viewer.page.wait_for_function(
        f"""() => {{
          const line = {CAPTIONS}.map(one => one.innerText.match(/market time \\S+T(\\d\\d):(\\d\\d)/)).find(Boolean);
          const metrics = [...document.querySelectorAll('[data-testid=stMetric]')].map(one => one.innerText);
          const shown = metrics.find(one => one.includes('Asia/Tokyo'));
          return line && shown && shown.includes(`${{(Number(line[1]) + 9) % 24}}`.padStart(2, '0') + ':' + line[2]);
        }}"""
    )
    viewer.choose("Time zone", "UTC")
    viewer.page.wait_for_function("() => !document.body.innerText.includes('Asia/Tokyo')")


def test_the_life_of_a_pair(viewer: Viewer, engine: Process) -> None:
    viewer.open("assets")
    viewer.text("Where it stands in its life")
    viewer.text("nothing speaks against it")
    metric = viewer.page.locator("[data-testid=stMetric]")
    assert "100 %" in metric.filter(has_text="Size share").inner_text()
    assert "active" in metric.filter(has_text="Stage of life").first.inner_text()


def test_a_backtest_is_started_and_watched_and_its_tear_sheet_opened(
    viewer: Viewer, engine: Process, tmp_path: Path
) -> None:
    viewer.open("backtests")
    page = viewer.page
    page.get_by_text("Start a backtest").click()
    page.get_by_label("Pairs", exact=True).fill("BTC/USDT,ETH/USDT")
    page.get_by_role("button", name="Start", exact=True).click()
    viewer.text("mycelial backtest --data")
    page.get_by_text("backtest: done").wait_for(timeout=5 * WAIT_MS)
    page.get_by_text(re.compile(r"mycelial gate 2024010\d")).wait_for(state="detached")  # the new run is shown instead
    page.get_by_role("button", name="Make the tear sheet").click()
    page.get_by_text("tear sheet: done").wait_for(timeout=5 * WAIT_MS)
    with page.expect_download() as expected:
        page.get_by_role("button", name="Tear sheet (HTML)").click()
    sheet = tmp_path / "sheet.html"
    expected.value.save_as(sheet)
    asked: list[str] = []
    opened = viewer.context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(sheet.as_uri())
    assert opened.locator("svg").count() > 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    opened.close()


def test_two_runs_are_compared(viewer: Viewer, engine: Process) -> None:
    """The older of the seeded runs beside the newest run."""
    viewer.open("backtests")
    page = viewer.page
    option = page.get_by_role("option", name=SEEDED)
    for _ in range(10):  # a page that is drawn again takes an open list away
        page.get_by_label("Compare with", exact=True).first.click()
        with suppress(sync_api.TimeoutError):
            option.click(timeout=4_000)
            break
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Side by side").wait_for()
    compared = page.get_by_text(re.compile(rf"mycelial compare \S+ {SEEDED}")).first
    compared.wait_for()
    page.locator(".js-plotly-plot .legendtext", has_text=SEEDED).wait_for()
    viewer.readable()
    viewer.picture("compared")


def test_a_halt_is_clicked_and_obeyed(viewer: Viewer, engine: Process) -> None:
    viewer.open("")
    viewer.page.get_by_role("button", name="Halt…").click()
    dialog = viewer.page.get_by_role("dialog")
    dialog.wait_for()
    dialog.get_by_role("button", name="Yes, halt").click()
    dialog.get_by_text("Say why").wait_for()
    assert not engine.status()["standing"]
    viewer.looked_again(3)  # who types takes longer than the page between two looks
    dialog.get_by_label("Why").fill("a test of the monitor")
    dialog.get_by_role("button", name="Yes, halt").click()
    patiently(lambda: engine.until(lambda answer: answer["halted"] == "a test of the monitor"))
    viewer.text("HALTED: a test of the monitor")
    viewer.picture("overview-halted")
    viewer.readable()


def test_what_was_said_is_found_in_the_log(viewer: Viewer, engine: Process) -> None:
    viewer.open("system")
    viewer.text(re.compile(r"mycelial\.jsonl: \d+ of the newest \d+ lines"))
    viewer.choose("At least", "warning")
    viewer.page.get_by_label("In which stands", exact=True).fill("A test of the Monitor")
    viewer.page.get_by_label("In which stands", exact=True).press("Enter")
    viewer.text(re.compile(r"mycelial\.jsonl: 1 of the newest \d+ lines"))
    viewer.page.get_by_label("In which stands", exact=True).fill("nobody said this")
    viewer.page.get_by_label("In which stands", exact=True).press("Enter")
    viewer.text("No line is so loud, or says this.")
    viewer.readable()


def test_a_resume_by_keyboard_alone(viewer: Viewer, engine: Process) -> None:
    assert engine.status()["standing"]
    page = viewer.page
    _tab_to(page, "Resume…")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    _tab_to(page, "", "input[aria-label='Why']")
    page.keyboard.type("it was a test")
    _tab_to(page, "Yes, resume")
    page.keyboard.press("Enter")
    patiently(lambda: engine.until(lambda answer: not answer["standing"]))
    page.get_by_role("heading", name="HALTED").wait_for(state="detached")


def test_pages_are_reached_and_figures_explained_by_keyboard(viewer: Viewer, engine: Process) -> None:
    viewer.open("")
    _tab_to(viewer.page, "Moats", "a")
    viewer.page.keyboard.press("Enter")
    viewer.page.get_by_role("heading", name="Moats", level=1).wait_for()
    _tab_to(viewer.page, "What do these figures mean?")
    viewer.page.keyboard.press("Enter")
    viewer.text("How unusual a moat")


def _tab_to(page: Any, words: str, selector: str = "button") -> None:
    """Press Tab until something is in focus."""
    for _ in range(90):
        page.keyboard.press("Tab")
        found = "([s, w]) => document.activeElement.matches(s) && document.activeElement.innerText.includes(w)"
        if page.evaluate(found, [selector, words]):
            return
    raise AssertionError(f"the keyboard does not reach {words or selector}")


def test_dark_is_readable_too(browser: Any, server: Server, engine: Process) -> None:
    dark = Viewer(browser, server, "dark")
    for page in ("", "swarm", "system"):
        dark.open(page)
        if page != "system":
            dark.page.locator(".js-plotly-plot .main-svg").first.wait_for()
        dark.readable()
        dark.picture(page or "overview")
    assert dark.strangers == []
    dark.context.close()


def test_nothing_is_asked_of_other_machines_and_memory_stays_small(viewer: Viewer, server: Server) -> None:
    assert viewer.strangers == []
    assert server.megabytes() < 300


def test_it_is_bound_to_this_machine_alone(server: Server) -> None:
    bound = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in bound.splitlines() if f":{server.port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{server.port:04X}"]


def test_the_page_outlives_the_engine(viewer: Viewer, engine: Process) -> None:
    viewer.open("")
    engine.popen.terminate()
    engine.end()
    viewer.text("engine down")
    viewer.text("SIMULATED: every price is made up")


def test_a_pair_on_probation_and_names_that_want_to_be_code(viewer: Viewer, engine: Process, folder: Path) -> None:
    """This process answers in the place of the one that ended."""
    spoken: list[str] = []
    engine.popen.terminate()
    engine.end()
    viewer.page.on("dialog", lambda dialog: (spoken.append(dialog.message), dialog.dismiss()))
    with seeds.answering(folder / "state", []):
        viewer.open("assets")
        viewer.text("its trades lost more than -5 %")
        metric = viewer.page.locator("[data-testid=stMetric]")
        assert "50 %" in metric.filter(has_text="Size share").inner_text()
        viewer.text("All pairs that may not have their full size")
        viewer.readable()
        viewer.picture("assets-probation")
        for page in ("swarm", "orders", "system"):
            viewer.open(page)
        viewer.text("SIMULATED: every price is made up")
    assert spoken == []
    assert viewer.strangers == []
