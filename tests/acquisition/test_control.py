"""The control socket: real sockets, real processes, senders that misbehave."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition import _control_wire as wire
from physio_hqc.acquisition._control_parse import Command, parse_command
from physio_hqc.acquisition.control import ControlServer, Tagger, send_command
from physio_hqc.errors import RecordingError

SESSION = "0b0e7c1e-6a0e-4d7a-9f51-3f1f7a3f0001"
RECORDER = """
import asyncio, json, sys, time
from pathlib import Path
from physio_hqc.acquisition.control import ControlServer

async def main():
    async def handler(command):
        return {"onset": command.monotonic_ns / 1e9}
    about = {"session_id": sys.argv[2], "participant_id": sys.argv[3]}
    about |= {"file": Path(sys.argv[1]), "transport": sys.argv[4]}
    async with ControlServer(handler, **about) as server:
        print("problem:", server.problem, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the folders of a POSIX system")


@pytest.fixture
def runtime(monkeypatch):
    # Not tmp_path: the path of a Unix socket must be short. Nothing of this machine is looked at.
    base = Path(tempfile.mkdtemp(prefix="hqc"))
    folder = base / "physio_hqc"
    monkeypatch.setenv("PHYSIO_HQC_RUNTIME_DIR", str(base))
    yield folder
    shutil.rmtree(base)


class Log:
    """A handler that keeps what it was told, and answers with the stamp in seconds."""

    def __init__(self):
        self.commands = []

    async def __call__(self, command):
        self.commands.append(command)
        if command.label == "refuse":
            raise RecordingError("no window\n'refuse' is open")
        if command.label == "no":
            return {"ok": False, "error": "no window 'no' is open"}
        if command.label == "bug":
            raise ZeroDivisionError("a bug of the handler")
        return {"onset": command.monotonic_ns / 1e9}


def serve(handler, file, *, participant="P01", session=SESSION, transport="unix"):
    return ControlServer(
        handler, file=file, session_id=session, participant_id=participant, transport=transport
    )


@contextlib.contextmanager
def recorder(runtime, file, *, participant="P01", session=SESSION, transport="unix"):
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(file), session, participant, transport],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "problem: \n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def raw(runtime):
    [path] = runtime.glob("*.sock")
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


def reply_to(connection, line):
    connection.sendall(line + b"\n")
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(65_536)
        if not piece:
            return None
        received += piece
    return json.loads(received)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_every_name_of_a_recording_finds_it(runtime, tmp_path, monkeypatch, transport):
    file = tmp_path / "study" / "p01_support.h5"
    file.parent.mkdir()
    (tmp_path / "link").symlink_to(file.parent)
    monkeypatch.chdir(tmp_path)
    names = [file, "study/p01_support.h5", "link/p01_support.h5", "p01_support.h5"]
    names += ["p01_support", "P01", SESSION, SESSION.upper()]

    async def main():
        log = Log()
        async with serve(log, file, transport=transport) as server:
            assert server.problem == ""
            for number, name in enumerate(names):
                answer = await asyncio.to_thread(
                    send_command, name, "mark", f"m{number}", {"n": number, "µ": [1.5, None]}
                )
                assert answer == {"onset": log.commands[-1].monotonic_ns / 1e9}
        assert [c.payload for c in log.commands] == [
            {"n": number, "µ": [1.5, None]} for number in range(len(names))
        ]
        assert [c.label for c in log.commands] == [f"m{number}" for number in range(len(names))]
        assert list(runtime.iterdir()) == []

    asyncio.run(main())


def test_the_time_of_a_tag_is_that_of_the_call(runtime, tmp_path):
    async def main():
        log = Log()
        async with serve(log, tmp_path / "a.h5"):

            def tag():
                with Tagger("a") as tagger:
                    assert tagger.file == str(tmp_path / "a.h5")
                    before = time.monotonic()
                    onset = tagger.start("support", {"partner": "A"})
                    after = time.monotonic()
                    assert before <= onset <= after
                    assert tagger.stop("support") >= onset
                    assert tagger.mark("m") >= onset
                    assert tagger.note("a longer text; with µ") >= onset
                    assert tagger.send("status") is not None

            await asyncio.to_thread(tag)
            await asyncio.to_thread(send_command, "a", "next", monotonic_ns=time.monotonic_ns())
        assert [c.action for c in log.commands] == [
            *("start", "stop", "mark", "note", "status", "next")
        ]
        assert log.commands[0].payload == {"partner": "A"}

    asyncio.run(main())


