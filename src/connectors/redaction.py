"""Takes secrets out of what is about to be shown, by what is known to be secret and by what secrets look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
MIN_CHARACTERS = 6
"""Of a known secret: a shorter one would strike out parts of ordinary words."""
SECRET_WORDS = ("SECRET", "TOKEN", "KEY", "PASSWORD", "PASSWD", "CREDENTIAL", "IDENTITY", "WEBHOOK")
"""Names of environment variables that hold something nobody may see."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), f"\\g<1>{HIDDEN}")
    for pattern in (
        r"(/api/webhooks/)[\w./%*-]+",
        r"(\b[a-z][a-z0-9+.-]{1,15}://)[^\s/@]+(?=@)",
        r"((?i:\b(?:bearer|basic|token)\s+))[A-Za-z0-9._~+/=-]{8,}",
        r"((?i:\b(?:api[-_]?key|api[-_]?sign|secret|password|passwd|token|authorization)[\"']?\s*[:=]\s*[\"']?))"
        r"[^\s\"',;}]{4,}",
        r"(\b)(?:gh[pousr]_[A-Za-z0-9]{6,}|github_pat_\w{6,})",
        r"()(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])",
    )
)
"""Webhooks, logins in addresses, authorization headers, `name=value` of secret names, GitHub's logins, and the base64
of 64 bytes, which is what a secret of Kraken is."""
_END = re.compile(r"[?#]")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class Redaction:
    """`clean` strikes out secrets and makes control characters visible; safe from any thread."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known: tuple[str, ...] = ()
        self.learn(known)

    def learn(self, known: Iterable[str]) -> None:
        """From now on these are struck out wherever they stand; longer ones first, since one may hold another."""
        found = {*self._known, *(text for text in known if len(text) >= MIN_CHARACTERS)}
        self._known = tuple(sorted(found, key=lambda text: (-len(text), text)))

    def clean(self, text: str) -> str:
        """The text without secrets, in one line that a terminal shows as it is."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text.translate(_CONTROLS)

    def clean_all(self, value: Any) -> Any:
        """The same inside lists and tables; anything that is no plain value becomes text first."""
        if isinstance(value, str):
            return self.clean(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.clean(str(name)): self.clean_all(one) for name, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean_all(one) for one in value]
        return self.clean(str(value))


def shown_url(url: str) -> str:
    """An address for people: without login and without what follows a question mark, both of which may be secret.

    >>> shown_url("redis://user:secret@host:6379/0?password=secret")
    'redis://host:6379/0'
    """
    scheme, mark, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    if any(end in login for end in "/?#"):  # where this login ends, or that of the query begins, is anybody's guess
        return f"{scheme}://{HIDDEN}"
    return scheme.rpartition("@")[2] + mark + _END.split(place, maxsplit=1)[0]


def url_secrets(url: str) -> list[str]:
    """The passwords of an address, as they stand there and as they are meant."""
    rest = url.partition("://")[2]
    asked = [piece.partition("=") for piece in rest.partition("?")[2].split("&")]
    found = [rest.rpartition("@")[0].partition(":")[2], *(value for name, _, value in asked if "password" in name)]
    return [text for one in found for text in dict.fromkeys((one, unquote(one))) if text]


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values of environment variables whose names say that they are secret."""
    return [value for name, value in environ.items() if any(word in name.upper() for word in SECRET_WORDS)]
