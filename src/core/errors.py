"""The tree of errors, so that a caller can catch exactly what it can mend.

    MycelialError
    ├── ConfigError        a setting is unknown, of the wrong type or out of range (exit 4)
    ├── UsageError         an argument or a path that cannot be used (exit 4)
    ├── NotFound           what was named does not exist (exit 2)
    ├── NotRunning         no process answers for this state folder (exit 3)
    ├── TimeoutExceeded    no answer in time; what was asked may still happen (exit 5)
    ├── DataError          data that cannot be believed: names file, row and remedy
    ├── BusError           the bus cannot be reached or was used wrongly
    ├── LedgerError        the ledger is damaged, newer, foreign or cannot be written
    ├── BrokerError        an order could not be handled; never raised for an unknown outcome
    ├── AgentFault         one agent misbehaved; it is quarantined, the others go on
    └── InvariantError     a promise of the system is broken; the run stops (exit 6)

Vendor errors are translated once, at the border where they appear.
"""

from __future__ import annotations


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


class BusError(MycelialError):
    """The bus cannot be reached, or was used wrongly."""


class LedgerError(MycelialError):
    """The ledger is damaged, of a newer schema, locked by another process, or cannot be written."""


class BrokerError(MycelialError):
    """An order could not be handled."""


class AgentFault(MycelialError):
    """One agent misbehaved: raised, flooded, or published what is not a message."""


class InvariantError(MycelialError):
    """A promise of the system is broken. Nothing goes on after it."""

    exit_code = 6
