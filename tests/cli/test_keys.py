"""Keys to commands: through prompt_toolkit's own input, against controls that write them down."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.input.defaults import create_pipe_input

from physio_hqc.acquisition.view import PhaseView, RecordingView
from physio_hqc.cli._entry import MAX_TEXT, EntryState, edited, parse_cuff, parse_rating
from physio_hqc.cli._keys import Keyboard, keys_to
from physio_hqc.protocol import RatingScale, load_protocol

SPEECH = PhaseView("speech", "Speech", 3, 4, 10.0, 350.0, False, next_label="Recovery")
RUNNING = RecordingView("running", 100.0, "P01.h5", phase=SPEECH, ready=True)
ARMED = RecordingView("preflight", 5.0, "P01.h5", waiting_for=("ecg has not arrived yet",))


class Controls:
    """Writes down what it is told; its clock moves by a second at every look."""

    def __init__(self, view=RUNNING, refusal=""):
        self.calls = []
        self.state = view
        self.refusal = refusal
        self.t = 100.0

    def now(self):
        self.t += 1.0
        return self.t

    def view(self):
        return self.state

    def __getattr__(self, name):
        def command(*args, **kwargs):
            self.calls.append((name, *args, *((kwargs,) if kwargs else ())))
            return self.refusal

        return command


def type_in(text, controls=None, protocol=None, keyboard=None):
    """Press what a terminal would send for the text; the keyboard afterwards."""
    keyboard = keyboard or Keyboard(controls or Controls(), protocol)

    async def _run():
        with create_pipe_input() as source, keys_to(keyboard, lambda: None, lambda: None, source):
            for part in text.split("\x1b"):
                if part is not text.split("\x1b")[0]:
                    source.send_text("\x1b")
                    await asyncio.sleep(0.25)
                source.send_text(part)
                await asyncio.sleep(0.02)

    asyncio.run(_run())
    return keyboard


def test_marker_has_the_time_of_its_key_not_of_enter():
    controls = Controls()
    type_in("mloud noise\r", controls)
    assert controls.calls == [("mark", "loud noise", {"at": 101.0})]


def test_marker_without_text_and_note():
    controls = Controls()
    type_in("m\rthello wörld\rt\r", controls)
    assert [call[:2] for call in controls.calls] == [("mark", "marker"), ("note", "hello wörld")]


def test_cuff_reading_by_hand():
    controls = Controls()
    type_in("c128/82 71\rc131/84/99 73\rc120/80\r", controls)
    assert [call[:5] for call in controls.calls] == [
        ("cuff_reading", 128.0, 82.0, 71.0, None),
        ("cuff_reading", 131.0, 84.0, 73.0, 99.0),
        ("cuff_reading", 120.0, 80.0, None, None),
    ]
    assert controls.calls[0][5] == {"at": 101.0}


def test_absurd_cuff_reading_is_refused_and_can_be_corrected():
    controls = Controls()
    keyboard = type_in("c82/128\r", controls)
    assert keyboard.entry.error == "diastolic 128 is not below systolic 82"
    assert keyboard.entry.text == "82/128"
    assert controls.calls == []
    type_in("\x15128/82\r", keyboard=keyboard)
    assert controls.calls[0][:3] == ("cuff_reading", 128.0, 82.0)


def test_what_the_recording_refuses_can_be_corrected():
    controls = Controls(refusal="128/30 is no blood pressure")
    keyboard = type_in("c128/30\r", controls)
    assert keyboard.entry.error == "128/30 is no blood pressure"
    controls.refusal = ""
    type_in("\x15128/80\r", keyboard=keyboard)
    assert keyboard.entry is None
    assert controls.calls[-1][:3] == ("cuff_reading", 128.0, 80.0)
    assert controls.calls[-1][5] == {"at": 101.0}


def test_escape_cancels_an_entry_and_arrow_keys_do_not():
    controls = Controls()
    keyboard = type_in("mab\x1b", controls)
    assert keyboard.entry is None
    assert controls.calls == []

    async def arrows():
        with create_pipe_input() as source, keys_to(keyboard, lambda: None, lambda: None, source):
            source.send_text("mac\x1b[Db\r")
            await asyncio.sleep(0.02)

    asyncio.run(arrows())
    assert controls.calls[0][:2] == ("mark", "abc")


def test_next_phase():
    controls = Controls()
    type_in("n", controls)
    assert controls.calls == [("next_phase",)]


def test_next_is_refused_once_when_the_phase_had_just_changed_by_itself():
    controls = Controls()
    keyboard = Keyboard(controls)
    keyboard.phase_shown = 2
    keyboard.press("n")
    assert controls.calls == []
    assert "just begun" in keyboard.message.text
    keyboard.press("n")
    assert controls.calls == [("next_phase",)]


def test_cutting_the_last_phase_short_asks():
    last = replace(RUNNING, phase=replace(SPEECH, number=4))
    controls = Controls(last)
    keyboard = type_in("n", controls)
    assert controls.calls == []
    assert not keyboard.entry.is_line
    type_in("y", keyboard=keyboard)
    assert controls.calls == [("next_phase",)]
    over = Controls(replace(RUNNING, phase=replace(SPEECH, number=4, manual=True, left_s=-1.0)))
    type_in("n", over)
    assert over.calls == [("next_phase",)]


def test_start_only_when_ready():
    waiting, ready = Controls(ARMED), Controls(replace(ARMED, ready=True, waiting_for=()))
    keyboard = type_in("\r ", waiting)
    assert waiting.calls == []
    assert keyboard.message.is_refusal
    type_in("\r", ready)
    type_in(" ", ready)
    assert ready.calls == [("begin",), ("begin",)]


def test_override_asks_and_names_what_is_missing():
    controls = Controls(ARMED)
    keyboard = type_in("o", controls)
    assert "ecg has not arrived yet" in keyboard.entry.prompt
    type_in("n", keyboard=keyboard)
    assert controls.calls == []
    type_in("oy", keyboard=keyboard)
    assert controls.calls == [("begin", {"override": True})]


def test_stop_asks_and_ctrl_c_does_not():
    controls = Controls()
    type_in("qx", controls)
    assert controls.calls == []
    type_in("qY", controls)
    type_in("m half a wor\x03", controls)
    assert controls.calls == [("stop",), ("stop",)]


def test_windows_by_number_by_menu_and_by_free_label():
    view = replace(RUNNING, interactions=("disclosure", "laughter"), open_windows=(("own", 5.0),))
    controls = Controls(view)
    type_in("2w1wsilence\rw\r3", controls)
    assert [call[1] for call in controls.calls] == ["laughter", "disclosure", "silence", "own"]
    assert controls.calls[0][2] == {"at": 101.0}
    fresh = Controls()
    type_in("w\r", fresh)
    assert fresh.calls[0][:2] == ("toggle_window", "interaction")


def test_ratings_are_asked_one_after_the_other():
    controls = Controls(replace(RUNNING, ratings_due=("stress", "felt_support")))
    keyboard = type_in("r9\r", controls, load_protocol("lepore_1993"))
    assert keyboard.entry.error == "9 is not on the scale from 1 to 7"
    assert "How stressful" in keyboard.entry.prompt
    assert "1 = not at all" in keyboard.entry.hint
    type_in("\x156\r", keyboard=keyboard)
    assert "supported" in keyboard.entry.prompt
    type_in("2,5\r", keyboard=keyboard)
    assert keyboard.entry is None
    assert [call[:3] for call in controls.calls] == [
        ("rate", "stress", 6.0), ("rate", "felt_support", 2.5),
    ]  # fmt: skip


def test_refusals_are_shown():
    keyboard = type_in("n", Controls(refusal="the protocol is over"))
    assert (keyboard.message.text, keyboard.message.is_refusal) == ("the protocol is over", True)


def test_help_closes_with_any_key():
    keyboard = type_in("?")
    assert keyboard.help_shown
    controls = Controls()
    keyboard.controls = controls
    type_in("n", keyboard=keyboard)
    assert not keyboard.help_shown
    assert controls.calls == []


def test_end_of_input_is_told():
    async def _run():
        gone = asyncio.Event()
        keyboard = Keyboard(Controls())
        with create_pipe_input() as source, keys_to(keyboard, lambda: None, gone.set, source):
            source.close()
            await asyncio.wait_for(gone.wait(), 2.0)

    asyncio.run(_run())


@settings(deadline=None, max_examples=200)
@given(st.integers(50, 300), st.integers(20, 200), st.none() | st.integers(25, 250))
def test_every_plausible_reading_is_read_as_typed(sbp, dbp, hr):
    text = f" {sbp} / {dbp}" + (f"  {hr}" if hr else "")
    if dbp >= sbp:
        with pytest.raises(ValueError, match="below"):
            parse_cuff(text)
        return
    reading = parse_cuff(text)
    assert (reading.sbp, reading.dbp, reading.map_, reading.hr) == (sbp, dbp, None, hr)


@pytest.mark.parametrize(
    "text",
    ["", "128", "128/", "1288/82", "128/82/71 60", "128/82 300", "400/82", "128/10", "-128/82",
     "128/82 71 9", "１２８/82", "128/82/97/71", "nan/82"],
)  # fmt: skip
def test_readings_that_cannot_be(text):
    with pytest.raises(ValueError):
        parse_cuff(text)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=30) | st.text(alphabet="0123456789/ ,.-+e", max_size=12))
def test_any_text_is_a_plausible_reading_or_refused(text):
    with contextlib.suppress(ValueError):
        reading = parse_cuff(text)
        assert 20 <= reading.dbp < reading.sbp <= 300
    with contextlib.suppress(ValueError):
        value = parse_rating(text, RatingScale(name="x", min=1.0, max=7.0))
        assert 1 <= value <= 7
        assert math.isfinite(value)


editing = st.sampled_from(
    ["backspace", "delete", "left", "right", "home", "end", "c-u", "c-k", "c-w", "f5", "up"]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(editing | st.characters() | st.text(max_size=300), max_size=40))
def test_line_editor_never_loses_its_cursor(keys):
    entry = EntryState("x")
    for key in keys:
        if len(key) > 1 and key not in ("backspace", "delete", "left", "right", "home", "end",
                                        "c-u", "c-k", "c-w", "f5", "up"):  # fmt: skip
            entry = edited(entry, "<bracketed-paste>", key)
        else:
            entry = edited(entry, key, key)
        assert 0 <= entry.cursor <= len(entry.text) <= MAX_TEXT
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in entry.text)


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), max_size=50))
def test_what_is_typed_is_what_is_kept(text):
    controls = Controls()
    keyboard = Keyboard(controls)
    keyboard.press("t")
    for character in text:
        keyboard.press(character, character)
    keyboard.press("c-m", "\r")
    kept = "".join(" " if c.isspace() else c for c in text).strip()
    assert controls.calls == ([("note", kept, {"at": 101.0})] if kept else [])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([*"nmtcrqwoys?123 /y", "c-m", "escape", "c-u", "up", "f1"])))
def test_no_sequence_of_keys_breaks_it(keys):
    view = replace(
        RUNNING, interactions=("a", "b"), open_windows=(("c", 1.0),), ratings_due=("stress",)
    )
    for state in (view, ARMED, replace(view, state="finished", phase=None)):
        keyboard = Keyboard(Controls(state), load_protocol("lepore_1993"))
        for key in keys:
            keyboard.press(key, key if len(key) == 1 else "")
