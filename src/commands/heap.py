"""Keeps the libraries' objects out of the collector's rounds: a full one over them would hold up a slice."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def spared() -> Iterator[None]:
    """What lives now is not looked at by the garbage collector until the end; what is made from now on is.

    A few hundred thousand objects come with the libraries and never become garbage; a round over all of them takes
    a tenth of a second, which is more than a hundred slices.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
