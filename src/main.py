"""The command line: parses, calls the command's module, prints, and turns errors into exit codes.

Nothing heavy is imported here: `--help` must answer at once, so each command imports its module when it runs.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import typer
from typer.exceptions import TyperException

from .cli import keeping, monitor, operating, proving, running, telling, watching, worth  # noqa: F401 - registers them
from .cli.arguments import app
from .core.errors import MycelialError, UsageError

_USAGE = UsageError.exit_code


def main() -> None:
    """Entry point; a user's mistake never ends in a traceback."""
    _open_streams()
    try:
        app(standalone_mode=False, prog_name="mycelial")
    except MycelialError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except typer.Abort:
        _fail("aborted", _USAGE)
    except TyperException as error:
        _fail(error.format_message(), _USAGE)


def _open_streams() -> None:
    """Stand in for streams that were closed, or the next file that is opened would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process


def _fail(message: str, code: int) -> None:
    with suppress(OSError):
        sys.stderr.write(message.rstrip() + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
