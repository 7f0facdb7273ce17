"""How the state of a run becomes bytes: msgpack with numpy arrays by dtype, shape and raw bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from .errors import LedgerError

FORMAT = 1
"""Raised whenever older states can no longer be read."""

_ARRAY = "__array__"
_encoder = msgspec.msgpack.Encoder(enc_hook=lambda value: _encode_special(value))


def dump(state: dict[str, Any]) -> bytes:
    """State as bytes; arrays keep dtype and shape exactly."""
    return _encoder.encode({"format": FORMAT, "state": state})


def load(raw: bytes) -> dict[str, Any]:
    """The state behind `raw`; LedgerError when it is damaged or of another format."""
    try:
        outer = msgspec.msgpack.decode(raw)
        if outer["format"] != FORMAT:
            raise LedgerError(f"checkpoint of format {outer['format']}, this version reads {FORMAT}")
        return dict(_decode(outer["state"]))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"checkpoint cannot be read: {error}") from error


def _encode_special(value: object) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject or value.dtype.names:
            raise TypeError(f"an array of {value.dtype} has no place in a checkpoint")
        ordered = np.ascontiguousarray(value)
        return {_ARRAY: ordered.dtype.str, "shape": list(value.shape), "data": ordered.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a checkpoint")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            array = np.frombuffer(value["data"], dtype=np.dtype(value[_ARRAY])).reshape(value["shape"])
            return array.copy()
        return {key: _decode(item) for key, item in value.items()}
    return [_decode(item) for item in value] if isinstance(value, list) else value
