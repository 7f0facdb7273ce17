"""The monitor in a real browser beside a real process: empty, live, halted and resumed, by mouse and by keyboard.

One browser, one server, one `mycelial run`. Pictures are left in `build/screenshots` for whoever changes a page.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from src.commands.dashboard import command as server_words
from src.core.clock import Timer
from tests.commands.cli import FEW, Process, environment
from tests.dashboard import seeds
from tests.worlds import ROOT

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium on this machine")

PAGES = {"": "Overview", "swarm": "Swarm", "assets": "Assets", "orders": "Positions and orders", "moats": "Moats",
         "backtests": "Backtests", "system": "System"}  # fmt: skip
PICTURES = ROOT / "build" / "screenshots"
WAIT_MS = 30_000
ENGINE = (*FEW, "--bus", "local", "--speed", "60x", "--set", "simulated.history_days=1")

_CONTRAST = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, under) => { const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(n => top[n] * a + under[n] * (1 - a)); };
  const paper = node => { const stack = [];
    for (let one = node; one; one = one.parentElement) stack.push(parse(getComputedStyle(one).backgroundColor));
    return stack.reverse().reduce((under, top) => top.length ? over(top, under) : under, [255, 255, 255]); };
  const light = rgb => { const [r, g, b] = rgb.map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = [];
  for (const node of document.querySelectorAll('h1, h2, h3, p, label, [data-testid=stMetricValue], button')) {
    if (!node.innerText || !node.innerText.trim() || !node.offsetParent || node.closest('button:disabled')) continue;
    let alpha = 1;
    for (let one = node; one; one = one.parentElement) alpha *= Number(getComputedStyle(one).opacity);
    const under = paper(node), ink = parse(getComputedStyle(node).color);
    const seen = over([...ink.slice(0, 3), (ink.length > 3 ? ink[3] : 1) * alpha], under);
    const [a, b] = [light(seen), light(under)].sort((x, y) => y - x);
    const large = parseFloat(getComputedStyle(node).fontSize) >= 24;
    found.push([(a + 0.05) / (b + 0.05), large, node.innerText.slice(0, 40)]);
  }
  return found;
}"""
"""WCAG 2.1 ratios of all texts on the page: [ratio, whether large, words]."""


class Server:
    """The monitor's own process."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        told = {"MYCELIAL_STATE": str(folder / "state"), "MYCELIAL_RUNS": str(folder / "runs")}
        self.popen = subprocess.Popen(
            server_words(self.port),
            cwd=folder,
            env={**environment(), **told},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def url(self, page: str = "") -> str:
        """Where a page is."""
        return f"http://127.0.0.1:{self.port}/{page}"

    def ready(self) -> None:
        """Wait until it answers."""
        timer, nap = Timer(), Event()
        until = timer.seconds() + 60
        while timer.seconds() < until:
            try:
                with urllib.request.urlopen(self.url("_stcore/health"), timeout=5):
                    return
            except OSError:
                nap.wait(0.1)
        raise AssertionError("the monitor does not answer")

    def megabytes(self) -> float:
        """What it holds in memory now."""
        pages = int(Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> None:
        """Stop it."""
        self.popen.terminate()
        self.popen.wait(30)


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
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()


class Viewer:
    """A page of the browser; nothing may be asked of other machines, and nothing may fail on it."""

    def __init__(self, browser: Any, server: Server, scheme: str = "light") -> None:
        size = {"width": 1400, "height": 1900}
        self.context = browser.new_context(viewport=size, color_scheme=scheme, timezone_id="Europe/Berlin")
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.server, self.scheme = server, scheme
        self.strangers: list[str] = []
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not re.match(r"(http://127\.0\.0\.1|ws://127\.0\.0\.1|data:|blob:)", request.url):
            self.strangers.append(request.url)

    def open(self, page: str) -> float:
        """Open a page; seconds until its end was drawn."""
        timer = Timer()
        began = timer.seconds()
        self.page.goto(self.server.url(page))
        self.page.get_by_role("heading", name=PAGES[page], level=1).wait_for()
        self.page.get_by_text("What do these figures mean?").or_(
            self.page.get_by_text("No pair is known yet.")
        ).first.wait_for()
        assert self.page.locator('[data-testid="stException"]').count() == 0
        return timer.seconds() - began

    def text(self, words: str) -> None:
        """Wait until something is said."""
        self.page.get_by_text(words).first.wait_for()

    def picture(self, name: str) -> None:
        """Leave a picture of the page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}-{self.scheme}.png")

    def readable(self) -> None:
        """All texts stand out from what is behind them."""
        poor = [one for one in self.page.evaluate(_CONTRAST) if one[0] < (3.0 if one[1] else 4.5)]
        assert poor == []


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
    seeds.a_run(folder / "runs", "20240101-000000-aaaa", -0.2)
    with Process(*ENGINE, cwd=folder, state=folder / "state") as process:
        process.slices(288 + 2)
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
        "before => [...document.querySelectorAll('[data-testid=stCaptionContainer]')]"
        ".some(one => one.innerText.includes('ledger row') && one.innerText !== before)",
        arg=before,
    )
    assert viewer.page.evaluate("window.kept") == marked
    age = re.search(r"data ([\d.]+) s old", line.inner_text())
    assert age
    assert float(age[1]) <= 2.0


