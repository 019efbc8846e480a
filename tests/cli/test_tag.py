"""``physio-hqc tag`` as a user runs it: real processes on a real socket."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from physio_hqc.cli._tag_now import _plain, process_start_ns
from physio_hqc.cli.main import run

RECORDER = """
import asyncio, sys
from pathlib import Path
from physio_hqc.acquisition.control import ControlServer
from physio_hqc.errors import RecordingError

async def main():
    async def handler(command):
        if command.action == "stop":
            raise RecordingError("no window is open")
        return {"onset": command.monotonic_ns / 1e9, "label": command.label, **command.payload}
    about = {"session_id": "s-1", "participant_id": "P01"}
    async with ControlServer(handler, file=Path(sys.argv[1]), **about) as server:
        print("problem:", server.problem, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the folders of a POSIX system")


@pytest.fixture
def runtime(monkeypatch):
    base = Path(tempfile.mkdtemp(prefix="hqc"))
    monkeypatch.setenv("PHYSIO_HQC_RUNTIME_DIR", str(base))
    # Byte code beside nobody's sources, and compiled once as after an installation.
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(base / "bytecode"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    yield base
    shutil.rmtree(base)


@contextlib.contextmanager
def recorder(file):
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "problem: \n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def tag(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "physio_hqc", "tag", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_a_tag_is_stored_with_the_moment_of_its_command(runtime, tmp_path):
    late, took = [], []
    with recorder(tmp_path / "P01.h5"):
        tag("P01", "status")
        for _ in range(20):
            before = time.monotonic()
            done = tag("P01", "mark", "picture 12", "--payload", '{"partner": "A"}', "--json")
            took.append(time.monotonic() - before)
            assert done.stderr == ""
            answer = json.loads(done.stdout)
            assert answer["label"] == "picture 12"
            assert answer["partner"] == "A"
            late.append(answer["onset"] - before)
    # The stamp is no earlier than the command, but for the uncertainty of the system's note.
    assert min(late) > -0.011
    assert sorted(late)[18] < 0.020
    assert min(took) < 0.2


def test_what_is_printed(runtime, tmp_path):
    with recorder(tmp_path / "P01.h5"):
        done = tag(tmp_path / "P01.h5", "start", "support")
        assert done.returncode == 0
        words = done.stdout.split()
        assert words[:2] == ["start", "at"]
        assert words[3:] == ["s:", "support"]
        assert tag("P01", "next").stdout.startswith("next at ")
        assert "onset: " in tag("P01", "status").stdout
        done = tag("P01", "stop", "support")
        assert (done.returncode, done.stderr) == (2, "error: no window is open\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["P01", "mark"], "mark needs a label"),
        (["P01", "drop", "x"], "no action 'drop'"),
        (["P01", "next", "x"], "next takes no label"),
        (["P01", "mark", "x", "--payload", "[1]"], "no JSON object"),
        (["P01", "mark", "x", "--payload", "{"], "no JSON"),
        (["P01", "mark", "x", "--payload", '{"a": NaN}'], "cannot be written as JSON"),
        (["P01", "mark", "x", "--payload"], "requires an argument"),
        (["P01", "mark", "x", "--colour", "red"], "No such option"),
        (["P01"], "Missing argument"),
        (["P02", "mark", "x"], "'P02' is not being recorded; running: "),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(runtime, tmp_path, capfd, words, message):
    with recorder(tmp_path / "P01.h5"):
        done = tag(*words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        # Both ways through the command line say the same.
        assert run(["tag", *words]) == 2
        assert capfd.readouterr().err == done.stderr


def test_labels_that_look_like_options_take_the_long_way(runtime, tmp_path):
    with recorder(tmp_path / "P01.h5"):
        before = time.monotonic()
        done = tag("P01", "mark", "--json", "--", "-1")
        assert json.loads(done.stdout)["label"] == "-1"
        # The moment is still that of the command, not that of the slower way.
        assert json.loads(done.stdout)["onset"] - before < 0.05


def test_nothing_is_imported_that_sending_does_not_need(runtime, tmp_path):
    code = (
        "import sys; sys.argv = ['physio-hqc', 'tag', 'P01', 'mark', 'x']\n"
        "from physio_hqc.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sorted(sys.modules))"
    )
    with recorder(tmp_path / "P01.h5"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0"
    heavy = {"typer", "rich", "pydantic", "numpy", "h5py", "asyncio", "pathlib", "dataclasses"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_the_start_of_a_process_is_found():
    # Of this process it is no use: it was another command's, and long ago.
    first = time.monotonic_ns()
    assert process_start_ns(first + 10**12) == first + 10**12
    code = (
        "import time; first = time.monotonic_ns()\n"
        "from physio_hqc.cli._tag_now import process_start_ns\n"
        "print(first, process_start_ns(first))"
    )
    for _ in range(5):
        before = time.monotonic_ns()
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        first, start = map(int, done.stdout.split())
        assert before - 11_000_000 < start <= first


def test_a_process_that_waited_before_it_became_the_command_is_not_predated(runtime, tmp_path):
    with recorder(tmp_path / "P01.h5"):
        command = f"sleep 1.2; exec {sys.executable} -m physio_hqc tag P01 mark x --json"
        before = time.monotonic()
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["onset"] - before > 1.2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["P01", "mark", "x"], ("P01", "mark", "x", None, False)),
        (["--json", "P01", "next"], ("P01", "next", "", None, True)),
        (["P01", "mark", "--payload", "--json", "x"], ("P01", "mark", "x", "--json", False)),
        (["P01", "mark", "--payload={}", ""], ("P01", "mark", "", "{}", False)),
        (["P01", "mark", "-x"], None),
        (["P01", "mark", "--", "x"], None),
        (["P01", "mark", "x", "--payload"], None),
        (["P01", "mark"], None),
        (["P01", "next", "x"], None),
        (["--help"], None),
        ([], None),
    ],
)
def test_the_short_way_takes_only_what_is_plain(words, found):
    assert _plain(words) == found
