"""Who took part and what they did, in the words of a methods section."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from physio_hqc.report._study_facts import (
    StudyFacts,
    between,
    code,
    count_of,
    finite,
    fixed,
    length,
    listed,
    md,
    numbers,
    pipe_table,
    spread,
)
from physio_hqc.report._study_sources import Cited

_SEXES = {"female": "women", "male": "men", "": "of unstated sex"}
_ONE = {"women": "woman", "men": "man"}
_LEPORE_DOI = "10.1097/00006842-199311000-00007"
_STATUS = {
    "no session": "had no session",
    "not processed": "had a session without results",
    "excluded": "excluded",
}
_SAID_BY_STATUS = ("no processed session is theirs", "no session file of this participant")
"""Reasons that say no more than the status does."""


# ------------------------------------------------------------------------------- participants


def participants(facts: StudyFacts, cite: Cited) -> list[str]:
    """Participants, their flow, sex and age."""
    del cite
    people = facts.table("participants")
    if not len(people):
        return []
    flow = facts.table("flow")
    were = "was" if len(people) == 1 else "were"
    text = f"In all, {_starting(len(people))} {were} enrolled{_by_condition(facts, people)}."
    text += f" {_sex_and_age(people)}{_dyads(people, flow)}"
    if {"status", "participant"} <= set(flow.columns):
        text += f" {_flow(flow)}"
    return [text, *_sample_table(facts)]


def _starting(n: int) -> str:
    return f"{n} {'participant' if n == 1 else 'participants'}"


def _by_condition(facts: StudyFacts, people: pd.DataFrame) -> str:
    counts = people["condition"].astype(str).value_counts() if "condition" in people else None
    if counts is None or not facts.conditions:
        return ""
    parts = [f"{md(name)} {int(counts.get(name, 0))}" for name in facts.conditions]
    unknown = int(counts.get("", 0))
    if unknown:
        parts.append(f"condition not stated {unknown}")
    return f" ({', '.join(parts)})"


def _sex_and_age(people: pd.DataFrame) -> str:
    parts = []
    if "sex" in people:
        counts = people["sex"].fillna("").astype(str).value_counts()
        order = [*[s for s in ("female", "male") if s in counts.index]]
        order += sorted(s for s in counts.index if s not in ("female", "male", ""))
        order += [""] if "" in counts.index else []
        if order != [""]:
            parts.append(listed(_sex(name, int(counts[name])) for name in order))
    ages = finite(people["age"]) if "age" in people else np.array([])
    if len(ages):
        sd = f", SD = {fixed(float(np.std(ages, ddof=1)), 1)}" if len(ages) > 1 else ""
        some = f"; known of {len(ages)}" if len(ages) < len(people) else ""
        parts.append(
            f"age M = {fixed(float(ages.mean()), 1)}{sd} years (range {_years(ages)}{some})"
        )
    if not parts:
        return "Sex and age are not in the participants table."
    text = "; ".join(parts)
    return f"They were {text}." if not text.startswith("age") else f"Their {text}."


def _dyads(people: pd.DataFrame, flow: pd.DataFrame) -> str:
    """How many dyads there are, who is without partner, and of how many both were analysed."""
    if not {"id", "dyad"} <= set(people.columns):
        return ""
    dyad = people["dyad"].fillna("").astype(str).str.strip()
    sizes = dyad[dyad != ""].value_counts()
    whole = sizes[sizes > 1]
    if not len(sizes):
        return ""
    alone = len(people) - int(whole.sum())
    text = f" They formed {count_of(len(whole), 'dyad')}"
    if alone:
        text += f"; {numbers(alone)} {'was' if alone == 1 else 'were'} without partner"
    large = int((whole > 2).sum())
    if large:
        text += f"; {numbers(large)} of these had more than two members"
    if {"participant", "status"} <= set(flow.columns):
        used = set(flow.loc[flow["status"] == "analysed", "participant"].astype(str))
        here = people["id"].astype(str).isin(used).groupby(dyad).all()
        both = int(here.reindex(whole.index).sum())
        of = "all" if both == len(whole) else numbers(both)
        text += f"; both partners were analysed in {of} of the dyads" if len(whole) else ""
    return f"{text}."


def _years(ages: np.ndarray) -> str:
    """Range of ages: whole years where all ages are."""
    return between(ages, "", 0 if (ages == np.round(ages)).all() else 1)


def _sex(name: str, n: int) -> str:
    word = _SEXES.get(name, md(name))
    return f"{n} {_ONE.get(word, word) if n == 1 else word}"


def _flow(flow: pd.DataFrame) -> str:
    """Who was analysed and who was not, with the reasons."""
    status = flow["status"].astype(str)
    named = flow[(flow["participant"].astype(str) != "") & (status != "not in the table")]
    out = named[named["status"] != "analysed"]
    n = int((named["status"] == "analysed").sum())
    strangers = int((status == "not in the table").sum())
    more = (
        f" {count_of(strangers, 'processed session')} of persons who are not in the participants "
        f"table {'was' if strangers == 1 else 'were'} not used."
        if strangers
        else ""
    )
    if not len(out):
        return f"All {n} were analysed.{more}"
    return f"Of these, {n} {'was' if n == 1 else 'were'} analysed; {_reasons(out)}.{more}"


def _reasons(out: pd.DataFrame) -> str:
    """Count those who were not analysed, by status and reason."""
    parts = []
    for status in dict.fromkeys(out["status"].astype(str)):
        rows = out[out["status"] == status]
        why = rows["reason"].fillna("").astype(str) if "reason" in rows else pd.Series(dtype=str)
        counts = why[~why.isin(("", *_SAID_BY_STATUS))].value_counts()
        named = "; ".join(
            f"{md(reason)}{f' ({counts[reason]})' if 1 < counts[reason] < len(rows) else ''}"
            for reason in sorted(counts.index)
        )
        verb = _STATUS.get(status, md(status))
        were = ("was " if len(rows) == 1 else "were ") if status == "excluded" else ""
        parts.append(f"{len(rows)} {were}{verb}{f' ({named})' if named else ''}")
    return listed(parts)


def _sample_table(facts: StudyFacts) -> list[str]:
    """Enrolled and analysed by condition, with sex and age of the analysed."""
    people, flow = facts.table("participants"), facts.table("flow")
    if len(facts.conditions) < 2 or not {"participant", "status"} <= set(flow.columns):
        return []
    if "id" not in people or "condition" not in people:
        return []
    used = set(flow.loc[flow["status"] == "analysed", "participant"].astype(str))
    body = []
    for name in facts.conditions:
        group = people[people["condition"].astype(str) == name]
        inside = group[group["id"].astype(str).isin(used)]
        ages = finite(inside["age"]) if "age" in inside else np.array([])
        sexes = inside["sex"].astype(str) if "sex" in inside else pd.Series(dtype=str)
        age = "–"
        if len(ages) > 1:
            age = f"{fixed(float(ages.mean()), 1)} ({fixed(float(np.std(ages, ddof=1)), 1)})"
        body.append(
            [
                md(name),
                str(len(group)),
                str(len(inside)),
                str(int((sexes == "female").sum())) if (sexes != "").any() else "–",
                str(int((sexes == "male").sum())) if (sexes != "").any() else "–",
                age,
            ]
        )
    head = ["Condition", "Enrolled", "Analysed", "Women", "Men", "Age, M (SD), years"]
    return ["Sample by condition (sex and age of those analysed):", pipe_table(head, body)]


# ------------------------------------------------------------------------------- design


def design(facts: StudyFacts, cite: Cited) -> list[str]:
    """Protocol, phases, conditions and windows."""
    text = [_protocol(facts, cite), _phases(facts), _interactions(facts), _parts(facts)]
    said = " ".join(part for part in text if part)
    return [said] if said else []


def _protocol(facts: StudyFacts, cite: Cited) -> str:
    found = facts.protocols
    if not found:
        return ""
    texts = []
    for protocol in found:
        title = str(protocol.get("title") or protocol.get("name") or "without a name")
        after = ""
        if _LEPORE_DOI in str(protocol.get("references", "")):
            after = f", which follows the design of {cite.named('lepore')}"
        texts.append(f"“{md(title)}” ({code(protocol.get('name', ''))}){after}")
    text = f"Sessions followed the protocol {facts.differing(texts)}."
    return f"{text} {_conditions(facts)}".strip()


def _conditions(facts: StudyFacts) -> str:
    """Conditions with what the protocol says they mean."""
    meanings = {
        str(entry.get("label", "")): str(entry.get("meaning", "")).strip().rstrip(".")
        for protocol in facts.protocols[:1]
        for entry in protocol.get("conditions") or ()
        if isinstance(entry, Mapping)
    }
    named = [
        f"{md(name)}{f' ({md(meanings[name])})' if meanings.get(name) else ''}"
        for name in facts.conditions
    ]
    return f"Conditions, between participants: {'; '.join(named)}." if named else ""


def _phases(facts: StudyFacts) -> str:
    rows = facts.windows
    if not facts.phase_names or "duration" not in rows:
        return ""
    phases = rows[rows["kind"] == "phase"]
    planned = _planned(facts)
    parts = []
    for name in facts.phase_names:
        lasted = finite(phases.loc[phases["window"].astype(str) == name, "duration"])
        plan = planned.get(name, float("nan"))
        said = _lasted(lasted, plan)
        speech = ", with speech" if name in facts.speech_phases else ""
        parts.append(f"{code(name)} ({said}{speech})")
    return f"The phases, in this order, were {listed(parts)}."


def _planned(facts: StudyFacts) -> dict[str, float]:
    """Planned length of each phase, where all protocols agree."""
    lengths: dict[str, set[float]] = {}
    for protocol in facts.protocols:
        for entry in protocol.get("phases", []) or []:
            if isinstance(entry, Mapping) and isinstance(entry.get("duration_s"), int | float):
                lengths.setdefault(str(entry.get("name")), set()).add(float(entry["duration_s"]))
    return {name: next(iter(found)) for name, found in lengths.items() if len(found) == 1}


def _lasted(lasted: np.ndarray, planned: float) -> str:
    """Say how long a phase took: the plan where sessions kept to it within a second."""
    if np.isfinite(planned) and (not len(lasted) or np.abs(lasted - planned).max() <= 1):
        return length(planned)
    if not np.isfinite(planned) and not np.isfinite(lasted).any():
        return "length not known"
    recorded = spread(lasted, "s", 0)
    return f"planned {length(planned)}, recorded {recorded}" if np.isfinite(planned) else recorded


def _interactions(facts: StudyFacts) -> str:
    rows = facts.windows
    if not {"kind", "label", "session", "duration"} <= set(rows.columns):
        return ""
    tagged = rows[rows["kind"] == "interaction"]
    if not len(tagged):
        return ""
    parts = []
    for label in dict.fromkeys(tagged["label"].astype(str)):
        mine = tagged[tagged["label"].astype(str) == label]
        n = mine["session"].nunique()
        parts.append(
            f"{code(label)} ({numbers(len(mine))} in {count_of(n, 'session')}, "
            f"{spread(mine['duration'], 's', 0)})"
        )
    return f"Interaction windows were tagged: {listed(parts)}."


def _parts(facts: StudyFacts) -> str:
    """Which parts of phases were computed beside whole phases, and how courses were cut."""
    rows = facts.windows
    text = ""
    if "kind" in rows and (rows["kind"] == "phase_last").any():
        names = dict.fromkeys(rows.loc[rows["kind"] == "phase_last", "window"].astype(str))
        text = (
            "To compare equal lengths, features were also computed over the last part of phases "
            f"({', '.join(code(name) for name in names)})."
        )
    courses = facts.of_analysed("courses")
    if {"source", "duration_s"} <= set(courses.columns):
        pieces = finite(courses.loc[courses["source"] == "sliding", "duration_s"])
        if len(pieces):
            text += f" Courses within a phase rest on adjoining pieces of {spread(pieces, 's', 0)}."
    return text.strip()
