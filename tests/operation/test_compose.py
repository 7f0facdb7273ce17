"""The compose file: every rule a service has to keep, asserted of every service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.commands import dashboard as monitor
from src.connectors.embedded_valkey import get_binary_path
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


def test_the_bus_does_what_its_list_of_rights_says(tmp_path: Path) -> None:
    """The configuration that is mounted, on a port of ours: messages pass, nothing else is done."""
    import redis

    from src.connectors.embedded_valkey import EmbeddedValkey

    users = tmp_path / "users.acl"
    users.write_text((ROOT / "config/valkey/users.acl").read_text())
    given = (ROOT / "config/valkey/valkey.conf").read_text()
    conf = tmp_path / "valkey.conf"
    socket = tmp_path / "bus.sock"
    changed = given.replace("port 6379", f"port 0\nunixsocket {socket}").replace("/etc/valkey/users.acl", str(users))
    conf.write_text(changed)
    assert EmbeddedValkey is not None
    with subprocess.Popen(
        [str(get_binary_path()), str(conf)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if "ready to accept connections" in line.lower():
                    break
            client = redis.Redis(unix_socket_path=str(socket))
            listener = client.pubsub()
            listener.psubscribe("*")
            assert listener.get_message(timeout=5)["type"] == "psubscribe"
            assert client.publish("a", "b") == 1
            assert listener.get_message(timeout=5)["data"] == b"b"
            for words in (["FLUSHALL"], ["CONFIG", "SET", "maxmemory", "0"], ["SET", "a", "b"], ["SHUTDOWN"], ["KEYS", "*"], ["EVAL", "return 1", "0"]):  # fmt: skip # noqa: E501
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*words)
            listener.close()
            client.close()
        finally:
            server.terminate()
            server.communicate(timeout=20)
