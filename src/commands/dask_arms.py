"""Walks arms on a Dask cluster by its address; what comes back does not depend on where it was walked."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import MycelialError
from . import workers
from .arms import AnyFeed, Arm, Walked, walk_arm
from .common import say
from .research import need

_CONNECT_SECONDS = 5
_LOOK_SECONDS = 0.5
_UNREAD = "Error during deserialization"  # as distributed says it of a scheduler that misses a module
_LOST = ("it is gone", "start it again and give the same command with the same --out: what was walked is kept")


def walk_on_cluster(
    arms: Sequence[Arm], feed: AnyFeed, address: str, done: Callable[[int, Walked], None]
) -> list[Walked]:  # fmt: skip
    """As `walk_arms`, on the workers of the scheduler at `address`.

    The feed is one task of the cluster, which it does again when the worker that held it dies. A task whose worker
    died is done again, `workers.ATTEMPTS` times. MycelialError when there is no cluster, no worker comes, or it goes
    away; `done` has heard of everything that was ready.
    """
    distributed, dask = need("distributed", "--dask"), need("dask", "--dask")
    found: dict[int, Walked] = {}
    with _quiet(dask), _client(distributed, address) as client:
        count = _workers(client)
        say(f"{len(arms)} runs on {count} {'worker' if count == 1 else 'workers'} of {address}")
        market = client.submit(pickle.loads, pickle.dumps(feed), pure=False)
        futures = {
            client.submit(walk_arm, arm, market, pure=False, retries=workers.ATTEMPTS - 1): number
            for number, arm in enumerate(arms)
        }
        for number, walked in _ready(distributed, client, futures, arms, address):
            found[number] = walked
            done(number, walked)
    return [found[number] for number in range(len(arms))]


def _ready(
    distributed: Any, client: Any, futures: dict[Any, int], arms: Sequence[Arm], address: str
) -> Iterator[tuple[int, Walked]]:
    waiting, deserted = set(futures), False
    while waiting:
        _alive(client, address)
        try:
            ready, _ = distributed.wait(list(waiting), timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            before, deserted = deserted, _deserted(client)
            if deserted and not before:
                say(f"{address} has no worker any more, {len(waiting)} runs wait: start `dask worker {address}`")
            continue
        except (distributed.CancelledError, OSError):
            raise _gone(address) from None
        for future in ready:
            waiting.discard(future)
            yield futures[future], _result(distributed, future, arms[futures[future]], address)


def _result(distributed: Any, future: Any, arm: Arm, address: str) -> Walked:
    if future.status in ("lost", "cancelled"):
        raise _gone(address)
    try:
        walked: Walked = future.result(timeout=_CONNECT_SECONDS)
    except distributed.scheduler.KilledWorker:
        raise MycelialError(f"run {arm.name!r} ended its worker each time; has it enough memory?") from None
    except ModuleNotFoundError as error:
        raise MycelialError(f"--dask {address}: its workers miss {error.name}; {_started(address)}") from None
    except RuntimeError as error:
        if _UNREAD not in str(error):
            raise
        raise MycelialError(f"--dask {address}: its scheduler does not know our code; {_started(address)}") from None
    except (distributed.CancelledError, OSError, TimeoutError):
        raise _gone(address) from None
    return walked


def _started(address: str) -> str:
    """How scheduler and workers are to be started: both read what is sent to them by our modules."""
    return f"in this checkout start `PYTHONPATH=. dask scheduler` and `PYTHONPATH=. dask worker {address}`"


def _workers(client: Any) -> int:
    """How many there are, as the scheduler said last."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _deserted(client: Any) -> bool:
    """Whether all workers went; of a scheduler that went as well, who asks next hears."""
    try:
        return _workers(client) == 0
    except (OSError, TimeoutError):
        return False


def _alive(client: Any, address: str) -> None:
    if client.status != "running":
        raise _gone(address)


def _gone(address: str) -> MycelialError:
    return MycelialError(f"--dask {address}: {'; '.join(_LOST)}")


@contextmanager
def _client(distributed: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MycelialError(f"--dask {address}: no cluster answers there ({why}); {_started(address)}") from None
    try:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError:
            raise MycelialError(f"--dask {address}: the cluster has no worker; {_started(address)}") from None
        with client.as_current():
            yield client
    finally:
        client.close(timeout=_CONNECT_SECONDS)


@contextmanager
def _quiet(dask: Any) -> Iterator[None]:
    """Errors are told in our words, and nobody waits long for a cluster that is not there."""
    for name in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    limits = {"distributed.comm.timeouts.connect": _CONNECT_SECONDS, "distributed.client.heartbeat": _LOOK_SECONDS}
    with dask.config.set(limits):
        yield
