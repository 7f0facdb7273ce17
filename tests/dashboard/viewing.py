"""A browser that looks at the monitor, and the monitor's own process, for tests that see what people see."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from src.commands.dashboard import command as server_words
from src.core.clock import Timer
from tests.commands.cli import FEW, environment, write_planted
from tests.worlds import ROOT

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
NEEDED = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium on this machine")

PAGES = {"": "Overview", "swarm": "Swarm", "assets": "Assets", "orders": "Positions and orders", "moats": "Moats",
         "backtests": "Backtests", "system": "System"}  # fmt: skip
PICTURES = ROOT / "build" / "screenshots"
WAIT_MS = 120_000
ENGINE = (*FEW, "--bus", "local", "--speed", "60x", "--set", "simulated.history_days=1", "--set", "memory.store=none")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-extensions", "--mute-audio")
CAPTIONS = "[...document.querySelectorAll('[data-testid=stCaptionContainer]')]"

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


def patiently(ask: Callable[[], Any]) -> Any:
    """Its answer, asked anew where it did not come in time: beside other tests a start takes minutes."""
    for _ in range(4):
        with suppress(AssertionError):
            return ask()
    return ask()


class Server:
    """The monitor's own process; `app` in the place of its page."""

    def __init__(self, folder: Path, app: Path | None = None) -> None:
        self._folder, self._app = folder, app
        told = {"MYCELIAL_STATE": str(folder / "state"), "MYCELIAL_RUNS": str(folder / "runs")}
        told |= {"MYCELIAL_DATA": str(write_planted(folder / "data", 120)), "MYCELIAL__LEARNERS__TEAM": "3"}
        self._environment = {**environment(), **told}
        self._start()

    def _start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = server_words(self.port)
        self.popen = subprocess.Popen(
            [str(self._app) if self._app and word.endswith("dashboard/app.py") else word for word in words],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def url(self, page: str = "") -> str:
        """Where a page is."""
        return f"http://127.0.0.1:{self.port}/{page}"

    def ready(self) -> None:
        """Wait until it answers."""
        timer, nap = Timer(), Event()
        until = timer.seconds() + WAIT_MS / 1000
        while timer.seconds() < until:
            if self.popen.poll() is not None:  # somebody else took the port meanwhile
                self._start()
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
        self.popen.wait(WAIT_MS / 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


class Viewer:
    """A page of the browser; nothing may be asked of other machines, and nothing may fail on it."""

    def __init__(self, browser: Any, server: Server, scheme: str = "light") -> None:
        size = {"width": 1400, "height": 1900}
        self.context = browser.new_context(
            viewport=size, color_scheme=scheme, timezone_id="Europe/Berlin", reduced_motion="reduce"
        )
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

    def looked_again(self, times: int = 1) -> None:
        """Wait until the page looked again so often; the line with the age of the data says so."""
        for _ in range(times):
            line = self.page.get_by_text("running · data").first.inner_text()
            self.page.wait_for_function(f"before => !{CAPTIONS}.some(one => one.innerText === before)", arg=line)

    def choose(self, label: str, option: str) -> None:
        """Choose one of a list."""
        self.page.get_by_label(label, exact=True).first.click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def picture(self, name: str) -> None:
        """Leave a picture of the page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}-{self.scheme}.png")

    def readable(self) -> None:
        """All texts stand out from what is behind them, once nothing fades because it is about to be drawn anew."""
        good = f"() => ({_CONTRAST})().every(([ratio, large]) => ratio >= (large ? 3 : 4.5))"
        try:
            self.page.wait_for_function(good, polling=500, timeout=WAIT_MS / 2)
        except sync_api.TimeoutError:
            raise AssertionError([one for one in self.page.evaluate(_CONTRAST) if one[0] < 4.5]) from None
