"""What it costs a slice that somebody counts: measured beside the slices themselves, in the middle of many."""

from __future__ import annotations

import logging
from itertools import islice
from statistics import median

import pytest
import structlog

from src.commands.announcing import Announcer
from src.commands.feeds import open_source
from src.commands.measures import Measures
from src.commands.options import ProcessOptions
from src.core.bus import LocalBus
from src.core.clock import SimClock, Timer
from src.services.writer import Writer
from src.wiring import Plan, build
from tests.monitoring.test_measures import Nowhere
from tests.worlds import settings

WARM, MEASURED = 150, 1200


@pytest.mark.long
@pytest.mark.timeout(900)
def test_metrics_and_announcements_cost_a_slice_one_percent_at_most() -> None:
    """Long, for it needs a machine that does nothing else: 18 simulated pairs, all agents, medians of 1,200 slices."""
    tree = settings()
    source = open_source(ProcessOptions(seed=7, bus="local"), tree)
    clock, ledger, timer = SimClock(), Writer(Nowhere(), tree.ledger), Timer()
    plan = Plan(source.pairs, source.interval_ms, 7, simulation=True, mode="paper")
    house = build(tree, plan, clock, LocalBus(clock, tree.bus), ledger)
    measures = Measures(house, ledger, tree.monitoring.metrics, {}, timer)
    logger = structlog.wrap_logger(logging.getLogger("nobody"))
    announcer = Announcer(house, ledger, logger, lambda notice: None, "", 0, measures.alarm)
    walked, watched = [], []
    for slice_ in islice(source.after(None), WARM + MEASURED):
        began = timer.seconds()
        report = house.engine.on_slice(slice_)
        between = timer.seconds()
        measures(report)
        announcer(report)
        walked.append(between - began)
        watched.append(timer.seconds() - between)
    house.close()
    ledger.close()
    assert median(watched[WARM:]) <= 0.01 * median(walked[WARM:])
