"""The worst learners make room for children of better ones, so that what works spreads inside its moat."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.config import Evolution
from ..core.errors import InvariantError
from ..core.randomness import generator_for
from . import colony_layout as k
from .colony import Colony
from .colony_sharing import skill


def replacements(colony: Colony, settings: Evolution) -> list[tuple[str, str]]:
    """Who should go and whose child should come instead: (loser, parent), moat by moat, worst loser first.

    Judged is who has `min_outcomes` behind it, by skill (nats below the loss of its class frequencies, recorded with
    the prediction). Of a moat's learners at most floor(`replaced_ratio` x their number) go: first the faulty, which
    never speak again, then the least skilled. The best parents come first and one child each before any has two,
    those of the loser's horizon before others; a parent is not faulty and strictly better than the loser. Equals go
    by name.
    """
    gain, names, order = skill(colony, settings.min_outcomes), colony.names, colony.order
    figures = colony.rows.counts[order][:, [k.MOAT, k.HORIZON, k.FAULTY]].tolist()
    value = dict(zip(names, gain[order].tolist(), strict=True))
    horizon = {name: own[1] for name, own in zip(names, figures, strict=True)}
    faulty = {name for name, own in zip(names, figures, strict=True) if own[2]}
    moats: dict[int, list[str]] = {}
    for name, own in zip(names, figures, strict=True):
        moats.setdefault(own[0], []).append(name)
    found = []
    for _, members in sorted(moats.items()):
        found += _within(members, value, horizon, faulty, int(settings.replaced_ratio * len(members)))
    return found


def _within(
    members: list[str], gain: dict[str, float], horizon: dict[str, int], broken: set[str], most: int
) -> list[tuple[str, str]]:
    """The pairs of one moat from its `members` by name; the `broken` are faulty."""
    faulty = [name for name in members if name in broken]
    judged = sorted(
        (name for name in members if name not in broken and math.isfinite(gain[name])), key=gain.__getitem__
    )
    value = gain | dict.fromkeys(faulty, -math.inf)
    losers = (faulty + judged)[:most]
    best = sorted((name for name in judged if name not in losers), key=lambda name: (-value[name], name))
    children = dict.fromkeys(best, 0)
    pairs = []
    for loser in losers:
        fit = [name for name in best if value[name] > value[loser]]
        if not fit:
            continue
        own = horizon[loser]
        parent = min(fit, key=lambda name: (children[name], horizon[name] != own))
        children[parent] += 1
        pairs.append((loser, parent))
    return pairs


def bear(
    colony: Colony,
    name: str,
    pair_index: int,
    horizon: int,
    parent: str,
    settings: Evolution,
    always_in: Sequence[int] = (),
) -> int:
    """A mutated child of `parent` (living, of whatever pair and horizon) in its parent's moat; returns the row.

    It inherits mask (with `always_in`), weights, flat bias and learning rate: weights with noise of `mutation_ratio`
    times their root mean square, the rate times exp(U(-spread, spread)), both from the child's own stream. Losses,
    ranks, calibration, book and patterns begin anew. Raises what `Colony.born` raises.
    """
    rows = colony.rows
    above = colony.row_of(parent)
    seen = rows.mask[above, : rows.counts[above, k.FEATURES]].tolist()
    if not np.isfinite(rows.weights[above]).all():
        raise InvariantError(f"learner {name!r}: {parent!r} has weights that are not finite and nothing to leave")
    moat = int(rows.counts[above, k.MOAT])
    row = colony.born(name, pair_index, horizon, always_in, parent, moat)
    _inherit(colony, name, row, above, sorted({*seen, *always_in}), settings)
    return row


def _inherit(colony: Colony, name: str, row: int, above: int, mask: list[int], settings: Evolution) -> None:
    rows, rng = colony.rows, generator_for(colony.seed, f"heir:{name}")  # the rows may have moved with the birth
    rows.mask[row] = 0
    rows.mask[row, : len(mask)] = mask
    rows.counts[row, k.FEATURES] = len(mask)
    given = rows.weights[above]
    size = math.sqrt(float(np.square(given[:, mask]).sum()) / (k.CLASSES * len(mask)))
    noise = rng.uniform(-math.sqrt(3.0), math.sqrt(3.0), (k.CLASSES, len(mask)))  # of unit variance
    rows.weights[row] = 0.0
    rows.weights[row][:, mask] = given[:, mask] + settings.mutation_ratio * size * noise
    spread = rng.uniform(-settings.learning_rate_spread, settings.learning_rate_spread)
    rows.numbers[row, k.RATE] = rows.numbers[above, k.RATE] * math.exp(spread)
    rows.numbers[row, k.BIAS] = rows.numbers[above, k.BIAS]
