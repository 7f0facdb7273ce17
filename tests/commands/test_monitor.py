"""A run that is watched: scraped while it walks and while it is halted; its secrets appear nowhere."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import msgspec
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from src.connectors import discord
from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.metrics_table import exposed
from src.connectors.redis_bus import tap
from src.core.clock import from_iso
from src.core.errors import BusError
from tests.monitoring.test_discord import PATH
from tests.monitoring.webhook import Reply, Webhook

from .cli import FEW, Process, Say, mycelial, one_line, refused
from .test_run import HISTORY, PACE, SIMULATED

CANARIES = {
    "MYCELIAL__BUS__CONTROL_SECRET": "canary-in-a-setting",
    "GITHUB_TOKEN": "ghp_canaryintheenvironment",
    "SEC_EDGAR_IDENTITY": "Canary Desk canary@desk.example",
    "KRAKEN_PRIVATE_KEY": "canary-in-the-environment",
}
KINDS = ("halts", "faults", "alarms", "daily")
"""None of them is told: nothing leaves this machine."""
BUS_PASSWORD = "canary/OfTheBus"
KEY, SECRET = "canaryKrakenKey", "Y2FuYXJ5" * 10 + "Y2FuYQ=="


class Watched(Process):
    """A run, the port of its metrics and what passed its bus since `listen`."""

    bus_url: str

    def listen(self) -> None:
        """Hear every channel until the run has ended."""
        self.heard: dict[str, list[bytes]] = {}
        self._stop = Event()
        self._ear = Thread(target=self._hear, args=(self.bus_url,))
        self._ear.start()

    def _hear(self, url: str) -> None:
        with suppress(BusError):  # the server ends with the run
            tap(url, "*", lambda channel, raw: self.heard.setdefault(channel, []).append(raw), self._stop)

    def deaf(self) -> None:
        """Hear nothing more."""
        self._stop.set()
        self._ear.join()

    @property
    def port(self) -> int:
        return int(self.line(r"^metrics on http://127\.0\.0\.1:(\d+)/metrics$")[1])

    def fetch(self, path: str = "/metrics") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    def scrape(self) -> dict[str, float]:
        """Samples without labels, and the sums of those with labels, by name."""
        status, page = self.fetch()
        assert status == 200
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                assert sample.name in exposed()
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with a key, a webhook and the address of a heartbeat."""
    folder = tmp_path_factory.mktemp("secrets")
    texts = {
        "key": f"{KEY}\n{SECRET}\n",
        "webhook": f"https://discord.com{PATH}\n",
        "heartbeat": "http://127.0.0.1:1/canary-of-the-heartbeat\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
    return folder


@pytest.fixture(scope="module")
def bus_server() -> Iterator[EmbeddedValkey]:
    """A server of the user's own that asks for a password."""
    server = EmbeddedValkey(0, 10.0)
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", BUS_PASSWORD)
    yield server
    server.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, secrets: Path, bus_server: EmbeddedValkey) -> Iterator[Watched]:
    bus_url = f"redis://:{quote(BUS_PASSWORD, safe='')}@127.0.0.1:{bus_server.port}"
    place = tmp_path_factory.mktemp("watched")
    named = (
        *("--set", f"kraken.key_file={secrets / 'key'}"),
        *("--set", f"monitoring.discord.webhook_file={secrets / 'webhook'}"),
        *("--set", f"monitoring.heartbeat.url_file={secrets / 'heartbeat'}"),
        *(word for kind in KINDS for word in ("--set", f"monitoring.discord.events.{kind}=false")),
        *("--set", "monitoring.metrics.every_seconds=0.05", "--set", "monitoring.logs.level=debug"),
        *("--set", "monitoring.logs.stderr=true", "--bus", bus_url),
    )
    with Watched(*SIMULATED, *PACE, *named, "--json", cwd=place, state=place / "state", env=CANARIES) as process:
        process.bus_url = bus_url
        process.slices(HISTORY + 1)
        process.listen()
        try:
            yield process
        finally:
            process.deaf()


def until(process: Watched, name: str, value: float) -> dict[str, float]:
    """The first scrape in which a figure has this value."""
    found: dict[str, float] = {}

    def there(status: object) -> bool:
        found.update(process.scrape())
        return found[name] == value

    process.until(there)
    return found


def test_a_scrape_while_it_walks(watched: Watched) -> None:
    watched.until(lambda status: watched.scrape()["mycelial_slices_total"] > HISTORY)
    found = watched.scrape()
    assert (found["mycelial_halted"], found["mycelial_bus_up"], found["mycelial_redis_connection_status"]) == (0, 1, 1)
    assert found["mycelial_active_agents_total"] > 20
    assert found["mycelial_database_size_bytes"] > 10_000
    assert found["mycelial_feed_interval_seconds"] == 0.05
    assert found["mycelial_slice_duration_seconds_count"] == found["mycelial_slices_total"]
    assert watched.fetch("/live") == (200, "live\n")
    state = watched.state
    assert from_iso((state / "heartbeat").read_text().strip()) > 0


def test_a_scrape_during_a_halt(watched: Watched) -> None:
    for words, value in ((("halt", "look"), 1.0), (("resume", "looked"), 0.0)):
        done = mycelial(*words, "--state", watched.state, cwd=watched.state)
        assert done.returncode == 0, done.stderr
        found = until(watched, "mycelial_halted", value)
        assert watched.fetch("/live")[0] == 200
    assert found["mycelial_halts_total"] == 1


