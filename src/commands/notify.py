"""`mycelial notify test`: one message to people now, and if it does not get there, why and what to mend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..connectors.discord import Notice, Severity
from ..core.clock import Timer, iso, wall_ms
from ..core.errors import MycelialError, UsageError
from . import common
from .monitoring import discord_of, redaction_of


def test(config: Path | None, env: str | None, sets: Sequence[str], json: bool) -> None:
    """Send one message and wait for it; MycelialError with the remedy when it did not get there."""
    settings = common.settings(config, env, sets).settings
    discord = discord_of(settings, redaction_of(settings), Timer())
    if discord is None:
        raise UsageError(
            "no webhook: write its address into a file of your own (chmod 400) and name it in "
            "monitoring.discord.webhook_file"
        )
    text = f"mycelial: a test message of {iso(wall_ms())}; this is where halts, faults and alarms will come"
    try:
        failed = discord.now(Notice("alarms", Severity.INFO, text, "test"))
    finally:
        discord.close()
    if failed:
        raise MycelialError(f"notify: {failed}")
    if json:
        common.out_json({"sent": True, "to": "discord"})
    else:
        common.out("sent: look for it in the channel of the webhook")
