"""The control socket against real clients, polite and rude ones."""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from src.connectors import control
from src.connectors.control import MAX_CONNECTIONS, MAX_REQUEST_BYTES, ControlServer, ask
from src.core.errors import LedgerError, MycelialError, NotFound, NotRunning, TimeoutExceeded, UsageError

PATIENCE = 5.0
Fields = dict[str, Any]


def refuse(fields: Fields) -> Fields:
    raise NotFound("no such pair")


def stumble(fields: Fields) -> Fields:
    raise KeyError("x")


def echo(fields: Fields) -> Fields:
    return {"fields": fields}


HANDLERS: dict[str, Callable[[Fields], Fields]] = {
    "echo": echo,
    "refuse": refuse,
    "stumble": stumble,
    "unsayable": lambda fields: {"value": object()},
    "unknown": lambda fields: {"value": math.nan, "money": Decimal("1.50")},
    "lie": lambda fields: {"ok": False},
    "big": lambda fields: {"text": "x" * 3_000_000},
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "s"
    server = ControlServer(path, HANDLERS)
    yield path
    server.close(PATIENCE)


def connect(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PATIENCE)
    link.connect(str(path))
    return link


def read_line(link: socket.socket) -> Any:
    with link.makefile("rb") as lines:
        return json.loads(lines.readline())


def say(path: Path, raw: bytes) -> Any:
    with connect(path) as link:
        link.sendall(raw)
        return read_line(link)


def alive(path: Path) -> bool:
    return ask(path, "echo", PATIENCE, a=1) == {"ok": True, "fields": {"a": 1}}


def test_a_question_is_answered(place: Path) -> None:
    assert ask(place, "echo", PATIENCE, pair="BTC/USD", none=None, amount=Decimal("0.1")) == {
        "ok": True,
        "fields": {"pair": "BTC/USD", "none": None, "amount": "0.1"},
    }
    assert ask(place, "unknown", PATIENCE) == {"ok": True, "value": None, "money": "1.50"}
    assert ask(place, "lie", PATIENCE) == {"ok": True}


def test_errors_of_handlers_are_answered_and_the_server_lives(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(place, "refuse", PATIENCE) == {"ok": False, "error": "no such pair", "exit_code": 2}
    assert not caplog.records
    assert ask(place, "stumble", PATIENCE) == {"ok": False, "error": "internal error: KeyError: 'x'", "exit_code": 1}
    answer = ask(place, "unsayable", PATIENCE)
    assert answer["error"].startswith("internal error: TypeError")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError, TypeError]
    assert alive(place)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\n", "a request is one JSON object a line"),
        (b"halt\n", "a request is one JSON object a line"),
        (b"[1]\n", "a request is one JSON object a line"),
        (b'{"command":"echo"} {}\n', "a request is one JSON object a line"),
        (b'{"command":"echo","a":NaN}\n', "a request is one JSON object a line"),
        (b"\xff\xfe\n", "a request is one JSON object a line"),
        (b'{"command":"\xed\xa0\x80"}\n', "a request is one JSON object a line"),
        (b'{"command":"echo","a":' + b"[" * 60_000 + b"\n", "a request is one JSON object a line"),
        (b"{}\n", "a request names its command"),
        (b'{"command":7}\n', "a request names its command"),
        (b'{"command":"ech"}\n', "unknown command 'ech', did you mean 'echo'?"),
        (b'{"command":"zzz"}\n', "unknown command 'zzz', use one of"),
        (b'{"command":"__class__"}\n', "unknown command '__class__'"),
    ],
)
def test_malformed_requests_are_refused_and_the_server_lives(place: Path, raw: bytes, message: str) -> None:
    answer = say(place, raw)
    assert (answer["ok"], answer["exit_code"]) == (False, 4)
    assert answer["error"].startswith(message)
    assert alive(place)


def test_a_request_of_exactly_the_bound_passes_and_one_byte_more_does_not(place: Path) -> None:
    frame = b'{"command":"echo","a":""}'
    fits = frame[:-2] + b"x" * (MAX_REQUEST_BYTES - len(frame)) + frame[-2:]
    assert say(place, fits + b"\n")["ok"]
    answer = say(place, fits + b" \n")
    assert answer == {"ok": False, "error": "a request has at most 65536 bytes", "exit_code": 4}
    assert alive(place)


