"""Messages to people on their way through a webhook that answers, asks for silence and fails, and a sign of life."""

from __future__ import annotations

from pathlib import Path

from src.commands.monitoring import discord_of, redaction_of
from src.connectors.discord import Discord, Notice, Severity
from src.connectors.heartbeat import Heartbeat
from src.connectors.private_file import Secret
from src.core.clock import Timer
from src.core.timeframes import HOUR_MS
from tests.monitoring.test_discord import PATH, Hasty
from tests.monitoring.webhook import Reply, Webhook
from tests.settings.leaves import tree
from tests.settings.watched import Watch


def telling(watch: Watch, folder: Path) -> None:
    """Every severity and kind, in quiet hours and outside of them."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "webhook"
    file.write_text(f"https://discord.com{PATH}")
    file.chmod(0o400)
    named = {"monitoring.discord.webhook_file": str(file), "monitoring.discord.quiet_hours": [22, 6]}
    settings = watch.over(tree(named))
    unused = discord_of(settings, redaction_of(settings), Timer())
    assert unused is not None
    unused.close()
    hook = Webhook()
    try:
        rules = settings.monitoring
        hook.replies = [Reply(429), Reply(500), Reply(429, b"", {"Retry-After": "9999"})]
        sender = Discord(Secret(PATH), rules.discord, str, Hasty(), now_ms=lambda: 12 * HOUR_MS, base=hook.url)
        sender.start()
        for event in ("halts", "faults", "alarms", "daily"):
            for severity in Severity:
                sender.tell(Notice(event, severity, event, f"{event}{severity}"))
        hook.texts(15)
        sender.close()
        beat = Heartbeat(folder / "heartbeat", Secret(hook.url), rules.heartbeat, str, Timer())
        beat.start()
        hook.texts(16)
        beat.close()
    finally:
        hook.close()
