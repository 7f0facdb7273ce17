"""What may not be seen is struck out, by what is known and by what it looks like; the rest stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.connectors.redaction import Redaction, secrets_of, shown_url, url_secrets

KRAKEN = "A" * 43 + "b/+" + "9" * 40 + "=="


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        ("the canary-secret sings", "the *** sings"),
        (
            "POST https://discord.com/api/webhooks/12/abc-DEF_9 failed",
            "POST https://discord.com/api/webhooks/*** failed",
        ),
        ("redis://user:pass@host:6379/0", "redis://***@host:6379/0"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: *** ***"),
        ("API-Key: 0123456789", "API-Key: ***"),
        ('{"secret": "0123456789"}', '{"secret": "***"}'),
        ("password=hunter2222&x=1", "password=***"),
        ("ghp_abcdefghijklmnop", "***"),
        (f"signed with {KRAKEN}.", "signed with ***."),
        ("sha256 " + "a" * 64, "sha256 " + "a" * 64),
        ("line\nbreak\r\x1b[31mred\x00\x9b\u2028", "line\\nbreak\\r\\x1b[31mred\\x00\\x9b\\u2028"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert Redaction(["canary-secret", "no", ""]).clean(text) == shown


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("", "", []),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379", []),
        ("redis://engine@bus:6379/1", "redis://bus:6379/1", []),
        ("redis://:hunter2@host", "redis://host", ["hunter2"]),
        ("redis://me:a%2Fb@host?db=1", "redis://host", ["a%2Fb", "a/b"]),
        ("redis://:a@b@host", "redis://host", ["a@b"]),
        ("redis://:a/b@host:1", "redis://***", ["a/b"]),
        ("redis://host/0?db=1&password=p%40q", "redis://host/0", ["p%40q", "p@q"]),
        ("redis://host/0?password=p@q", "redis://***", ["p@q"]),
        ("unix://:hunter2@/run/bus.sock?db=0", "unix:///run/bus.sock", ["hunter2"]),
        ("redis:hunter2@host", "host", []),
    ],
)
def test_an_address_is_shown_without_its_login(url: str, shown: str, secrets: list[str]) -> None:
    assert shown_url(url) == shown
    assert url_secrets(url) == secrets


def test_the_longer_of_two_secrets_goes_first() -> None:
    redaction = Redaction(["secret", "secret-of-mine"])
    assert redaction.clean("my secret-of-mine and secret") == "my *** and ***"
    redaction.learn(["another"])
    assert redaction.clean("another secret") == "*** ***"


def test_everything_inside_is_cleaned() -> None:
    redaction = Redaction(["canary"])
    found = redaction.clean_all({"canary": ["canary", ("x", 1, None, True, 0.5)], 7: ValueError("canary\n")})
    assert found == {"***": ["***", ["x", 1, None, True, 0.5]], "7": "***\\n"}


@given(st.text(), st.text(min_size=6))
def test_no_known_secret_and_no_control_character_passes(text: str, secret: str) -> None:
    shown = Redaction([secret]).clean(f"{text}{secret}{text}")
    assert secret not in shown or set(secret) <= {"*"} or secret in "***"
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in shown)


def test_the_environment_says_by_its_names_what_is_secret() -> None:
    environ = {"GITHUB_TOKEN": "one", "KRAKEN_API_KEY": "two", "SEC_EDGAR_IDENTITY": "me a@b.c", "HOME": "/root"}
    assert secrets_of(environ) == ["one", "two", "me a@b.c"]
