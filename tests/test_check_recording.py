"""The checks of the recorder: their judgement on made-up results, and small ones run for real."""

import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"

pytestmark = [
    pytest.mark.skipif(
        not (SCRIPTS / "check_recording.py").is_file(), reason="the script is not beside the tests"
    ),
    pytest.mark.skipif(os.name != "posix", reason="kills and limits of a POSIX system"),
]


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"recording.{name}")


def check(*words, **options):
    return subprocess.run(
        [sys.executable, SCRIPTS / "check_recording.py", *words],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def reached(done, n):
    """Every figure of the table is reached, and there are as many as there should be."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout
    assert len(re.findall(r"reached +│", done.stdout)) == n, done.stdout
    return done.stdout


def need_bumble():
    if importlib.util.find_spec("bumble") is None:
        pytest.skip("the extra virtual is not installed: bumble missing")


class TestRealRuns:
    def test_kills(self):
        text = reached(check("kills", "-n", "3"), 6)
        assert "3 of 3" in text

    def test_disconnects(self):
        need_bumble()
        text = reached(check("disconnects", "-n", "3"), 5)
        assert "3 of 3" in text

    def test_tags(self):
        reached(check("tags", "-n", "10"), 5)

    def test_disk_full(self):
        done = check("disk-full", "--quick")
        text = reached(done, 6 if "not run" in done.stdout else 12)
        assert "1 of 1" in text

    def test_fuzz(self):
        assert "0 of 300" in reached(check("fuzz", "-n", "300"), n_decoders())

    @pytest.mark.slow
    def test_clock(self):
        need_bumble()
        reached(check("clock", "--quick"), 7)

    @pytest.mark.slow
    def test_load(self):
        need_bumble()
        reached(check("load", "--quick"), 7)


def n_decoders():
    from physio_hqc.acquisition import list_device_profiles

    entries = [c for profile in list_device_profiles() for c in profile.characteristics]
    return sum(entry.decoder is not None for entry in entries)


def test_ctrl_c_leaves_no_process_and_no_file(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, SCRIPTS / "check_recording.py", "kills"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("hqc*/kill*.h5")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("hqc*/kill*.h5"))
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "nothing is left behind" in text
    assert list(tmp_path.iterdir()) == []
    # Every recorder had its session file in that folder on its command line.
    if sys.platform == "linux":
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert str(tmp_path).encode() not in command.read_bytes()
            except OSError:
                continue


def test_what_is_not_a_check_is_refused():
    assert check("kill").returncode == 2
    assert check("load", "-n", "3").returncode == 2
    assert check("kills", "-n", "0").returncode == 2


class TestJudgement:
    """A figure that is missed is said to be missed."""

    def test_kills(self, part):
        kills = part("kills")
        good = {"after_s": 1.0, "opened": True, "n_tags": 9, "n_old_tags": 5}
        assert kills._judge([kills._Kill(**good), kills._Kill(**good, lost_s=0.99)]).ok
        for fault in (
            {"opened": False},
            {"intact": False},
            {"lost_s": 1.01},
            {"missing": ["tag 3"]},
            {"wrong": ["tag 3"]},
            {"recovered": False},
            {"n_old_tags": 0},
        ):
            kill = kills._Kill(**{**good, **fault})
            assert not kills._judge([kill]).ok, fault
            if "n_old_tags" not in fault:
                assert not kills._judge([kills._Kill(**good), kill]).ok, fault

    def test_disk_full(self, part):
        disk_full = part("disk_full")
        good = {"opened": True, "short_s": 0.3, "recovered": True, "lines": 1}
        assert disk_full._judge([disk_full._Full("full disk", 2, **good)], []).ok
        for fault in (
            {"code": 1},
            {"opened": False},
            {"intact": False},
            {"short_s": 2.1},
            {"short_s": float("nan")},
            {"recovered": False},
            {"lines": 0},
        ):
            end = disk_full._Full(**{"kind": "full disk", "code": 2, **good, **fault})
            assert not disk_full._judge([end], []).ok, fault

    def test_nothing_measured_is_not_reached(self, part):
        assert not part("common").Outcome("load").ok

    def test_samples_of_the_load(self, part, tmp_path):
        load, common = part("load"), part("common")
        from physio_hqc.session import SessionWriter

        def judged(values):
            path = tmp_path / "load.h5"
            with SessionWriter(path, overwrite=True) as writer:
                for number in range(load.N_STREAMS):
                    name = f"load_{number + 1:02d}"
                    writer.add_stream(name, modality="other", units="", sfreq=1000, dtype="int32")
                for number in range(load.N_STREAMS):
                    last = number == load.N_STREAMS - 1
                    samples = np.array(values if last else range(10))
                    writer.append(f"load_{number + 1:02d}", samples, 1.0)
            outcome = common.Outcome("load")
            load._check_samples(outcome, path, 10)
            return outcome.ok

        assert judged(range(10))
        assert not judged(range(9))
        assert not judged([0, 1, 2, 3, 4, 4, 5, 6, 7, 8])
        assert not judged([0, 1, 2, 3, 4, 5, 6, 7, 9, 8])

    def test_coverage_is_measured_from_the_fastest_packet(self, part, tmp_path):
        from physio_hqc.session import SessionWriter, open_session

        path = tmp_path / "late.h5"
        with SessionWriter(path) as writer:
            writer.add_stream("x", modality="other", units="", sfreq=10, dtype="int32")
            # Begun at 2.0 s; the second packet was late.
            writer.append("x", np.arange(10), 3.0)
            writer.append("x", np.arange(10, 20), 4.7)
        with open_session(path) as session:
            assert part("common").covered_s(session.streams["x"], 10) == pytest.approx(4.0)

    def test_the_clock_check_knows_its_own_wearable(self, part):
        clock = part("clock")
        wearable = clock._Wearable(0, jitter_s=0.1, ppm=100.0, clock=True, packet=73)
        wearable.started = 5.0
        times = wearable.true_times(3)
        assert np.diff(times) == pytest.approx(1 / (130.27 * 1.0001))
        assert times[0] == pytest.approx(5.0 + 1 / (130.27 * 1.0001))