def test_no_secret_is_anywhere(watched: Watched, secrets: Path, bus_server: EmbeddedValkey) -> None:
    """In settings, environment and files: not in log, ledger, result, metrics, on the screen, nor on the bus."""
    done = mycelial("show-config", "--json", cwd=watched.state, env=CANARIES)
    _, page = watched.fetch()
    status = msgspec.json.encode(watched.status()).decode()
    mycelial("stop", "--state", watched.state, cwd=watched.state)
    code, stdout = watched.end()
    assert code == 0, watched.stderr
    texts = {"page": page, "status": status, "stdout": stdout, "stderr": watched.stderr, "config": done.stdout}
    raw = {name: text.encode() for name, text in texts.items()}
    watched.deaf()
    raw |= {f"bus {channel}": b"\n".join(said) for channel, said in watched.heard.items()}
    assert {f"bus market-data:{base}/USD" for base in ("BTC", "ETH", "SOL")} < set(raw)
    raw |= {str(path): path.read_bytes() for path in watched.state.rglob("*") if path.is_file()}
    assert any(name.endswith("mycelial.jsonl") for name in raw)
    assert any(name.endswith("ledger.sqlite") for name in raw)
    assert msgspec.json.decode(status)["bus"] == f"redis://127.0.0.1:{bus_server.port}"
    hidden = [*CANARIES.values(), KEY, SECRET, PATH.rpartition("/")[2], "canary-of-the-heartbeat"]
    hidden += [BUS_PASSWORD, quote(BUS_PASSWORD, safe="")]
    assert [(name, one) for name, content in raw.items() for one in hidden if one.encode() in content] == []


def test_a_traceback_shows_no_secret_either(say: Say, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    sets = ("--set", f"monitoring.discord.webhook_file={secrets / 'key'}")
    done = say("run", *SIMULATED, *sets, "--state", "state")
    refused(done, 4, "monitoring.discord.webhook_file", "must hold one line")
    assert KEY not in done.stderr
    assert SECRET not in done.stderr


def test_a_taken_port_is_one_line_with_the_remedy(say: Say) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = say("run", *SIMULATED, "--set", f"monitoring.metrics.port={port}", "--state", "state", "--bus", "local")
    refused(done, 4, f"port {port} of the metrics is taken", "monitoring.metrics.port=0")


def test_without_a_port_there_is_no_server(tmp_path: Path) -> None:
    words = (
        "run",
        *FEW,
        "--set",
        "monitoring.metrics.port=null",
        "--set",
        "simulated.history_days=0",
        "--bus",
        "local",
    )
    with Watched(*words[1:], "--speed", "max", "--json", cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(1)
        assert "metrics on" not in process.stderr
        mycelial("stop", "--state", process.state, cwd=tmp_path)
        process.result()


@pytest.mark.parametrize("name", ["webhook", "heartbeat"])
def test_a_secret_file_that_others_can_read_is_refused(name: str, say: Say, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(f"https://discord.com{PATH}")
    file.chmod(0o644)
    setting = {"webhook": "discord.webhook_file", "heartbeat": "heartbeat.url_file"}[name]
    done = say("run", *SIMULATED, "--bus", "local", "--set", f"monitoring.{setting}={file}", "--state", "state")
    refused(done, 4, f"monitoring.{setting}", f"chmod 400 {file}")
    one_line(done)


# --- mycelial notify test --------------------------------------------------------------------------------------------


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A server in Discord's place; addresses still have to be Discord's."""
    served = Webhook()
    plain = discord.Discord.__init__

    def there(self: discord.Discord, *given: object, **named: object) -> None:
        plain(self, *given, **{**named, "base": served.url})  # type: ignore[arg-type]

    monkeypatch.setattr(discord.Discord, "__init__", there)
    yield served
    served.close()


def named(secrets: Path) -> tuple[str, str]:
    return "--set", f"monitoring.discord.webhook_file={secrets / 'webhook'}"


def test_notify_sends_one_message(say: Say, hook: Webhook, secrets: Path) -> None:
    done = say("notify", "test", *named(secrets))
    assert (done.returncode, done.stdout) == (0, "sent: look for it in the channel of the webhook\n")
    assert re.fullmatch(
        r"mycelial: a test message of \S+Z; this is where halts, faults and alarms will come", *hook.texts(1)
    )
    assert say("notify", "test", "--json", *named(secrets)).stdout == '{"sent":true,"to":"discord"}\n'


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(404), "no such webhook (404); make a new one"),
        (Reply(429, b"", {"Retry-After": "3"}), "asks for 3 s of silence"),
        (Reply(503), "out of order (503)"),
        (Reply(302, b"", {"Location": "https://example.org"}), "nothing is sent to other hosts"),
    ],
)
def test_notify_says_what_to_mend(reply: Reply, said: str, say: Say, hook: Webhook, secrets: Path) -> None:
    hook.replies = [reply]
    done = say("notify", "test", *named(secrets))
    refused(done, 1, said)
    assert PATH not in one_line(done)


def test_notify_without_a_webhook_or_with_something_else_to_do(say: Say) -> None:
    refused(say("notify", "test"), 4, "monitoring.discord.webhook_file", "chmod 400")
    refused(say("notify", "me"), 4, "write notify test")


def test_the_environment_of_these_tests_is_clean() -> None:
    assert not any("canary" in value.lower() for value in os.environ.values())
