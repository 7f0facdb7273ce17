"""The documents: they build without a warning, say what is so today, and the commands in them do what they show."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
import yaml
from PIL import Image

from scripts import pictures, references
from src.main import app
from tests.commands.cli import FEW, SECONDS, Process, command, environment, write_planted
from tests.worlds import ROOT

DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = sorted(path for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"(?:^|`)(?:mycelial|m|python3 scripts/start\.py) ([a-z][a-z-]+[^`\n]*)", re.MULTILINE)


def named(navigation: Any) -> list[str]:
    """The pages of a navigation, in order."""
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for part in parts for page in named(part)]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a copy of the documents, warnings being errors."""
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(DOCS, folder / "docs", dirs_exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment(),
    )  # fmt: skip


def test_they_build_without_a_warning(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    assert {page.removesuffix(".md") + ".html" for page in named(SITE["nav"])} <= {
        str(path.relative_to(site)) for path in site.rglob("*.html")
    }


def test_a_page_that_is_read_fetches_nothing(tmp_path: Path) -> None:
    build(tmp_path)
    page = (tmp_path / "build" / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*"', page)
    assert not re.findall(r'<link[^>]* rel="(?:stylesheet|preload|preconnect)"[^>]* href="(?:https?:)?//[^"]*"', page)


def test_a_broken_link_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copytree(DOCS, tmp_path / "docs", dirs_exist_ok=True)
    (tmp_path / "docs" / "broken.md").write_text("# Broken\n\n[nowhere](nothing-here.md)\n")
    assert build(tmp_path).returncode != 0


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.is_file(), target
        if anchor:
            assert anchor in anchors(place), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:src|tests|scripts|config|docs|dashboard)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    own = {str(path.relative_to(DOCS)) for path in PAGES if path.parent.name != "adr" or path.name == "index.md"}
    assert own - set(named(SITE["nav"])) == set()
    assert set(named(SITE["nav"])) - own == set()
    assert all(f"]({path.name})" in (DOCS / "adr/index.md").read_text() for path in (DOCS / "adr").glob("[0-9]*.md"))


@pytest.mark.parametrize("name", sorted(references.PAGES))
def test_what_is_generated_is_up_to_date(name: str) -> None:
    said = "run `.venv/bin/python scripts/references.py`"
    assert (DOCS / name).read_text(encoding="utf-8") == references.PAGES[name](), said


def test_every_setting_and_every_command_has_its_place() -> None:
    from src.connectors.config_files import declared

    settings, commands = references.settings_page(), references.commands_page()
    assert all(f"| `{name}` |" in settings for name in declared())
    assert all(f"\n## {name}" in commands for name in typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert "***" not in settings


def test_the_runbook_answers_every_alert() -> None:
    groups = yaml.safe_load((ROOT / "config/monitoring/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    text = (DOCS / "runbook.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sorted(heads) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        anchor = rule["annotations"].get("runbook", rule["annotations"].get("runbook_url", ""))
        assert anchor.partition("#")[2] in anchors(DOCS / "runbook.md"), rule["alert"]
        section = text.partition(f"## {rule['alert']}\n")[2].partition("\n## ")[0]
        assert len(section.split()) >= 12, rule["alert"]


@pytest.mark.parametrize("image", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name)
def test_images_are_drawn_without_anything_from_elsewhere(image: Path) -> None:
    root = ElementTree.fromstring(image.read_text(encoding="utf-8"))
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert not re.search(r"href=|<script|url\(http", image.read_text(encoding="utf-8"))


@pytest.mark.parametrize("image", sorted((DOCS / "images").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(image: Path) -> None:
    """Taken over from the browser's tests by `scripts/pictures.py`; light and dark ones."""
    assert image.stat().st_size < 150_000
    with Image.open(image) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1000
    assert f"](images/{image.name})" in (DOCS / "start.md").read_text(encoding="utf-8")
    assert image.stem.removeprefix("monitor-") in pictures.CHOSEN


def test_there_are_pictures_in_light_and_in_dark() -> None:
    assert {name.rpartition("-")[2] for name in pictures.CHOSEN} == {"light", "dark"}
    assert all((DOCS / "images" / f"monitor-{name}.png").is_file() for name in pictures.CHOSEN)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name not in ("reference", "adr")], ids=lambda path: path.stem
)
def test_what_is_shown_exists(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in SHOWN.findall(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        assert words[0] in commands, line
        inner = getattr(commands[words[0]], "commands", {}).get(words[1] if len(words) > 1 else "", commands[words[0]])
        known = {name for option in inner.params for name in option.opts}
        assert {word for word in words[1:] if word.startswith("--")} <= known | {"--help"}, line


def lines(page: str) -> list[list[str]]:
    """The words of every line in the fences of a page that a test can carry out, without the program's name."""
    found = []
    for block in FENCE.findall((DOCS / page).read_text(encoding="utf-8")):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            found.append(words[1:] if words[0] == "mycelial" else words[2:])
    return found


def carried_out(words: list[str], folder: Path) -> str:
    """Run one line of a page and take its result; it must be a good one."""
    done = subprocess.run(
        command(*words), cwd=folder, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=4 * SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(900)
def test_the_first_five_minutes(tmp_path: Path) -> None:
    """Every line of the page in order, in an empty folder, with a small population and made-up bars."""
    data = write_planted(tmp_path / "data", 150)
    walked = []
    for words in lines("start.md"):
        given = [str(data) if word == "DATA" else word for word in words]
        if given[0] == "backtest":
            given += FEW
        carried_out(given, tmp_path)
        walked.append(given[0])
    assert walked == ["list-data", "backtest", "report", "history", "export", "show-config", "backtest", "compare"]
    assert (tmp_path / "sheet.html").is_file()
    assert (tmp_path / "tables" / "disposals.csv").is_file()


@pytest.mark.timeout(900)
def test_a_day_of_operation(tmp_path: Path) -> None:
    """Every line of the page in order: first beside a living process, then with nothing running."""
    (tmp_path / "kraken.key").write_text("key\nc2VjcmV0\n")
    (tmp_path / "kraken.key").chmod(0o400)
    todo = lines("operation.md")
    running = todo[: todo.index(["stop"]) + 1]
    state = tmp_path / "state" / "paper"
    options = (*FEW, "--set", "bus.port=0", "--set", "memory.store=none", "--speed", "60x")
    with Process(*options, cwd=tmp_path, state=state) as process:
        process.slices(3)
        for words in running:
            carried_out(words, tmp_path)
        assert process.end()[0] == 0
    for words in todo[len(running) :]:
        carried_out(words, tmp_path)
    assert {words[0] for words in todo} >= {
        "halt",
        "resume",
        "backup",
        "restore",
        "migrate",
        "export",
        "rotate-secrets",
    }
    assert (tmp_path / "opened.key").stat().st_mode & 0o777 == 0o400
