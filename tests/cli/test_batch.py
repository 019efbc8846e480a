"""``physio-hqc batch``: what it prints, exit codes, and `study` on what it leaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from physio_hqc.cli.main import run
from physio_hqc.simulate import simulate_session, simulate_study


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    simulate_session(folder / "p01.h5", seed=1, time_scale=0.05, streams=("cuff",))
    (folder / "bad [1].h5").write_text("no session")
    return folder


def test_a_bad_session_is_named_and_the_exit_code_says_so(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["batch", str(lab), "--out", str(tmp_path), "--no-report", "--workers", "1"]
    assert run(arguments) == 2
    output, errors = capsys.readouterr()
    assert output.startswith("1 of 2 sessions done (0 were up to date), 1 failed: ")
    assert errors.splitlines()[0].startswith("failed: bad [1].h5: ")
    assert errors.splitlines()[-1].startswith("error: 1 of 2 sessions failed: see ")
    assert not (tmp_path / "p01" / "report.html").exists()
    arguments.remove("--no-report")
    assert run([*arguments, "--json"]) == 2
    summary = json.loads(capsys.readouterr().out)
    assert list(summary) == ["sessions", "done", "up_to_date", "failed", "notices", "out"]
    assert (summary["sessions"], summary["done"], summary["up_to_date"]) == (2, 1, 0)
    assert [row["session"] for row in summary["failed"]] == ["bad [1]"]
    assert list(summary["failed"][0]) == ["session", "source", "reason"]
    assert (tmp_path / "p01" / "report.html").stat().st_size > 10_000


def test_a_scheduler_that_does_not_answer_is_one_line(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["batch", str(lab), "--out", str(out), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: no Dask scheduler answers at tcp://127.0.0.1:9")


def test_dask_is_not_loaded_before_it_is_used() -> None:
    code = "from physio_hqc.cli.main import run; run(['batch', '--help'])\n"
    code += "import sys; assert not {'dask', 'distributed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_a_study_reads_what_a_batch_leaves(tmp_path: Path) -> None:
    simulate_study(tmp_path / "lab", 2, seed=1, time_scale=0.1)
    lab = tmp_path / "lab"
    out = lab / "derivatives"
    assert run(["batch", str(lab), "--out", str(out), "--no-report", "--workers", "2"]) == 0
    people = ["--participants", str(lab / "participants.csv")]
    assert run(["study", str(out), *people, "--config", "lepore_1993", "--no-report"]) == 0
    assert (out / "study" / "statistics.csv").is_file()
