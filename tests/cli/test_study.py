"""``physio-hqc study`` as a user meets it."""

import json

import pandas as pd
import pytest

from physio_hqc import process_session
from physio_hqc.cli.main import run
from physio_hqc.simulate import simulate_study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = simulate_study(folder / "sessions", 3, seed=5, time_scale=0.1, streams=["cuff"])
    for session in study.sessions:
        process_session(session.path, out_dir=folder / "derivatives")
    return study


@pytest.fixture(scope="module")
def place(made):
    return made.out_dir.parent / "derivatives"


def test_a_study_leaves_tables_report_figures_and_methods(made, place, capsys):
    people = str(made.participants_csv)
    assert run(["study", str(place), "--participants", people]) == 0
    said = capsys.readouterr().out
    folder = place / "study"
    assert "9 analysed" in said
    assert "support - nonsupport" in said
    assert str(folder / "report.html") in said
    for name in ("statistics.csv", "statistics.json", "report.html", "methods.md"):
        assert (folder / name).stat().st_size > 1000
    assert list((folder / "figures").glob("*.svg"))
    # A second run finds a study in the folder of the sessions, and takes it for none.
    assert run(["study", str(place), "--participants", people, "--no-report"]) == 0
    assert "9 analysed" in capsys.readouterr().out
    assert not (folder / "report.html").exists(), "an old report would tell of other numbers"


def test_json_for_programs(made, place, tmp_path, capsys):
    arguments = ["study", str(place), "--participants", str(made.participants_csv), "--json"]
    assert run([*arguments, "--out", str(tmp_path / "out"), "--no-report"]) == 0
    told = json.loads(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "out" / "statistics.csv")
    chosen = table["primary"] & (table["kind"] == "contrast") & (table["analysis"] == "ANCOVA")
    rows = table[chosen]
    assert [row["estimate"] for row in told["contrasts"]] == pytest.approx(rows["estimate"])
    assert told["flow"] == {"analysed": 9}


def test_errors_are_one_line(made, place, tmp_path, capsys):
    people = pd.read_csv(made.participants_csv, dtype=str)
    twice = tmp_path / "participants.csv"
    pd.concat([people, people.head(1)]).to_csv(twice, index=False)
    assert (
        run(["study", str(place), "--participants", str(twice), "--out", str(tmp_path / "x")]) == 2
    )
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "P001" in said
    assert not (tmp_path / "x").exists()
