"""Where messages of other producers wait, so that nothing a stranger sends is handled inside a phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .config import BusSettings
from .envelopes import Envelope, decode
from .errors import BusError
from .messages import Barrier, Control
from .ports import Clock, DeadLetter, Foreign
from .signing import verify_signature

RAW_KEPT_BYTES = 512
"""How much of a refused message a dead letter shows: enough to recognise it, too little to fill the memory."""


class Inbox:
    """Validates foreign messages; keeps the good ones for the next slice and the bad ones as dead letters.

    `gaps` counts, for each producer, messages that its numbering says were sent and that never came. Every
    store is bounded: waiting messages and remembered producers too.
    """

    def __init__(self, clock: Clock, settings: BusSettings) -> None:
        self._clock = clock
        self._secret = settings.control_secret
        self._waiting_max = settings.max_messages_per_owner
        self._kept_max = settings.dead_letters_kept
        self._born = clock.now_ms()
        self._last: dict[str, tuple[int, int]] = {}
        self._gaps: dict[str, int] = {}
        self._signatures: set[str] = set()
        self._waiting: list[Foreign] = []
        self._waiting_of: dict[str, int] = {}
        self._dead: list[DeadLetter] = []
        self._dropped = 0

    @property
    def gaps(self) -> Mapping[str, int]:
        """Messages known to be missing, by producer."""
        return self._gaps

    def note_gap(self, producer: str, missing: int) -> None:
        """Count `missing` messages of `producer`."""
        self._gaps[producer] = self._gaps.get(producer, 0) + missing

    def open(self, channel: str, raw: bytes) -> Envelope | None:
        """The envelope behind `raw`, or None after it went to the dead letters."""
        try:
            return decode(raw, channel)
        except BusError as error:
            self.refuse(channel, str(error), raw)
            return None

    def accept(self, channel: str, envelope: Envelope, raw: bytes) -> None:
        """Judge a foreign message that could be decoded: it waits, or becomes a dead letter."""
        reason = self._fault(envelope)
        if reason:
            self.refuse(channel, reason, raw)
        elif not isinstance(envelope.body, Barrier):
            self._waiting.append(_foreign(channel, envelope))
            self._waiting_of[envelope.producer] = self._waiting_of.get(envelope.producer, 0) + 1

    def refuse(self, channel: str, reason: str, raw: bytes) -> None:
        """Keep a dead letter, or only count it when enough are kept."""
        if len(self._dead) >= self._kept_max:
            self._dropped += 1
            return
        self._dead.append(DeadLetter(channel, reason, raw[:RAW_KEPT_BYTES].decode(errors="replace")))

    def drain(self) -> Sequence[Foreign]:
        """What waited, in order of arrival."""
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, []
        self._waiting_of.clear()
        return waiting

    def drain_dead(self) -> Sequence[DeadLetter]:
        """Dead letters; a last one without channel says how many more were not kept."""
        if not self._dead and not self._dropped:
            return []
        dead, self._dead = self._dead, []
        if self._dropped:
            dead.append(DeadLetter("", f"{self._dropped} more messages were refused and not kept", ""))
            self._dropped = 0
        return dead

    def _fault(self, envelope: Envelope) -> str:
        misplaced = self._order_fault(envelope)
        early = self._future_fault(envelope)
        if isinstance(envelope.body, Control):
            # Who borrows a producer's name can spoil its numbering, or flood; a signed command passes all the same.
            return early or self._command_fault(envelope.body)
        return misplaced or early or self._flood_fault(envelope)

    def _order_fault(self, envelope: Envelope) -> str:
        """Why (producer, epoch, seq) cannot be the next of its producer; notes it as the last one otherwise.

        A producer that is met for the first time may be in the middle of its numbers; a new epoch of a known
        one begins at 1.
        """
        producer, epoch, seq = envelope.producer, envelope.epoch, envelope.seq
        known = self._last.get(producer)
        if known is None and len(self._last) >= self._kept_max:
            return f"more than {self._kept_max} producers"
        last = known or (epoch, seq - 1)
        if epoch < last[0]:
            return f"epoch {epoch} of {producer!r} is over: {last[0]} was seen"
        expected = last[1] + 1 if epoch == last[0] else 1
        if seq < expected:
            return f"duplicate or late: number {seq} of {producer!r}, expected {expected}"
        if seq > expected:
            self.note_gap(producer, seq - expected)
        self._last[producer] = (epoch, seq)
        return ""

    def _future_fault(self, envelope: Envelope) -> str:
        known_at, now = envelope.body.known_at, self._clock.now_ms()
        return f"from the future: known at {known_at}, it is {now}" if known_at > now else ""

    def _flood_fault(self, envelope: Envelope) -> str:
        if self._waiting_of.get(envelope.producer, 0) < self._waiting_max:
            return ""
        return f"{envelope.producer!r} floods: {self._waiting_max} of its messages wait already"

    def _command_fault(self, control: Control) -> str:
        """A recorded command must not work a second time, be it in this life of the process or in the next."""
        if not verify_signature(control, self._secret):
            return "command without a valid signature"
        if control.signature in self._signatures:
            return "command was seen before"
        if control.known_at < self._born:
            return "command is older than this process"
        self._signatures.add(control.signature)
        return ""


def _foreign(channel: str, envelope: Envelope) -> Foreign:
    return Foreign(channel, envelope.producer, envelope.body, envelope.epoch, envelope.seq)
