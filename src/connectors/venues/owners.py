"""Knows which of our ids belongs to which of the venue's: executions come with theirs alone."""

from __future__ import annotations

from threading import Lock

from ...core.venue import ClientId, VenueId


class Owners:
    """By the venue's id; an order without an id of ours belongs to somebody else and is kept as such."""

    def __init__(self) -> None:
        self._by_venue: dict[VenueId, ClientId] = {}
        self._opened: dict[VenueId | ClientId, int] = {}
        self._lock = Lock()

    def learn(self, venue_id: VenueId, client_id: ClientId, opened_at: int) -> None:
        """An order of the venue's, whose it is and since when (UTC ms)."""
        with self._lock:
            self._by_venue[venue_id] = client_id
            self._opened[venue_id] = opened_at
            if client_id:
                self._opened[client_id] = opened_at

    def of(self, venue_id: VenueId) -> ClientId | None:
        """Our id, empty for somebody else's order, None for one that was never seen."""
        with self._lock:
            return self._by_venue.get(venue_id)

    def since(self, venue_id: VenueId | None, client_id: ClientId, unknown: int) -> int:
        """When an order was opened; `unknown` where that was never seen: it counts as the youngest then."""
        with self._lock:
            found = self._opened.get(venue_id) if venue_id else None
            return found if found is not None else self._opened.get(client_id, unknown)
