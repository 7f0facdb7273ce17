"""Signatures of commands on the bus: who does not hold the secret cannot halt or resume a run."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from .messages import Control


def sign(control: Control, secret: str) -> Control:
    """`control` with its signature: HMAC-SHA256 (RFC 2104), hexadecimal, over the canonical JSON without signature."""
    return msgspec.structs.replace(control, signature=_digest(control, secret))


def verify_signature(control: Control, secret: str | None) -> bool:
    """Whether `control` was signed with `secret`; without a secret no signature is good."""
    if not secret or not control.signature:
        return False
    return hmac.compare_digest(_digest(control, secret).encode(), control.signature.encode())


def _digest(control: Control, secret: str) -> str:
    bare = msgspec.structs.replace(control, signature="")
    return hmac.new(secret.encode(), msgspec.json.encode(bare, order="sorted"), hashlib.sha256).hexdigest()
