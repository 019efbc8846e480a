"""Parts of the screen about what is recorded: checklist, table of streams, ECG strip, log."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from physio_hqc.acquisition.preflight import BATTERY_LOW, QUALITY_MIN, RATE_TOLERANCE
from physio_hqc.acquisition.view import RecordingView, SourceView, StreamView
from physio_hqc.cli._lines import Line, clean, cut
from physio_hqc.cli._look import BAD, DIM, GOOD, WARN, Block, seconds_text
from physio_hqc.cli._plot import curve, limits

SOURCE_STATES = {
    "searching": "searching",
    "connecting": "connecting",
    "connected": "connected",
    "lost": "CONNECTION LOST",
    "ended": "ended",
}
Cell = Callable[[StreamView, SourceView | None], tuple[str, str]]


def checklist_block(view: RecordingView) -> Block:
    """Every source and its streams, with a check mark or what is missing."""
    lines: list[Line] = []
    known = {source.name for source in view.sources}
    orphans = [stream for stream in view.streams if stream.source not in known]
    said: set[str] = set()
    for source in view.sources:
        lines.append(_source_line(source))
        for stream in view.streams:
            if stream.source == source.name:
                lines += _check_lines(stream, said)
    for stream in orphans:
        lines += _check_lines(stream, said)
    if not lines:
        lines = [Line().add("  no sources", DIM)]
    return Block(min(len(lines), 4), len(lines) + 1, lambda n: [Line(), *lines][-n:])


def _source_line(source: SourceView) -> Line:
    """One source: connection, battery, contact."""
    sign, look = ("✓", GOOD) if source.state == "connected" else ("…", WARN)
    if source.state in ("lost", "ended"):
        sign, look = "✗", BAD
    name = clean(source.name)
    line = Line().add(f"  {sign} ", look).add(name, "bold")
    line.add(f"  {SOURCE_STATES.get(source.state, '')}", "" if sign == "✓" else look)
    if source.text:
        line.add(f": {clean(source.text)}", DIM)
    if source.serial and source.serial not in f"{source.name} {source.text}":
        line.add(f"  {clean(source.serial)}", DIM)
    if source.battery is not None:
        is_low = source.battery < BATTERY_LOW
        line.add(f"  {'! ' if is_low else ''}battery {source.battery} %", BAD if is_low else "")
    if source.contact is not None:
        line.add("  skin contact" if source.contact else "  ! NO SKIN CONTACT",
                 "" if source.contact else BAD)  # fmt: skip
    if source.troubles:
        line.add(f"  {sum(source.troubles.values())} bad packets", WARN)
    return line


def _check_lines(stream: StreamView, said: set[str]) -> list[Line]:
    """One stream before the start: figures, and what pre-flight has against it, each said once."""
    sign, look = ("✓", GOOD) if not stream.problems else ("!", WARN) if stream.alive else ("✗", BAD)
    problems = [clean(text) for text in stream.problems if text not in said]
    said.update(stream.problems)
    line = Line().add(f"    {sign} ", look).add(cut(clean(stream.name), 10)).add(" ")
    if stream.n_samples:
        line.add(cut(clean(stream.value), 12), "bold").add(cut(_rate(stream), 14))
        line.join(_quality(stream)).add(f"  {_lag(stream)}")
    elif not stream.problems:
        line.add("waits for its first reading", DIM)
    elif len(problems) == 1:
        return [Line().add(f"    {sign} {problems[0]}", look)]
    return [line, *(Line().add(f"      {text}", look) for text in problems)]


def waiting_block(view: RecordingView) -> Block:
    """What the start waits for, where no stream line says it."""
    said = {text for stream in view.streams for text in stream.problems}
    rest = [clean(text) for text in view.waiting_for if text not in said]
    lines = [Line().add("  ✗ ", BAD).add(text) for text in rest]
    return Block(min(len(lines), 2), len(lines), lambda n: lines[:n])


def streams_block(view: RecordingView, width: int) -> Block:
    """The table of streams."""
    sources = {source.name: source for source in view.sources}
    columns = _columns(width)
    head = Line().add("    ")
    for title, size, _ in columns:
        head.add(cut(title, size), DIM)
    rows = [_stream_line(stream, sources.get(stream.source), columns) for stream in view.streams]
    ranked = sorted(range(len(rows)), key=lambda k: _is_well(view.streams[k]))

    def draw(n: int) -> list[Line]:
        shown = rows
        if n < len(rows):
            # What is not well must not be what is left out.
            kept = sorted(ranked[: n - 1])
            more = f"    … {len(rows) - len(kept)} more streams: make the window higher"
            shown = [*(rows[k] for k in kept), Line().add(more, WARN)]
        lines = [head, *shown] if n > len(shown) else shown
        return [Line(), *lines] if n > len(lines) else lines

    n = len(rows)
    return Block(min(n + 1, 12), n + 2, draw)


def _columns(width: int) -> list[tuple[str, int, Cell]]:
    """Columns of the table that fit the width: title, columns, and what stands there."""
    wanted: list[tuple[int, str, int, Cell]] = [
        (0, "stream", 10, lambda s, _: (clean(s.name), "bold")),
        (0, "value", 12, lambda s, _: (clean(s.value), "bold" if s.alive else DIM)),
        (2, "rate Hz", 11, lambda s, _: (_rate(s, ""), _rate_look(s))),
        (1, "quality", 11, lambda s, _: (_quality(s).text, _quality_look(s))),
        (3, "gaps", 11, lambda s, _: (_gaps(s), WARN if s.n_gaps else DIM)),
        (5, "lag", 7, lambda s, _: (_lag(s), WARN if (s.lag_s or 0) > 1 else "")),
        (6, "age", 7, lambda s, _: (_age(s), "" if s.alive or not s.n_samples else BAD)),
        (4, "batt", 7, lambda _, source: _battery(source)),
        (7, "device", 14, lambda s, source: _device(s, source)),
    ]
    room = width - 4
    kept = []
    for rank, title, size, cell in sorted(wanted, key=lambda column: column[0]):
        if size <= room or not rank:
            kept.append((rank, title, size, cell))
            room -= size
    order = [title for _, title, _, _ in wanted]
    kept.sort(key=lambda column: order.index(column[1]))
    columns = [(title, size, cell) for _, title, size, cell in kept]
    if columns[-1][0] == "device":
        title, size, cell = columns[-1]
        columns[-1] = (title, size + min(room, 20), cell)
    return columns


def _stream_line(
    stream: StreamView, source: SourceView | None, columns: Sequence[tuple[str, int, Cell]]
) -> Line:
    """One stream of the table."""
    if stream.alive:
        sign, look = ("✓", GOOD) if _is_well(stream) else ("!", WARN)
    else:
        sign, look = ("✗", BAD) if stream.n_samples else ("…", DIM)
    line = Line().add(f"  {sign} ", look)
    for _, size, cell in columns:
        text, style = cell(stream, source)
        line.add(cut(text, size - 1), style).add(" ")
    return line


def _battery(source: SourceView | None) -> tuple[str, str]:
    """Battery of the device, or what is worse."""
    if source is None:
        return "", ""
    if source.state == "lost":
        return "LOST", BAD
    if source.contact is False:
        return "LOOSE", BAD
    if source.battery is None:
        return "", ""
    is_low = source.battery < BATTERY_LOW
    return f"{'! ' if is_low else ''}{source.battery}%", BAD if is_low else ""


def _is_well(stream: StreamView) -> bool:
    """Whether there is nothing to see about a stream."""
    is_poor = stream.quality is not None and stream.quality < QUALITY_MIN
    return stream.alive and not is_poor and not stream.problems


def _device(stream: StreamView, source: SourceView | None) -> tuple[str, str]:
    """Which device a stream comes from, and how its connection stands."""
    if source is None or source.state == "connected":
        is_loose = source is not None and source.contact is False
        return ("NO SKIN CONTACT", BAD) if is_loose else (clean(stream.source), DIM)
    return SOURCE_STATES.get(source.state, ""), BAD if source.state == "lost" else WARN


def strip_block(view: RecordingView, width: int) -> Block:
    """The ECG of the last seconds."""
    if not view.strip.size or view.strip_sfreq <= 0 or width < 20:
        return Block(0, 0, lambda _: [])

    def draw(rows: int) -> list[Line]:
        lines = []
        if rows >= 3:
            lines.append(_strip_title(view, width))
            rows -= 1
        return [*lines, *(Line().add(row, GOOD) for row in curve(view.strip, width, rows))]

    return Block(4, 8, draw)


def _strip_title(view: RecordingView, width: int) -> Line:
    """How long and how high the strip is."""
    seconds = view.strip.size / view.strip_sfreq
    found = limits(view.strip)
    span = f"{found[0]:.2f} to {found[1]:.2f} mV" if found else "no samples"
    title = f"── ECG ── last {seconds:.0f} s ── {span} "
    return Line().add(title + "─" * max(width - len(title), 0), DIM)


def log_block(view: RecordingView, width: int) -> Block:
    """The last things that happened, newest last."""
    if not view.log:
        return Block(0, 0, lambda _: [])
    rule = "── log " + "─" * max(width - 7, 0)

    def draw(rows: int) -> list[Line]:
        head = [Line().add(rule, DIM)] if rows > 2 else []
        shown = view.log[-(rows - len(head)) :]
        return [*head, *(Line().add(f"  {clean(text)}") for text in shown)]

    return Block(1, min(len(view.log), 8) + 1, draw)


def _rate(stream: StreamView, unit: str = " Hz") -> str:
    """Measured and nominal rate."""
    if stream.modality == "cuff":
        return f"{stream.n_samples} so far"
    if stream.sfreq <= 0:
        return "" if stream.rate is None else f"{stream.rate:.0f}/min"
    measured = "–" if stream.rate is None else f"{stream.rate:.1f}"
    return f"{measured}/{stream.sfreq:g}{unit}"


def _rate_look(stream: StreamView) -> str:
    if stream.sfreq <= 0 or stream.rate is None:
        return DIM
    return WARN if abs(stream.rate / stream.sfreq - 1) > RATE_TOLERANCE else ""


def _quality(stream: StreamView) -> Line:
    """Quality as a bar and a number."""
    if stream.quality is None or not math.isfinite(stream.quality):
        return Line().add("–".ljust(10), DIM)
    share = min(max(stream.quality, 0.0), 1.0)
    full = round(5 * share)
    return Line().add(f"{'█' * full}{'░' * (5 - full)} {100 * share:3.0f}%", _quality_look(stream))


def _quality_look(stream: StreamView) -> str:
    if stream.quality is None:
        return DIM
    return GOOD if stream.quality >= 0.8 else WARN if stream.quality >= QUALITY_MIN else BAD


def _gaps(stream: StreamView) -> str:
    return f"{stream.n_gaps} ({seconds_text(stream.gap_s)})" if stream.n_gaps else "none"


def _lag(stream: StreamView) -> str:
    return "" if stream.lag_s is None else f"{seconds_text(stream.lag_s)}"


def _age(stream: StreamView) -> str:
    return "" if stream.age_s is None else seconds_text(stream.age_s)
