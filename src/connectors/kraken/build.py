"""Puts the parts of one account at Kraken together: key from its file, nonces in the state folder, REST, venue."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.clock import Timer, wall_ms
from ...core.config_venues import KrakenSettings
from ...core.errors import ConfigError
from ...core.ports import Clock
from ..venues.keys import ApiKey
from .kept_calls import CallsFile
from .key_file import read_key
from .nonce import NonceFile, Nonces
from .rest import KrakenRest
from .venue import KrakenVenue

if TYPE_CHECKING:  # the kit of the streams takes half a second to import, which downloads and REST do not need
    from .account import Statuses, TradedAccount
    from .streams import Ports

_MS_NS = 1_000_000
TAIL = 4
"""So many characters of a key are shown, so that its owner knows which one it is."""


def kraken_venue(settings: KrakenSettings, state: Path, clock: Clock, timer: Timer) -> KrakenVenue:
    """A venue that is not open yet. ConfigError when no key file is named, or it cannot be used."""
    key, nonces = _key_of(settings, state)
    kept = _calls_of(settings, state, key, clock)
    return KrakenVenue(KrakenRest(settings.rest, timer, key, nonces), nonces, settings, clock, timer, kept=kept)


def traded_account(
    settings: KrakenSettings,
    state: Path,
    clock: Clock,
    ports: Ports,
    statuses: Statuses,
    since: int,
    known: Sequence[str],
) -> TradedAccount:
    """An account to trade on, not open yet. `since` (UTC ms) and `known`, the newest last: what the ledger has of it.

    ConfigError when no key file is named, or it cannot be used.
    """
    from .account import TradedAccount
    from .private import private_account

    key, nonces = _key_of(settings, state)
    rest = KrakenRest(settings.rest, ports.timer, key, nonces)
    venue = KrakenVenue(rest, nonces, settings, clock, ports.timer, kept=_calls_of(settings, state, key, clock))
    token, owner = venue.websocket_token, venue.owners.of
    account = private_account(venue, settings.streams, clock, ports, token, since, known, owner)
    return TradedAccount(venue, account, statuses, settings, clock, ports, key.key[-TAIL:])


def private_rest(settings: KrakenSettings, state: Path, timer: Timer) -> KrakenRest:
    """The endpoints of a key; ConfigError when no key file is named, or it cannot be used."""
    key, nonces = _key_of(settings, state)
    return KrakenRest(settings.rest, timer, key, nonces)


def public_rest(settings: KrakenSettings, timer: Timer) -> KrakenRest:
    """Public endpoints only."""
    return KrakenRest(settings.rest, timer, None, None)


def nonce_path(state: Path, key: ApiKey) -> Path:
    """One file a key, named without telling it."""
    return state / f"kraken-nonce-{_named(key)}"


def _named(key: ApiKey) -> str:
    return hashlib.sha256(key.key.encode()).hexdigest()[:12]


def _calls_of(settings: KrakenSettings, state: Path, key: ApiKey, clock: Clock) -> CallsFile:
    path = state / f"kraken-calls-{_named(key)}"
    return CallsFile(path, clock.now_ms, settings.budget.calls_decay_second)


def _key_of(settings: KrakenSettings, state: Path) -> tuple[ApiKey, Nonces]:
    if settings.key_file is None:
        raise ConfigError("kraken.key_file: no key; name a file with key and secret, mode 0400")
    key = read_key(Path(settings.key_file))
    return key, Nonces(NonceFile(nonce_path(state, key)), lambda: wall_ms() * _MS_NS)
