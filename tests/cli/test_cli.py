"""The commands as a user types them: what is printed, what is left, how errors end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from physio_hqc import open_session
from physio_hqc.cli.main import run
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import load_truth

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "sample_recordings" / "support.h5"


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def errors(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run what must fail; return its one line."""
    assert run(arguments) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["import"],
        ["inspect"],
        ["process"],
        ["simulate", "session"],
        ["simulate", "study"],
        ["study"],
        ["record"],
        ["recover"],
        ["tag"],
        ["devices", "list"],
        ["devices", "scan"],
        ["devices", "test"],
    ],
)
def test_every_command_shows_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "For example:" in text
    assert f"physio-hqc {' '.join(command)}" in text.partition("For example:")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["inspect"], "Missing argument"),
        (["inspect", "a.h5", "--jsn"], "No such option"),
        (["inspect", "nowhere.h5"], "No such file"),
        (["process", "nowhere.h5", "--out", "d"], "No such file"),
        (["process", "nowhere.h5", "--jobs", "0"], "greater than or equal to 1"),
        (["import", "nowhere.acq"], "nowhere.acq"),
        (["import", str(SAMPLE), "--map", "ecg"], '--map "CHANNEL=stream"'),
        (["simulate", "session", "--out", "a.h5", "--protocol", "lepor_1993"], "lepore_1993"),
        (["simulate", "session", "--out", "no/such/folder/a.h5"], "no/such/folder"),
        (["process", "a/x.h5", "b/x.h5"], "would share the folder"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in errors(capsys, *arguments)


def test_inspect_shows_and_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(SAMPLE)]) == 0
    text = capsys.readouterr().out
    assert "S02" in text
    assert "250 Hz" in text
    assert "with_confederate" in text
    assert run(["inspect", str(SAMPLE), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    streams = {stream["name"]: stream for stream in facts["streams"]}
    assert streams["ecg"]["sfreq"] == 250.0
    with open_session(SAMPLE) as session:
        eda = session.streams["eda"].samples
    assert streams["eda"]["n_samples"] == len(eda)
    assert streams["eda"]["range"][0] == pytest.approx([np.nanmin(eda), np.nanmax(eda)])
    assert facts["events"][0]["label"] == "baseline"


def test_inspect_tells_of_an_unclosed_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = SessionWriter(tmp_path / "s.h5")
    writer.add_event(0.0, "note", "[bold]not markup[/bold]")
    writer.flush()
    copy = tmp_path / "copy.h5"
    copy.write_bytes((tmp_path / "s.h5").read_bytes())
    writer.close()
    assert run(["inspect", str(copy)]) == 0
    text = capsys.readouterr().out
    assert "not closed" in text
    assert "[bold]not markup[/bold]" in text


def test_devices_list_names_the_shipped_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "list", "--json"]) == 0
    names = [profile["name"] for profile in json.loads(capsys.readouterr().out)]
    shipped = sorted(path.stem for path in (REPOSITORY / "configs" / "devices").glob("*.yaml"))
    assert names == shipped
    assert run(["devices", "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)


def test_import_maps_channels_and_adds_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t = np.arange(0, 60, 0.01)
    table = pd.DataFrame({"time (s)": t, "Lead A (mV)": np.sin(t), "Odd": np.cos(t)})
    table.to_csv("p01.csv", index=False)
    Path("events.csv").write_text(
        "onset,duration,kind,label,partner\n0,20,phase,baseline,\n20,30,interaction,talk,C2\n"
    )
    arguments = ["--map", "Lead A=ecg", "--map", "Odd=ignore", "--events", "events.csv"]
    who = ["--participant", "P01", "--condition", "support", "--protocol", "lepore_1993"]
    assert run(["import", "p01.csv", *arguments, *who]) == 0
    assert "p01.h5" in capsys.readouterr().out
    with open_session("p01.h5") as session:
        assert list(session.streams) == ["ecg"]
        assert session.streams["ecg"].units == "mV"
        np.testing.assert_allclose(session.streams["ecg"].samples, np.sin(t), atol=1e-12)
        assert session.windows(kind="interaction")["onset"].tolist() == [20.0]
        assert session.events["payload"][1] == {"partner": "C2"}
        assert "lepore_1993" in session.protocol
        assert session.participant_id == "P01"
    assert "exists already" in errors(capsys, "import", "p01.csv", *arguments)
    assert run(["import", "p01.csv", *arguments, "--overwrite"]) == 0


def test_process_leaves_tables_and_report_and_then_does_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["process", str(SAMPLE), "--out", "d"]) == 0
    assert "written" in capsys.readouterr().out
    folder = Path("d/support")
    assert (folder / "report.html").stat().st_size > 100_000
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run(["process", str(SAMPLE), "--out", "d"]) == 0
    assert "up to date" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    (folder / "report.html").unlink()
    assert run(["process", str(SAMPLE), "--out", "d"]) == 0
    assert (folder / "report.html").exists()


def test_one_bad_session_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.h5").write_bytes(SAMPLE.read_bytes()[:5000])
    paths = ["bad.h5", str(SAMPLE)]
    assert run(["process", *paths, "--out", "d", "--no-report", "--jobs", "2"]) == 2
    streams = capsys.readouterr()
    assert "error: bad.h5 is truncated" in streams.err
    assert (Path("d") / "support" / "features.csv").exists()


def test_simulate_session_and_study(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--time-scale", "0.02", "--seed", "3"]
    assert run(["simulate", "session", "--out", "p.h5", "--condition", "alone", *quick]) == 0
    assert load_truth("p.h5").condition == "alone"
    assert run(["simulate", "study", "--out", "s", "--n", "1", "--jobs", "1", *quick]) == 0
    assert "3 sessions" in capsys.readouterr().out
    people = pd.read_csv("s/participants.csv")
    assert sorted(people["condition"]) == ["alone", "nonsupport", "support"]


@pytest.mark.slow
def test_demo_ends_with_the_report_and_the_planted_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["demo", "--out", "demo"]) == 0
    text = capsys.readouterr().out
    for words in ("All sessions: ", "figures and methods: "):
        assert Path(text.partition(words)[2].splitlines()[0].strip()).is_file()
    rows = [line.split() for line in text.splitlines()]
    sbp = {
        row[0]: float(row[1])
        for row in rows
        if len(row) == 4 and row[0] in ("alone", "support", "nonsupport")
    }
    assert sbp["nonsupport"] > sbp["alone"] > sbp["support"] > 0
    assert len(list(Path("demo/derivatives").glob("P*/report.html"))) == 9
    made = {path: path.stat().st_mtime_ns for path in Path("demo").glob("derivatives/P*/*")}
    assert run(["demo", "--out", "demo"]) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_demo_never_replaces_what_somebody_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    Path("demo/sessions").mkdir(parents=True)
    Path("demo/sessions/P001.h5").write_bytes(SAMPLE.read_bytes())
    assert "no simulated session" in errors(capsys, "demo", "--out", "demo")
    assert Path("demo/sessions/P001.h5").read_bytes() == SAMPLE.read_bytes()


def test_ctrl_c_while_the_program_is_still_loading(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "physio_hqc", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr.splitlines() == ["interrupted: what was finished is whole, nothing is half"]


@pytest.mark.parametrize("delay_s", [0.0, 1.3, 2.8])
def test_ctrl_c_leaves_no_half_results(tmp_path: Path, delay_s: float) -> None:
    command = [sys.executable, "-m", "physio_hqc", "demo", "--out", "demo"]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        while not (tmp_path / "demo").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay_s)
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in message
    assert "interrupted" in message
    for page in tmp_path.glob("demo/derivatives/*/provenance.json"):
        json.loads(page.read_text())
    assert not list(tmp_path.rglob(".*.part*"))
