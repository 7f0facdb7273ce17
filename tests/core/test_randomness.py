"""Named random streams."""

from __future__ import annotations

import numpy as np
import pytest

from src.core.randomness import generator_for


def test_a_stream_is_fixed_for_all_time() -> None:
    # Figures of PCG64 over SeedSequence([7, *BLAKE2b-128("learner-1")]); a change of the derivation breaks replays.
    assert generator_for(7, "learner-1").integers(0, 2**32, 3).tolist() == [4282289084, 4223902316, 3479238311]


def test_streams_differ_by_name_and_by_seed_and_not_by_order() -> None:
    first = generator_for(7, "a").random(4)
    others = [generator_for(7, "b").random(4), generator_for(8, "a").random(4)]
    assert np.array_equal(generator_for(7, "a").random(4), first)
    assert not any(np.array_equal(other, first) for other in others)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        generator_for(-1, "a")
