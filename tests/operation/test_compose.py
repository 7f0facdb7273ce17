"""The compose file: every rule a service has to keep, asserted of every service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from src.commands import dashboard as monitor
from src.connectors.embedded_valkey import get_binary_path
from src.connectors.redis_bus import RedisBus
from src.connectors.system_figures import SystemFigures
from src.core.clock import SimClock, Timer
from src.core.errors import BusError
from src.core.messages import Message
from tests.checks import bus_checks
from tests.checks.bus_checks import NOW, market, settings
from tests.worlds import ROOT

FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NAMES = sorted(SERVICES)
OWN = "mycelial-finance"


def seconds(text: str) -> int:
    """`30s` as a number."""
    return int(text.removesuffix("s"))


def memory(text: str) -> int:
    """`300m` and `2g` in bytes."""
    return int(text[:-1]) * {"m": 2**20, "g": 2**30}[text[-1]]


def test_what_it_is_made_of() -> None:
    assert set(NAMES) == {"bus", "engine", "dashboard", "prometheus", "grafana", "redis-commander"}
    assert [name for name in NAMES if SERVICES[name].get("profiles")] == ["redis-commander"]
    assert SERVICES["redis-commander"]["profiles"] == ["debug"]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    user, group = service["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert any(place.split(":")[0] == "/tmp" for place in service["tmpfs"])
    assert service.get("network_mode", "") != "host"
    assert "pid" not in service
    assert "ipc" not in service


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_bounded_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert 0 < service["pids_limit"] <= 256
    assert memory(service["mem_limit"]) <= 2 * 2**30
    assert 0 < service["cpus"] <= 2
    assert service["restart"] == "unless-stopped"
    assert seconds(service["stop_grace_period"]) >= 30
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_this_machines_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_the_bus_is_published_nowhere() -> None:
    assert "ports" not in SERVICES["bus"]
    assert SERVICES["bus"]["networks"] == ["bus"]
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


def test_one_network_leads_out_and_one_service_is_on_it() -> None:
    networks = COMPOSE["networks"]
    inside = {name for name, options in networks.items() if options.get("internal")}
    hidden = {
        name
        for name, options in networks.items()
        if options.get("driver_opts", {}).get("com.docker.network.bridge.enable_ip_masquerade") == "false"
    }
    assert set(networks) - inside - hidden == {"execution"}
    assert [name for name in NAMES if "execution" in SERVICES[name].get("networks", [])] == ["engine"]
    assert {name for name in NAMES if "bus" in SERVICES[name].get("networks", [])} == {
        "bus",
        "engine",
        "redis-commander",
    }


def test_nobody_gets_the_engine_of_containers() -> None:
    assert "docker.sock" not in TEXT
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("./config"), volume


def test_only_the_engine_writes_the_state() -> None:
    rights = {name: volume for name in NAMES for volume in SERVICES[name].get("volumes", []) if "state:" in volume}
    assert rights == {"engine": "state:/state", "dashboard": "state:/state:ro"}
    for name in NAMES:
        assert all(volume.endswith(":ro") for volume in SERVICES[name].get("volumes", []) if volume.startswith("./"))
    assert SERVICES["engine"]["user"] == SERVICES["dashboard"]["user"] == "10001:10001"


def test_secrets_are_files_and_nothing_else() -> None:
    for name in NAMES:
        for key, value in (SERVICES[name].get("environment") or {}).items():
            secret = re.search("PASSWORD|SECRET|TOKEN|KEY", key)
            assert secret is None or (key.endswith("__FILE") and value.startswith("/run/secrets/")), key
        told = " ".join(map(str, [*SERVICES[name].get("command", []), *SERVICES[name].get("entrypoint", [])]))
        assert not re.search(r"password|secret|token|key=", told, re.IGNORECASE)
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert SERVICES["dashboard"].get("secrets") is None


def test_images_are_named_by_version() -> None:
    for name in NAMES:
        image = SERVICES[name]["image"]
        assert image == OWN or re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?", image), image


def test_the_monitor_starts_as_its_command_starts_it_but_for_the_address() -> None:
    own = monitor.command(8501)[1:]
    given = SERVICES["dashboard"]["entrypoint"][1:]
    assert {word for word in own if word.startswith("--")} ^ {word for word in given if word.startswith("--")} == {
        "--server.address=127.0.0.1",
        "--server.address=0.0.0.0",
    }
    assert set(SERVICES["dashboard"]["environment"]) - {"NUMBA_CACHE_DIR"} == {"MYCELIAL_STATE", "MYCELIAL_RUNS"}


def test_prometheus_shares_the_loopback_of_the_engine() -> None:
    assert SERVICES["prometheus"]["network_mode"] == "service:engine"
    assert "ports" not in SERVICES["prometheus"]
    assert "127.0.0.1:9090:9090" in SERVICES["engine"]["ports"]


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_dir(), volume


def test_the_client_of_containers_reads_it() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose here")
    done = subprocess.run(
        [docker, "compose", "--profile", "debug", "-f", str(FILE), "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def given_bus(folder: Path) -> Iterator[Path]:
    """The configuration that is mounted, on a socket of ours instead of a port."""
    users, conf, place = folder / "users.acl", folder / "valkey.conf", folder / "bus.sock"
    users.write_text((ROOT / "config/valkey/users.acl").read_text())
    given = (ROOT / "config/valkey/valkey.conf").read_text()
    changed = given.replace("port 6379", f"port 0\nunixsocket {place}").replace("/etc/valkey/users.acl", str(users))
    conf.write_text(changed)
    words = [str(get_binary_path()), str(conf)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
        try:
            assert server.stdout is not None
            assert any("ready to accept connections" in line.lower() for line in server.stdout)
            yield place
        finally:
            server.terminate()
            server.communicate(timeout=20)


FORBIDDEN = (
    "FLUSHALL",
    "CONFIG SET maxmemory 0",
    "SET a b",
    "SHUTDOWN",
    "KEYS *",
    "EVAL return 0",
    "ACL LIST",
    "MONITOR",
)


def test_everybody_on_the_bus_has_the_rights_of_his_work(tmp_path: Path) -> None:
    with given_bus(tmp_path) as place:
        looker, engine = (redis.Redis(unix_socket_path=str(place), username=name) for name in (None, "engine"))
        listener = looker.pubsub()
        listener.psubscribe("*")
        assert listener.get_message(timeout=5)["type"] == "psubscribe"
        assert engine.publish("a", "b") == 1
        assert listener.get_message(timeout=5)["data"] == b"b"
        assert (looker.ping(), looker.get("a"), engine.dbsize()) == (True, None, 0)
        for client, words in ((looker, "PUBLISH a b"), (engine, "GET a"), *product((looker, engine), FORBIDDEN)):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words.split())
        for client in (listener, looker, engine):
            client.close()


def test_the_engine_speaks_under_its_name_and_nobody_without_one(tmp_path: Path) -> None:
    told = SERVICES["engine"]["command"][SERVICES["engine"]["command"].index("--bus") + 1]
    assert told == "redis://engine@bus:6379"
    with given_bus(tmp_path) as place:
        url = f"unix://engine@{place}"
        bus = RedisBus(url, SimClock(NOW), settings(), producer="own", epoch=1, timer=Timer())
        heard: list[Message] = []
        bus.subscribe(bus_checks.MARKET, heard.append, "listener")
        bus.publish(bus_checks.MARKET, market(1.0))
        assert bus.settle()
        assert len(heard) == 1
        figures = SystemFigures(url, tmp_path / "none", 1.0, Timer())
        assert figures.read()["redis_connection_status"] == 1.0
        figures.close()
        bus.close()
        with pytest.raises(BusError, match=r"(?i)no permissions"):
            RedisBus(f"unix://{place}", SimClock(NOW), settings(), producer="other", epoch=1, timer=Timer())
