"""Every command and example of the README runs as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a reader has it: the sample recordings, and an events table."""
    shutil.copytree(REPOSITORY / "sample_recordings", tmp_path / "sample_recordings")
    (tmp_path / "P01_events.csv").write_text(blocks("text")[0])
    return tmp_path


def run(folder: Path, *command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", [1, 2])
def test_python_examples_run(number: int, folder: Path) -> None:
    assert run(folder, sys.executable, "-c", blocks("python")[number]).strip()


def test_the_examples_are_those_of_the_three_uses() -> None:
    assert len(blocks("python")) == 4
    assert len(blocks("sh")) == 5


def test_a_recording_to_the_report(folder: Path) -> None:
    text = run(folder, "sh", "-ec", blocks("sh")[0])
    assert "S02" in text
    assert (folder / "derivatives" / "support" / "report.html").exists()


def test_a_vendor_file_to_features_per_window(folder: Path, shared_data: Path) -> None:
    source = shared_data / "formats" / "acqknowledge" / "physio-5.0.1.acq"
    shutil.copy(source, folder / "P01.acq")
    run(folder, "sh", "-ec", blocks("sh")[1])
    features = (folder / "derivatives" / "P01" / "features.csv").read_text()
    assert "P01,P01,support,baseline,phase,0,600,ECG_Rate_Mean" in features


def test_a_rehearsal_without_hardware(folder: Path) -> None:
    quick = blocks("sh")[2].replace("--time-scale 0.1", "--time-scale 0.01 --no-screen")
    assert quick.count("--no-screen") == 1
    text = run(folder, "sh", "-ec", quick)
    assert "the protocol is over" in text
    features = (folder / "derivatives" / "rehearsal" / "features.csv").read_text()
    assert "rehearsal,T01,support,speech,phase," in features


def test_a_study_on_the_command_line_and_from_python(folder: Path) -> None:
    said = run(folder, "sh", "-ec", blocks("sh")[3])
    assert "12 analysed" in said
    results = folder / "lab" / "derivatives"
    assert len(list(results.glob("P*/features.csv"))) == 12
    for name in ("report.html", "methods.md", "statistics.csv", "figures/reactivity.svg"):
        assert (results / "study" / name).exists()
    told = run(folder, sys.executable, "-c", blocks("python")[0])
    assert [term in told for term in ("support - nonsupport", "support - alone")] == [True, True]
    accuracy = float(run(folder, sys.executable, "-c", blocks("python")[3]).split()[-1])
    assert 0 <= accuracy <= 1
    run(folder, "sh", "-ec", blocks("sh")[4])
    people = (folder / "dataset" / "participants.tsv").read_text().splitlines()
    assert len(people) == 1 + 12
    assert len(list((folder / "dataset" / "derivatives").rglob("*_desc-features_events.tsv"))) == 12
    assert len(list((folder / "shared").glob("*.edf"))) == 12
    assert not list((folder / "shared").glob("*P0*"))
    assert len((folder / "lab_key.csv").read_text().splitlines()) > 12
