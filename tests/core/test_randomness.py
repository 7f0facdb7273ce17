"""Named random streams."""

from __future__ import annotations

from hashlib import blake2b

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


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**40, 2**64 + 5])
def test_the_words_of_any_seed_are_those_that_numpy_makes_of_it(seed: int) -> None:
    words = np.frombuffer(blake2b(b"a", digest_size=16).digest(), dtype="<u4").tolist()
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
    assert generator_for(seed, "a").integers(0, 2**63, 5).tolist() == expected.integers(0, 2**63, 5).tolist()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        generator_for(-1, "a")
