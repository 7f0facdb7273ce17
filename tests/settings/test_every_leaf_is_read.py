"""Every leaf of the settings is looked at in a mode it belongs to; one that nobody reads is named."""

from __future__ import annotations

import pytest

from src.connectors.config_files import config_sha256
from src.core.config import Settings
from tests.settings.leaves import leaves, tree
from tests.settings.modes import MODES
from tests.settings.watched import Watch, watching

LEAVES = tuple(leaves(tree()))


def modes_of(leaf: str) -> list[str]:
    """The modes that a setting belongs to."""
    return [mode for mode, (_, names) in MODES.items() if any(f"{leaf}.".startswith(f"{name}.") for name in names)]


@pytest.fixture(scope="module")
def watches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watch]:
    """What was looked at in each mode."""
    found = {}
    for mode, (run, _) in MODES.items():
        with pytest.MonkeyPatch.context() as patch, watching() as watch:
            for name in ("MYCELIAL_DATA", "APP_ENV"):
                patch.delenv(name, raising=False)
            patch.setenv("NO_PROXY", "127.0.0.1")
            run(watch, tmp_path_factory.mktemp(mode))
        found[mode] = watch
    return found


@pytest.mark.parametrize("section", Settings.model_fields)
def test_every_leaf_is_read_in_a_mode_it_belongs_to(section: str, watches: dict[str, Watch]) -> None:
    mine = [leaf for leaf in LEAVES if leaf.startswith(f"{section}.")]
    assert mine
    assert [leaf for leaf in mine if all(watches[mode].unread(leaf) for mode in modes_of(leaf))] == []


def test_every_leaf_belongs_to_a_mode() -> None:
    assert [leaf for leaf in LEAVES if not modes_of(leaf)] == []
    assert len(LEAVES) > 400


def test_what_is_not_read_is_noticed_and_neither_hashing_nor_another_tree_counts() -> None:
    with watching() as watch:
        mine, other = watch.over(tree()), tree()
        config_sha256(mine)
        mine.model_dump()
        assert (other.costs.fee_ratio, mine.account.stop_ratio) > (0, 0)
        assert mine.analysts.teams[1].rsi == 14
        assert mine.learners.standard["market"] == 60
    assert {leaf for leaf in LEAVES if not watch.unread(leaf)} == {
        "account.stop_ratio",
        "analysts.teams.1.rsi",
        *(leaf for leaf in LEAVES if leaf.startswith("learners.standard.")),
    }
