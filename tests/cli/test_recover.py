"""``recover``, and ``inspect`` and ``process`` of a recording that is not closed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from physio_hqc.cli.main import run
from physio_hqc.session import SessionWriter, open_session

RECORDER = """
import sys, time
import numpy as np
from physio_hqc.session import SessionWriter
writer = SessionWriter(sys.argv[1], participant_id="P01")
writer.add_stream("eda", modality="eda", units="uS", sfreq=8.0)
writer.add_stream("ecg", modality="ecg", units="mV", sfreq=130.0)
writer.add_stream("acc", modality="acc", units="g", sfreq=50.0, channels=["x", "y", "z"])
writer.add_stream("hr", modality="other", units="1/min", sfreq=0)
cuff = dict(modality="cuff", units="mmHg,mmHg,mmHg,1/min", sfreq=0)
for name in ("cuff", "cuff_2"):
    writer.add_stream(name, channels=["SBP", "DBP", "MAP", "HR"], **cuff)
phase = writer.add_event(0.0, "phase", "baseline", duration=float("nan"))
k = 0
while True:
    # A minute of the session in a tenth of a second.
    for _ in range(60):
        writer.append("eda", 5.0 + 0.01 * np.arange(8), k + 1.0)
        writer.append_irregular("hr", [k + 1.0], [70.0])
        if k % 30 == 20:
            writer.append_irregular("cuff", [k + 1.0], [[120, 80, 93, 70]])
        if k % 60 == 50:
            writer.append_irregular("cuff_2", [k + 1.0], [[128, 82, 97, 71]])
        event = writer.add_event(k + 0.5, "interaction", f"turn {k}", duration=float("nan"))
        writer.end_event(event, k + 1.0)
        k += 1
    if k == 300:
        writer.end_event(phase, 300.0)
        writer.add_event(300.0, "phase", "speech", duration=float("nan"))
    writer.flush()
    print(k, flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", RECORDER, str(tmp_path / "live.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(6):
            process.stdout.readline()
        yield process
        process.kill()


def test_a_recording_is_inspected_and_processed_while_it_runs(
    recorder: "subprocess.Popen[str]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "live.h5", tmp_path / "derivatives"
    lengths = []
    for _ in range(3):
        assert run(["inspect", str(path), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["closed"], facts["recording"]) == (False, True)
        streams = {stream["name"]: stream for stream in facts["streams"]}
        seconds = streams["hr"]["n_samples"]
        # Whole flushes of a minute, at most one between the first stream read and the last.
        assert streams["eda"]["n_samples"] % 480 == seconds % 60 == 0
        assert abs(streams["eda"]["n_samples"] - 8 * seconds) <= 480
        assert streams["ecg"]["n_samples"] == streams["acc"]["n_samples"] == 0
        lengths.append(seconds)
    assert lengths[0] < lengths[-1]
    assert run(["process", str(path), "--out", str(out), "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.err.strip() == (
        "notice: live: the file was never closed: it is being recorded, "
        "and what had arrived is processed"
    )
    assert recorder.poll() is None
    provenance = json.loads((out / "live" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["input"]["closed"] is False
    assert "stream 'ecg' is empty" in provenance["notices"]
    assert "stream 'cuff_2' is left out: 'cuff' is the cuff processed" in provenance["notices"]
    phases = {phase["window"]: phase for phase in provenance["windows"]["phases"]}
    # The phase that is running ends with what is there.
    end = provenance["input"]["duration_s"]
    assert phases["baseline"]["duration"] == 300.0
    assert phases["speech"]["onset"] + phases["speech"]["duration"] == pytest.approx(end)
    assert (out / "live" / "report.html").stat().st_size > 10_000


def test_a_recording_that_broke_off_is_told_and_recovered(
    recorder: "subprocess.Popen[str]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "live.h5", tmp_path / "whole.h5"
    recorder.kill()
    recorder.wait()
    assert run(["inspect", str(path)]) == 0
    assert "its recorder died" in capsys.readouterr().out
    assert run(["recover", str(path), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["was_closed"], facts["lost"]) == (False, [])
    assert facts["samples"]["eda"] == 8 * facts["samples"]["hr"]
    with open_session(out) as session:
        assert session.closed
        assert session.streams["hr"].n_samples == facts["samples"]["hr"]
    assert run(["recover", str(path), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(["recover", str(path), "--out", str(out), "--overwrite"]) == 0
    printed = capsys.readouterr().out
    assert "the recording was never closed" in printed
    assert "nothing was lost" in printed
    # Without a name the file beside it.
    assert run(["recover", str(path)]) == 0
    assert (tmp_path / "live_recovered.h5").exists()
    assert run(["inspect", str(out)]) == 0
    assert "not closed" not in capsys.readouterr().out


def test_what_is_lost_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.h5"
    with SessionWriter(path) as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0)
        for k in range(200):
            writer.append("ecg", [float(k)] * 100, k + 1.0, k + 1.0)
            writer.flush()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert run(["recover", str(path), "--out", str(tmp_path / "out.h5")]) == 0
    printed = capsys.readouterr().out
    assert "bytes too short" in printed
    assert "lost: ecg:" in printed
    (tmp_path / "noise.h5").write_bytes(b"no session" * 1000)
    assert run(["recover", str(tmp_path / "noise.h5"), "--out", str(tmp_path / "n.h5")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "beyond repair" in error
    assert error.count("\n") == 1


def test_an_empty_session_passes_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.h5"
    with SessionWriter(path) as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=130.0)
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
    assert run(["inspect", str(path)]) == 0
    assert run(["process", str(path), "--out", str(tmp_path / "d"), "--jobs", "1"]) == 0
    assert (tmp_path / "d" / "empty" / "report.html").exists()
    assert run(["recover", str(path), "--out", str(tmp_path / "whole.h5")]) == 0
    assert "nothing was lost" in capsys.readouterr().out
