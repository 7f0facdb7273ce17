"""The tree of errors, so that a caller can catch exactly what it can mend.

    MycelialError
    ├── ConfigError        a setting is unknown, of the wrong type or out of range (exit 4)
    ├── UsageError         an argument or a path that cannot be used (exit 4)
    ├── NotFound           what was named does not exist (exit 2)
    ├── NotRunning         no process answers for this state folder (exit 3)
    ├── TimeoutExceeded    no answer in time; what was asked may still happen (exit 5)
    ├── DataError          data that cannot be believed: names file, row and remedy
    │   └── SourceError    a source outside the market gave nothing: Unconfigured, Unavailable, Refused,
    │                      RateLimited, Gone or Malformed
    ├── BusError           the bus cannot be reached or was used wrongly
    ├── LedgerError        the ledger is damaged, newer, foreign or cannot be written
    ├── BrokerError        an order could not be handled; never raised for an unknown outcome
    ├── AgentFault         one agent misbehaved; it is quarantined, the others go on
    ├── CheckFailed        what was examined does not stand the test (exit 6)
    └── InvariantError     a promise of the system is broken; the run stops (exit 6)

Vendor errors are translated once, at the border where they appear.
"""

from __future__ import annotations

from typing import Any


class MycelialError(Exception):
    """Root of all errors of this project; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ConfigError(MycelialError):
    """One or more settings are wrong; the message lists all of them, one a line."""

    exit_code = 4


class UsageError(MycelialError):
    """An argument, path or combination of options cannot be used."""

    exit_code = 4


class NotFound(MycelialError):
    """What the user named does not exist."""

    exit_code = 2


class NotRunning(MycelialError):
    """No running process answers for this state folder."""

    exit_code = 3


class TimeoutExceeded(MycelialError):
    """No answer came in time; whether what was asked for happened is not known."""

    exit_code = 5


class DataError(MycelialError):
    """Data that cannot be believed."""


class SourceError(DataError):
    """A source outside the market did not give what it was asked for; `gathered` is what it had given before."""

    def __init__(self, message: str, gathered: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.gathered = gathered


class Unconfigured(SourceError):
    """The source was never asked: a login, an address or a file that it needs is not set."""


class Unavailable(SourceError):
    """No answer, or the answer that the other side is out of order; it may come back by itself."""


class Refused(SourceError):
    """The other side does not let us in (401, 403): somebody must mend the login or the identity."""


class RateLimited(SourceError):
    """Too many questions; `retry_after_s` seconds are to pass before the next, None where that was not said."""

    def __init__(self, message: str, retry_after_s: float | None = None, gathered: tuple[Any, ...] = ()) -> None:
        super().__init__(message, gathered)
        self.retry_after_s = retry_after_s


class Gone(SourceError):
    """What was asked for does not exist there, or has moved (3xx, 404, 410): the setting must follow."""


class Malformed(SourceError):
    """An answer that is not what the protocol promises: empty, cut off, HTML, too large, of another shape."""


class BusError(MycelialError):
    """The bus cannot be reached, or was used wrongly."""


class LedgerError(MycelialError):
    """The ledger is damaged, of a newer schema, locked by another process, or cannot be written."""


class BrokerError(MycelialError):
    """An order could not be handled."""


class AgentFault(MycelialError):
    """One agent misbehaved: raised, flooded, or published what is not a message."""


class CheckFailed(MycelialError):
    """An examination was carried out, and what was examined did not stand it."""

    exit_code = 6


class InvariantError(MycelialError):
    """A promise of the system is broken. Nothing goes on after it."""

    exit_code = 6
