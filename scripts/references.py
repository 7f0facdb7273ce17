"""Write docs/reference from the settings and the command line: `.venv/bin/python scripts/references.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs"
GENERATED = "This page is written by `scripts/references.py`; change what it tells about, not the page.\n"


def settings_page() -> str:
    """Every setting: name, value as shipped, type and what the file says of it."""
    from src.connectors.config_files import DEFAULT_FILE, declared, describe, load

    lines = DEFAULT_FILE.read_text(encoding="utf-8").splitlines()
    loaded = load(DEFAULT_FILE, None, {}, ())
    page = ["# Settings", "", GENERATED, INTRODUCTION]
    section = ""
    for name, value, origin in describe(loaded):
        first = name.partition(".")[0]
        if first != section:
            section = first
            page += [
                "",
                f"## {section}",
                "",
                *_said(lines, section),
                "| setting | shipped value | type | |",
                "|---|---|---|---|",
            ]
        told = _comment(lines[int(origin.rpartition(":")[2]) - 1])
        page.append(f"| `{name}` | {_shown(value)} | {_cell(_type(declared()[name]))} | {_cell(told)} |")
    return "\n".join(page) + "\n"


INTRODUCTION = """Every number stands in `config/agent_config.yaml`, none in code. The first of these counts most:

1. `--set costs.fee_ratio=0.001`
2. the environment, `MYCELIAL__COSTS__FEE_RATIO=0.001`
3. the overlay that `--env`, `MYCELIAL_ENV` or `APP_ENV` names: `dev`, `prod` or `test`
4. the file, or another whole file that `--config` names

`mycelial show-config --origin` shows what is in force and where each value came from."""


def _said(lines: list[str], section: str) -> list[str]:
    """The comment on a section's own line."""
    told = next((_comment(line) for line in lines if line.startswith(f"{section}:")), "")
    return [f"{told[0].upper()}{told[1:]}.", ""] if told else []


def _comment(line: str) -> str:
    return line.partition(" #")[2].strip()


def _shown(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text if len(text) <= 60 else text[:57] + '...')}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(annotation: Any) -> str:
    """A type in words a reader of YAML knows."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if str(origin) == "typing.Annotated" or hasattr(annotation, "__metadata__"):
        return _type(inner[0])
    if str(origin) == "typing.Literal":
        return " or ".join(map(str, inner))
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[1])} by {_type(inner[0])}"
    if inner:
        return " or ".join(_type(one) for one in inner)
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(annotation, "amount" if getattr(annotation, "__name__", "") == "Decimal" else "entry")


def commands_page() -> str:
    """Every command with its arguments and options, as `--help` tells them."""
    import typer

    from src.main import app

    group = typer.main.get_command(app)
    page = ["# Commands", "", GENERATED, COMMANDS]
    for name in sorted(group.commands):  # type: ignore[attr-defined]
        page += _command(name, group.commands[name])  # type: ignore[attr-defined]
    return "\n".join(page) + "\n"


COMMANDS = """`mycelial COMMAND --help` says the same; `python3 scripts/start.py COMMAND` needs nothing installed.
Results go to stdout, everything else to stderr; `--json` gives one object, raw numbers, times in UTC. Exit codes:

| code | |
|---|---|
| 0 | done |
| 1 | an error |
| 2 | what was named does not exist |
| 3 | no process runs |
| 4 | usage, configuration or credentials |
| 5 | no answer in time |
| 6 | a check failed, or a promise is broken |"""


def _command(name: str, command: Any) -> list[str]:
    if hasattr(command, "commands"):
        return [line for one in sorted(command.commands) for line in _command(f"{name} {one}", command.commands[one])]
    usage = " ".join(["mycelial", name, *(_usage(one) for one in _arguments(command))])
    page = ["", f"## {name}", "", (command.help or "").strip(), "", "```text", usage, "```"]
    rows = [
        f"| `{_flags(one)}` | {_cell(one.help or '')} | {_default(one)} |"
        for one in command.params
        if one.name != "help"
    ]
    return [*page, "", "| | | default |", "|---|---|---|", *rows] if rows else page


def _arguments(command: Any) -> Iterator[Any]:
    return (one for one in command.params if one.param_type_name == "argument")


def _usage(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _flags(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return parameter.name.upper()
    flags = ", ".join(parameter.opts)
    return flags if getattr(parameter, "is_flag", False) else f"{flags} {parameter.name.upper()}"


def _default(parameter: Any) -> str:
    default = parameter.default
    return "" if default is None or default is False or callable(default) or default == () else f"`{default}`"


def decisions_page() -> str:
    """The index of architecture decision records, by their own titles."""
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    titles = [(path.name, path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")) for path in records]
    told = "Why things are as they are: one record a decision, with what it costs.\n"
    return "\n".join(["# Decisions", "", GENERATED, told, *(f"* [{title}]({name})" for name, title in titles)]) + "\n"


PAGES = {
    "reference/settings.md": settings_page,
    "reference/commands.md": commands_page,
    "adr/index.md": decisions_page,
}


def main() -> None:
    """Write what changed."""
    for name, page in PAGES.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(f"{name}: written")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