def test_an_endless_line_is_cut_off(place: Path) -> None:
    with connect(place) as link:
        link.sendall(b"x" * (MAX_REQUEST_BYTES + 1))
        assert read_line(link)["error"] == "a request has at most 65536 bytes"
        assert link.recv(1) == b""
    assert alive(place)


def test_a_request_in_pieces_and_many_in_one_piece(place: Path) -> None:
    with connect(place) as link:
        for byte in b'{"command":"echo","n":0}\n':
            link.sendall(bytes([byte]))
        assert read_line(link)["fields"] == {"n": 0}
        link.sendall(b"".join(b'{"command":"echo","n":%d}\n' % n for n in range(500)))
        with link.makefile("rb") as lines:
            found = [json.loads(lines.readline())["fields"]["n"] for _ in range(500)]
    assert found == list(range(500))


def test_a_flood_of_empty_lines_is_survived(place: Path) -> None:
    with connect(place) as link:
        link.sendall(b"\n" * 30_000)
        assert alive(place)  # the flooder does not read; the others are served all the same
        with link.makefile("rb") as lines:
            assert {lines.readline()[:12] for _ in range(30_000)} == {b'{"ok":false,'}


def test_a_slow_reader_keeps_nobody_waiting_and_gets_all(place: Path) -> None:
    with connect(place) as link:
        link.sendall(b'{"command":"big"}\n{"command":"echo"}\n')
        assert alive(place)
        with link.makefile("rb") as lines:
            assert len(json.loads(lines.readline())["text"]) == 3_000_000
            assert json.loads(lines.readline()) == {"ok": True, "fields": {}}


def test_clients_that_vanish_do_no_harm(place: Path) -> None:
    for raw in (b"", b'{"comm', b'{"command":"big"}\n'):
        with connect(place) as link:
            link.sendall(raw)
        assert alive(place)


def test_connections_are_bounded_and_the_silent_one_makes_room(place: Path) -> None:
    links = [connect(place) for _ in range(MAX_CONNECTIONS)]
    try:
        for link in links:
            link.sendall(b'{"command":"echo"}\n')
            assert read_line(link)["ok"]
        links[0].sendall(b'{"command":"echo"}\n')
        assert read_line(links[0])["ok"]
        assert alive(place)
        assert links[1].recv(1) == b""  # silent for longest
        links[0].sendall(b'{"command":"echo"}\n')
        assert read_line(links[0])["ok"]
    finally:
        for link in links:
            link.close()


