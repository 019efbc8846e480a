"""Parts of the screen about the protocol: phase, progress, alerts, what is due, open windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from physio_hqc.acquisition.view import Alert, PhaseView, RecordingView
from physio_hqc.cli import _big
from physio_hqc.cli._lines import Line, clean, cut, flowed, wrapped
from physio_hqc.cli._look import (
    ALARM,
    ALARM_EDGE,
    CARE,
    CUFF,
    CUFF_EDGE,
    DIM,
    GOOD,
    OPEN,
    WARN,
    Block,
    band,
    clock,
    large_lines,
)

if TYPE_CHECKING:
    from physio_hqc.protocol import Protocol


def phase_block(view: RecordingView, width: int, room: int) -> Block:
    """Time left in large figures, and which phase it is."""
    if view.phase is None:
        return _over_block(view, width)
    phase = view.phase
    least = _big.ROWS + (room >= 18) if room >= 14 and width >= 60 else 1
    return Block(least, 7, lambda n: _phase(phase, width, n))


def _over_block(view: RecordingView, width: int) -> Block:
    """What stands in place of the phase when there is none."""
    is_closed = view.state == "finished"
    text = "FINISHED" if is_closed else "DONE"
    hint = "  The protocol is over: Q stops the recording."
    if view.ratings_due:
        hint = "  The protocol is over: R enters the ratings, Q stops without them."
    if is_closed:
        hint = "  The file is being closed."

    def draw(rows: int) -> list[Line]:
        room = [Line()] if rows > _big.ROWS + 1 else []
        letters = large_lines(text, width - 4, rows - 1 - len(room), "bold", indent=2)
        return [*room, *letters, Line().add(hint)]

    return Block(1, 7, draw)


def _phase(phase: PhaseView, width: int, rows: int) -> list[Line]:
    """The phase in so many rows."""
    figures, look = _time_left(phase)
    label = clean(phase.label) or clean(phase.name)
    if rows < _big.ROWS or width < 60:
        line = Line().add(f" {figures}", f"bold {look}").add(f"  {label}", "bold")
        line.add(f"  {phase.number}/{phase.of}").add(f"   {_next(phase)}" if rows < 2 else "", DIM)
        return [line, *(Line().add(f" {x}") for x in _particulars(phase, width - 2, rows - 1))]
    digits = _big.large(figures)
    start = 2 + len(digits[0]) + 4
    lines = [Line()] if rows > _big.ROWS else []
    beside = _beside(phase, label, width - start - 1, rows - len(lines))
    for k in range(rows - len(lines)):
        line = Line().add("  ").add(digits[k] if k < len(digits) else "", look)
        lines.append(line.to(start).join(beside[k] if k < len(beside) else Line()))
    return lines


def _beside(phase: PhaseView, label: str, width: int, rows: int) -> list[Line]:
    """What stands to the right of the large figures."""
    number = f"phase {phase.number} of {phase.of}"
    name = _big.medium(label) if _big.can_show(label) else ()
    if name and len(name[0]) <= width:
        lines = [Line().add(row, "bold") for row in name]
        lines[2].add(f"   {number}" if len(name[2]) + len(number) + 3 <= width else "", DIM)
    else:
        lines = [Line().add(cut(label.upper(), min(width, len(label))), "bold").add(f"   {number}")]
    lines += [Line().add(text) for text in _particulars(phase, width, rows - len(lines))]
    return lines


def _particulars(phase: PhaseView, width: int, rows: int) -> list[str]:
    """What follows, when the cuff is due, what the experimenter does."""
    if rows < 1:
        return []
    facts = [_next(phase)]
    if phase.cuff_in_s is not None:
        facts.append(f"cuff in {_clock_up(phase.cuff_in_s)}")
    return [cut("   ·   ".join(facts), width), *wrapped(clean(phase.instructions), width, rows - 1)]


def _next(phase: PhaseView) -> str:
    """What comes after this phase, and how."""
    following = f"next: {clean(phase.next_label)}" if phase.next_label else "last phase"
    if phase.manual:
        return f"{following} (press N)"
    return following


def _time_left(phase: PhaseView) -> tuple[str, str]:
    """Figures of the time left, and their color; beyond the planned end they count up."""
    if phase.left_s < 0:
        return f"+{clock(-phase.left_s)}", WARN
    return _clock_up(phase.left_s), "bold cyan" if phase.left_s > 10 else WARN


def _clock_up(seconds: float) -> str:
    """Time until something, rounded up: 0:00 is the moment at which it happens."""
    return clock(math.ceil(seconds) if math.isfinite(seconds) else 0)


def preflight_top(view: RecordingView, width: int) -> Block:
    """READY or ARMED in large letters, and for how long."""
    text = "READY" if view.ready else "ARMED"
    look = GOOD if view.ready else WARN
    hint = (
        "Everything flows: ENTER starts the protocol"
        if view.ready
        else "Waiting for the streams below. The protocol has not started."
    )

    def draw(rows: int) -> list[Line]:
        word = f"{text} {clock(view.armed_s)}"
        if rows < 4:
            line = Line().add(f" {word}  ", f"bold {look}").add(hint, "bold")
            return [line]
        size = min(rows - 3, _big.ROWS)
        lines = [Line(), *large_lines(word, width - 4, size, look, indent=2), Line()]
        return [*lines, Line().add(f"  {hint}", "bold")]

    return Block(1, 8, draw)


def progress_block(view: RecordingView, width: int, protocol: Protocol | None) -> Block:
    """The phases of the protocol as a bar."""
    phase = view.phase
    if phase is None or width < 20:
        return Block(0, 0, lambda _: [])
    known = protocol is not None and len(protocol.phases) == phase.of
    lengths = [p.duration_s for p in protocol.phases] if protocol and known else [1.0] * phase.of
    labels = [p.label for p in protocol.phases] if protocol and known else [""] * phase.of
    room = width - 4 - (phase.of - 1)
    if room < phase.of:
        return Block(0, 0, lambda _: [])
    columns = [max(1, int(room * length / sum(lengths))) for length in lengths]
    planned = phase.elapsed_s + phase.left_s
    share = phase.elapsed_s / planned if planned > 0 else 1.0
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    bar, names = Line().add("  "), Line().add("  ")
    for k, (n, label) in enumerate(zip(columns, labels, strict=True)):
        done = n if k < phase.number - 1 else round(n * share) if k == phase.number - 1 else 0
        is_now = k == phase.number - 1
        bar.add("━" * done, "bold cyan" if is_now else GOOD).add("─" * (n - done), DIM).add(" ")
        names.add(cut(clean(label), n), "bold" if is_now else DIM).add(" ")
    both = [bar, names] if any(labels) else [bar]
    return Block(len(both), len(both), lambda n: both[:n])


def alert_block(alerts: Sequence[Alert], width: int, room: int) -> Block:
    """Alerts as bands over the full width, the first urgent one in large letters."""
    ordered = sorted(alerts, key=lambda alert: not alert.urgent)
    if not ordered:
        return Block(0, 0, lambda _: [])
    first = clean(ordered[0].text)
    size = _band_rows(first, width, room) if ordered[0].urgent else 1
    others = min(len(ordered) - 1, 3)

    def draw(rows: int) -> list[Line]:
        lines: list[Line] = []
        rest = list(ordered)
        if size > 1 and rows >= size:
            rest.pop(0)
            letters = _big.mixed(first, width - 6, size - 2)
            lines = band(letters, width, ALARM, ALARM_EDGE)
        for alert in rest[: rows - len(lines)]:
            look = ALARM if alert.urgent else CARE
            sign = " !! " if alert.urgent else " !  "
            lines.append(Line().add(f"{sign}{clean(alert.text)}", look).fitted(width, look))
        return lines

    least = size + min(others, 1) if room >= 12 else 1
    return Block(least, size + others, draw)


def due_block(view: RecordingView, width: int, room: int) -> Block:
    """What is due now: a cuff reading, ratings."""
    texts = []
    if view.phase is not None and view.phase.cuff_due:
        texts.append(("START CUFF", "start the cuff now; C enters a reading by hand"))
    if view.ratings_due:
        names = ", ".join(clean(name) for name in view.ratings_due)
        texts.append(("RATINGS DUE", f"press R: {names}"))
    if not texts:
        return Block(0, 0, lambda _: [])
    is_calm = not any(alert.urgent for alert in view.alerts)
    size = _big.HALF_ROWS + 2 if is_calm and room >= 20 and width >= 60 else 0

    def draw(rows: int) -> list[Line]:
        lines: list[Line] = []
        rest = list(texts)
        if size and rows >= size + len(rest) - 1:
            big, hint = rest.pop(0)
            letters = list(_big.medium(big))
            letters[1] += f"   {hint}"
            lines = band(letters, width, CUFF, CUFF_EDGE)
        for big, hint in rest:
            lines.append(Line().add(f" ▶ {big}: {hint}", CUFF).fitted(width, CUFF))
        return lines

    want = (size or 1) + len(texts) - 1
    return Block(want, want, draw)


def windows_block(view: RecordingView, width: int) -> Block:
    """Interaction windows: those that are open with their running time, those one may open."""
    if not view.open_windows and not view.interactions:
        return Block(0, 0, lambda _: [])
    onsets = dict(view.open_windows)
    parts = []
    for k, label in enumerate(view.interactions[:9]):
        onset = onsets.pop(label, None)
        if onset is None:
            parts.append(Line().add(f"{k + 1} ", "bold").add(clean(label), DIM))
        else:
            parts.append(Line().add(f" {k + 1} ● {clean(label)} {clock(view.t - onset)} ", OPEN))
    for label, onset in onsets.items():
        parts.append(Line().add(f" ● {clean(label)} {clock(view.t - onset)} ", OPEN))
    lines = flowed(parts, width, Line().add("  windows", DIM).to(11))
    n = len(lines)
    return Block(min(n, 3), n + 1, lambda rows: [*([Line()] * (rows - n)), *lines[:rows]])


def _band_rows(text: str, width: int, room: int) -> int:
    """How many rows a band with this text may take; 1 where large letters do not fit."""
    for rows, needed in ((_big.ROWS, 24), (_big.HALF_ROWS, 14)):
        if room >= needed and _big.mixed(text, width - 6, rows):
            return rows + 2
    return 1
