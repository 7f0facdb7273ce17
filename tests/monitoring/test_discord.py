"""Messages to people: what is sent, in which order, how often; whoever tells something never waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from src.connectors import discord
from src.connectors.discord import MAX_CHARACTERS, Discord, Notice, Severity, webhook_path
from src.connectors.private_file import Secret, read_private
from src.connectors.redaction import Redaction
from src.core.clock import Timer
from src.core.config_monitoring import DiscordSettings
from src.core.errors import ConfigError
from src.core.timeframes import HOUR_MS
from tests.monitoring.webhook import Reply, Webhook
from tests.worlds import settings

CANARY = "canaryTokenOfTheWebhook_0123456789"
PATH = f"/api/webhooks/123456/{CANARY}"


class Hasty(Timer):
    """Waits of the sender take no time; they are noted."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.ahead = 0.0

    def seconds(self) -> float:
        return super().seconds() + self.ahead

    def wait(self, event: Event, seconds: float) -> bool:
        self.waits.append(seconds)
        return event.is_set()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    served = Webhook()
    yield served
    served.close()


def wanted(**changes: object) -> DiscordSettings:
    """The shipped settings with others in their place."""
    return settings().monitoring.discord.model_copy(update=changes)


@pytest.fixture
def senders() -> Iterator[list[Discord]]:
    made: list[Discord] = []
    yield made
    for one in made:
        one.close()


def sender(
    hook: Webhook, senders: list[Discord], now_ms: int = 0, timer: Timer | None = None, **changes: object
) -> Discord:
    redaction = Redaction([CANARY])
    made = Discord(
        Secret(PATH), wanted(**changes), redaction.clean, timer or Hasty(), now_ms=lambda: now_ms, base=hook.url
    )
    senders.append(made)
    return made


def halt(text: str = "HALTED: drawdown", key: str = "halt", severity: Severity = Severity.CRITICAL) -> Notice:
    return Notice("halts", severity, text, key)


def test_a_message_mentions_nobody_and_goes_to_the_webhook(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders)
    one.start()
    one.tell(halt("HALTED: @everyone look"))
    assert hook.texts(1) == ["HALTED: @everyone look"]
    posted = hook.posted[0]
    assert (posted.method, posted.path) == ("POST", PATH)
    assert posted.body == {"content": "HALTED: @everyone look", "allowed_mentions": {"parse": []}}


def test_routes_say_how_a_severity_comes(hook: Webhook, senders: list[Discord]) -> None:
    routes = wanted().routes.model_copy(update={"warning": "never"})
    one = sender(hook, senders, routes=routes)
    one.tell(halt("no", "w", Severity.WARNING))
    one.tell(halt("quietly", "i", Severity.INFO))
    one.tell(halt("loudly"))
    one.start()
    assert hook.texts(2) == ["quietly", "loudly"]
    assert [posted.body.get("flags") for posted in hook.posted] == [4096, None]


def test_kinds_of_events_can_be_switched_off(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders, events=wanted().events.model_copy(update={"daily": False}))
    one.tell(Notice("daily", Severity.INFO, "a day", "daily"))
    one.tell(Notice("faults", Severity.WARNING, "a fault", "fault"))
    one.start()
    assert hook.texts(1) == ["a fault"]


def test_the_same_is_told_once_and_then_how_often_it_was_not(hook: Webhook, senders: list[Discord]) -> None:
    timer = Hasty()
    one = sender(hook, senders, timer=timer, dedupe_seconds=60.0)
    for _ in range(4):
        one.tell(halt())
    one.start()
    assert hook.texts(1) == ["HALTED: drawdown (and 3 more like it)"]
    assert one.counts["repeated"] == 3
    timer.ahead += 61.0
    one.tell(halt())
    assert hook.texts(2)[1] == "HALTED: drawdown"


