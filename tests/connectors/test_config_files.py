"""Every mistake in a settings file, the environment or the command line is named with its place, all at once."""

from __future__ import annotations

import json
import re
import shutil
from copy import deepcopy
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.connectors import config_files
from src.connectors.config_files import DEFAULT_FILE, NOT_HASHED, Loaded, config_sha256, declared, describe, load
from src.core.errors import ConfigError

REAL = DEFAULT_FILE.read_text(encoding="utf-8")
TREE = yaml.safe_load(REAL)
SHIPPED = load(DEFAULT_FILE, None, {}, ())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the real file in `config/`, seen from the folder above it."""
    folder = tmp_path / "config"
    folder.mkdir()
    shutil.copy(DEFAULT_FILE, folder)
    monkeypatch.chdir(tmp_path)
    return folder / DEFAULT_FILE.name


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
    file.write_text(text.replace(old, new), encoding="utf-8")


def overlay(file: Path, env: str, text: str) -> None:
    file.with_name(f"agent_config.{env}.yaml").write_text(text, encoding="utf-8")


def of(file: Path, *sets: str, env: str | None = None, **environ: str) -> Loaded:
    return load(file, env, environ, sets)


def complaints(file: Path, *sets: str, env: str | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(file, env, environ, sets)
    return str(error.value).splitlines()


def position(text: str, anchor: str, value: str) -> str:
    """line:column of `value` at or after the one `anchor`."""
    assert text.count(anchor) == 1
    start = text.index(value, text.index(anchor))
    return f"{text.count(chr(10), 0, start) + 1}:{start - text.rfind(chr(10), 0, start)}"


def at(file: Path, anchor: str, value: str) -> str:
    return f"config/agent_config.yaml:{position(file.read_text(encoding='utf-8'), anchor, value)}"


# --- what is in force ----------------------------------------------------------------------------------------------


def test_the_file_as_it_is_loads_with_every_setting_at_its_line(file: Path) -> None:
    loaded = of(file)
    assert loaded.settings.costs.fee_ratio == Decimal(str(yaml.safe_load(REAL)["costs"]["fee_ratio"]))
    assert set(loaded.origin) == set(declared())
    lines = REAL.splitlines()
    for name, origin in loaded.origin.items():
        shown, line = origin.rsplit(":", 1)
        assert shown == "config/agent_config.yaml"
        assert lines[int(line) - 1].strip().startswith(name.rsplit(".", 1)[1] + ":")


def test_the_default_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, None, {}, []).files == (str(DEFAULT_FILE),)


@pytest.mark.parametrize("env", ["dev", "prod", "test"])
def test_the_overlays_of_the_project_load(env: str) -> None:
    assert load(None, env, {}, []).environment == env


def test_each_layer_wins_over_the_one_before(file: Path) -> None:
    overlay(file, "test", "# comment\ncosts:\n  fee_ratio: 0.002\n  slippage_ratio: 0.003\nrisk: {max_positions: 3}\n")
    environ = {"MYCELIAL__COSTS__FEE_RATIO": "0.004", "MYCELIAL__COSTS__SLIPPAGE_RATIO": "0.005"}
    loaded = of(file, "costs.fee_ratio=0.006", "costs.fee_ratio=0.007", env="test", **environ)
    assert loaded.settings.costs.fee_ratio == Decimal("0.007")
    assert loaded.settings.costs.slippage_ratio == Decimal("0.005")
    assert loaded.settings.risk.max_positions == 3
    assert loaded.origin["costs.fee_ratio"] == "--set"
    assert loaded.origin["costs.slippage_ratio"] == "environment MYCELIAL__COSTS__SLIPPAGE_RATIO"
    assert loaded.origin["risk.max_positions"] == "config/agent_config.test.yaml:5"
    assert loaded.origin["risk.max_drawdown_ratio"].startswith("config/agent_config.yaml:")
    assert loaded.files == ("config/agent_config.yaml", "config/agent_config.test.yaml")


@pytest.mark.parametrize(
    ("env", "environ", "chosen"),
    [
        (None, {}, None),
        (None, {"APP_ENV": "dev"}, "dev"),
        (None, {"APP_ENV": "dev", "MYCELIAL_ENV": "prod"}, "prod"),
        ("test", {"APP_ENV": "dev", "MYCELIAL_ENV": "prod"}, "test"),
        (None, {"APP_ENV": "", "MYCELIAL_ENV": ""}, None),
    ],
)
def test_which_overlay(file: Path, env: str | None, environ: dict[str, str], chosen: str | None) -> None:
    for number, name in enumerate(("dev", "prod", "test"), 1):
        overlay(file, name, f"risk: {{max_positions: {number}}}")
    loaded = of(file, env=env, **environ)
    assert loaded.environment == chosen
    number = {None: loaded.settings.risk.max_positions, "dev": 1, "prod": 2, "test": 3}[chosen]
    assert loaded.settings.risk.max_positions == number


def test_an_unknown_environment_or_an_absent_overlay_is_refused(file: Path) -> None:
    assert complaints(file, env="foo") == ["--env foo: unknown, choose one of dev, prod, test"]
    assert complaints(file, APP_ENV="staging") == [
        "environment APP_ENV=staging: unknown, choose one of dev, prod, test"
    ]
    assert complaints(file, env="dev") == ["config/agent_config.dev.yaml: no such file"]


def test_lists_and_text_from_the_command_line_and_the_environment(file: Path) -> None:
    loaded = of(
        file,
        "indicators.macd=[3, 4, 5]",
        "learners.horizons=[{name: A, intervals: 2}]",
        "bus.control_secret=0123: #*&",
        MYCELIAL__SIMULATED__PAIRS='["A/USD", B/USD]',
        MYCELIAL__RUN__SPEED='"max"',
        MYCELIAL__SIMULATED__START="2025-02-03",
    )
    assert loaded.settings.indicators.macd == (3, 4, 5)
    assert [(h.name, h.intervals) for h in loaded.settings.learners.horizons] == [("A", 2)]
    assert loaded.settings.bus.control_secret == "0123: #*&"
    assert loaded.settings.simulated.pairs == ("A/USD", "B/USD")
    assert loaded.settings.run.speed == "max"
    assert loaded.settings.simulated.start == "2025-02-03"
    assert of(file, "bus.control_secret=").settings.bus.control_secret is None


def test_variables_with_one_underscore_are_no_settings(file: Path) -> None:
    of(file, MYCELIAL_DATA="x", MYCELIAL_PEERS="y", MYCELIAL="z")


def test_variables_are_found_in_any_case_but_not_twice(file: Path) -> None:
    assert of(file, MYCELIAL__Risk__max_positions="4").settings.risk.max_positions == 4
    both = {"MYCELIAL__RISK__MAX_POSITIONS": "4", "MYCELIAL__risk__max_positions": "5"}
    assert complaints(file, **both) == [
        "environment MYCELIAL__risk__max_positions: given twice, also as environment MYCELIAL__RISK__MAX_POSITIONS"
    ]


def test_a_byte_order_mark_and_dos_line_ends_are_fine(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + REAL.replace("\n", "\r\n").encode())
    assert of(file).settings == load(DEFAULT_FILE, None, {}, []).settings


# --- mistakes in a file --------------------------------------------------------------------------------------------

VALUES = [
    # old text, new text, what the message points at, the message
    ("fee_ratio: 0.0026", "fee_ratio: 1.7", "1.7", "costs.fee_ratio: 1.7 is above the largest allowed value 1"),
    ("fee_ratio: 0.0026", "fee_ratio: -1", "-1", "costs.fee_ratio: -1 is below the smallest allowed value 0"),
    ("fee_ratio: 0.0026", "fee_ratio: much", "much", 'costs.fee_ratio: must be a number, not text "much"'),
    ("fee_ratio: 0.0026", "fee_ratio: true", "true", "costs.fee_ratio: must be a number, not true"),
    ("fee_ratio: 0.0026", "fee_ratio: .nan", ".nan", "costs.fee_ratio: must be a finite number, not nan"),
    ("fee_ratio: 0.0026", "fee_ratio: ~", "~", "costs.fee_ratio: must be a number, not nothing (null)"),
    ("fee_ratio: 0.0026", "fee_ratio: [1]", "[1]", "costs.fee_ratio: must be a number, not a list of 1 values"),
    ("max_positions: 15", "max_positions: 0", "0", "risk.max_positions: 0 is below the smallest allowed value 1"),
    ("max_positions: 15", "max_positions: true", "true", "risk.max_positions: must be a whole number, not true"),
    ("max_positions: 15", "max_positions: 1.5", "1.5", "risk.max_positions: must be a whole number, not 1.5"),
    ("max_positions: 15", "max_positions: '3'", "'3'", 'risk.max_positions: must be a whole number, not text "3"'),
    ("max_positions: 15", "max_positions: 010", "010", 'risk.max_positions: must be a whole number, not text "010"'),
    ("max_positions: 15", "max_positions: {a: 1}", "{a", "risk.max_positions: must be a whole number, not a section"),
    (
        "max_drawdown_ratio: 0.05",
        "max_drawdown_ratio: 1:30",
        "1:30",
        'risk.max_drawdown_ratio: must be a number, not text "1:30"',
    ),
    (
        "min_confidence_ratio: 0.70",
        "min_confidence_ratio: .inf",
        ".inf",
        "consensus.min_confidence_ratio: must be a finite number, not inf",
    ),
    (
        "settle_timeout_seconds: 2.0",
        "settle_timeout_seconds: 0",
        "0",
        "bus.settle_timeout_seconds: 0 is not allowed, it must be greater than 0",
    ),
    ("mode: paper", "mode: papr", "papr", "run.mode: \"papr\" is unknown, choose 'advise', 'paper' or 'live'"),
    ("control_secret: null", "control_secret: 123", "123", "bus.control_secret: must be text, not a hidden value"),
    (
        "  macd: [12, 26, 9]",
        "  macd: [12, 26]",
        "[12",
        "indicators.macd: must be a list of 3 values, not a list of 2 values",
    ),
    ("  macd: [12, 26, 9]", "  macd: []", "[]", "indicators.macd: must be a list of 3 values, not a list of 0 values"),
    ("  macd: [12, 26, 9]", "  macd: 9", "9", "indicators.macd: must be a list, not 9"),
    (
        "  macd: [12, 26, 9]",
        "  macd: [12, yes, 9]",
        "yes",
        'indicators.macd[1]: must be a whole number, not text "yes"',
    ),
    ("{rsi: 7, ", "{rsi: 1, ", "1,", "analysts.teams[0].rsi: 1 is below the smallest allowed value 2"),
    (
        "{rsi: 7, macd: [8, 17, 9]",
        "{rsi: 7, macd: [18, 17, 9]",
        "{rsi: 7",
        "analysts.teams[0]: macd: the fast period must be shorter than the slow one",
    ),
    ("name: HFT, int", "nam: HFT, int", "nam", 'learners.horizons[0].nam: unknown setting, did you mean "name"?'),
    (
        "Swing, intervals: 24",
        "Swing, intervals: x",
        "x}",
        'learners.horizons[2].intervals: must be a whole number, not text "x"',
    ),
]


@pytest.mark.parametrize(("old", "new", "pointed", "message"), VALUES)
def test_a_value_that_does_not_fit_is_named_at_its_place(
    file: Path, old: str, new: str, pointed: str, message: str
) -> None:
    change(file, old, new)
    assert f"{at(file, new, pointed)} {message}" in complaints(file)


KEYS = [
    ("required_votes:", "required_vote:", 'consensus.required_vote: unknown setting, did you mean "required_votes"?'),
    (
        "required_votes:",
        '"required_votes ":',
        'consensus."required_votes ": unknown setting, did you mean "required_votes"?',
    ),
    ("required_votes:", "Required_Votes:", 'consensus.Required_Votes: unknown setting, did you mean "required_votes"?'),
    ("required_votes:", "5:", "consensus.5: unknown setting"),
    (
        "required_votes:",
        "max_positions:",
        'consensus.max_positions: unknown setting, did you mean "risk.max_positions"?',
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), KEYS)
def test_an_unknown_key_is_named_with_its_nearest(file: Path, old: str, new: str, message: str) -> None:
    change(file, old, new)
    assert complaints(file) == [
        "config/agent_config.yaml: consensus.required_votes is missing, every setting must stand in this file",
        f"{at(file, 'consensus:', new)} {message}",
    ]


def test_all_mistakes_of_all_layers_come_at_once(file: Path) -> None:
    change(file, "required_votes: 2", "required_votes: 2\n  required_vote: 2")
    change(file, "fee_ratio: 0.0026", "fee_ratio: 1.7")
    overlay(file, "test", "risk:\n  max_positions: none\nrisks: {}\n")
    lines = complaints(
        file,
        "account.start_quote=abc",
        "costs.slipage_ratio=1",
        "costs",
        "costs=1",
        "analysts.teams.0.rsi=3",
        "indicators.macd=[3, 4",
        env="test",
        MYCELIAL__COSTS__SLIPPAGE_RATIO="-1",
        MYCELIAL__COSTS__FE_RATIO="0.1",
        MYCELIAL__ANALYSTS__TEAMS="[{rsi: 1, macd: [1, 2, 3], bollinger: 9}, 3, 4]",
    )
    assert lines == [
        f"{at(file, 'costs:', '1.7')} costs.fee_ratio: 1.7 is above the largest allowed value 1",
        f"{at(file, 'consensus:', 'required_vote:')} consensus.required_vote: unknown setting, "
        'did you mean "required_votes"?',
        'config/agent_config.test.yaml:2:18 risk.max_positions: must be a whole number, not text "none"',
        'config/agent_config.test.yaml:3:1 risks: unknown setting, did you mean "risk"?',
        "environment MYCELIAL__ANALYSTS__TEAMS: [0].rsi: 1 is below the smallest allowed value 2",
        "environment MYCELIAL__ANALYSTS__TEAMS: [1]: must be names with values, not 3",
        "environment MYCELIAL__ANALYSTS__TEAMS: [2]: must be names with values, not 4",
        "environment MYCELIAL__COSTS__FE_RATIO: unknown setting, did you mean MYCELIAL__COSTS__FEE_RATIO?",
        "environment MYCELIAL__COSTS__SLIPPAGE_RATIO: -1 is below the smallest allowed value 0",
        '--set account.start_quote=abc: must be a number, not text "abc"',
        "--set analysts.teams.0.rsi=3: analysts.teams is one setting, give it whole",
        "--set costs: write --set NAME=VALUE, for example --set costs.fee_ratio=0.001",
        '--set costs.slipage_ratio=1: unknown setting, did you mean "costs.slippage_ratio"?',
        "--set costs=1: names a section, name one of its settings: costs.fee_ratio, costs.slippage_ratio",
        "--set indicators.macd=[3, 4: not YAML: expected ',' or ']', but got '<stream end>'",
    ]


def test_every_setting_must_stand_in_the_file_even_when_another_layer_gives_it(file: Path) -> None:
    change(file, "  max_positions: 15\n", "")
    expected = ["config/agent_config.yaml: risk.max_positions is missing, every setting must stand in this file"]
    assert complaints(file) == expected
    assert complaints(file, "risk.max_positions=3") == expected


def one_of_each_section() -> list[tuple[str, ...]]:
    """Every setting once, in groups that hold at most one of a section: what is read only once is read quickly."""
    sections: dict[str, list[str]] = {}
    for name in sorted(declared()):
        sections.setdefault(name.rpartition(".")[0], []).append(name)
    groups = zip_longest(*sections.values())
    return [tuple(name for name in group if name is not None) for group in groups]


@pytest.mark.parametrize("names", one_of_each_section())
def test_missing_settings_are_named_and_no_others(file: Path, names: tuple[str, ...]) -> None:
    tree = deepcopy(TREE)
    for name in names:
        section, _, last = name.rpartition(".")
        inner = tree
        for step in section.split("."):
            inner = inner[step]
        del inner[last]
    file.write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper), encoding="utf-8")
    missing = "config/agent_config.yaml: {} is missing, every setting must stand in this file"
    assert sorted(line for line in complaints(file) if "is missing" in line) == sorted(map(missing.format, names))


def test_a_section_that_is_none_is_reported_once(file: Path) -> None:
    text = re.sub(r"^risk:\n(?:  .*\n)+", "risk: 5\n", REAL, flags=re.M)
    file.write_text(text, encoding="utf-8")
    assert complaints(file) == [f"{at(file, 'risk: 5', '5')} risk: must be a section with settings under it, not 5"]


DOCUMENTS = [
    (b"", "config/agent_config.yaml:1:1: empty"),
    (b"# only a comment\n", "config/agent_config.yaml:1:1: empty"),
    (b"- 1\n", "config/agent_config.yaml:1:1: must be sections with settings under them, not a list of 1 values"),
    (b"text", 'config/agent_config.yaml:1:1: must be sections with settings under them, not "text"'),
    (b"a: 1\nb: \xff\n", "config/agent_config.yaml: not UTF-8 (line 2), save it as UTF-8"),
    (b"a: \x07", "config/agent_config.yaml:1:4: a character that text may not contain"),
    (b"a: 1\n\tb: 2\n", "config/agent_config.yaml:2:1: not YAML: found character '\\t' that cannot start any token"),
    (b"a: [1\n", "config/agent_config.yaml:2:1: not YAML: expected ',' or ']', but got '<stream end>'"),
    (b"a: 1\n---\nb: 2\n", "config/agent_config.yaml:2:1: a second document, one is allowed"),
    (b"a: 1\na: 2\n", "config/agent_config.yaml:2:1 a: given twice, first in line 1"),
    (b"a: {b: 1,\n b: 2}\n", "config/agent_config.yaml:2:2 a.b: given twice, first in line 1"),
    (b"a: &x 1\n", "config/agent_config.yaml:1:4 a: anchors (&x) are not allowed, write the value out"),
    (b"a: *x\n", "config/agent_config.yaml:1:4 a: aliases (*x) are not allowed, write the value out"),
    (
        b"a: !!str 1\n",
        "config/agent_config.yaml:1:4 a: tags (tag:yaml.org,2002:str) are not allowed, write the plain value",
    ),
    (b"a: ! 1\n", "config/agent_config.yaml:1:4 a: tags (!) are not allowed, write the plain value"),
    (
        b"a: !!python/object/apply:os.system [ls]\n",
        "config/agent_config.yaml:1:4 a: tags (tag:yaml.org,2002:python/object/apply:os.system) are not allowed, "
        "write the plain value",
    ),
    (b"&x a: 1\n", "config/agent_config.yaml:1:1: anchors (&x) are not allowed, write the value out"),
    (b"? [a]\n: 1\n", "config/agent_config.yaml:1:3: a key must be a word"),
    (b'a: "\\ud800"\n', "config/agent_config.yaml:1:4 a: not valid Unicode text"),
    (b"[" * 100_000, "config/agent_config.yaml:1:17: nested deeper than 16 levels"),
    (b"#" * (256 * 1024 + 1), "config/agent_config.yaml: larger than 256 kB, which no settings file needs"),
]


@pytest.mark.parametrize(("data", "message"), DOCUMENTS, ids=[message[24:60] for _, message in DOCUMENTS])
def test_documents_that_are_refused(file: Path, data: bytes, message: str) -> None:
    file.write_bytes(data)
    assert complaints(file) == [message]


def test_a_bomb_of_aliases_is_refused_at_every_place(file: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
    file.write_text(bomb, encoding="utf-8")
    lines = complaints(file)
    assert len(lines) == 30 + 2 * 29
    assert all(" are not allowed, " in line for line in lines)


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    assert complaints(tmp_path / "none.yaml") == ["none.yaml: no such file"]
    assert complaints(file.parent) == ["config: not a file"]


def test_a_file_outside_the_working_directory_is_shown_whole(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert of(file).files == (str(file),)
    monkeypatch.chdir(file.parent)
    assert of(file).files == ("agent_config.yaml",)


# --- any single corruption -----------------------------------------------------------------------------------------

WRONG = ["[[]]", "{a: 1}", "no such thing", "true", "99e999", "'7'"]


def leaves_of_the_file() -> list[tuple[str, int, str]]:
    """(dotted name, line from 1, line) of every setting, found without the loader."""
    found, sections = [], list[str]()
    for number, line in enumerate(REAL.splitlines(), 1):
        match = re.match(r"((?:  )*)(\w+): *(#|$)?", line)
        if match and (depth := len(match[1]) // 2) <= len(sections):
            path = [*sections[:depth], match[2]]
            if match[3] is not None:
                sections = path
            elif (name := ".".join(path)) in declared():  # else a line of a mapping, which is one setting
                found.append((name, number, line))
    return found


LEAVES = leaves_of_the_file()
NUMBERS = [leaf for leaf in LEAVES if declared()[leaf[0]] in (int, float, Decimal)]


def test_the_leaves_were_found() -> None:
    missing = set(declared()) - {name for name, _, _ in LEAVES}  # tables fill several lines each
    assert all(get_origin(declared()[name]) in (tuple, dict) for name in missing)
    assert len(missing) < 10
    assert len(NUMBERS) > 60


def corrupted(file: Path, number: int, line: str) -> list[str]:
    lines = REAL.splitlines()
    lines[number - 1] = line
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return complaints(file)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(leaf=st.sampled_from(NUMBERS), wrong=st.sampled_from(WRONG))
def test_any_corrupted_number_is_reported_with_its_line(file: Path, leaf: tuple[str, int, str], wrong: str) -> None:
    name, number, line = leaf
    if wrong == "'7'" and "Decimal" in str(declared()[name]):
        return  # money may be written in quotes, so that no digit is lost
    key = line[: line.index(":")]
    lines = corrupted(file, number, f"{key}: {wrong}")
    assert len(lines) == 1
    assert lines[0].startswith(f"config/agent_config.yaml:{number}:{len(key) + 3} {name}: ")
    assert "pydantic" not in lines[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(leaf=st.sampled_from(LEAVES), data=st.data())
def test_any_misspelt_name_is_reported_with_its_line_and_the_right_one(
    file: Path, leaf: tuple[str, int, str], data: st.DataObject
) -> None:
    name, number, line = leaf
    section, _, last = name.rpartition(".")
    cut = data.draw(st.integers(0, len(last) - 1))
    wrong = last[:cut] + "zz" + last[cut + 1 :]
    lines = corrupted(file, number, line.replace(last, wrong, 1))
    column = len(line) - len(line.lstrip()) + 1
    expected = f"config/agent_config.yaml:{number}:{column} {section}.{wrong}: unknown setting"
    assert [found for found in lines if found.startswith(expected)]
    if len(last) > 6:
        assert f'did you mean "{last}"?' in "\n".join(lines)
    assert any(f" {name} is missing, " in found for found in lines)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_whatever_the_bytes_are_the_answer_is_a_list_of_lines(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert all(line.startswith("config/agent_config.yaml") for line in complaints(file))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(declared())), text=st.text(max_size=40))
def test_whatever_is_set_is_taken_or_named(file: Path, name: str, text: str) -> None:
    try:
        said = of(file, f"{name}={text}").origin[name]
    except ConfigError as error:
        said = str(error)
    assert said.startswith("--set")


# --- hash and description ------------------------------------------------------------------------------------------


def test_the_hash_follows_values_and_nothing_else(file: Path) -> None:
    plain = config_sha256(of(file).settings)
    assert re.fullmatch(r"[0-9a-f]{64}", plain)
    assert config_sha256(of(file, "bus.port=7000", "bus.control_secret=abc").settings) == plain
    assert config_sha256(of(file, "account.start_quote=1e4").settings) == plain
    assert config_sha256(of(file, "account.start_quote='10000.00'").settings) == plain
    change(file, "# of one side", "# another comment, of one side")
    assert config_sha256(of(file).settings) == plain


@pytest.mark.parametrize("name", [leaf[0] for leaf in NUMBERS])
def test_every_number_changes_the_hash_but_those_left_out(file: Path, name: str) -> None:
    value = float({key: value for key, value, _ in describe(SHIPPED)}[name])
    for other in (value * 0.9, int(value) + 1, int(value) + 2, 0.5, -0.5):
        if other == value:
            continue
        try:
            changed = of(file, f"{name}={other}").settings
        except ConfigError:
            continue
        assert (config_sha256(changed) == config_sha256(SHIPPED.settings)) == (name in NOT_HASHED)
        return
    pytest.fail(f"no other value fits {name}")


def test_what_is_left_out_of_the_hash_names_settings() -> None:
    assert set(NOT_HASHED) <= set(declared())
    suspects = [
        name for name in declared() if re.search(r"port$|path$|folder|seed$", name) or config_files.is_secret(name)
    ]
    assert set(suspects) <= set(NOT_HASHED)


def test_the_description_hides_secrets_and_is_plain_json(file: Path) -> None:
    rows = describe(of(file, "bus.control_secret=hunter2"))
    assert [name for name, _, _ in rows] == list(declared())
    shown = {name: (value, origin) for name, value, origin in rows}
    assert shown["bus.control_secret"] == ("***", "--set")
    assert shown["indicators.macd"][0] == [12, 26, 9]
    assert "hunter2" not in json.dumps(rows)
    assert {name: value for name, value, _ in describe(of(file))}["bus.control_secret"] is None


def test_a_secret_is_never_in_a_message(file: Path) -> None:
    change(file, "control_secret: null", "control_secret: [hunter2]")
    lines = complaints(file, "bus.control_secret='hunter2", MYCELIAL__BUS__CONTROL_SECRET='"hunter2')
    assert len(lines) == 3
    assert "hunter2" not in "\n".join(lines)
