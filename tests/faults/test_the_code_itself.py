"""Faults that can be read off the sources: imports that fail in silence, names that are not there, dead clauses."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from src.connectors.chroma_memory import ChromaStore
from src.connectors.doctor import check_bus_server
from tests.checks.memory_checks import DIMENSIONS, SETTINGS, record
from tests.worlds import ROOT

PEERS = ROOT / "src" / "backtesting" / "bench" / "peers"
"""Programs for the interpreters of other systems: what they import is not there."""
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.parent != PEERS)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ROOMS = {path.name.removesuffix(".py") for path in (ROOT / "src").iterdir() if not path.name.startswith("_")}
MIGRATION = "migrations"
"""Those modules are run by Alembic, which gives them a context of their own."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(name_of(path))


def importable() -> list[Path]:
    return [path for path in SOURCES if MIGRATION not in path.parts]


# --- M-F01: a failed import was swallowed, and with it the whole learning loop ---------------------------------------


def test_m_f01_every_module_can_be_imported_and_has_one_name() -> None:
    """Nobody imports a room without its `src.`: it would be another module of other classes, or none."""
    strays = [
        f"{name_of(path)}: {name}"
        for path in (*SOURCES, *TESTS)
        for node in ast.walk(parsed(path))
        for name in absolute(node)
        if name.partition(".")[0] in ROOMS
    ]
    assert strays == []
    assert [path for path in importable() if module_of(path).__name__ != name_of(path)] == []


def absolute(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def test_m_f01_no_import_fails_in_silence() -> None:
    """Where a missing library is survived at all, the handler uses the error: as a failure, a check, another error.

    A benchmark without its peer has no ratio and no verdict, and its table says so.
    """
    handlers = [
        (name_of(path), node)
        for path in SOURCES
        if "bench" not in path.parts
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and re.search("ImportError|ModuleNotFound", ast.unparse(node.type or node))
    ]
    assert {"src.connectors.chroma_memory", "src.connectors.doctor"} <= {where for where, _ in handlers}
    for where, handler in handlers:
        used = {node.id for node in ast.walk(ast.Module(handler.body, [])) if isinstance(node, ast.Name)}
        assert handler.name in used, where


def test_m_f01_a_missing_store_is_told_in_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    store = ChromaStore(tmp_path, SETTINGS, DIMENSIONS, list)
    store.put([record("a")])
    assert store.settle(10.0)
    assert store.failure is not None
    assert store.failure.startswith("no memory store: ")
    assert "requirements.txt" in store.failure
    assert "\n" not in store.failure
    store.close()


def test_m_f01_a_missing_server_is_told_by_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "src.connectors.embedded_valkey", None)
    found = check_bus_server(1.0)
    assert (found.status, bool(found.remedy)) == ("fail", True)


# --- M-F02, M-F26: except clauses that name nothing, or are never met ------------------------------------------------


def clauses() -> Iterator[tuple[str, list[tuple[type[BaseException], ...]]]]:
    """Every try statement of src, and the exceptions of its handlers in order; a NameError where one is not there."""
    for path in importable():
        known = vars(module_of(path)).copy()
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom | ast.Import) and node.col_offset:
                known |= imported(path, node)
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Try):
                yield f"{name_of(path)}:{node.lineno}", [caught(handler, known) for handler in node.handlers]


def imported(path: Path, node: ast.Import | ast.ImportFrom) -> dict[str, Any]:
    """What a function imports for itself."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    names: dict[str, Any] = {"__package__": package, "__name__": name_of(path)}
    exec(compile(ast.Module([node], []), str(path), "exec"), names)
    return names


def caught(handler: ast.ExceptHandler, known: dict[str, Any]) -> tuple[type[BaseException], ...]:
    if handler.type is None:
        return (BaseException,)
    for name in ("distributed", "duckdb"):  # of the research packages, given as an argument
        if f"{name}." in ast.unparse(handler.type):
            known = known | {name: importlib.import_module(name)}
    found = eval(ast.unparse(handler.type), known)
    return found if isinstance(found, tuple) else (found,)


def test_m_f02_every_except_clause_names_an_exception() -> None:
    """What is not there is only found out when something fails, and then hides what it was."""
    for where, handlers in clauses():
        for exceptions in handlers:
            assert exceptions, where
            assert all(isinstance(one, type) and issubclass(one, BaseException) for one in exceptions), where


def test_m_f26_no_broad_clause_stands_before_a_narrow_one() -> None:
    """Networks that fail for a moment are caught by their own clause and not by one for everything."""
    for where, handlers in clauses():
        for place, narrow in enumerate(handlers):
            for broad in handlers[:place]:
                assert not any(issubclass(one, broad) for one in narrow), f"{where}: {narrow} is never reached"


def test_m_f26_requirements_name_every_library() -> None:
    listed = {
        re.split(r"[\[<>=~ ]", line)[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    providers = metadata.packages_distributions()
    wanted = {name.partition(".")[0] for path in SOURCES for node in ast.walk(parsed(path)) for name in absolute(node)}
    libraries = wanted - sys.stdlib_module_names - {"src"}
    missing = {
        name for name in libraries
        if not listed & {one.lower().replace("_", "-") for one in providers.get(name, [])}
    }  # fmt: skip
    assert missing <= {"networkx", "pydantic_core", "markupsafe"}, "mesa[network], pydantic and jinja2 bring them"
    assert "pyyaml" in listed
    assert len(libraries) > 10


# --- M-F41: tests of an interface that does not exist ----------------------------------------------------------------


def test_m_f41_tests_and_scripts_use_what_is_there() -> None:
    """Also inside of functions, where an import that fails shows only when the function is called."""
    users = [*TESTS, *sorted((ROOT / "scripts").rglob("*.py"))]
    for path in users:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "src":
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    there = hasattr(module, alias.name) or (
                        hasattr(module, "__path__") and importlib.util.find_spec(f"{node.module}.{alias.name}")
                    )
                    assert there, f"{path.name}:{node.lineno}: {node.module} has no {alias.name}"