def test_the_silence_that_is_asked_for_is_kept_and_is_no_failure(hook: Webhook, senders: list[Discord]) -> None:
    body = json.dumps({"message": "You are being rate limited.", "retry_after": 0.75, "global": False}).encode()
    limited = [Reply(429, body), Reply(429, b"", {"Retry-After": "2"}), Reply(429, b"<html>"), Reply(429, b'"x"')]
    hook.replies = [*limited, Reply(429, b"", {"Retry-After": "86400"})]
    timer = Hasty()
    one = sender(hook, senders, timer=timer, attempts=1, retry_after_cap_seconds=300.0, pause_seconds=0.01)
    one.start()
    one.tell(halt())
    assert hook.texts(6) == ["HALTED: drawdown"] * 6
    one.close()
    assert [wait for wait in timer.waits if wait > 0.5] == [0.75, 2.0, 60.0, 60.0, 300.0]
    assert (one.counts["sent"], one.counts["failed"], one.counts["limited"], one.failure) == (1, 0, 5, "")


def test_a_server_out_of_order_is_asked_again_with_growing_pauses_and_then_not(
    hook: Webhook, senders: list[Discord]
) -> None:
    hook.replies = [Reply(500)] * 3
    timer = Hasty()
    one = sender(hook, senders, timer=timer, attempts=3, pause_seconds=0.01)
    one.start()
    one.tell(halt("lost"))
    one.tell(halt("next", "other"))
    assert hook.texts(4) == ["lost", "lost", "lost", "next"]
    one.close()
    assert [wait for wait in timer.waits if wait > 0.5] == [1.0, 2.0]
    assert (one.counts["sent"], one.counts["failed"]) == (1, 1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_webhook_that_is_gone_is_not_asked_again(status: int, hook: Webhook, senders: list[Discord]) -> None:
    hook.replies = [Reply(status)]
    one = sender(hook, senders)
    one.start()
    one.tell(halt("first", "a"))
    hook.texts(1)
    one.tell(halt("second", "b"))
    one.close()
    assert len(hook.posted) == 1
    assert "make a new one" in one.failure
    assert one.counts["failed"] == 2


@pytest.mark.parametrize(
    ("reply", "said"), [(Reply(302, b"", {"Location": "http://127.0.0.1:1/"}), "elsewhere"), (Reply(400), "refused")]
)
def test_nobody_follows_elsewhere_and_a_refusal_is_final(
    reply: Reply, said: str, hook: Webhook, senders: list[Discord]
) -> None:
    hook.replies = [reply]
    one = sender(hook, senders)
    assert said in one.now(halt())
    assert len(hook.posted) == 1


def test_whoever_tells_something_does_not_wait_for_a_slow_discord(hook: Webhook, senders: list[Discord]) -> None:
    """A hundred messages while the first hangs: the oldest that matter little go, what is critical stays."""
    hook.replies = [Reply(hang=True)]
    timer = Timer()
    one = sender(hook, senders, timer=timer, queue_messages=3, timeout_seconds=30.0, close_seconds=0.1)
    one.start()
    one.tell(halt("hangs", "hangs"))
    hook.texts(1)
    begun = timer.seconds()
    one.tell(halt("matters", "matters"))
    for number in range(100):
        one.tell(halt(f"n{number}", f"n{number}", Severity.INFO))
    assert timer.seconds() - begun < 1.0
    assert one.counts["dropped"] == 98
    assert [held.notice.text for held in one._waiting] == ["matters", "n98", "n99"]
    hook.release.set()


def test_a_discord_that_is_down_costs_a_failure_and_nothing_else(hook: Webhook, senders: list[Discord]) -> None:
    one = Discord(Secret(PATH), wanted(attempts=2), str, Hasty(), base="http://127.0.0.1:1")
    senders.append(one)
    failed = one.now(halt())
    assert failed == "no connection to Discord (ConnectError)"
    assert CANARY not in failed


def test_a_message_says_how_late_it_comes(hook: Webhook, senders: list[Discord]) -> None:
    timer = Hasty()
    one = sender(hook, senders, timer=timer, late_seconds=30.0)
    one.tell(halt())
    timer.ahead = 95.0
    one.start()
    assert hook.texts(1)[0].startswith("HALTED: drawdown (late by 9")


@pytest.mark.parametrize(("hour", "quiet"), [(21, False), (22, True), (3, True), (5, True), (6, False)])
def test_quiet_hours_leave_what_is_critical(hour: int, quiet: bool, hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders, now_ms=hour * HOUR_MS, quiet_hours=(22, 6))
    one.tell(halt("later", "a", Severity.WARNING))
    one.tell(halt("now", "b"))
    one.start()
    assert hook.texts(1 if quiet else 2) == (["now"] if quiet else ["later", "now"])


def test_what_waited_comes_as_one_message_when_the_quiet_hours_end(hook: Webhook, senders: list[Discord]) -> None:
    now = [23 * HOUR_MS]
    one = Discord(Secret(PATH), wanted(quiet_hours=(22, 6)), str, Hasty(), now_ms=lambda: now[0], base=hook.url)
    senders.append(one)
    one.tell(halt("bus down", "a", Severity.WARNING))
    one.tell(halt("a day", "b", Severity.INFO))
    now[0] = 6 * HOUR_MS
    one.start()
    assert hook.texts(1) == ["While it was quiet (2): bus down | a day"]
    assert "flags" not in hook.posted[0].body  # as loud as the loudest of it


def test_the_newest_of_a_topic_is_always_told(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders)
    for key in ("down", "up", "down", "down", "up"):
        one.tell(Notice("faults", Severity.WARNING, key, key, "bus"))
        one.tell(halt("other", "other"))
    one.start()
    texts = hook.texts(5)
    assert [text.partition(" ")[0] for text in texts] == ["down", "other", "up", "down", "up"]
    assert texts[1] == "other (and 4 more like it)"
    assert one.counts["repeated"] == 5


def test_what_is_critical_in_quiet_hours_comes_after_what_waited_of_its_topic(
    hook: Webhook, senders: list[Discord]
) -> None:
    one = sender(hook, senders, now_ms=23 * HOUR_MS, quiet_hours=(22, 6))
    one.start()
    one.tell(Notice("halts", Severity.CRITICAL, "HALTED", "halted", "halt"))
    one.tell(Notice("halts", Severity.INFO, "resumed", "resumed", "halt"))
    one.tell(Notice("faults", Severity.WARNING, "waits", "waits"))
    one.tell(Notice("halts", Severity.CRITICAL, "HALTED", "halted", "halt"))
    assert hook.texts(3) == ["HALTED", "resumed", "HALTED"]


def test_a_night_longer_than_a_message_comes_in_several(hook: Webhook, senders: list[Discord]) -> None:
    now = [23 * HOUR_MS]
    one = sender(hook, senders, quiet_hours=(22, 6))
    one._now_ms = lambda: now[0]
    told = [f"[PAPER] agent learner-{number:04} was taken out: ValueError('x')" for number in range(60)]
    for text in told:
        one.tell(halt(text, text, Severity.INFO))
    one.tell(halt(told[7], told[7], Severity.INFO))
    one.tell(halt("🍄" * 1500, "long", Severity.WARNING))
    now[0] = 6 * HOUR_MS
    one.start()
    texts = hook.texts(3)
    one.close()
    assert [text.partition(": ")[0] for text in texts] == [
        f"While it was quiet ({which} of 61)" for which in ("1 to 31", "32 to 60", "61 to 61")
    ]
    parts = [part for text in texts for part in text.partition(": ")[2].split(" | ")]
    assert parts == [*told[:7], told[7] + " (and 1 more like it)", *told[8:], "🍄" * 949 + "…"]
    assert all(len(text.encode("utf-16-le")) // 2 <= MAX_CHARACTERS for text in texts)
    assert [posted.body.get("flags") for posted in hook.posted] == [4096, 4096, None]
    assert (one.counts["sent"], one.counts["dropped"], one.left) == (61, 0, 0)


def test_what_waits_in_quiet_hours_is_sent_without_a_sound_at_the_end(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders, now_ms=23 * HOUR_MS, quiet_hours=(22, 6))
    one.tell(halt("agent x was taken out", "a", Severity.WARNING))
    one.tell(halt("a day", "b", Severity.INFO))
    one.start()
    one.close()
    assert hook.texts(1) == ["While it was quiet (2): agent x was taken out | a day"]
    assert hook.posted[0].body["flags"] == 4096
    assert (one.counts["sent"], one.left) == (2, 0)


def test_what_cannot_be_sent_before_the_end_is_counted(hook: Webhook, senders: list[Discord]) -> None:
    hook.replies = [Reply(hang=True)]
    one = sender(hook, senders, timer=Timer(), quiet_hours=(0, 0), timeout_seconds=0.2, close_seconds=0.01, attempts=1)
    one.start()
    one.tell(halt("hangs", "hangs"))
    hook.texts(1)
    for number in range(3):
        one.tell(halt(str(number), str(number)))
    one.close()
    assert (one.counts["failed"], one.left) == (1, 3)
    one.close()
    assert one.left == 3
    hook.release.set()


def test_a_long_message_is_cut_as_discord_counts(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders)
    assert one.now(halt("🍄" * 1500)) == ""
    assert one.now(halt("m" * MAX_CHARACTERS)) == ""
    long, fits = hook.texts(2)
    assert long == "🍄" * 999 + "…"
    assert len(long.encode("utf-16-le")) // 2 <= MAX_CHARACTERS
    assert fits == "m" * MAX_CHARACTERS


def test_no_secret_is_told_to_people(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders)
    one.now(halt(f"failed at https://discord.com{PATH} with {CANARY}\x1b[31m\nred"))
    assert hook.texts(1) == ["failed at https://discord.com/api/webhooks/*** with ***\\x1b[31m\\nred"]


def test_what_is_queued_is_sent_at_the_end(hook: Webhook, senders: list[Discord]) -> None:
    one = sender(hook, senders, timer=Timer(), pause_seconds=0.01)
    for number in range(5):
        one.tell(halt(str(number), str(number)))
    one.start()
    one.close()
    assert hook.texts(5) == list("01234")
    one.tell(halt("too late", "late"))
    assert len(hook.posted) == 5


@pytest.mark.parametrize(
    "address",
    [
        "http://discord.com/api/webhooks/1/abc",
        "https://discord.com.evil.org/api/webhooks/1/abc",
        "https://evil.org/?https://discord.com/api/webhooks/1/abc",
        "https://discord.com@evil.org/api/webhooks/1/abc",
        "https://discord.com/api/webhooks/../../users/1",
        "https://discord.com/api/webhooks/1/abc?wait=true",
        "https://discord.com/api/webhooks/1/abc/github",
        "http://127.0.0.1:9/api/webhooks/1/abc",
        "file:///etc/passwd",
    ],
)
def test_other_addresses_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(ConfigError, match="no address of a webhook") as refused:
        webhook_path(Secret(address))
    assert address not in str(refused.value)


def test_the_address_comes_from_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "webhook"
    file.write_text(f"{discord.BASE}{PATH}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"monitoring\.discord\.webhook_file .*chmod 400"):
        read_private("monitoring.discord.webhook_file", file)
    file.chmod(0o400)
    secret = read_private("monitoring.discord.webhook_file", file)
    assert (str(secret), repr(secret), f"{secret}") == ("***", "***", "***")
    assert webhook_path(secret).text == PATH
    for content, mode in (("", 0o600), ("two words", 0o600), ("ünicode", 0o600)):
        file.chmod(0o600)
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(ConfigError, match="must hold one line"):
            read_private("x", file)
    (tmp_path / "link").symlink_to(file)
    for gone in (tmp_path / "link", tmp_path / "nothing"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_private("x", gone)
    with pytest.raises(ConfigError, match="must be a file"):
        read_private("x", tmp_path)
