"""Reporting checklists: what a guideline asks for, and where this study answers it."""

from __future__ import annotations

from typing import NamedTuple

from physio_hqc.report._study_facts import StudyFacts, code, pipe_table
from physio_hqc.report._study_sources import Cited

AUTHORS = "not in the recordings: to be given by the authors"
"""Stands wherever software cannot know the answer."""
_MOST_NAMES = 12
FROM_TABLE = "not known: the study began from a table of features"
"""Stands where session files would tell, and there were none."""


class Entry(NamedTuple):
    """One item of a checklist: what is asked, whether it is reported, where or what."""

    item: str
    reported: str
    what: str


def yes(item: str, what: str) -> Entry:
    """An item that the data answer; without an answer it is not reported."""
    text = what.strip()
    return Entry(item, "yes", text) if text else no(item, "nothing in the recordings says so")


def no(item: str, why: str) -> Entry:
    """An item that is not reported, and why."""
    return Entry(item, "no", why)


def by_authors(item: str, hint: str = "") -> Entry:
    """An item that only the authors can answer; a hint is what the protocol planned."""
    return Entry(item, "by the authors", f"{AUTHORS}{f' ({hint})' if hint else ''}")


def not_here(item: str, why: str) -> Entry:
    """An item that does not apply to this study."""
    return Entry(item, "does not apply", why)


def without_sessions(facts: StudyFacts, what: str, were: str, *starts: str) -> str:
    """What a checklist on signals says where the study began from a table of features."""
    if facts.any_feature(*starts):
        tested = set(facts.column("statistics", "outcome").astype(str).str.removeprefix("ln "))
        names = [name for name in sorted(facts.features) if name.startswith(starts)]
        names.sort(key=lambda name: name not in tested)
        shown = ", ".join(code(name) for name in names[:_MOST_NAMES])
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return (
            f"{FROM_TABLE[0].upper()}{FROM_TABLE[1:]}. It holds {shown}{more}; how {what} {were} "
            "recorded and processed is to be given by the authors."
        )
    return (
        f"Does not apply: the study began from a table of features, which holds no value of {what}."
    )


def checklists(facts: StudyFacts, cite: Cited) -> list[str]:
    """All checklists as blocks of Markdown, under one heading."""
    from physio_hqc.report import _checklist_general as general
    from physio_hqc.report import _checklist_signals as signals

    blocks = ["## Reporting checklists", _source_note(cite)]
    for heading, entries in (
        ("Participants and setting", general.participants(facts)),
        (
            f"Heart rate and heart rate variability {cite('quigley', 'quintana')}",
            signals.heart(facts),
        ),
        (f"Electrodermal activity {cite('boucsein')}", signals.skin(facts)),
        (f"Blood pressure {cite('shapiro')}", signals.pressure(facts)),
        ("Scores and statistics", general.scores(facts)),
        ("Run record", general.run_record(facts)),
    ):
        blocks.append(f"### Checklist: {heading}")
        blocks.append(
            entries
            if isinstance(entries, str)
            else pipe_table(["Item", "Reported", "Where or what"], [list(row) for row in entries])
        )
    return blocks


def _source_note(cite: Cited) -> str:
    return (
        "Items marked GRAPH follow the checklist of that name "
        f"{cite('quintana')}. The full texts of the other guidelines "
        f"{cite('quigley', 'boucsein', 'shapiro')} were not at hand when these lists were made: "
        "their items follow the abstracts and common practice, in words of our own, and must be "
        "compared with the originals before submission. "
        f"“{AUTHORS[0].upper()}{AUTHORS[1:]}” marks what software cannot know."
    )
