"""A run in this process: the thread of the tests walks it, another one asks it over its socket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from src.commands import run as command
from src.commands.options import ProcessOptions
from src.connectors.control import ask
from src.connectors.state_folder import find
from src.core.clock import Timer
from src.core.errors import NotRunning

from .cli import LOOK_SECONDS, SECONDS

SETS = (
    *("learners.team=3", "simulated.history_days=1", "simulated.pairs=[BTC/USD,ETH/USD]"),
    *("consensus.required_votes=4", "learners.min_learners=400", "monitoring.metrics.port=null"),
    "ledger.durable_timeout_seconds=0.5",
)


class Alive:
    """Asks the run of a state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def tell(self, name: str, **fields: Any) -> dict[str, Any]:
        return ask(find(self.state), name, SECONDS, **fields)

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status answer for which `true` holds."""
        timer, nap, answer = Timer(), Event(), dict[str, Any]()
        deadline = timer.seconds() + SECONDS
        while timer.seconds() < deadline:
            try:
                answer = self.tell("status")
            except NotRunning:
                answer = {}
            if answer and true(answer):
                return answer
            nap.wait(LOOK_SECONDS)
        raise AssertionError(f"never came true: {answer}")

    def walking(self) -> dict[str, Any]:
        """Its status once it walks."""
        return self.until(lambda answer: answer["phase"] == "running")


def alive(state: Path, script: Callable[[Alive], None], *sets: str, speed: str = "1x") -> None:
    """Run until the script is over; what failed in it fails here. What ends the run by an error comes out as well."""
    options = {"feed": "simulated", "mode": "paper", "speed": speed, "bus": "local", "seed": 7, "json": True}
    failed: list[BaseException] = []

    def play() -> None:
        run = Alive(state)
        try:
            script(run)
        except BaseException as error:  # noqa: BLE001 - another thread's failure is this test's
            failed.append(error)
        finally:
            with suppress(NotRunning):  # it may have ended by itself
                run.tell("stop")

    player = Thread(target=play)
    player.start()
    try:
        command.run(ProcessOptions(state=state, sets=(*SETS, *sets), **options))
    finally:
        player.join()
    if failed:
        raise failed[0]
