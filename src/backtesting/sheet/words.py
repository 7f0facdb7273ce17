"""What stands in a page, made safe to see: nothing in the data can hide, turn round or leave the text it is in."""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, marks that turn the direction of reading, halves of characters, line separators."""


def visible(text: str) -> str:
    """Text in which every character that cannot be seen is written by its number.

    >>> visible("BTC\\u202eTDSU")
    'BTC\\\\u202eTDSU'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_seen(sign) if unicodedata.category(sign) in _HIDDEN else sign for sign in text)


def _seen(sign: str) -> str:
    return " " if sign in "\n\t" else f"\\u{ord(sign):04x}"


def safe(text: object) -> Markup:
    """Any text as it may stand in HTML or SVG."""
    return escape(visible(str(text)))


def shown(value: object) -> object:
    """What a template does with each value before it is escaped; markup of our own stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
