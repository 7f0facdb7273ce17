"""The sections of a page that are about money over time: equity, drawdown, months, distribution, risk, years."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np

from ...core import metrics, records
from ...core.clock import from_iso
from ...core.timeframes import DAY_MS
from ...core.types import STREAMS, FloatArray, IntArray, Stream
from .. import figures
from ..report_findings import BOOKS
from ..result import CONTROLS, EDGE_TESTED
from ..runs import Run
from ..text import NOTHING, duration, percent
from .charts import HALF, Line, Said, columns, histogram, key_line, line_chart, percents
from .folder import Market
from .parts import Figure, Grid, Heat, Key, Note, Part, Section, grid

ROLLING_DAYS = 60
"""The window that users of tear sheets know (a convention of the form)."""
_HISTOGRAM_BINS = 41
_WORST = 10
_DWARFED = 4
"""How many times higher than the streams the market must reach before they get a drawing of their own."""
_SHADES = 4
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HOLDING = "buy and hold (equal stakes, no costs)"
_HOLDING_STYLE = 7


class Daily(msgspec.Struct, frozen=True):
    """Daily values: `days` (d,) since 1970, `returns` (d,) simple."""

    days: IntArray
    returns: FloatArray


class Curves:
    """The curves of a run, worked out once. `growth` of each book is against its start equity, 0 at the start."""

    def __init__(self, run: Run, market: Market | None) -> None:
        self.run, self.market = run, market
        self.start = float(run.result["account"]["start_equity"])
        self.at = run.curve.at
        self.equity = np.concatenate(([self.start], run.curve.equity_quote()))
        self.began = self._began()
        self.times = np.concatenate(([self.began], self.at))
        self.days = self._days()
        self.account = Daily(self.days, self._account())
        self.holding = self._holding()

    def _began(self) -> int:
        told = self.run.result["timerange"][0]
        return from_iso(told) if told else 0

    def _days(self) -> IntArray:
        if not len(self.at):
            return np.empty(0, np.int64)
        first, last = metrics.day_of(int(self.at[0])), metrics.day_of(int(self.at[-1]))
        return figures.days_of(first, last - first + 1)

    def _account(self) -> FloatArray:
        return self._returns(self.at, self.equity[1:], self.start)

    def _returns(self, at: IntArray, values: FloatArray, start: float) -> FloatArray:
        if not len(self.days):
            return np.empty(0)
        return metrics.daily_returns(
            metrics.daily_last(at, values, int(self.days[0]), int(self.days[-1]), start), start
        )

    def _holding(self) -> Daily | None:
        if self.market is None or not len(self.days) or np.isnan(self.market.first).all():
            return None
        growth = metrics.buy_and_hold(self.market.first, self.market.closes)
        ends = (self.market.days + 1) * DAY_MS
        return Daily(self.days, self._returns(ends, growth, 1.0))

    def book(self, name: str) -> FloatArray:
        """Daily returns (d,) of a book: its start equity plus closed profit."""
        start = Decimal(repr(self.run.result["account"]["start_equity"]))
        return self._returns(*metrics.closed_equity(self.run.trades.get(name, ()), start), self.start)

    def line(self, name: str, returns: FloatArray, style: int) -> Line:
        """Growth of daily returns as a line that begins at 0 when the run does."""
        growth = np.concatenate(([0.0], np.cumprod(1.0 + returns) - 1.0))
        return Line(name, np.concatenate(([self.began], (self.days + 1) * DAY_MS)), growth, style)

    def account_line(self) -> Line:
        """Growth of the marked account, slice by slice."""
        return Line("synthesized: the account, marked", self.times, self.equity / self.start - 1.0, 0)

    def fall_line(self, name: str, returns: FloatArray, style: int) -> Line:
        """How far growth of daily returns is below its peak."""
        line = self.line(name, returns, style)
        return Line(name, line.x, figures.underwater(line.y + 1.0), style)


def sections(run: Run, market: Market | None) -> list[Section]:
    """All sections of this module in order; a run without slices gets one sentence."""
    curves = Curves(run, market)
    if not len(curves.at):
        return [Section("equity", "Equity", (Note("No slice was seen: there is no curve to draw."),))]
    return [
        Section("equity", "Equity", (*_equity(curves), *_no_market(curves))),
        Section("drawdown", "Drawdown", (_underwater(curves), _worst(curves))),
        Section("months", "Returns by month", _months(curves)),
        Section("years", "Returns by year", (_years(curves),), half=True),
        Section("distribution", "Distribution of daily returns", (_distribution(curves),), half=True),
        Section("rolling", f"Rolling Sharpe ratio, {ROLLING_DAYS} days", (_rolling(curves),)),
    ]


def _no_market(curves: Curves) -> tuple[Part, ...]:
    if curves.holding is not None:
        return ()
    why = "the folder holds no market.csv" if curves.market is None else "no pair ever had a close"
    return (Note(f"Buying and holding cannot be drawn: {why}."),)


def _books(curves: Curves) -> list[tuple[str, str]]:
    """Names of the books beside the account, as they are shown, in the order of the streams' table."""
    known = [stream.value for stream in STREAMS if stream is not Stream.SYNTHESIZED] + [EDGE_TESTED]
    known += [CONTROLS[name] for name in curves.run.result.get("controls", {})]
    return [(book, BOOKS.get(book, book)) for book in known]