def test_a_busy_recorder_costs_no_accuracy(runtime, tmp_path):
    async def main():
        async with serve(Log(), tmp_path / "a.h5"):
            tagged = asyncio.create_task(asyncio.to_thread(send_command, "a", "mark", "x"))
            await asyncio.sleep(0.05)
            now = time.monotonic()
            waiting = asyncio.create_task(asyncio.to_thread(send_command, "a", "mark", "y"))
            await asyncio.sleep(0)
            # The loop does something else for a while, as it must not but may.
            time.sleep(0.3)
            assert (await tagged)["onset"] < now
            assert (await waiting)["onset"] - now < 0.05

    asyncio.run(main())


def test_errors_of_the_handler_come_back_and_its_bugs_do_not_end_the_recording(runtime, tmp_path):
    async def main():
        log, told = Log(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with serve(log, tmp_path / "a.h5"):
            with pytest.raises(RecordingError, match=r"^no window 'refuse' is open$"):
                await asyncio.to_thread(send_command, "a", "stop", "refuse")
            with pytest.raises(RecordingError, match=r"^no window 'no' is open$"):
                await asyncio.to_thread(send_command, "a", "stop", "no")
            with pytest.raises(RecordingError, match="broke off"):
                await asyncio.to_thread(send_command, "a", "mark", "bug")
            await asyncio.to_thread(send_command, "a", "mark", "fine")
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
        assert log.commands[-1].label == "fine"

    asyncio.run(main())


def test_nothing_is_handed_over_once_the_recording_ends(runtime, tmp_path):
    async def main():
        begun, go_on, handed = asyncio.Event(), asyncio.Event(), []

        async def slow(command):
            handed.append(command.label)
            begun.set()
            await go_on.wait()
            return {"onset": 0.0}

        async with serve(slow, tmp_path / "a.h5"):
            first = asyncio.create_task(asyncio.to_thread(send_command, "a", "mark", "one"))
            await begun.wait()
            second = asyncio.create_task(asyncio.to_thread(send_command, "a", "mark", "two"))
            await asyncio.sleep(0.2)
            assert not first.done()
        for waiting in (first, second):
            with pytest.raises(RecordingError, match=r"broke off|has ended"):
                await waiting
        assert handed == ["one"]
        assert list(runtime.iterdir()) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("action", "label", "payload", "message"),
    [
        ("begin", "x", None, "no action 'begin'; one of start, stop"),
        ("mark", "", None, "mark needs a label"),
        ("start", "  ", None, "start needs a label"),
        ("mark", "x" * 251, None, "longer than 250 bytes"),
        ("mark", "µ" * 126, None, "longer than 250 bytes"),
        ("note", "x" * 2001, None, "longer than 2000 bytes"),
        ("mark", "two\nlines", None, "line breaks"),
        ("mark", "\x1b[2J", None, "control characters"),
        ("mark", "\ud800", None, "characters that no text has"),
        ("mark", "x", {"a": "y" * 3000}, "exceeds 3000 bytes"),
        ("mark", "x", {"a": float("nan")}, "cannot be written as JSON"),
        ("mark", "x", {"a": {1, 2}}, "cannot be written as JSON"),
        ("mark", "x", [1, 2], "no JSON object"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_both_ends(
    runtime, tmp_path, action, label, payload, message
):
    async def main():
        log = Log()
        async with serve(log, tmp_path / "a.h5"):
            with pytest.raises(RecordingError, match=message):
                await asyncio.to_thread(send_command, "a", action, label, payload)
        assert log.commands == []

    asyncio.run(main())
    if payload is None or (isinstance(payload, dict) and isinstance(payload["a"], str)):
        line = json.dumps({"action": action, "label": label, "payload": payload}).encode()
        with pytest.raises(RecordingError, match=message):
            parse_command(line, 0)


def test_stamps_that_make_no_sense_give_way_to_the_arrival():
    second = 1_000_000_000
    now = 100 * second

    def parsed(stamp):
        line = json.dumps({"action": "mark", "label": " x ", "monotonic_ns": stamp}).encode()
        return parse_command(line, now)

    assert parsed(now) == Command("mark", "x", {}, now)
    assert parsed(now - 10 * second) == Command("mark", "x", {}, now - 10 * second)
    for stamp, word in [
        (now - 10 * second - 1, "10 s back"),
        (now + 1, "future"),
        (-(10**300), "10 s back"),
        (None, "no time"),
        (True, "no time"),
        (1.5, "no time"),
        ("1", "no time"),
    ]:
        command = parsed(stamp)
        assert command.monotonic_ns == now
        assert word in command.payload["stamp"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from([*wire.ACTIONS, "", "drop"]) | json_values,
        "label": st.text() | json_values,
        "payload": st.dictionaries(st.text(), json_values) | json_values,
        "monotonic_ns": st.integers() | json_values,
    },
)


def check_parsed(line):
    try:
        command = parse_command(line, 10**12)
    except RecordingError:
        return
    assert command.action in wire.ACTIONS
    assert bool(command.label) == (command.action in wire.LABELED)
    assert 0 <= 10**12 - command.monotonic_ns <= 10**10
    # What is handed on fits the session file: 256 bytes of label, 4096 of payload, valid JSON.
    assert command.action == "note" or len(command.label.encode()) <= 256
    assert len(json.dumps(command.payload, ensure_ascii=False, allow_nan=False).encode()) <= 4096


@settings(max_examples=300, deadline=None)
@given(requests)
def test_no_request_leaves_the_parser_but_as_a_command_or_one_line(request):
    check_parsed(json.dumps(request).encode())
    with contextlib.suppress(UnicodeEncodeError):
        check_parsed(json.dumps(request, ensure_ascii=False).encode())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_disturb_the_parser(line):
    check_parsed(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"action": "mark", "label": "x", "payload": ' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
        b"[" * 16_000,
        b'{"action": "mark", "label": "x", "payload": {"a": 1e999}}',
        b'{"action": "mark", "label": "x", "payload": {"a": ' + b"9" * 5000 + b"}}",
        b'{"action": "mark", "label": "x", "payload": {"a": "\\ud800"}}',
        b'{"action": "mark", "label": "x", "payload": {"a": ' + b"[" * 30 + b"]" * 30 + b"}}",
        b"x" * 20_000,
        b"\xff\xfe",
        b"",
    ],
)
def test_hostile_lines_are_refused(line):
    with pytest.raises(RecordingError):
        parse_command(line, 0)


def test_senders_that_misbehave_disturb_nobody(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5") as process:
        with Tagger("a") as tagger, contextlib.ExitStack() as stack:
            tagger.send("status")
            silent = [stack.enter_context(raw(runtime)) for _ in range(100)]
            # The first ones have been dropped in favor of the later ones.
            assert silent[0].recv(1) == b""
            garbage, deaf = (stack.enter_context(raw(runtime)) for _ in range(2))
            assert reply_to(garbage, b"\x00\xff garbage") == {
                "ok": False,
                "error": "the line is no JSON object",
            }
            assert reply_to(garbage, b'{"action": "drop"}')["ok"] is False
            assert reply_to(garbage, b'{"action": "mark", "label": "still served"}')["ok"] is True
            # A line without end: refused, and the connection with it.
            with contextlib.suppress(OSError):
                garbage.sendall(b"x" * 200_000)
            with contextlib.suppress(OSError):
                while garbage.recv(65_536):
                    pass
            # One that sends and never reads what it is told.
            deaf.settimeout(0.2)
            with contextlib.suppress(OSError):
                while True:
                    deaf.sendall(b'{"action": "status"}\n' * 500)
            before = time.monotonic()
            assert before <= tagger.mark("unimpressed") <= time.monotonic()
            assert time.monotonic() - before < 1
        assert send_command("a", "mark", "end")["onset"] > before
        assert process.poll() is None
        if sys.platform == "linux":
            assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 90


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_many_senders_at_once(runtime, tmp_path, transport):
    n_senders, n_tags = 8, 40

    async def main():
        log = Log()
        async with serve(log, tmp_path / "a.h5", transport=transport):

            def sender(number):
                with Tagger("a") as tagger:
                    return [tagger.mark(f"{number}/{n}") for n in range(n_tags)]

            onsets = await asyncio.gather(
                *(asyncio.to_thread(sender, number) for number in range(n_senders))
            )
        labels = [c.label for c in log.commands]
        assert len(labels) == len(set(labels)) == n_senders * n_tags
        stored = {c.label: c.monotonic_ns / 1e9 for c in log.commands}
        for number in range(n_senders):
            mine = [label for label in labels if label.startswith(f"{number}/")]
            assert mine == [f"{number}/{n}" for n in range(n_tags)]
            assert onsets[number] == [stored[label] for label in mine]

    asyncio.run(main())


def test_one_connection_serves_several_threads(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5"), Tagger("a") as tagger:
        wrong = []

        def tag(number):
            for n in range(50):
                stamp = number * 1000 + n + time.monotonic_ns() - 10**9
                answer = tagger.send("mark", "x", monotonic_ns=stamp)
                if answer["onset"] != stamp / 1e9:
                    wrong.append(answer)

        threads = [threading.Thread(target=tag, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_flood_is_slowed_down_and_keeps_its_stamps(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5"), Tagger("a") as tagger:
        began = time.monotonic()
        onsets = []
        for _ in range(250):
            before = time.monotonic()
            onset = tagger.mark("flood")
            assert before <= onset <= time.monotonic()
            onsets.append(onset)
        assert time.monotonic() - began >= 0.3
        # Another sender does not wait.
        before = time.monotonic()
        send_command("a", "mark", "other")
        assert time.monotonic() - before < 0.2


def test_a_connection_that_was_closed_idle_is_made_again(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5"), Tagger("P01") as tagger:
        tagger.mark("one")
        with contextlib.ExitStack() as stack:
            for _ in range(80):
                other = stack.enter_context(raw(runtime))
                assert reply_to(other, b'{"action": "status"}')["ok"]
            assert tagger._is_closed()
            assert tagger.mark("two") <= time.monotonic()


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_killed_recorder_is_not_found_and_is_tidied_away(runtime, tmp_path, transport):
    with recorder(runtime, tmp_path / "a.h5", transport=transport) as process:
        tagger = Tagger("a")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(RecordingError, match="no recording is running"):
            tagger.mark("x")
        tagger.close()
    assert len(list(runtime.iterdir())) == (2 if transport == "unix" else 1)
    (tmp_path / "a.h5").touch()
    with pytest.raises(RecordingError, match="finished file cannot be tagged"):
        send_command(tmp_path / "a.h5", "mark", "x")
    with recorder(runtime, tmp_path / "b.h5", transport=transport):
        left = [json.loads(path.read_text())["file"] for path in runtime.glob("*.json")]
        assert left == [str(tmp_path / "b.h5")]
        with pytest.raises(RecordingError, match=r"'a' is not being recorded; running: .*b\.h5"):
            send_command("a", "mark", "x")


def test_orphans_are_removed_when_they_are_old(runtime, tmp_path):
    runtime.mkdir(0o700)
    for name in ("1-aaaaaa.sock", "1-aaaaaa.json.part"):
        (runtime / name).touch()
    wire.remove_stale(str(runtime))
    assert len(list(runtime.iterdir())) == 2
    wire.remove_stale(str(runtime), now=lambda: time.time() + 61)
    assert list(runtime.iterdir()) == []


def test_a_name_of_two_recordings_is_refused_with_both(runtime, tmp_path):
    (tmp_path / "two").mkdir()
    one, two = tmp_path / "P01.h5", tmp_path / "two" / "P01.h5"
    other = SESSION.replace("0b", "1c")
    with recorder(runtime, one), recorder(runtime, two, session=other):
        with pytest.raises(RecordingError, match="fits 2 running recordings") as refused:
            send_command("P01", "mark", "x")
        assert str(one) in str(refused.value)
        assert str(two) in str(refused.value)
        for target in (one, two, SESSION, other):
            assert send_command(target, "mark", "x")["onset"] > 0


def test_a_recorder_that_hangs_is_given_up_with_a_word(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5") as process:
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(RecordingError, match=r"did not answer within 0\.3 s"):
                send_command("a", "mark", "x", timeout_s=0.3)
        finally:
            process.send_signal(signal.SIGCONT)


def test_a_wrong_token_opens_nothing(runtime, tmp_path):
    async def main():
        log = Log()
        async with serve(log, tmp_path / "a.h5", transport="tcp"):
            [written] = runtime.glob("*.json")
            assert written.stat().st_mode & 0o777 == 0o600
            about = json.loads(written.read_text())
            assert len(about["token"]) == 32
            for hello in (b"", b'{"token": "0"}\n', b'{"token": 7}\n', b"\xff\n", b"[]\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", about["port"])
                writer.write(hello + b'{"action": "mark", "label": "x"}\n' * 3)
                with contextlib.suppress(OSError):
                    assert await reader.read() == b""
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        assert log.commands == []

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_another_user_is_turned_away(runtime, tmp_path):
    with recorder(runtime, tmp_path / "a.h5"):
        [path] = runtime.glob("*.sock")
        # The folder is what keeps others out; here it is opened to see the second door.
        for opened in (runtime.parent, runtime, path):
            opened.chmod(0o777)
        code = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5)\n"
            f"s.connect({str(path)!r})\n"
            """s.sendall(b'{"action": "mark", "label": "x"}\\n')\n"""
            "print(s.recv(100))"
        )
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", code],
            user=65534,
            group=65534,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert "ok" not in done.stdout
        assert done.stdout == "b''\n" or "Broken" in done.stderr or "reset" in done.stderr
        runtime.chmod(0o700)
        assert send_command("a", "mark", "x")["onset"] > 0


@pytest.mark.parametrize("fault", ["open to others", "a link", "a file", "too long"])
def test_a_folder_that_is_not_private_is_not_used(runtime, tmp_path, monkeypatch, fault):
    if fault == "open to others":
        runtime.mkdir()
        runtime.chmod(0o750)
    elif fault == "a link":
        (tmp_path / "real").mkdir(mode=0o700)
        runtime.symlink_to(tmp_path / "real")
    elif fault == "a file":
        runtime.touch()
    else:
        monkeypatch.setattr(wire, "runtime_folders", lambda: [f"/tmp/{'x' * 90}"])

    async def main():
        async with serve(Log(), tmp_path / "a.h5") as server:
            assert server.problem.startswith("no tags from other programs: no folder")
            assert "\n" not in server.problem
        with pytest.raises(RecordingError, match="no recording is running"):
            send_command("a", "mark", "x")

    asyncio.run(main())
    # The next folder is used where there is one.
    spare = runtime.with_name("spare")
    first = wire.runtime_folders()
    monkeypatch.setattr(wire, "runtime_folders", lambda: [*first, str(spare)])

    async def again():
        async with serve(Log(), tmp_path / "a.h5") as server:
            assert server.problem == ""
            await asyncio.to_thread(send_command, "a", "mark", "x")

    asyncio.run(again())


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"file": 1}', b"x" * 70_000],
)
def test_registrations_that_make_no_sense_are_passed_over(runtime, tmp_path, content):
    runtime.mkdir(0o700)
    (runtime / "1-abcdef.json").write_bytes(content)
    (runtime / "link.json").symlink_to(tmp_path / "elsewhere")
    assert wire.registrations() == []
    with recorder(runtime, tmp_path / "a.h5"):
        assert send_command("a", "mark", "x")["onset"] > 0


def test_folders_depend_on_the_environment(monkeypatch):
    monkeypatch.delenv("PHYSIO_HQC_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000/")
    monkeypatch.setenv("TMPDIR", "relative")
    folders = wire.runtime_folders()
    assert folders[0] == "/run/user/1000/physio_hqc"
    assert all(folder.startswith("/") for folder in folders)
    assert folders[-1] == f"/tmp/physio_hqc-{os.geteuid()}"
