"""What senders and people type: control lines, a real socket, the keyboard, the command line."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import tempfile
import time
from pathlib import Path

import pytest
from fuzzing import CASES, Outcomes, any_of, fuzz, mutated, noise, one_in, text
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from physio_hqc.acquisition._control_parse import parse_command
from physio_hqc.acquisition._control_wire import ACTIONS, LABELED, MAX_LINE, parse_object, to_line
from physio_hqc.acquisition.control import ControlServer, send_command
from physio_hqc.acquisition.setup import device_from_text
from physio_hqc.acquisition.sources.replay import _path_and_speed
from physio_hqc.acquisition.sources.simulator import parse_config
from physio_hqc.cli._entry import (
    MAX_TEXT,
    EntryState,
    edited,
    parse_cuff,
    parse_rating,
)
from physio_hqc.cli._tag_now import _payload, _plain
from physio_hqc.cli.import_ import _parse_map
from physio_hqc.cli.simulate import cells, numbers
from physio_hqc.errors import PhysioError
from physio_hqc.protocol import RatingScale

NOW = 10**12
LINES = [
    json.dumps(request, ensure_ascii=False).encode()
    for request in (
        {"action": "mark", "label": "picture 12", "payload": {"n": [1, None]}, "monotonic_ns": NOW},
        {"action": "start", "label": "support", "payload": {"partner": "Å"}},
        {"action": "note", "label": "a longer text", "monotonic_ns": NOW - 10**9},
        {"action": "next", "label": "", "payload": {}},
        {"action": "status"},
    )
]
PIECES = ("128/82", "128/82 71", "128/82/97 71", "5,5", "+3", "-0.5", "٣", "1e5", "nan", "0x1")
PIECES += ("ECG=ecg", "A=B=eda", "=", "polar_h10=1A2B", "simulator:", "load=16x1000", "seed=3")
PIECES += ("x.h5@10", "@nan", "alone=20", "support=1e400", "\udce9", "\0", " ", ",", "{", '{"a":1}')


@pytest.mark.slow
def test_control_lines():
    outcomes = Outcomes()

    @fuzz(any_of(mutated(LINES, most=1), noise()))
    def run(line):
        with outcomes.counted():
            command = parse_command(line, NOW)
            assert command.action in ACTIONS
            assert bool(command.label) == (command.action in LABELED)
            assert 0 <= NOW - command.monotonic_ns <= 10**10
            assert command.action == "note" or len(command.label.encode()) <= 256
            # What is answered and stored is one line of text again.
            again = to_line({"ok": True, "result": command.payload})
            assert again.count(b"\n") == 1
            assert parse_object(again)["result"].keys() == command.payload.keys()

    run()
    outcomes.assert_both()


def tried(parse, text):
    """What an entry is read as; None where it is refused."""
    try:
        return parse(text)
    except ValueError:
        return None


@pytest.mark.slow
def test_what_people_type():
    """Readings and ratings, and the words of the command line."""
    outcomes = Outcomes()
    scale = RatingScale(name="stress", min=1.0, max=7.0)

    def any_words(rng):
        words = (rng.choice(PIECES) if one_in(rng, 2) else text(rng, 6) for _ in range(4))
        return "".join(itertools.islice(words, rng.randrange(4)))

    @fuzz(any_words)
    def run(text):
        for parse in (parse_cuff, lambda word: parse_rating(word, scale)):
            found = tried(parse, text)
            if found is None:
                outcomes["refused"] += 1
                continue
            outcomes["read"] += 1
            if parse is parse_cuff:
                assert 20 <= found.dbp < found.sbp <= 300
                assert found.map_ is None or found.dbp < found.map_ < found.sbp
                assert found.hr is None or 25 <= found.hr <= 250
            else:
                assert 1 <= found <= 7
        state = edited(edited(EntryState("note", text="x" * 190, cursor=95), "<bracketed-paste>",
                              text), text[:1] or "left", text[:1])  # fmt: skip
        assert len(state.text) <= MAX_TEXT
        assert 0 <= state.cursor <= len(state.text)
        assert "\x1b" not in state.text
        for read in (
            lambda: _parse_map([text]),
            lambda: device_from_text(text).model_dump(),
            lambda: parse_config(text),
            lambda: _path_and_speed(text),
            lambda: numbers("--resting-shift", [text]),
            lambda: cells([text]),
            lambda: _payload(text),
            lambda: _plain([text, "mark", text]),
        ):
            with outcomes.counted():
                read()

    run()
    outcomes.assert_both()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a Unix socket")
def test_a_real_socket(monkeypatch, tmp_path):
    """Half lines, floods, garbage and slow senders; the next valid tag is stored in time."""
    with tempfile.TemporaryDirectory(prefix="hqc") as base:
        monkeypatch.setenv("PHYSIO_HQC_RUNTIME_DIR", base)
        asyncio.run(_siege(Path(base, "physio_hqc"), tmp_path / "a.h5"))


async def _siege(folder, file):
    stored = []
    wrong = []

    async def handler(command):
        stored.append(command)
        return {"onset": command.monotonic_ns / 1e9}

    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    about = {"file": file, "session_id": "s", "participant_id": "P"}
    async with ControlServer(handler, transport="unix", **about) as server:
        assert server.problem == ""
        [path] = folder.glob("*.sock")
        assert folder.stat().st_mode & 0o077 == 0
        slow = [_connected(path) for _ in range(40)]
        for number, connection in enumerate(slow):
            connection.sendall(b'{"action": "mark", "label": "' + b"x" * number)
        await asyncio.to_thread(_throw, str(path))
        for number in range(20):
            before = time.monotonic()
            answer = await asyncio.to_thread(send_command, str(file), "mark", f"valid {number}")
            assert before <= answer["onset"] <= time.monotonic()
        for connection in slow:
            connection.close()
    assert wrong == []
    assert [c.label for c in stored if c.label.startswith("valid")] == [
        f"valid {number}" for number in range(20)
    ]


def _connected(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


def _throw(path):
    """Throw bytes at it, a connection each."""

    floods = mutated([*LINES, b"x" * (MAX_LINE + 1), b"[" * 9000], most=2)

    @seed(0)
    @settings(max_examples=min(CASES, 500), deadline=None, database=None)
    @given(st.binary(min_size=8, max_size=8))
    def run(key):
        rng = random.Random(key)
        lines = [floods(rng) for _ in range(rng.randrange(5))]
        # It hangs up on a line without end.
        hung_up = contextlib.suppress(BrokenPipeError, ConnectionResetError)
        with _connected(path) as connection, hung_up:
            connection.sendall(b"\n".join(lines))

    run()


def test_a_tag_that_no_text_can_hold_is_refused():
    with pytest.raises(PhysioError, match="no text"):
        parse_command(json.dumps({"action": "mark", "label": "\ud800"}).encode(), NOW)