def test_the_socket_is_for_this_user_alone(place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


STRANGER = """
import os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.settimeout(5)
os.setuid(65534)
try:
    link.connect(sys.argv[1])
except PermissionError:
    sys.exit("kept out by the rights of the socket")
sys.stdout.write(link.makefile().readline())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to try the socket as a stranger")
def test_a_stranger_is_kept_out_by_rights_and_by_name() -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        path = Path(top) / "s"
        server = ControlServer(path, HANDLERS)
        command = [sys.executable, "-c", STRANGER, str(path)]
        first = subprocess.run(command, capture_output=True, text=True, check=False)
        assert first.stderr == "kept out by the rights of the socket\n"
        path.chmod(0o666)
        second = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(second.stdout) == {
            "ok": False,
            "error": "this process belongs to another user; run the command as that user",
            "exit_code": 4,
        }
        assert alive(path)
        server.close(PATIENCE)


def test_a_client_waits_while_there_are_no_file_descriptors(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed = threading.Event()
    monkeypatch.setattr(caplog.handler, "emit", lambda record: noticed.set())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            link.connect(str(place))
            assert noticed.wait(PATIENCE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        link.sendall(b'{"command":"echo"}\n')
        assert read_line(link)["ok"]


def test_handlers_run_one_after_the_other_in_the_servers_thread(tmp_path: Path) -> None:
    names: list[str] = []
    server = ControlServer(tmp_path / "s", {"note": lambda fields: names.append(threading.current_thread().name) or {}})
    clients = [threading.Thread(target=ask, args=(tmp_path / "s", "note", PATIENCE)) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    server.close(PATIENCE)
    assert names == ["control"] * 8


def test_no_answer_in_time_is_an_unknown_outcome(tmp_path: Path) -> None:
    go, done = threading.Event(), threading.Event()

    def wait(fields: Fields) -> Fields:
        go.wait(PATIENCE)
        done.set()
        return {}

    server = ControlServer(tmp_path / "s", {"halt": wait})
    with pytest.raises(TimeoutExceeded, match=r"no answer within 0\.05 s; `halt` may take effect all the same") as late:
        ask(tmp_path / "s", "halt", 0.05)
    assert late.value.exit_code == 5
    go.set()
    assert done.wait(PATIENCE)
    assert ask(tmp_path / "s", "halt", PATIENCE) == {"ok": True}
    server.close(PATIENCE)


def test_an_answer_that_trickles_is_bounded_by_the_whole_time(tmp_path: Path) -> None:
    stop = threading.Event()

    def trickle(listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link:
            while not stop.wait(0.02):
                link.send(b" ")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            with pytest.raises(TimeoutExceeded):
                ask(tmp_path / "s", "status", 0.2)
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (b"", NotRunning, "the process ended before it answered `status`"),
        (b'{"ok":', NotRunning, "the process ended before it answered `status`"),
        (b"HTTP/1.1 400\n", MycelialError, "another program answers here"),
        (b"[]\n", MycelialError, "another program answers here"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, reply: bytes, error: type[MycelialError], message: str) -> None:
    def answer(listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link:
            link.recv(1000)
            link.sendall(reply)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(error, match=message):
            ask(tmp_path / "s", "status", PATIENCE)
        thread.join()


def test_an_endless_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_ANSWER_BYTES", 1000)
    server = ControlServer(tmp_path / "s", HANDLERS)
    with pytest.raises(MycelialError, match="an answer of more than 1000 bytes"):
        ask(tmp_path / "s", "big", PATIENCE)
    server.close(PATIENCE)


def test_questions_that_cannot_be_asked(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="halt: 65566 bytes; a request has at most 65536"):
        ask(place, "halt", PATIENCE, reason="x" * MAX_REQUEST_BYTES)
    with pytest.raises(UsageError, match="cannot be sent"):
        ask(place, "halt", PATIENCE, reason="\udcff")
    with pytest.raises(NotRunning, match="start one with `mycelial run`"):
        ask(tmp_path / "absent", "status", PATIENCE)
    with pytest.raises(UsageError, match="too long"):
        ask(tmp_path / ("n" * 120), "status", PATIENCE)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotRunning):
        ask(tmp_path / "file", "status", PATIENCE)


def test_a_socket_that_cannot_be_made(place: Path, tmp_path: Path) -> None:
    for path in (place, tmp_path / "absent" / "s", tmp_path / ("n" * 120)):
        with pytest.raises(UsageError, match="no control socket can be made here"):
            ControlServer(path, {})
    assert alive(place)


def test_closing_hangs_up_removes_the_socket_and_may_be_repeated(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "s", HANDLERS)
    with connect(tmp_path / "s") as link:
        link.sendall(b'{"command":"echo"}\n')
        assert read_line(link)["ok"]
        server.close(PATIENCE)
        assert link.recv(1) == b""
    server.close(PATIENCE)
    assert not (tmp_path / "s").exists()
    assert "control" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(NotRunning):
        ask(tmp_path / "s", "echo", PATIENCE)
    again = ControlServer(tmp_path / "s", HANDLERS)
    assert alive(tmp_path / "s")
    again.close(PATIENCE)


def test_closing_does_not_wait_for_ever_for_a_handler(tmp_path: Path) -> None:
    started, go = threading.Event(), threading.Event()

    def wait(fields: Fields) -> Fields:
        started.set()
        go.wait(PATIENCE)
        raise LedgerError("late")

    server = ControlServer(tmp_path / "s", {"halt": wait})
    with connect(tmp_path / "s") as link:
        link.sendall(b'{"command":"halt"}\n')
        assert started.wait(PATIENCE)
        server.close(0.01)
        assert not (tmp_path / "s").exists()
        go.set()
        assert read_line(link) == {"ok": False, "error": "late", "exit_code": 1}
        assert link.recv(1) == b""


def test_a_handler_may_close_the_server(tmp_path: Path) -> None:
    def stop(fields: Fields) -> Fields:
        server.close()
        return {"bye": True}

    server = ControlServer(tmp_path / "s", {"stop": stop})
    assert ask(tmp_path / "s", "stop", PATIENCE) == {"ok": True, "bye": True}
    assert not (tmp_path / "s").exists()
