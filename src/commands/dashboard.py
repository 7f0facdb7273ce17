"""`mycelial dashboard`: starts the monitor with the settings it is safe with, on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path

from ..core.errors import UsageError
from . import common

ADDRESS = "127.0.0.1"
PORT = 8501
APP = Path(__file__).parents[2] / "dashboard" / "app.py"
_FIXED = (
    "--server.headless=true",
    f"--server.address={ADDRESS}",
    "--server.enableXsrfProtection=true",
    "--server.enableCORS=true",
    "--server.enableStaticServing=false",
    "--server.fileWatcherType=none",
    "--server.runOnSave=false",
    "--browser.gatherUsageStats=false",
    "--client.showErrorDetails=none",
    "--client.toolbarMode=minimal",
)
"""Given on the command line, so that no file of a user's can open what has to stay shut."""


def run(port: int, state: Path | None, data: Path | None) -> None:
    """Become the monitor's process; UsageError when the port is taken or Streamlit is missing."""
    _refuse_missing()
    _refuse_taken(port)
    common.say(f"monitor: http://{ADDRESS}:{port} | Ctrl-C ends it; the engine goes on without it")
    os.execve(sys.executable, command(port), environment(state, data))


def command(port: int) -> list[str]:
    """How Streamlit is started."""
    return [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}", *_FIXED]


def environment(state: Path | None, data: Path | None) -> dict[str, str]:
    """Where the monitor looks, as it is told: state folder, runs and, where it is known, the data folder."""
    told = {
        "MYCELIAL_STATE": str((state or common.DEFAULT_STATE).absolute()),
        "MYCELIAL_RUNS": str(common.RUNS.absolute()),
    }
    given = data or (Path(os.environ["MYCELIAL_DATA"]) if os.environ.get("MYCELIAL_DATA") else None)
    return {**os.environ, **told, **({} if given is None else {"MYCELIAL_DATA": str(given.absolute())})}


def _refuse_missing() -> None:
    if importlib.util.find_spec("streamlit") is None:
        raise UsageError("the monitor needs streamlit; `python3 scripts/start.py` installs what is locked")
    if not APP.is_file():
        raise UsageError(f"{APP}: the monitor is not part of this installation; start it from a checkout")


def _refuse_taken(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: {ADDRESS}:{port} cannot be had ({error.strerror}); another monitor may be running "
                "there: open it in the browser, or choose another --port"
            ) from error
