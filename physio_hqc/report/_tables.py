"""The feature tables: features down, windows across, every dash and every dagger explained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from physio_hqc.report._features import (
    SPEECH_CAUTION,
    family,
    is_said_in_box,
    needs_speech_caution,
    speech_matters,
)
from physio_hqc.report._format import DASH, clock, esc, number, position
from physio_hqc.report._html import paragraph, table

if TYPE_CHECKING:
    from physio_hqc.report._facts import Facts

MAX_COLUMNS = 24
MAX_NOTES = 60
KINDS = (
    ("phase", "Whole phases"),
    ("phase_last", "Last part of phases, for comparison on equal lengths"),
    ("interaction", "Interaction windows"),
)


@dataclass
class Notes:
    """Footnotes of one table: each text once, in the order in which it is met."""

    texts: dict[str, int] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """Return the raised number of a footnote, which is added if it is new."""
        number_ = self.texts.setdefault(text, len(self.texts) + 1)
        return f"<sup>{number_}</sup>" if number_ <= MAX_NOTES else ""

    def html(self) -> str:
        """Return the footnotes as a list."""
        items = [
            f"<li><sup>{index}</sup> {esc(text)}</li>"
            for text, index in self.texts.items()
            if index <= MAX_NOTES
        ]
        left = len(self.texts) - MAX_NOTES
        if left > 0:
            items.append(f"<li>… and {left} more; the column reason of features.csv has all.</li>")
        return f'<ul class="pq-notes">{"".join(items)}</ul>' if items else ""


def value_html(
    value: float, unit: str, reason: str, feature: str, speech: bool, notes: Notes
) -> str:
    """Show a value; a missing one as a dash with its reason, a doubtful one with a dagger."""
    if not math.isfinite(value):
        why = reason.split("; flag:")[0].removeprefix("flag:").strip() or "no value"
        return f'<span class="pq-none" title="{esc(why)}">{DASH}</span>{notes.mark(why)}'
    caution = caution_of(reason, feature, speech)
    if not caution:
        return number(value, unit)
    dagger = f'<span class="pq-warn" title="{esc(caution)}">†</span>'
    mark = "" if is_said_in_box(caution) else notes.mark(caution)
    return f"{number(value, unit)}{dagger}{mark}"


def caution_of(reason: str, feature: str, speech: bool) -> str:
    """Say the caution that a present value carries; speech is never left unsaid."""
    caution = reason.strip().removeprefix("flag:").strip()
    if needs_speech_caution(feature, speech) and "speech" not in caution:
        return "; ".join(text for text in (caution, SPEECH_CAUTION) if text)
    return caution


def feature_table(facts: Facts, kind: str) -> str:
    """Make the table of one kind of windows; nothing if there is no such window."""
    features = facts.table("features")
    rows = features[features["kind"] == kind]
    windows = facts.windows[facts.windows["kind"] == kind].sort_values("onset", kind="stable")
    if not len(rows) or not len(windows):
        return ""
    shown = windows.head(MAX_COLUMNS)
    notes = Notes()
    head = ["Feature", "Unit", *(_column_head(row) for row in shown.itertuples())]
    body = _body(rows, shown, notes)
    said = _speech_box(rows, shown)
    if len(windows) > len(shown):
        said += paragraph(
            f"The first {len(shown)} of {len(windows)} windows are shown; "
            "features.csv holds all of them.",
            "pq-when",
        )
    return said + table(head, body, classes="pq-features") + notes.html()


def _column_head(row: Any) -> str:
    start, stop = row.onset, row.onset + row.duration
    name, speech = row.window, row.speech
    said = " · speech" if speech else ""
    return (
        f'{breakable(name)}<br><span class="pq-when">{position(start)}{DASH}{position(stop)}<br>'
        f"{clock(stop - start)}{said}</span>"
    )


def breakable(name: str) -> str:
    """Let a long name break after its underscores, so that more columns fit."""
    return esc(name).replace("_", "_<wbr>")


def _body(rows: pd.DataFrame, windows: pd.DataFrame, notes: Notes) -> list[list[str]]:
    cells = {(row.feature, row.window): row for row in rows.itertuples()}
    units = dict(zip(rows["feature"], rows["unit"], strict=True))
    names = list(dict.fromkeys(rows["feature"]))
    speech = dict(zip(windows["window"], speech_matters(windows), strict=True))
    body: list[list[str]] = []
    for heading in dict.fromkeys(family(name) for name in names):
        body.append([esc(heading)])
        for name in (n for n in names if family(n) == heading):
            line = [_feature_name(name), _unit(units[name])]
            for window in windows["window"]:
                row = cells.get((name, window))
                line.append(
                    f'<span class="pq-none">{DASH}</span>'
                    if row is None
                    else value_html(
                        row.value, row.unit, str(row.reason), name, speech[window], notes
                    )
                )
            body.append(line)
    return body


def _feature_name(name: str) -> str:
    """Name of a feature with its definition and source as a tooltip."""
    from physio_hqc.features.catalog import FEATURES

    info = FEATURES.get(name)
    said = f' title="{esc(f"{info.description} {info.source}".strip())}"' if info else ""
    return f"<span{said}>{esc(name)}</span>"


def _unit(unit: object) -> str:
    return f'<span class="pq-unit">{esc(unit)}</span>' if unit not in ("", "1") else ""


def _speech_box(rows: pd.DataFrame, windows: pd.DataFrame) -> str:
    """Put the caution on speech above a table that shows such a value."""
    spoken = list(windows.loc[speech_matters(windows), "window"])
    present = rows[rows["window"].isin(spoken) & rows["value"].notna()]
    if not any(needs_speech_caution(name, True) for name in dict.fromkeys(present["feature"])):
        return ""
    return speech_box(spoken)


def speech_box(spoken: list[str]) -> str:
    """Say the caution on speech in full."""
    names = ", ".join(spoken)
    text = SPEECH_CAUTION[0].upper() + SPEECH_CAUTION[1:]
    source = "bands: Task Force 1996, doi 10.1161/01.CIR.93.5.1043"
    return f'<div class="pq-caution"><b>† {esc(names)}:</b> {esc(text)} ({esc(source)}).</div>'
