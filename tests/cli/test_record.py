"""``physio-hqc record`` as a laboratory uses it: processes, signals, a terminal, a full disk."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from physio_hqc import open_session

PROGRAM = str(Path(sys.executable).with_name("physio-hqc"))
WHO = ("lepore_1993", "--participant", "P01", "--condition", "support")
LOAD = ("--device", "simulator:load=3x250")


def record(out: Path, *options: str) -> list[str]:
    return [PROGRAM, "record", *WHO, "--out", str(out), *options]


def finished(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )  # type: ignore[call-overload, no-any-return]


@contextmanager
def running(out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A recorder whose protocol runs."""
    command = record(out, "--no-screen", *options)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "phase Rest started" in line:
                    break
            yield process
        finally:
            process.kill()


def counted(path: Path) -> int:
    """Samples of the shortest stream of a load, after checking that none is missing."""
    lengths = []
    with open_session(path) as session:
        for stream in session.streams.values():
            if stream.name.startswith("load"):
                np.testing.assert_array_equal(stream.samples, np.arange(stream.n_samples))
                lengths.append(stream.n_samples)
    return min(lengths)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_closes_the_file_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "P01.h5"
    with running(out, *LOAD) as process:
        time.sleep(1.0)
        process.send_signal(number)
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert f"stopped by {number.name}" in text
    assert counted(out) > 500
    with open_session(out) as session:
        assert session.closed
        assert session.events["duration"].notna().all()
    assert [path.name for path in tmp_path.iterdir()] == ["P01.h5"]


def test_a_protocol_without_conditions_can_be_rehearsed(tmp_path: Path) -> None:
    design = tmp_path / "plain.yaml"
    design.write_text(
        "name: plain\ntitle: No conditions\n"
        "phases: [{name: rest, role: baseline, duration_s: 60.0}]\nbaseline: {phase: rest}\n"
    )
    options = ("--virtual", "--no-screen", "--time-scale", "0.2", "--out", str(tmp_path / "a.h5"))
    done = finished([PROGRAM, "record", str(design), "--participant", "P01", *options])
    assert done.returncode == 0, done.stderr
    with open_session(tmp_path / "a.h5") as session:
        assert session.streams["ecg"].n_samples > 130


def test_how_it_ended_as_json(tmp_path: Path) -> None:
    out = tmp_path / "P01.h5"
    wish = record(out, "--no-screen", "--json", "--time-scale", "0.001", *LOAD)
    done = finished(wish)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["path"], told["complete"]) == (str(out), True)
    assert counted(out) == min(n for name, n in told["n_samples"].items() if name != "cuff")


def test_a_second_recorder_on_the_same_file_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    out = tmp_path / "P01.h5"
    with running(out, *LOAD) as process:
        second = finished(record(out, "--no-screen", *LOAD))
        assert second.returncode == 2
        assert "P01.h5" in second.stderr
        assert second.stderr.count("\n") == 1
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert counted(out) > 0


def test_a_killed_recorder_leaves_what_arrived(tmp_path: Path) -> None:
    out = tmp_path / "P01.h5"
    with running(out, *LOAD) as process:
        before = time.monotonic()
        time.sleep(1.5)
        process.kill()
        process.wait()
        flowed = time.monotonic() - before
    assert counted(out) >= 250 * (flowed - 1.0)
    with open_session(out) as session:
        assert not session.closed
    whole = tmp_path / "whole.h5"
    done = finished([PROGRAM, "recover", str(out), "--out", str(whole)])
    assert done.returncode == 0, done.stderr
    assert counted(whole) == counted(out)


def test_it_can_be_inspected_and_processed_while_it_runs(tmp_path: Path) -> None:
    out = tmp_path / "P01.h5"
    device = ("--device", "simulator:streams=ecg+eda,time_scale=0.05")
    with running(out, *device) as process:
        time.sleep(1.0)
        seen = finished([PROGRAM, "inspect", str(out)])
        assert seen.returncode == 0, seen.stderr
        assert "baseline" in seen.stdout
        done = finished([PROGRAM, "process", str(out), "--out", str(tmp_path / "d"), "--no-report"])
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert (tmp_path / "d" / "P01" / "features.csv").exists()


def test_a_full_disk_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file-size limits are a POSIX thing")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    out = tmp_path / "P01.h5"
    command = record(out, "--no-screen", "--device", "simulator:load=8x5000")
    done = finished(command, preexec_fn=limit)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the recording stopped")
    assert "recover" in last
    assert "Traceback" not in done.stderr
    assert counted(out) > 10_000


def test_closing_the_terminal_closes_the_file(tmp_path: Path) -> None:
    out = tmp_path / "P01.h5"
    pid, terminal = pty.fork()
    if not pid:
        os.execv(PROGRAM, record(out, *LOAD))
    drawn = b""
    while b"ENTER" not in drawn:
        drawn += os.read(terminal, 65536)
    os.write(terminal, b"\r")
    while b"REC" not in drawn:
        drawn += os.read(terminal, 65536)
    time.sleep(0.5)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with open_session(out) as session:
        assert session.closed
        assert session.events["label"].isin(["protocol started"]).any()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--no-screen",), "nothing to record from"),
        (LOAD, "needs a terminal"),
        (("--no-screen", *LOAD, "--participant", " "), "--participant needs an id"),
        (("--no-screen", "--virtual", "--setup", "nope.yaml"), "no such laboratory setup"),
        (("--no-screen", "--virtual", "--device", "=X"), "needs a name"),
        (("--no-screen", "--device", "polar_h11"), "did you mean 'polar_h10'"),
        (("--no-screen", "--device", "lsk:x"), "did you mean 'lsl'"),
        (("--no-screen", "--setup", "two_straps"), "one of listener, speaker"),
        (("--no-screen", *LOAD, "--condition", "supprt"), "did you mean 'support'"),
        (("--no-screen", *LOAD, "--time-scale", "0"), "scaled by a factor"),
    ],
)
def test_a_wrong_wish_is_one_line_and_leaves_no_file(
    tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    done = finished(record(tmp_path / "P01.h5", *options), stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_an_adapter_it_says_so_and_leaves_no_file(tmp_path: Path) -> None:
    done = finished(record(tmp_path / "P01.h5", "--no-screen", "--device", "polar_h10"))
    if done.returncode == 0:
        pytest.skip("this machine has Bluetooth")
    assert done.returncode == 2
    assert "luetooth" in done.stderr.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