def _equity(curves: Curves) -> list[Part]:
    lines = [curves.account_line()]
    lines += [curves.line(shown, curves.book(book), style) for style, (book, shown) in enumerate(_books(curves), 1)]
    market = [] if curves.holding is None else [curves.line(HOLDING, curves.holding.returns, _HOLDING_STYLE)]
    caption = (
        "Growth on the same start equity. The account is marked at every slice; the other books show closed profit; "
        "buying and holding pays no costs."
    )
    parts: list[Part] = [_growth("equity-chart", "Growth of each stream since the start", [*lines, *market], caption)]
    if market and _height(market) > _DWARFED * _height(lines):
        parts.append(_growth("streams-chart", "The same without buying and holding", lines, "Mind the other scale."))
    return parts


def _growth(name: str, title: str, lines: Sequence[Line], caption: str) -> Figure:
    drawing = line_chart(Said(name, title, _ends(lines)), lines, percents(0.01), 340)
    return Figure(drawing, f"{title}. {caption}", _legend(lines), _by_month(lines))


def _height(lines: Sequence[Line]) -> float:
    return max(float(line.y.max()) for line in lines) - min(float(line.y.min()) for line in lines)


def _ends(lines: Sequence[Line]) -> str:
    return "; ".join(f"{line.name} ended at {percent(float(line.y[-1]))} %" for line in lines)


def _legend(lines: Sequence[Line]) -> tuple[Key, ...]:
    return tuple(Key(key_line(line.style), line.name, f"{100 * float(line.y[-1]):+.2f} %") for line in lines)


def _by_month(lines: Sequence[Line]) -> Grid:
    """The same lines in figures: their last value of each month."""
    names = sorted({name for line in lines for name in _month_names(line.x[1:])})
    ends = [dict(zip(_month_names(line.x[1:]), line.y[1:].tolist(), strict=True)) for line in lines]
    rows = [(name, *(percent(end.get(name)) for end in ends)) for name in names]
    return grid("Growth at the end of each month, %", ("Month", *(line.name for line in lines)), rows)


def _month_names(times: IntArray) -> list[str]:
    days = (times - 1) // DAY_MS
    return list(days.astype("datetime64[D]").astype("datetime64[M]").astype(str).tolist())


def _underwater(curves: Curves) -> Part:
    lines = [Line("account", curves.times, figures.underwater(curves.equity), 0)]
    if curves.holding is not None:
        lines.append(curves.fall_line(HOLDING, curves.holding.returns, _HOLDING_STYLE))
    deepest = {line.name: float(line.y.min()) for line in lines}
    text = "; ".join(f"{name} at most {percent(-fall)} % below its peak" for name, fall in deepest.items())
    said = Said("drawdown-chart", "Distance below the highest equity so far", text)
    drawing = line_chart(said, lines, percents(0.01), 220, filled=True)
    legend = tuple(Key(key_line(line.style), line.name, f"deepest {percent(deepest[line.name])} %") for line in lines)
    return Figure(drawing, "0 % is a new peak. The account is marked at every slice.", legend)


def _worst(curves: Curves) -> Part:
    found = figures.falls(curves.equity)
    if not found:
        return Note("The account never fell below a peak: there is no drawdown to list.")
    rows = [_fall_row(fall, curves.times) for fall in found[:_WORST]]
    names = ("Start", "Trough", "Recovery", "Depth %", "To trough", "To recovery", "Whole")
    return grid(f"Worst drawdowns ({min(len(found), _WORST)} of {len(found)})", names, rows, 3)


def _fall_row(fall: figures.Fall, at: IntArray) -> tuple[str, ...]:
    peak, trough = int(at[fall.peak]), int(at[fall.trough])
    shown = [_minute(peak), _minute(trough)]
    if fall.recovery is None:
        end, last = NOTHING + " (not recovered)", int(at[-1])
        times = (duration(trough - peak), NOTHING + " (not recovered)", duration(last - peak) + " so far")
    else:
        back = int(at[fall.recovery])
        end, times = _minute(back), (duration(trough - peak), duration(back - trough), duration(back - peak))
    return (*shown, end, percent(-fall.ratio), *times)


