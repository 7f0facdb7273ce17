"""How figures are written for people, alike in every table; a figure that is not defined is a dash."""

from __future__ import annotations

from decimal import Decimal

NOTHING = "-"
_MINUTE_MS = 60_000


def percent(ratio: float | None, places: int = 2) -> str:
    """A ratio as a percentage without its sign.

    >>> percent(-0.01234), percent(-0.00001), percent(None)
    ('-1.23', '0.00', '-')
    """
    return NOTHING if ratio is None else f"{round(100 * ratio, places) + 0.0:.{places}f}"  # no -0.00


def number(value: float | None) -> str:
    """A plain figure with two places."""
    return NOTHING if value is None else f"{value:.2f}"


def money(amount: float | Decimal | None) -> str:
    """An amount with two places; three significant digits where that would hide it.

    >>> money(Decimal("-1234.5")), money(0.0000123), money(-0.0)
    ('-1,234.50', '0.0000123', '0.00')
    """
    if amount is None:
        return NOTHING
    if 0 < abs(float(amount)) < 0.01:
        return f"{Decimal(f'{float(amount):.3g}'):f}"
    return f"{amount or 0:,.2f}"


def duration(milliseconds: float | None) -> str:
    """Days, hours and minutes.

    >>> duration(93_600_000.0), duration(None)
    ('1 day, 2:00', '-')
    """
    if milliseconds is None:
        return NOTHING
    hours, minutes = divmod(round(milliseconds / _MINUTE_MS), 60)
    days, hours = divmod(hours, 24)
    plain = f"{hours}:{minutes:02d}"
    return plain if not days else f"{days} {'day' if days == 1 else 'days'}, {plain}"
