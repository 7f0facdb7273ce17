"""One random stream for every name, so that a birth or a death never moves another agent's numbers."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

# The layout of the derivation, not a tunable: 128 bits of the name's hash as four little-endian 32-bit words.
_NAME_BYTES = 16
_WORD = np.dtype("<u4")


def generator_for(seed: int, name: str) -> Generator:
    """The random generator that belongs to `name` in a run seeded with `seed` (not negative).

    PCG64 over SeedSequence([seed, *BLAKE2b-128(name) as words]): the same on every machine, independent of
    the order in which names are asked for. Every call starts the stream anew. Raises ValueError for seed < 0.
    """
    if seed < 0:
        raise ValueError(f"a seed is a non-negative number, not {seed}")
    length = _WORD.itemsize * max(1, -(-seed.bit_length() // (8 * _WORD.itemsize)))  # whole words, at least one
    digest = blake2b(name.encode(), digest_size=_NAME_BYTES).digest()
    words = np.frombuffer(seed.to_bytes(length, "little") + digest, dtype=_WORD)  # taken quicker than a list of them
    return Generator(PCG64(SeedSequence(words.astype(np.uint32, copy=False))))