def _minute(at: int) -> str:
    return records.stamp(at)[:16].replace("T", " ")


def _months(curves: Curves) -> tuple[Part, ...]:
    parts: list[Part] = [_heat("Account, % by month", curves.account)]
    if curves.holding is not None:
        parts.append(_heat("Buying and holding, % by month", curves.holding))
    return tuple(parts)


def _heat(title: str, daily: Daily) -> Heat:
    months = figures.by_period(daily.days, daily.returns, "M")
    years = figures.by_period(daily.days, daily.returns, "Y")
    most = max((abs(value) for value in months.values()), default=0.0)
    rows = []
    for year, whole in years.items():
        cells = [_shade(months.get(f"{year}-{month:02d}"), most) for month in range(1, 13)]
        rows.append((year, (*cells, _shade(whole, most))))
    return Heat(title, tuple(rows))


def _shade(value: float | None, most: float) -> tuple[str, int]:
    """A cell's text and how strongly it is coloured; a month outside the run is empty."""
    if value is None:
        return "", 0
    depth = round(_SHADES * min(abs(value) / most, 1.0)) if most > 0 else 0
    return percent(value, 1), -depth if value < 0 else depth


def month_names() -> tuple[str, ...]:
    """The heading of a heat map."""
    return (*_MONTHS, "Year")


def _years(curves: Curves) -> Part:
    own = figures.by_period(curves.days, curves.account.returns, "Y")
    held = {} if curves.holding is None else figures.by_period(curves.days, curves.holding.returns, "Y")
    columns_ = []
    for year, value in own.items():
        columns_.append((f"{year} account", value))
        if year in held:
            columns_.append((f"{year} holding", held[year]))
    text = "; ".join(f"{name} {percent(value)} %" for name, value in columns_)
    rows = [(year, percent(value), _or_dash(held.get(year))) for year, value in own.items()]
    drawing = columns(Said("years-chart", "Return by calendar year", text, HALF), columns_, percents(0.001), 280)
    table = grid("Return by year, %", ("Year", "Account", "Buy and hold"), rows)
    return Figure(drawing, "Years at either end may be cut by the run.", (), table)


def _or_dash(value: float | None) -> str:
    return f"{NOTHING} (no market kept)" if value is None else percent(value)


def _distribution(curves: Curves) -> Part:
    returns = curves.account.returns
    edges, counts = figures.histogram(returns, _HISTOGRAM_BINS)
    mean, low = float(returns.mean()), float(np.quantile(returns, 0.05))
    marks = ((f"mean {percent(mean, 3)} %", mean), (f"5 % of days below {percent(low)} %", low))
    text = f"{len(returns)} days, mean {percent(mean, 3)} %, best {percent(float(returns.max()))} %, worst " + (
        f"{percent(float(returns.min()))} %"
    )
    drawing = histogram(Said("distribution-chart", "How often a daily return came", text, HALF), edges, counts, marks,
                        percents(0.001), 280)  # fmt: skip
    rows = [
        (f"{percent(float(a), 3)} to {percent(float(b), 3)}", str(int(n)))
        for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        if n
    ]
    return Figure(drawing, f"Account, {text}.", (), grid("Days by return", ("Return %", "Days"), rows))


def _rolling(curves: Curves) -> Part:
    if len(curves.days) < ROLLING_DAYS:
        return Note(f"{NOTHING} (the run has {len(curves.days)} days, the window needs {ROLLING_DAYS}).")
    ends = (curves.days + 1) * DAY_MS
    lines = [Line("account", ends, figures.rolling_sharpe(curves.account.returns, ROLLING_DAYS), 0)]
    if curves.holding is not None:
        held = figures.rolling_sharpe(curves.holding.returns, ROLLING_DAYS)
        lines.append(Line(HOLDING, ends, held, _HOLDING_STYLE))
    known = [line for line in lines if not np.isnan(line.y).all()]
    if not known:
        return Note(
            f"{NOTHING} (every window of {ROLLING_DAYS} days is the same every day: no deviation to divide by)."
        )
    legend = tuple(Key(key_line(line.style), line.name, _last(line.y)) for line in lines)
    text = "; ".join(f"{key.name} {key.value}" for key in legend)
    drawing = line_chart(
        Said("rolling-chart", "Sharpe ratio of the last 60 days", text), known, lambda v: f"{v:.1f}", 240
    )
    note = f"Daily returns, annualised with sqrt({metrics.ANNUAL_DAYS}); gaps where a window has no deviation."
    return Figure(drawing, note, legend)


def _last(values: FloatArray) -> str:
    known = values[~np.isnan(values)]
    return f"last {known[-1]:.2f}" if len(known) else f"{NOTHING} (no deviation in any window)"
