"""How the moats stand, in words and figures: what people, messages and the record are told of them."""

from __future__ import annotations

from .config import MoatStrength
from .moat_kernels import NEUTRAL, NEVER
from .moat_strength import STRONG, grade, strength, verdict
from .moats import CODE, MOATS
from .types import MoatStanding, MoatView


def standing(view: MoatView, moat: int, settings: MoatStrength) -> MoatStanding:
    """How the moat of column `moat` stands, in words and figures."""
    parts = view.parts
    own = parts.moat == moat
    names = [name for name, mine in zip(parts.names, own.tolist(), strict=True) if mine]
    columns = [part[own].tolist() for part in (parts.known_at, parts.state, parts.weighted, parts.figures)]
    rows = [row for row in zip(names, *columns, strict=True) if row[1] != NEVER]
    newest = max([row[1] for row in rows], default=NEVER)
    told = parts.repositories if moat == CODE else {}
    if told:
        newest = max(newest, parts.repositories_at)
    points = strength(parts.recent[moat, parts.recent.shape[1] - int(parts.readings[moat]) :].tolist(), settings)
    figures = {name: figure for name, _, _, _, figure in rows}
    figures |= {f"{name}.z": z for name, _, state, z, _ in rows if state >= NEUTRAL}
    figures |= {f"{asset}.{name}": figure for asset, known in told.items() for name, figure in known.items()}
    return MoatStanding(
        moat=MOATS[moat],
        status=view.statuses[moat],
        age_ms=None if newest == NEVER else max(0, int(parts.as_of[moat]) - newest),
        quality=float(parts.quality[moat]),
        figures=figures,
        strength=points,
        grade=grade(points, settings),
        simulated=view.simulated[moat],
    )


def beside(view: MoatView, moat: int, asset: str) -> dict[str, float]:
    """What the moat of column `moat` knows of an asset besides its value, by name as in `standing`."""
    parts = view.parts
    if moat == CODE:
        return dict(parts.repositories.get(asset, {}))
    told: dict[str, float] = {}
    for cell in parts.beside:
        if parts.moat[cell] == moat and parts.known_at[cell] != NEVER:
            told[parts.names[cell]] = float(parts.figures[cell])
            if parts.state[cell] >= NEUTRAL:
                told[f"{parts.names[cell]}.z"] = float(parts.weighted[cell])
    return told


def synthesis(view: MoatView, settings: MoatStrength) -> tuple[int, str]:
    """How many moats are strong, and the word for it."""
    grades = [standing(view, moat, settings).grade for moat in range(len(MOATS))]
    return grades.count(STRONG), verdict(grades.count(STRONG))
