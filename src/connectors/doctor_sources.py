"""Says which sources outside the market can be asked, and, when told to, asks each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from ..core.clock import Timer, WallClock, iso
from ..core.config import Moats
from ..core.errors import SourceError
from ..core.ports import Clock, Source
from .doctor import Check, look


def check_logins(settings: Moats, environ: Mapping[str, str]) -> list[Check]:
    """The environment variables that sources need; without one its moat has no data, and nothing else changes."""
    wanted = [
        (settings.github.login_env, "the code moat", "a GitHub token that may read public repositories"),
        (settings.edgar.identity_env, "filings", "your name and mail, as the SEC asks: Name name@example.org"),
    ]
    return [_login(name, for_, what, environ) for name, for_, what in wanted if name]


def _login(name: str, for_: str, what: str, environ: Mapping[str, str]) -> Check:
    if environ.get(name, "").strip():
        return Check(name, "ok", f"is set; {for_} can be asked for")
    return Check(name, "warn", f"is not set: {for_}: no data from the real source", f"set it to {what}")


def ask_sources(settings: Moats, environ: Mapping[str, str], config_folder: Path) -> list[Check]:
    """Ask every real source once, one after the other, and close it again; takes seconds."""
    timer = Timer()
    build = import_module(".sources.build", __package__)
    sources: Sequence[Source] = build.real_sources(settings, environ, config_folder, timer)
    return [look(f"source {source.name}", partial(ask, source, WallClock(), timer)) for source in sources]


def ask(source: Source, clock: Clock, timer: Timer) -> Check:
    """One source: how much it says and how new that is; a warning with its own words where it gives nothing."""
    name, begun = f"source {source.name}", timer.seconds()
    try:
        said = source.fetch(clock.now_ms())
    except SourceError as error:
        text, _, remedy = str(error).partition("; ")
        return Check(name, "warn", f"{type(error).__name__}: {text}", remedy or "a run goes on without it")
    finally:
        source.close()
    took = f"{timer.seconds() - begun:.1f} s"
    past = [seen.known_at for seen in said if seen.known_at > 0]
    newest = f", the newest known at {iso(max(past))}" if past else ""
    notices = "; ".join(source.notices())
    text = f"{len(said)} observations{newest}, {took}"
    if notices:
        return Check(name, "warn", f"{text}; {notices}", "mend what it says in the settings")
    return Check(name, "ok", text)
