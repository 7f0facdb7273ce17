"""The mycelium itself: who lives, who learnt from whom, who voted, how varied and how healthy it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import charts, parts, theme
from dashboard.data import Door, at_of
from dashboard.ledger import moat_of

Member = dict[str, Any]
_COLUMNS = ("name", "class", "pair", "team", "moat", "horizon", "parent", "generation")


def show() -> None:
    """The page."""
    parts.title("Swarm", "Who lives, who shares with whom, who voted last, and how healthy is it?")
    parts.live(_body)
    words = ("population", "learners", "diversity", "contagion", "toxic", "silenced", "generation", "votes")
    parts.meanings(*words, "exchanges", "succession")


def members_of(found: Door) -> list[Member]:
    """Everybody alive; of an ended run those of its last census."""
    census = found.engine.census()
    if census.alive:
        return list(census.fields.get("members", ()))
    return [dict(zip(_COLUMNS, row, strict=False)) for row in found.ledger.members]


def society_of(found: Door) -> dict[str, Any]:
    """How they live together: who is poisoned, who took last from whom; of an ended run at its end."""
    census = found.engine.census()
    return dict(census.fields.get("society") or {}) if census.alive else found.ledger.society


def _body() -> None:
    found = parts.door()
    members = members_of(found)
    if not members:
        parts.empty(
            "Nobody lives here, and no census of an earlier life was kept.", parts.words("run", "--state", found.state)
        )
        return
    parts.places(
        lambda: _health(found, members),
        lambda: _mycelium(found, members),
        lambda: _votes(found, newest_idea(found)),
        lambda: _groups(_of_pair(members)),
        lambda: _lineage(found, _of_pair(members)),
        lambda: _exchanges(society_of(found), {str(one["name"]) for one in _of_pair(members)}),
        lambda: _succession(found),
        lambda: _toxic(society_of(found)),
    )


def _mycelium(found: Door, members: Sequence[Member]) -> None:
    pairs = ["all", *sorted({str(one["pair"]) for one in members if one.get("pair")})]
    st.selectbox("Pair", pairs, key="swarm_pair", format_func=theme.plain)
    voters = frozenset(newest_idea(found).get("voters", ()))
    parts.heading("population", "The mycelium: groups by pair, shapes by moat, lines to whom somebody learnt from")
    parts.chart(charts.network(_of_pair(members), voters, parts.colours()), "network")


def _of_pair(members: Sequence[Member]) -> Sequence[Member]:
    """Those of the chosen pair."""
    chosen = st.session_state.get("swarm_pair", "all")
    return members if chosen == "all" else [one for one in members if one.get("pair") == chosen]


def _health(found: Door, members: Sequence[Member]) -> None:
    status = found.engine.status().fields
    haven = status.get("haven", {})
    learners = [one for one in members if one.get("generation") is not None]
    silent = sum(int(row[4]) for row in list(found.ledger.silenced.values()) if len(row) > 4)
    parts.figures(
        ("population", f"{len(members):,}"),
        ("learners", f"{len(learners):,}"),
        ("diversity", theme.number(charts.diversity(members), 1)),
        ("contagion", theme.number(haven.get("contagion_ratio"), 3)),
        ("toxic", haven.get("toxic", "-")),
        ("silenced", silent),
        ("quarantined", len(status.get("quarantined", {}))),
    )


def newest_idea(found: Door) -> dict[str, Any]:
    """The newest idea of the swarm; empty where it has not spoken."""
    ideas = reversed(list(found.ledger.ideas))
    return next((idea for idea in ideas if idea.get("source") == "mycelial"), {})


def _votes(found: Door, idea: dict[str, Any]) -> None:
    parts.heading("votes", "Votes of the last consensus")
    if not idea:
        parts.empty("The swarm has not spoken in what was read of the ledger.", "mycelial why-not BTC/USD --at last")
    else:
        voters = idea.get("voters", [])
        by_moat = Counter(moat_of(str(name)) for name in voters)
        told = ", ".join(f"{moat} {count}" for moat, count in by_moat.most_common())
        st.markdown(
            f"**{theme.safe(idea.get('side'))} {theme.safe(idea.get('pair'))}** at "
            f"{theme.safe(theme.stamp(idea.get('ms'), parts.zone()))}: {len(voters)} learners ({theme.safe(told)}), "
            f"score {theme.number(idea.get('score'), 3)}, edge {theme.number(idea.get('edge'), 5)}"
        )
    votes = list(found.ledger.votes.values())[-60:]
    if votes:
        parts.table([_vote(vote) for vote in reversed(votes)], "explorer_votes", 260)


def _vote(vote: dict[str, Any]) -> dict[str, Any]:
    return {"time": vote.get("at"), "team": vote.get("source"), "pair": vote.get("pair"), "votes": vote.get("voters")}


def _groups(members: Sequence[Member]) -> None:
    left, right = st.columns(2)
    with left:
        parts.heading("learners", "By moat")
        counts = Counter(str(one["moat"]) for one in members if one.get("generation") is not None and one.get("moat"))
        parts.chart(charts.bars(dict(counts), parts.colours()), "by_moat")
    with right:
        parts.heading("population", "By class")
        parts.chart(charts.bars(Counter(str(one["class"]) for one in members), parts.colours()), "by_class")


def _lineage(found: Door, members: Sequence[Member]) -> None:
    parts.heading("generation", "Lineage")
    learners = [one for one in members if one.get("generation") is not None]
    children = Counter(str(one.get("parent")) for one in learners)
    rows = [
        {**{name: one.get(name) for name in _COLUMNS if name != "class"}, "children": children[str(one["name"])]}
        for one in sorted(learners, key=lambda one: -int(one["generation"] or 0))
    ]
    parts.table(rows, "lineage", 360)
    pairs = list(found.ledger.start.get("pairs", ()))
    silent = [
        {
            "pair": pairs[place] if place < len(pairs) else place,
            "buying": row[2],
            "selling": row[3],
            "silenced": row[4],
            "warming": row[5],
        }
        for place, row in sorted(found.ledger.silenced.items())
        if len(row) > 5 and row[4]
    ]
    if silent:
        parts.heading("silenced", "Silenced in the newest notices")
        parts.table(silent, "silenced")


def _exchanges(society: dict[str, Any], names: Set[str]) -> None:
    """Of the chosen pair's learners, as takers or givers."""
    rows = [one for one in society.get("exchanges", ()) if not names.isdisjoint((one["taker"], one["giver"]))]
    if rows:
        parts.heading("exchanges", "Exchanges of the newest round, the largest gains first")
        told = [{"time": _moment(one["at"]), **{n: one[n] for n in ("giver", "taker", "gain")}} for one in rows]
        parts.table(told, "exchanges", 300)


def _succession(found: Door) -> None:
    born = list(found.ledger.born)[-60:]
    if born:
        parts.heading("succession")
        names = {"child": "source", "parent": "parent", "replaces": "replaces", "generation": "generation"}
        rows = [{"time": _moment(line.get("at")), **{n: line.get(key) for n, key in names.items()}} for line in born]
        parts.table(rows[::-1], "succession", 260)


def _toxic(society: dict[str, Any]) -> None:
    """An experiment with poisoned learners names them."""
    toxic = society.get("toxic", {})
    if toxic:
        parts.heading("toxic", f"Poisoned on purpose: {len(toxic)}")
        parts.table([{"learner": name, "since": _moment(since)} for name, since in toxic.items()], "toxic_names", 260)


def _moment(at: str | None) -> datetime | None:
    """A time of the record in the chosen time zone; None for none."""
    return theme.moment(at_of(at), parts.zone())
