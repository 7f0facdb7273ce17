"""Puts the parts of one account at Kraken together: key from its file, nonces in the state folder, REST, venue."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...core.clock import Timer, wall_ms
from ...core.config_venues import KrakenSettings
from ...core.errors import ConfigError
from ...core.ports import Clock
from .key_file import ApiKey, read_key
from .nonce import NonceFile, Nonces
from .rest import KrakenRest
from .venue import KrakenVenue

_MS_NS = 1_000_000


def kraken_venue(settings: KrakenSettings, state: Path, clock: Clock, timer: Timer) -> KrakenVenue:
    """A venue that is not open yet. ConfigError when no key file is named, or it cannot be used."""
    if settings.key_file is None:
        raise ConfigError("kraken.key_file: no key; name a file with key and secret, mode 0400")
    key = read_key(Path(settings.key_file))
    nonces = Nonces(NonceFile(nonce_path(state, key)), lambda: wall_ms() * _MS_NS)
    return KrakenVenue(KrakenRest(settings.rest, timer, key, nonces), nonces, settings, clock, timer)


def public_rest(settings: KrakenSettings, timer: Timer) -> KrakenRest:
    """Public endpoints only."""
    return KrakenRest(settings.rest, timer, None, None)


def nonce_path(state: Path, key: ApiKey) -> Path:
    """One file a key, named without telling it."""
    return state / f"kraken-nonce-{hashlib.sha256(key.key.encode()).hexdigest()[:12]}"
