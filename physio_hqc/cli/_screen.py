"""The experimenter's screen: what a recording looks like, in any size of terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from physio_hqc.acquisition.view import RecordingView
from physio_hqc.cli._entry import EntryState
from physio_hqc.cli._lines import Frame, Line, clean, cut, flowed, wrapped
from physio_hqc.cli._look import ALARM, BAD, DIM, ENTRY, Block, clock
from physio_hqc.cli._screen_phase import (
    alert_block,
    due_block,
    phase_block,
    preflight_top,
    progress_block,
    windows_block,
)
from physio_hqc.cli._screen_streams import (
    checklist_block,
    log_block,
    streams_block,
    strip_block,
    waiting_block,
)

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from rich.console import Console

    from physio_hqc.cli._keys import Message, RecordingControls
    from physio_hqc.protocol import Protocol

REDRAW_S = 0.25
_MESSAGE_S = 6.0
_LITTLE_SPACE = 1_000_000_000
_HELP = (
    ("ENTER", "start the protocol once everything flows"),
    ("O", "start all the same (asks; the override is recorded)"),
    ("N", "next phase: end the one that runs"),
    ("W  1-9", "start or stop an interaction window: ask which, or by its number"),
    ("M", "marker at this moment, with a text if you like"),
    ("T", "note"),
    ("C", "cuff reading by hand: 128/82 71, or with mean pressure 128/82/97 71"),
    ("R", "ratings that are due, one after the other"),
    ("Q", "stop the recording (asks)"),
    ("Ctrl-C", "stop the recording at once; the file is closed cleanly"),
    ("Esc", "cancel what is being typed"),
)


def render(
    view: RecordingView,
    width: int,
    height: int,
    *,
    entry: EntryState | None = None,
    message: Message | None = None,
    protocol: Protocol | None = None,
    show_help: bool = False,
) -> Frame:
    """Draw a recording.

    Parameters
    ----------
    view : RecordingView
    width, height : int
        Columns and rows of the terminal; any size is filled exactly.
    entry : EntryState, optional
        What is being asked.
    message : Message, optional
        What the last command did.
    protocol : Protocol, optional
        For the lengths of its phases.
    show_help : bool
        Explain the keys.

    Returns
    -------
    Frame
        For rich to print.
    """
    width, height = max(width, 1), max(height, 1)
    bottom = _bottom(view, width, entry, message)[-height:]
    room = max(height - 1 - len(bottom), 0)
    blocks = _help_blocks() if show_help else _blocks(view, width, room, protocol)
    body = _arranged(blocks, room)
    lines = [_header(view, width), *body, *(Line() for _ in range(room - len(body))), *bottom]
    return Frame(lines if height > len(bottom) else lines[-height:], width, height)


def _blocks(
    view: RecordingView, width: int, room: int, protocol: Protocol | None
) -> list[tuple[int, Block]]:
    """Parts of the screen from top to bottom, each with its rank when rows are scarce."""
    if view.state == "preflight":
        return [
            (0, preflight_top(view, width)),
            (1, alert_block(view.alerts, width, room)),
            (2, checklist_block(view)),
            (3, waiting_block(view)),
            (4, strip_block(view, width)),
            (5, log_block(view, width)),
        ]
    return [
        (0, phase_block(view, width, room)),
        (6, progress_block(view, width, protocol)),
        (1, alert_block(view.alerts, width, room)),
        (2, due_block(view, width, room)),
        (4, windows_block(view, width)),
        (3, streams_block(view, width)),
        (5, strip_block(view, width)),
        (7, log_block(view, width)),
    ]


def _arranged(ranked: Sequence[tuple[int, Block]], room: int) -> list[Line]:
    """Give rows to the parts, what matters most first; draw them in their places."""
    rows = [0] * len(ranked)
    order = sorted(range(len(ranked)), key=lambda k: ranked[k][0])
    for k in order:
        block = ranked[k][1]
        if block.least <= room:
            rows[k] = block.least
            room -= block.least
        elif room:
            rows[k], room = room, 0
    for k in order:
        more = min(room, max(ranked[k][1].want - rows[k], 0)) if rows[k] else 0
        rows[k] += more
        room -= more
    lines: list[Line] = []
    for (_, block), n in zip(ranked, rows, strict=True):
        if n:
            lines += block.draw(n)[:n]
    return lines


def _header(view: RecordingView, width: int) -> Line:
    """Who, what, where, how long."""
    states = {"preflight": "○ ARMED", "running": "● REC", "finished": "  FINISHED"}
    left = Line().add(f" {states[view.state]} {clock(view.t)} ", "bold reverse")
    who = [clean(part) for part in (view.participant_id, view.condition) if part]
    left.add("  " + " · ".join(who), "reverse")
    needed = min(left.width, width // 2)
    if view.protocol:
        left.add(f" · {clean(view.protocol)}" if who else clean(view.protocol), "reverse")
    file, size = clean(PurePath(view.file).name), _size(view.file_bytes)
    is_low = view.free_bytes is not None and view.free_bytes < _LITTLE_SPACE
    free = "" if view.free_bytes is None else f"{_size(view.free_bytes)} free"
    free, look = (f"! ONLY {free}", ALARM) if is_low else (free, "reverse")
    for before in (f"{file}  {size}  ", f"{file}  ", ""):
        right = Line().add(before, "reverse").add(free, look).add(" ", "reverse")
        if needed + right.width < width:
            break
    room = max(width - right.width, 0)
    if right.width > 1 and left.width + 2 > room:
        left = left.fitted(max(room - 2, 0), "reverse")
    return left.fitted(room, "reverse").join(right).fitted(width, "reverse")


def _help_blocks() -> list[tuple[int, Block]]:
    """What the keys do."""
    lines = [Line(), Line().add("  Keys", "bold"), Line()]
    lines += [Line().add(f"  {key:<8}", "bold cyan").add(text) for key, text in _HELP]
    lines += [Line(), Line().add("  Recording goes on meanwhile. Any key closes this page.", DIM)]
    return [(0, Block(1, len(lines), lambda n: lines[:n]))]


def _bottom(
    view: RecordingView, width: int, entry: EntryState | None, message: Message | None
) -> list[Line]:
    """What is asked, what the last command did, and which keys there are."""
    if entry is not None:
        return _entry_lines(entry, width)
    lines = [Line()]
    if message is not None and 0 <= view.t - message.t < _MESSAGE_S:
        sign, look = (" ! ", "bold yellow") if message.is_refusal else (" ✓ ", "bold green")
        lines = [Line().add(f"{sign}{clean(message.text)}", look)]
    return [*lines, _key_line(view, width)]


def _key_line(view: RecordingView, width: int) -> Line:
    """The keys that work now, most important first."""
    if view.state == "preflight":
        first = [("ENTER", "start")] if view.ready else [("O", "override")]
        keys = [*first, ("M", "marker"), ("T", "note"), ("C", "cuff"), ("Q", "quit"), ("?", "help")]
    elif view.state == "running":
        keys = [("N", "next"), ("W", "window"), ("M", "marker"), ("T", "note"), ("C", "cuff"),
                ("R", "rate"), ("Q", "stop"), ("?", "help")]  # fmt: skip
    else:
        keys = []
    line = Line()
    space = "  " if width >= 90 else " "
    for key, what in keys:
        line.add(f" {key} ", "bold reverse").add(f" {what}{space}")
    return line.fitted(width)


def _entry_lines(entry: EntryState, width: int) -> list[Line]:
    """The one-line editor, with what may be typed and why it was refused."""
    look = ENTRY
    lines = []
    if entry.choices:
        parts = [
            Line().add(f" {k + 1} ", "bold reverse").add(f" {clean(label)}", "bold")
            for k, label in enumerate(entry.choices)
        ]
        lines = flowed(parts, width, Line())[:3]
    below = Line().add(f" ! {clean(entry.error)}", BAD) if entry.error else Line()
    if not entry.error:
        below.add(f" {clean(entry.hint)}", "bold" if not entry.is_line else "")
    if entry.is_line:
        below.add("    Esc cancels", DIM)
    prompt = f" {clean(entry.prompt)}"
    room = max(width - 4, 4)
    if not entry.is_line:
        question = [Line().add(row, look).fitted(width, look) for row in wrapped(prompt, room, 3)]
        return [*lines, *question, below]
    prompt = cut(prompt, min(len(prompt), max(width - 20, width // 2)))
    line = Line().add(f"{prompt} " if prompt.endswith("?") else f"{prompt}: ", look)
    before, after = _scrolled(entry, width - line.width - 2)
    line.add(before, look).add(after[:1] or " ", "bold white on blue underline").add(
        after[1:], look
    )
    return [*lines, line.fitted(width, look), below]


def _scrolled(entry: EntryState, room: int) -> tuple[str, str]:
    """Text before and after the cursor, moved so that the cursor can be seen."""
    text, at = clean(entry.text), entry.cursor
    start = max(at - max(room, 1), 0)
    return text[start:at], text[at:]


def _size(n: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if n >= 100 or unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


async def run_screen(
    controls: RecordingControls,
    *,
    protocol: Protocol | None = None,
    console: Console | None = None,
    source: Input | None = None,
) -> None:
    """Show a recording and take keys until it is over, or until the terminal vanishes.

    Parameters
    ----------
    controls : RecordingControls
    protocol : Protocol, optional
        For phase lengths, rating scales and their anchors.
    console : rich.console.Console, optional
        Where to draw; standard output by default.
    source : prompt_toolkit.input.Input, optional
        Where keys come from; standard input by default.
    """
    from physio_hqc.cli._keys import Keyboard, keys_to
    from physio_hqc.cli._painter import Painter

    keyboard = Keyboard(controls, protocol)
    wake, gone = asyncio.Event(), asyncio.Event()
    painter = Painter(console)

    def vanish() -> None:
        gone.set()
        wake.set()

    with painter, keys_to(keyboard, wake.set, vanish, source):
        while not gone.is_set() and not painter.is_gone:
            view = controls.view()
            keyboard.phase_shown = view.phase.number if view.phase else None
            painter.show(
                partial(
                    render, view, entry=keyboard.entry, message=keyboard.message,
                    protocol=protocol, show_help=keyboard.help_shown,
                ),
                urgent_alerts(view),
            )  # fmt: skip
            if view.state == "finished":
                return
            wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), REDRAW_S)


def urgent_alerts(view: RecordingView) -> frozenset[str]:
    """Urgent alerts by what they are about: figures in their text change while they last."""
    return frozenset(
        " ".join(word for word in alert.text.split() if not any(map(str.isdigit, word)))
        for alert in view.alerts
        if alert.urgent
    )
