"""One rule that turns the figures of a claim into supported, not supported or cannot tell, with the reason."""

from __future__ import annotations

from typing import Literal

import msgspec

from .hypothesis_claim import Judging

Word = Literal["supported", "not supported", "cannot tell"]


class Judged(msgspec.Struct, frozen=True):
    """What the verdict rests on. Correlations are signed so that positive is as claimed.

    `reverse_r`, `reverse_p`: the strongest lag of the target leading the source. `blind`: positive controls that did
    not fire. `power`, `replication_power`: of the smallest effect that matters.
    """

    judging: Judging
    lag_hours: int
    r: float
    p_family: float
    r_inside: float
    r_outside: float
    replication_p: float
    power: float
    replication_power: float
    reverse_r: float
    reverse_p: float
    blind: tuple[str, ...]


class Verdict(msgspec.Struct, frozen=True):
    """The word and one sentence."""

    word: Word
    reason: str


def verdict(seen: Judged) -> Verdict:
    """Supported: significant over the family, as claimed, in both parts, and replicated out of sample.

    Cannot tell: where an effect that matters would have been missed too often, where events that move every market
    were missed, or where the target leads the source as strongly. Not supported: everything else.
    """
    level = seen.judging.level
    if seen.p_family <= level and seen.r > 0.0:
        return _significant(seen)
    if seen.p_family <= level:
        return Verdict(
            "not supported",
            f"what there is at {seen.lag_hours} h goes against the claimed direction (r {seen.r:+.3f} along it)",
        )
    if seen.blind:
        return Verdict("cannot tell", f"the instrument is blind: it did not see {', '.join(seen.blind)} hours")
    if seen.power < seen.judging.power:
        return Verdict("cannot tell", _weak("the power is too small", seen.power, seen.judging))
    return Verdict(
        "not supported",
        f"nothing at {seen.lag_hours} h (family-wise p {seen.p_family:.2g}), where a correlation of "
        f"{seen.judging.smallest_effect:g} would have been found {seen.power:.0%} of the time",
    )


def _significant(seen: Judged) -> Verdict:
    judging = seen.judging
    if seen.r_inside > 0.0 and seen.replication_p <= judging.replication_level:
        if seen.reverse_p <= judging.level and seen.reverse_r >= seen.r:
            return Verdict("cannot tell", f"the target leads the source as strongly (r {seen.reverse_r:.3f})")
        return Verdict(
            "supported",
            f"r {seen.r:+.3f} at {seen.lag_hours} h (family-wise p {seen.p_family:.2g}) and replicated out of sample "
            f"(r {seen.r_outside:+.3f}, p {seen.replication_p:.2g})",
        )
    if seen.replication_power < judging.power:
        return Verdict(
            "cannot tell", _weak("too little out of sample to replicate it", seen.replication_power, judging)
        )
    return Verdict("not supported", f"it did not replicate out of sample (p {seen.replication_p:.2g})")


def _weak(opening: str, power: float, judging: Judging) -> str:
    return f"{opening}: a correlation of {judging.smallest_effect:g} would be found only {power:.0%} of the time"