@pytest.mark.parametrize("page", PAGES)
def test_full_pages(viewer: Viewer, engine: Process, page: str) -> None:
    viewer.open(page)
    viewer.text("SIMULATED: every price is made up")
    if page in ("", "swarm", "assets", "moats"):
        viewer.page.locator(".js-plotly-plot .main-svg").first.wait_for()
    viewer.readable()
    viewer.picture(page or "overview")


def test_charts_stay_where_they_are(viewer: Viewer, engine: Process) -> None:
    """A refresh changes a chart in place: the node that was marked is still there after two of them."""
    viewer.open("assets")
    chart = viewer.page.locator(".js-plotly-plot").first
    chart.wait_for()
    chart.evaluate("node => { node.marked = true }")
    said = viewer.page.get_by_text("running · data").first
    for _ in range(2):
        before = said.inner_text()
        viewer.page.wait_for_function(
            "before => ![...document.querySelectorAll('[data-testid=stCaptionContainer]')]"
            ".some(one => one.innerText === before)",
            arg=before,
        )
    assert viewer.page.locator(".js-plotly-plot").first.evaluate("node => node.marked") is True


def test_a_halt_is_clicked_and_obeyed(viewer: Viewer, engine: Process) -> None:
    viewer.open("")
    viewer.page.get_by_role("button", name="Halt…").click()
    dialog = viewer.page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.get_by_role("button", name="Yes, halt").is_disabled()
    assert not engine.status()["standing"]
    dialog.get_by_label("Why").fill("a test of the monitor")
    dialog.get_by_label("Why").press("Tab")
    dialog.get_by_role("button", name="Yes, halt").click()
    engine.until(lambda answer: answer["halted"] == "a test of the monitor")
    viewer.text("HALTED: a test of the monitor")
    viewer.picture("overview-halted")
    viewer.readable()


def test_a_resume_by_keyboard_alone(viewer: Viewer, engine: Process) -> None:
    assert engine.status()["standing"]
    page = viewer.page
    _tab_to(page, "Resume…")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    _tab_to(page, "", "input[aria-label='Why']")
    page.keyboard.type("it was a test")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Yes, resume").and_(page.locator(":enabled")).wait_for()
    _tab_to(page, "Yes, resume")
    page.keyboard.press("Enter")
    engine.until(lambda answer: not answer["standing"])
    page.get_by_text("HALTED").first.wait_for(state="detached")


def _tab_to(page: Any, words: str, selector: str = "button") -> None:
    """Press Tab until something is in focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = "([s, w]) => document.activeElement.matches(s) && document.activeElement.innerText.includes(w)"
        if page.evaluate(found, [selector, words]):
            return
    raise AssertionError(f"the keyboard does not reach {words or selector}")


def test_dark_is_readable_too(browser: Any, server: Server, engine: Process) -> None:
    dark = Viewer(browser, server, "dark")
    dark.open("swarm")
    dark.page.locator(".js-plotly-plot .main-svg").first.wait_for()
    dark.readable()
    dark.picture("swarm")
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
