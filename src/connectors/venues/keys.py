"""A venue's key, which nobody ever sees printed."""

from __future__ import annotations

from typing import ClassVar

from ..private_file import Hidden


class ApiKey(Hidden):
    """A key and its secret. Whatever prints it prints `***`."""

    __slots__ = ("key", "secret")
    what: ClassVar[str] = "an API key"

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret
