"""The experimenter's screen as a terminal would show it."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.input.defaults import create_pipe_input
from rich.cells import cell_len
from rich.console import Console

from physio_hqc.acquisition.view import Alert, PhaseView, RecordingView, SourceView, StreamView
from physio_hqc.cli import _big
from physio_hqc.cli._entry import EntryState
from physio_hqc.cli._keys import Message
from physio_hqc.cli._plot import curve
from physio_hqc.cli._screen import render, run_screen
from physio_hqc.protocol import load_protocol

LEPORE = load_protocol("lepore_1993")
STRAP = SourceView("polar_h10", "connected", battery=87, contact=True, serial="A0E5F123")
ECG = StreamView(
    "ecg", "polar_h10", "ecg", "mV", 130.0, n_samples=9999, rate=130.27, value="73 /min",
    age_s=0.3, lag_s=0.12, quality=0.97, alive=True,
)  # fmt: skip
CUFF = StreamView(
    "cuff", "omron", "cuff", "mmHg,mmHg,mmHg,1/min", 0.0, n_samples=3, value="128/82 71",
    age_s=70.0, alive=True,
)  # fmt: skip
SPEECH = PhaseView(
    "speech", "Speech", 3, 4, 147.2, 212.8, False, "Speak for six minutes.", "Recovery", 62.8
)
RUNNING = RecordingView(
    "running", 874.2, "out/P01.h5", "P01", "support", "lepore_1993", SPEECH, (ECG, CUFF),
    (STRAP, SourceView("omron", "connected", battery=9)), log=("14:01  marker 'cough'",),
    strip=np.sin(np.arange(520) / 5.0), strip_sfreq=65.0, file_bytes=12_345_678,
    free_bytes=241_000_000_000,
)  # fmt: skip
ARMED = replace(
    RUNNING, state="preflight", phase=None, armed_s=12.0,
    streams=(replace(ECG, n_samples=0, alive=False,
                     problems=("ecg has not arrived yet (12 s; a Polar H10 may need 30 s)",)),),
    waiting_for=("ecg has not arrived yet (12 s; a Polar H10 may need 30 s)", "no cuff found"),
)  # fmt: skip


def lines_of(frame, width, height, **options):
    """What a terminal of this size shows, line by line."""
    file = io.StringIO()
    console = Console(width=width, height=height, file=file, force_terminal=True,
                      color_system=None, legacy_windows=False, **options)  # fmt: skip
    lines = console.render_lines(frame, console.options.update(width=width), pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def text_of(view, width=100, height=30, **options):
    return "\n".join(lines_of(render(view, width, height, **options), width, height))


def shown(view, word, width=100, height=30, rows=_big.large, **options):
    """Whether large letters of a word stand on the screen."""
    lines = lines_of(render(view, width, height, **options), width, height)
    pattern = [row.rstrip() for row in rows(word)]
    for top in range(len(lines) - len(pattern) + 1):
        column = lines[top].find(pattern[0])
        while column >= 0:
            if all(
                lines[top + k][column : column + len(row)] == row for k, row in enumerate(pattern)
            ):
                return True
            column = lines[top].find(pattern[0], column + 1)
    return False


@pytest.mark.parametrize("size", [(100, 30), (80, 24), (200, 60)])
def test_running_screen_shows_what_the_experimenter_needs(size):
    text = text_of(RUNNING, *size, protocol=LEPORE)
    for word in ("REC 14:34", "P01", "support", "lepore_1993", "P01.h5", "241 GB free",
                 "phase 3 of 4", "next: Recovery", "cuff in 1:03", "3 so far",
                 "Speak for six minutes.",
                 "130.3/130", "73 /min", "97%", "0.1 s", "87%", "128/82 71", "! 9%",
                 "marker 'cough'", "last 8 s", "next", "window", "stop"):  # fmt: skip
        assert word in text, word
    assert shown(RUNNING, "3:33", *size)
    assert shown(RUNNING, "Speech", *size, rows=_big.medium)


def test_time_left_is_rounded_up_so_that_zero_is_the_end():
    def phase(left_s, manual=False):
        return replace(RUNNING, phase=replace(SPEECH, left_s=left_s, manual=manual))

    assert shown(phase(60.0), "1:00")
    assert shown(phase(59.01), "1:00")
    assert shown(phase(0.2), "0:01")
    assert shown(phase(0.0), "0:00")
    assert shown(phase(-75.9, manual=True), "+1:15")
    assert "press N" in text_of(phase(-75.9, manual=True))


def test_lost_strap_is_a_large_band_and_marked_without_color():
    lost = replace(
        RUNNING,
        streams=(replace(ECG, alive=False, age_s=12.3, value="", quality=0.0), CUFF),
        sources=(replace(STRAP, state="lost"),),
        alerts=(Alert("polar_h10: connection lost"), Alert("ECG LOST 12 s", urgent=True)),
    )
    assert shown(lost, "ECG LOST")
    assert shown(lost, "ECG LOST 12 s", 80, 24, rows=_big.medium)
    text = text_of(lost)
    assert "!  polar_h10: connection lost" in text
    assert "✗ ecg" in text
    assert "12.3 s" in text
    assert "LOST" in text


def test_bands_stay_bands_without_colors():
    view = replace(RUNNING, alerts=(Alert("ECG LOST 12 s", urgent=True),))
    file = io.StringIO()
    console = Console(width=100, height=30, file=file, force_terminal=True, no_color=True,
                      color_system="truecolor", legacy_windows=False)  # fmt: skip
    console.print(render(view, 100, 30))
    line = next(row for row in file.getvalue().splitlines() if "████" in row and "\x1b[1;7m" in row)
    assert line


def test_cuff_due_is_announced_large_and_small_beside_an_alert():
    due = replace(RUNNING, phase=replace(SPEECH, cuff_due=True, cuff_in_s=None))
    assert shown(due, "START CUFF", rows=_big.medium)
    both = replace(due, alerts=(Alert("ECG LOST 12 s", urgent=True),))
    assert "START CUFF: start the cuff now" in text_of(both)
    assert shown(both, "ECG LOST")


def test_ratings_due_and_windows():
    view = replace(
        RUNNING, ratings_due=("stress",), interactions=("disclosure", "laughter"),
        open_windows=(("laughter", 840.0), ("own", 870.0)),
    )  # fmt: skip
    text = text_of(view)
    assert "press R: stress" in text
    assert "1 disclosure" in text
    assert "2 ● laughter 0:34" in text
    assert "● own 0:04" in text


def test_preflight_lists_what_is_missing():
    text = text_of(ARMED)
    assert shown(ARMED, "ARMED 0:12")
    assert "✗ ecg has not arrived yet (12 s; a Polar H10 may need 30 s)" in text
    assert text.count("ecg has not arrived yet") == 1
    assert "✗ no cuff found" in text
    assert "override" in text
    assert "ENTER" not in text
    assert "! battery 9 %" in text
    assert "skin contact" in text


def test_preflight_when_ready():
    ready = replace(ARMED, streams=(ECG,), waiting_for=(), ready=True)
    text = text_of(ready)
    assert shown(ready, "READY 0:12")
    assert "ENTER starts the protocol" in text
    assert "✓ ecg" in text
    assert "130.3/130 Hz" in text
    assert "override" not in text


def test_entry_shows_prompt_text_choices_and_error():
    entry = EntryState("Cuff reading", text="82/128", cursor=6, error="diastolic 128 is too high")
    text = text_of(RUNNING, entry=entry)
    assert "Cuff reading: 82/128" in text
    assert "! diastolic 128 is too high" in text
    text = text_of(RUNNING, entry=EntryState("Window", choices=("a b", "c"), hint="its number"))
    assert " 1  a b" in text
    assert "its number" in text
    long = EntryState("Note", text="x" * 190 + "END", cursor=193)
    assert "END" in text_of(RUNNING, 60, 24, entry=long)


def test_streams_that_do_not_fit_are_counted_and_bad_ones_are_never_among_them():
    many = [replace(ECG, name=f"ecg_{k}") for k in range(40)]
    many[37] = replace(many[37], alive=False, age_s=30.0)
    many[21] = replace(many[21], quality=0.2)
    text = text_of(replace(RUNNING, streams=tuple(many)))
    named = sum(f"ecg_{k} " in text for k in range(40))
    assert "✗ ecg_37" in text
    assert "! ecg_21" in text
    assert f"{40 - named} more streams" in text


def test_protocol_over_and_finished():
    assert shown(replace(RUNNING, phase=None), "DONE")
    assert "R enters the ratings" in text_of(replace(RUNNING, phase=None, ratings_due=("x",)))
    assert shown(replace(RUNNING, phase=None, state="finished"), "FINISHED")


def test_messages_vanish():
    assert "✓ note kept" in text_of(RUNNING, message=Message("note kept", False, 873.0))
    assert "! no phase" in text_of(RUNNING, message=Message("no phase", True, 873.0))
    assert "note kept" not in text_of(RUNNING, message=Message("note kept", False, 800.0))


def test_help_and_little_space():
    assert "128/82/97 71" in text_of(RUNNING, show_help=True)
    assert "! ONLY 500 MB free" in text_of(replace(RUNNING, free_bytes=500_000_000))


def test_text_from_devices_can_neither_style_nor_steer():
    evil = "\x1b[2J\x07[red]x[/red]\u202e\r\n\t\ud800"
    view = replace(
        RUNNING, participant_id=evil, condition=evil, file=evil, log=(evil,),
        phase=replace(SPEECH, label=evil, instructions=evil), alerts=(Alert(evil, True),),
        streams=(replace(ECG, name=evil, value=evil, problems=(evil,)),),
        sources=(replace(STRAP, name=evil, text=evil, serial=evil),),
        open_windows=((evil, 1.0),), interactions=(evil,), ratings_due=(evil,),
    )  # fmt: skip
    for state in ("running", "preflight"):
        text = text_of(replace(view, state=state, waiting_for=(evil,)))
        assert "[red]x[/red]" in text
        assert not any(c in text for c in "\x1b\x07\u202e\r\t\ud800")


def test_ascii_terminal():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(width=100, height=30, file=file, force_terminal=True, color_system=None,
                      legacy_windows=False)  # fmt: skip
    console.print(render(replace(RUNNING, participant_id="Zoë 漢"), 100, 30, protocol=LEPORE))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert "## " in text
    assert "4.31" not in text
    assert "73 /min" in text
    assert all(len(line) == 100 for line in text.splitlines() if line)


words = st.text(max_size=30)
odd_numbers = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e300, -1e300])
numbers = odd_numbers | st.floats() | st.floats(-10, 1000)
maybe = st.none() | numbers
streams = st.builds(
    StreamView, name=words, source=words, modality=words, units=words, sfreq=numbers,
    n_samples=st.integers(0, 10**12), rate=maybe, value=words, age_s=maybe, lag_s=maybe,
    quality=maybe, quality_reason=words, n_gaps=st.integers(0, 10**6), gap_s=numbers,
    alive=st.booleans(), problems=st.lists(words, max_size=3).map(tuple),
)  # fmt: skip
sources = st.builds(
    SourceView, name=words, text=words, serial=words,
    state=st.sampled_from(["searching", "connecting", "connected", "lost", "ended"]),
    battery=st.none() | st.integers(-1, 300), contact=st.none() | st.booleans(),
    troubles=st.dictionaries(words, st.integers(0, 9), max_size=2),
)  # fmt: skip
phases = st.builds(
    PhaseView, name=words, label=words, number=st.integers(1, 9), of=st.integers(9, 12),
    elapsed_s=numbers, left_s=numbers, manual=st.booleans(), instructions=words, next_label=words,
    cuff_in_s=maybe, cuff_due=st.booleans(),
)  # fmt: skip
views = st.builds(
    RecordingView, state=st.sampled_from(["preflight", "running", "finished"]), t=numbers,
    file=words, participant_id=words, condition=words, protocol=words, phase=st.none() | phases,
    streams=st.lists(streams, max_size=20).map(tuple),
    sources=st.lists(sources, max_size=4).map(tuple),
    alerts=st.lists(st.builds(Alert, words, st.booleans()), max_size=5).map(tuple),
    armed_s=numbers, ready=st.booleans(), waiting_for=st.lists(words, max_size=4).map(tuple),
    open_windows=st.lists(st.tuples(words, numbers), max_size=4).map(tuple),
    interactions=st.lists(words, max_size=12).map(tuple),
    ratings_due=st.lists(words, max_size=3).map(tuple), log=st.lists(words, max_size=9).map(tuple),
    strip=st.lists(numbers, max_size=40).map(np.array), strip_sfreq=st.just(65.0),
    file_bytes=st.integers(0, 10**15), free_bytes=st.none() | st.integers(0, 10**15),
)  # fmt: skip
entries = st.none() | st.builds(
    lambda text, **rest: EntryState(text=text, cursor=len(text) // 2, **rest),
    text=st.text(max_size=200), prompt=words, hint=words, error=words,
    choices=st.lists(words, max_size=9).map(tuple), is_line=st.booleans(),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(views, st.integers(1, 130), st.integers(1, 45), entries, st.booleans())
def test_any_view_fills_any_terminal_exactly(view, width, height, entry, show_help):
    with np.errstate(all="ignore"):
        frame = render(view, width, height, entry=entry, show_help=show_help)
    lines = lines_of(frame, width, height)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize("view", [RUNNING, ARMED, replace(RUNNING, state="finished", phase=None)])
def test_every_size(view):
    for width in (*range(1, 40), 60, 79, 80, 99, 100, 133, 300):
        for height in (1, 2, 3, 5, 8, 13, 21, 24, 30, 50, 100):
            frame = render(view, width, height, protocol=LEPORE)
            assert len(frame.lines) == height
            assert {line.width for line in frame.lines} == {width}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none(odd):
    stream = replace(ECG, rate=odd, age_s=odd, lag_s=odd, quality=odd, gap_s=odd, n_gaps=1)
    phase = replace(SPEECH, left_s=odd, elapsed_s=odd, cuff_in_s=odd)
    view = replace(RUNNING, t=odd, streams=(stream,), phase=phase, strip=np.full(99, odd))
    with np.errstate(all="ignore"):
        for state in ("running", "preflight"):
            assert "ecg" in text_of(replace(view, state=state, armed_s=odd), protocol=LEPORE)


def test_curve_against_a_slow_drawing():
    """A ramp from bottom left to top right lights the diagonal of dots."""
    rows = curve(np.arange(8.0), 4, 2)
    lit = set()
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            bits = ord(cell) - 0x2800 if cell != " " else 0
            for bit, (dx, dy) in enumerate(
                [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
            ):
                if bits >> bit & 1:
                    lit.add((2 * x + dx, 4 * y + dy))
    assert lit == {(k, 7 - k) for k in range(8)}


def test_curve_leaves_gaps_open_and_flat_lines_flat():
    values = np.sin(np.arange(200) / 3.0)
    values[50:150] = np.nan
    rows = curve(values, 40, 3)
    assert all(row[11:29].strip() == "" for row in rows)
    assert any(row[:9].strip() for row in rows)
    flat = curve(np.zeros(100), 10, 3)
    assert [bool(row.strip()) for row in flat] == [False, True, False]
    assert curve(np.full(9, np.nan), 3, 2) == ["   ", "   "]


class Controls:
    """A recording that ends by itself or when it is stopped."""

    def __init__(self, seconds):
        self.begun, self.seconds = time.monotonic(), seconds
        self.marks, self.state = [], "running"

    def now(self):
        return time.monotonic() - self.begun

    def view(self):
        is_over = self.state == "finished" or self.now() > self.seconds
        alerts = (Alert(f"ECG LOST {self.now():.0f} s", urgent=True),)
        state = "finished" if is_over else "running"
        return replace(RUNNING, t=self.now(), state=state, alerts=alerts)

    def mark(self, label, *, at=None):
        self.marks.append((label, at))
        return ""

    def stop(self):
        self.state = "finished"


def run_with(controls, keys, file, close=False):
    """Run the screen on a pipe of keys; how long it took."""

    async def _run():
        console = Console(file=file, width=100, height=30, force_terminal=True)
        with create_pipe_input() as source:
            task = asyncio.create_task(
                run_screen(controls, protocol=LEPORE, console=console, source=source)
            )
            await asyncio.sleep(0.3)
            source.send_text(keys)
            if close:
                source.close()
            await asyncio.wait_for(task, 10.0)

    begin = time.monotonic()
    asyncio.run(_run())
    return time.monotonic() - begin


def test_run_screen_takes_keys_rings_once_and_gives_the_terminal_back():
    controls, file = Controls(1.3), io.StringIO()
    run_with(controls, "mhello\r", file)
    assert [label for label, _ in controls.marks] == ["hello"]
    output = file.getvalue()
    assert output.count("\x07") == 1
    assert output.count("\x1b[?1049h") == output.count("\x1b[?1049l") == 1
    assert "\x1b[?25h" in output
    assert "marker 'hello'" in output


def test_run_screen_ends_at_once_on_ctrl_c_and_when_the_input_vanishes():
    assert run_with(Controls(30.0), "\x03", io.StringIO()) < 10.0
    assert run_with(Controls(30.0), "", io.StringIO(), close=True) < 10.0


def test_terminal_that_hangs_does_not_stop_the_event_loop():
    class Hanging(io.StringIO):
        def write(self, text):
            time.sleep(0.7)
            return super().write(text)

    controls = Controls(0.9)

    async def _run():
        console = Console(file=Hanging(), width=100, height=30, force_terminal=True)
        late = []
        with create_pipe_input() as source:
            task = asyncio.create_task(run_screen(controls, console=console, source=source))
            while not task.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                late.append(time.monotonic() - before)
        return late

    late = asyncio.run(_run())
    # Only giving the terminal back at the end waits for it, and not for long.
    assert sorted(late)[-2] < 0.5


def test_output_that_vanishes_ends_quietly():
    class Gone(io.StringIO):
        def write(self, _):
            raise OSError(5, "Input/output error")

    assert run_with(Controls(30.0), "", Gone()) < 10.0


CHILD = """
    import asyncio, sys
    sys.path.insert(0, {folder!r})
    import test_screen
    from physio_hqc.cli._screen import run_screen
    controls = test_screen.Controls(20.0)
    asyncio.run(run_screen(controls))
    open({out!r}, "w").write(repr(controls.marks))
"""


@pytest.fixture
def terminal(tmp_path):
    """A child on a pseudo terminal of 100x30; its process, our end, its report."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    out = tmp_path / "marks.txt"
    code = CHILD.format(folder=os.path.dirname(__file__), out=str(out))  # noqa: PTH120
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True, env=environment,
    )  # fmt: skip
    before = termios.tcgetattr(theirs)
    yield child, ours, theirs, out, before
    child.kill()
    child.wait()
    for descriptor in (ours, theirs):
        if descriptor_is_open(descriptor):
            os.close(descriptor)


def descriptor_is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def read_until(descriptor, word, seconds=20.0):
    """What the child wrote until the word came."""
    output, end = b"", time.monotonic() + seconds
    while word not in output and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                output += os.read(descriptor, 65536)
            except OSError:
                break
    return output


def test_keys_on_a_real_terminal(terminal):
    child, ours, theirs, out, before = terminal
    assert b"REC" in read_until(ours, b"REC")
    os.write(ours, b"m")
    time.sleep(0.5)
    os.write(ours, "größe\r".encode())
    assert b"marker" in read_until(ours, "marker 'größe'".encode())
    os.write(ours, b"\x03")
    read_until(ours, b"\x1b[?1049l")
    assert child.wait(10) == 0
    ((label, at),) = eval(out.read_text())
    assert label == "größe"
    assert 0 < at < 20
    assert termios.tcgetattr(theirs) == before


def test_terminal_that_is_closed(terminal):
    child, ours, theirs, out, _ = terminal
    read_until(ours, b"REC")
    os.close(theirs)
    os.close(ours)
    assert child.wait(10) == 0
    assert out.exists()


def test_redrawing_costs_less_than_five_percent_of_a_core():
    """Four frames a second: one has to take less than 12.5 ms."""
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    console.print(render(RUNNING, 100, 30, protocol=LEPORE))
    begin = time.process_time()
    for _ in range(40):
        console.print(render(RUNNING, 100, 30, protocol=LEPORE))
    assert (time.process_time() - begin) / 40 < 0.0125
