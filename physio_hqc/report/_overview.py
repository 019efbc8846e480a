"""The first screen: who, what, how long, how good, and the headline numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from physio_hqc.report._facts import Facts, StreamFacts
from physio_hqc.report._features import (
    HEADLINES,
    Headline,
    needs_speech_caution,
    present_headlines,
)
from physio_hqc.report._format import (
    DASH,
    clock,
    esc,
    listed,
    percent,
    plural,
    position,
    signed,
    wall_clock,
)
from physio_hqc.report._html import badge, bullets, table
from physio_hqc.report._style import role_color, time_unit
from physio_hqc.report._tables import Notes, speech_box, value_html
from physio_hqc.report._verdict import RULE
from physio_hqc.session.format import UNKNOWN_T0

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WINDOWS = 6
_MAX_SEGMENTS = 300
_MAX_NOTICES = 12
# What every recording goes through, and nobody needs to be told of.
_USUAL = (
    *("recording started", "searching", "connecting", "connected", "device", "battery"),
    *("protocol ended", "recording ended", "lsl_clock_offsets"),
)
_TOLD = ("HR", "RMSSD", "SBP", "SBP cuff", "SCL")

MODALITY_NAMES = {
    "ecg": "ECG",
    "rr": "RR intervals",
    "bp": "continuous pressure",
    "cuff": "cuff pressure",
    "eda": "EDA",
    "resp": "respiration",
    "ppg": "PPG",
    "acc": "acceleration",
    "temp": "temperature",
    "other": "other",
}


def overview(facts: Facts) -> str:
    """Make the HTML of the overview."""
    return "".join(
        (
            f'<p class="pq-lead">{_summary(facts)}</p>',
            _cards(facts),
            _timeline(facts),
            '<div class="pq-columns"><div>',
            _quality(facts),
            "</div><div>",
            _headlines(facts),
            "</div></div>",
            _notices(facts),
        )
    )


def title(facts: Facts) -> str:
    """Make the plain title of the report."""
    session = facts.session
    words = [session.participant_id or session.name, session.condition]
    if session.participant_id and session.participant_id != session.name:
        words.append(session.name)
    return " · ".join(word for word in words if word)


def missing_streams(facts: Facts) -> list[str]:
    """Say, one sentence each, which sections are left out because a stream is missing."""
    texts = []
    if facts.stream_of("ecg") is None and not len(facts.table("beats")):
        texts.append(
            "No ECG and no RR intervals were recorded: the sections on beats are left out."
        )
    elif facts.stream_of("ecg") is None:
        texts.append("No ECG was recorded: beats come from the intervals that a device sent.")
    if facts.stream_of("bp") is None and facts.stream_of("cuff") is None:
        texts.append("No blood pressure was recorded: its section is left out.")
    if facts.stream_of("eda") is None:
        texts.append("No EDA was recorded: its section is left out.")
    return texts


def _summary(facts: Facts) -> str:
    """Say in two or three sentences what a reader must know."""
    session = facts.session
    who = (
        f"Participant <b>{esc(session.participant_id)}</b>"
        if session.participant_id
        else (f"Session <b>{esc(session.name)}</b>")
    )
    under = f", condition <b>{esc(session.condition)}</b>," if session.condition else ""
    tagged = [plural(len(facts.phases), "phase")] if len(facts.phases) else []
    if len(facts.interactions):
        tagged.append(plural(len(facts.interactions), "interaction window"))
    parts = f" with {listed(tagged)}" if tagged else ""
    first = f"{who}{under} was recorded for <b>{clock(session.duration)}</b>{parts}."
    return " ".join(
        text for text in (first, _said_of_quality(facts), _said_of_change(facts)) if text
    )


def _said_of_quality(facts: Facts) -> str:
    """Name the streams by verdict."""
    groups = []
    for word in ("good", "fair", "poor"):
        names = [esc(row.name) for row in facts.streams if row.verdict == word]
        if names:
            verb = "are" if len(names) > 1 else "is"
            groups.append(f"{listed(names)} {verb} <b>{word}</b>")
    return f"Signal quality: {'; '.join(groups)}." if groups else ""


def _said_of_change(facts: Facts) -> str:
    """Say how pressure, heart rate and conductance differ from baseline in the first task."""
    rows = facts.table("reactivity")
    roles = dict(zip(facts.windows["window"], facts.windows["role"], strict=True))
    tasks = [window for window in facts.compared if roles.get(window) == "task"]
    rows = rows[(rows["window"] == tasks[0]) & rows["delta"].notna()] if tasks else rows[:0]
    words = []
    for headline in present_headlines(rows, "delta"):
        if headline.short not in _TOLD:
            continue
        row = rows[rows["feature"] == headline.feature].iloc[0]
        name = headline.name if headline.name[1].isupper() else headline.name.lower()
        unit = f" {esc(row.unit)}".replace(" 1/", "/")
        words.append(f"{name} {signed(row.delta, row.unit)}{unit}")
    if not words:
        return ""
    return f"From baseline to {esc(_label(facts, tasks[0]))}: {'; '.join(words)}."


def _cards(facts: Facts) -> str:
    session = facts.session
    who = [session.condition and f"condition {session.condition}"]
    who += [session.dyad_id and f"dyad {session.dyad_id}", session.role and f"role {session.role}"]
    named = str(facts.protocol.get("name", ""))
    about = str(facts.protocol.get("title", "no protocol in the file"))
    checked = [row for row in facts.streams if row.verdict != "not checked"]
    judged = f"the poorest of {plural(len(checked), 'checked stream')}"
    judged = judged if checked else "no stream could be checked"
    cards = (
        (
            "Who",
            esc(session.participant_id or "no participant id"),
            esc(" · ".join(word for word in who if word) or "no condition given"),
        ),
        ("What", esc(named or session.name), esc(about)),
        (
            "How long",
            clock(session.duration),
            esc(_began(session.t0_unix_ns)),
        ),
        (
            "How good",
            badge(facts.verdict),
            esc(f"{judged}; {plural(len(facts.streams), 'stream')} in the file"),
        ),
    )
    return '<div class="pq-cards">{}</div>'.format(
        "".join(
            f'<div class="pq-card"><h6>{heading}</h6><div class="pq-big">{big}</div>'
            f'<div class="pq-small">{small}</div></div>'
            for heading, big, small in cards
        )
    )


def _began(t0_unix_ns: int) -> str:
    """Say when second 0 was, where the recording tells."""
    return "start time not known" if t0_unix_ns == UNKNOWN_T0 else f"from {wall_clock(t0_unix_ns)}"


def _timeline(facts: Facts) -> str:
    """Draw phases, interaction windows, cuff readings and events on one line each."""
    duration = facts.session.duration
    if duration <= 0:
        return ""
    lanes = []
    if len(facts.phases):
        segments = "".join(
            _segment(row, duration, f"background:{role_color(row.role)}66")
            for row in facts.phases.head(_MAX_SEGMENTS).itertuples()
        )
        lanes.append(f'<b>Phases</b><div class="pq-lane">{segments}</div>')
    if len(facts.interactions):
        segments = "".join(
            _segment(row, duration, "")
            for row in facts.interactions.head(_MAX_SEGMENTS).itertuples()
        )
        lanes.append(
            f'<b class="pq-low">Interactions</b><div class="pq-lane pq-thin">{segments}</div>'
        )
    ticks = _ticks(facts, duration)
    if ticks:
        said = "Cuff, events" if len(facts.cuff) else "Events"
        lanes.append(f'<b class="pq-lower">{said}</b><div class="pq-lane pq-ticks">{ticks}</div>')
    if not lanes:
        return ""
    axis = f'<b></b><div class="pq-axis">{_axis(duration)}</div>'
    return f'<div class="pq-strip"><div class="pq-rows">{"".join(lanes)}{axis}</div></div>'


def _segment(row: Any, duration: float, style: str) -> str:
    onset, length, label = row.onset, row.duration, row.label
    when = f"{label}: {position(onset)}{DASH}{position(onset + length)}"
    place = f"left:{100 * onset / duration:.3f}%;width:{100 * length / duration:.3f}%;{style}"
    return f'<div class="pq-seg" style="{place}" title="{esc(when)}">{esc(label)}</div>'


def _ticks(facts: Facts, duration: float) -> str:
    """Mark cuff readings by points and other events by lines."""
    events = facts.session.events
    events = events[~events["kind"].isin(("phase", "interaction"))].head(_MAX_SEGMENTS)
    marks = [
        (row.onset, "pq-tick", f"{row.kind}: {row.label} ({position(row.onset)})")
        for row in events.itertuples()
    ]
    marks += [
        (time, "pq-tick pq-cuff", f"cuff reading ({position(time)})")
        for time in facts.cuff["time_s"].to_numpy(dtype=float)[:_MAX_SEGMENTS]
    ]
    return "".join(
        f'<div class="{css}" style="left:{100 * time / duration:.3f}%" title="{esc(text)}"></div>'
        for time, css, text in marks
        if 0 <= time <= duration
    )


def _axis(duration: float) -> str:
    unit_s, unit = time_unit(duration)
    total = duration / unit_s
    steps = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60])
    step = float(steps[min(int(np.searchsorted(steps, total / 10)), len(steps) - 1)])
    values = np.arange(0, total * (1 + 1e-9), step)
    return "".join(
        f'<span style="left:{100 * value / total:.3f}%">{value:g}'
        f"{f' {unit}' if index == 0 else ''}</span>"
        for index, value in enumerate(values)
    )


def _quality(facts: Facts) -> str:
    head = ["Stream", "Verdict", "Rate<br>(Hz)", "Gaps", "Usable", "Beats", "Corrected"]
    rows = [_quality_row(row) for row in facts.streams]
    if not rows:
        return "<h6>Data quality</h6><p>The session holds no stream.</p>"
    made = table(head, rows, classes="pq-compact pq-stream")
    rule = f"{RULE}. Usable share and quality are means over phases."
    return f'<h6>Data quality</h6>{made}<p class="pq-rule">{esc(rule)}</p>'


def _quality_row(row: StreamFacts) -> list[str]:
    if not row.n_samples:
        rate, gaps = DASH, "empty"
    elif not row.nominal_hz:
        rate, gaps = f'<span title="times of their own">{DASH}</span>', DASH
    else:
        measured = f"measured {row.measured_hz:.6g} Hz"
        near = math.isclose(row.measured_hz, row.nominal_hz, rel_tol=5e-5)
        shown = f"{row.nominal_hz:g}" + ("" if near else f" ({row.measured_hz:.5g})")
        rate = f'<span title="{measured}">{shown}</span>'
        length = f"{row.gap_s:.3g} s" if row.gap_s < 999 else clock(row.gap_s)
        gaps = f"{row.n_gaps} ({length})" if row.n_gaps else "none"
    usable = row.usable
    if not math.isfinite(usable) and row.modality == "cuff":
        usable = row.quality
    said = MODALITY_NAMES[row.modality]
    about = "" if row.name == row.modality else f' <span class="pq-unit">{esc(said)}</span>'
    return [
        f'<span title="{esc(said)}">{esc(row.name)}</span>{about}',
        badge(row.verdict),
        rate,
        gaps,
        percent(usable),
        f"{row.n_beats:,}".replace(",", " ") if row.n_beats >= 0 else DASH,
        percent(row.corrected),
    ]


def _headlines(facts: Facts) -> str:
    """Baseline, and every compared window with its difference from baseline."""
    baseline, windows = facts.baseline_window, facts.compared[:MAX_WINDOWS]
    columns = ([baseline] if baseline else []) + windows
    features = facts.table("features")
    features = features[features["window"].isin(columns)]
    heading = "<h6>Headline numbers</h6>"
    named = present_headlines(features)
    if not named:
        return f"{heading}<p>No headline measure could be computed.</p>"
    notes = Notes()
    head = ["Measure", *(_head(facts, window, baseline) for window in columns)]
    body = _headline_rows(facts, features, named, columns, notes)
    spoken = [_label(facts, window) for window in columns if _is_cautioned(facts, features, window)]
    made = table(head, body, classes="pq-compact pq-numbers")
    said = speech_box(list(dict.fromkeys(spoken))) if spoken else ""
    more = len(facts.compared) - len(windows)
    left = f"{more} more windows stand in the feature tables." if more else ""
    return f'{heading}{made}{said}{notes.html()}<p class="pq-rule">{left}</p>'


def _headline_rows(
    facts: Facts,
    features: pd.DataFrame,
    named: list[Headline],
    columns: list[str],
    notes: Notes,
) -> list[list[str]]:
    """One row per measure: its value in every window, and the delta beside it."""
    values = {(row.feature, row.window): row for row in features.itertuples()}
    deltas = {(row.feature, row.window): row for row in facts.table("reactivity").itertuples()}
    units = dict(zip(features["feature"], features["unit"], strict=True))
    body = []
    for headline in named:
        feature, unit = headline.feature, str(units[headline.feature])
        said = esc("" if unit == "1" else unit)
        line = [f'{esc(headline.name)} <span class="pq-unit">{said}</span>']
        for window in columns:
            row, cell = values.get((feature, window)), f'<span class="pq-none">{DASH}</span>'
            if row is not None:
                speech = facts.speech[window]
                cell = value_html(row.value, unit, str(row.reason), feature, speech, notes)
            line.append(cell + _delta(deltas.get((feature, window)), unit))
        body.append(line)
    return body


def _is_cautioned(facts: Facts, features: pd.DataFrame, window: str) -> bool:
    """Whether the overview shows a value of this window that needs the caution on speech."""
    rows = features[(features["window"] == window) & features["value"].notna()]
    shown = {headline.feature for headline in HEADLINES} & set(rows["feature"])
    return any(needs_speech_caution(name, facts.speech.get(window, False)) for name in shown)


def _delta(row: Any, unit: str) -> str:
    if row is None or not math.isfinite(row.delta):
        return ""
    return f'<span class="pq-delta">{signed(row.delta, unit)}</span>'


def _head(facts: Facts, window: str, baseline: str) -> str:
    row = facts.windows[facts.windows["window"] == window]
    length = clock(float(row["duration"].iloc[0])) if len(row) else ""
    is_end = len(row) and row["kind"].iloc[0] == "phase_last"
    small = f"last {length}" if is_end else length
    if window != baseline and baseline:
        small += " · Δ"
    return (
        f'<span title="{esc(window)}">{esc(_label(facts, window))}</span><br>'
        f'<span class="pq-when">{esc(small)}</span>'
    )


def _label(facts: Facts, window: str) -> str:
    """Label of a window; its name where several windows share the label."""
    windows = facts.windows
    row = windows[windows["window"] == window]
    if not len(row):
        return window
    label, kind = str(row["label"].iloc[0]), row["kind"].iloc[0]
    shared = ((windows["label"] == label) & (windows["kind"] == kind)).sum() > 1
    return window if shared and kind != "phase_last" else label


def _notices(facts: Facts) -> str:
    """Say what a reader must not overlook."""
    texts = missing_streams(facts)
    if not facts.session.closed:
        texts.append("The file was never closed: the recording broke off or is still going on.")
    noticed = facts.provenance.get("notices", [])
    said_before = ("never closed",)
    texts += [
        str(text)
        for text in (noticed if isinstance(noticed, list) else [])
        if not any(words in str(text) for words in said_before)
    ]
    texts += _event_notices(facts.session.events)
    empty = [row.name for row in facts.streams if not row.n_samples]
    texts += [f"Stream {name} holds no sample." for name in empty]
    texts = list(dict.fromkeys(texts))
    if not texts:
        return ""
    left = len(texts) - _MAX_NOTICES
    shown = texts[:_MAX_NOTICES] + ([f"… and {left} more"] if left > 0 else [])
    return f'<div class="pq-notice"><b>Notices</b>{bullets(shown)}</div>'


def _event_notices(events: pd.DataFrame) -> Sequence[str]:
    """Notes of the experimenter and notices of the recorder, with their time."""
    rows = events[events["kind"].isin(("note", "system")) & ~events["label"].isin(_USUAL)]
    texts = [_notice(row) for row in rows.itertuples()]
    return [text for text in texts if text]


def _notice(row: Any) -> str:
    """One note or notice; nothing for a protocol that started as it should."""
    text = f"{row.kind} at {position(row.onset)}: {row.label}"
    if row.label != "protocol started":
        return text
    missing = row.payload.get("overridden")
    return f"{text} although {'; '.join(map(str, missing))}" if missing else ""
