"""On which machine, and how busy it was: a figure without them says nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...core.errors import NotFound
from ..result import peak_rss_mb

_CPUINFO, _STATUS, _CLEAR = Path("/proc/cpuinfo"), Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PAGE_KIB = 4
_KIB_PER_MB = 1024


class Machine(msgspec.Struct, frozen=True):
    """`cores` that this process may use; `load_average` over 1, 5 and 15 minutes when the benchmarks began."""

    cores: int
    python: str
    platform: str
    processor: str
    load_average: tuple[float, float, float]


def machine() -> Machine:
    """This machine, now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    one, five, fifteen = os.getloadavg()
    return Machine(
        cores,
        f"{platform.python_implementation()} {platform.python_version()}",
        platform.platform(),
        _field(_CPUINFO, "model name") or platform.processor() or platform.machine(),
        (round(one, 2), round(five, 2), round(fifteen, 2)),
    )


def own_peak_mb() -> float:
    """Peak resident memory of this process in MB.

    Where the kernel tells it, that of the program in execution: what `getrusage` says of a child begins with the
    size of the parent it was started from.
    """
    kib = _field(_STATUS, "VmHWM")
    return int(kib.split()[0]) / _KIB_PER_MB if kib else peak_rss_mb()


def growth_mb(work: Callable[[], object]) -> float:
    """MB by which this process is larger at its highest during `work` than before; NotFound where no kernel tells it.

    The highest size so far is forgotten first, or what compiling took would hide what the work takes. At least a page:
    work that finds room in what the process holds already does not grow it, and less than a page cannot be told.
    """
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError as error:
        raise NotFound(f"{_CLEAR}: {error.strerror}; memory is measured on Linux only") from error
    before = _field(_STATUS, "VmRSS")
    work()
    grown = int(_field(_STATUS, "VmHWM").split()[0]) - int(before.split()[0])
    return max(grown, _PAGE_KIB) / _KIB_PER_MB


def _field(path: Path, name: str) -> str:
    """The value of the first line `name: value`; empty where there is none."""
    if not path.is_file():
        return ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""
