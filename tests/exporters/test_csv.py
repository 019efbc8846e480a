"""A folder of tables, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from physio_hqc import import_recording, open_session
from physio_hqc.errors import OutputError, RecordingError
from physio_hqc.exporters import export_session

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "sample_recordings").glob("*.h5"))


def test_everything_comes_back_to_the_last_bit(live, tmp_path, same_session):
    folder = export_session(live.path, tmp_path / "p", to="csv").paths[0]
    again = import_recording(folder, tmp_path / "again.h5").path
    same_session(live.path, again, exact=True)


@pytest.mark.parametrize("source", SAMPLES[:1], ids=lambda path: path.stem)
def test_one_table_with_its_events_is_an_ordinary_table(source, tmp_path):
    folder = export_session(source, tmp_path / "p", to="csv").paths[0]
    report = import_recording(folder / "ecg.csv", tmp_path / "e.h5", events=folder / "events.csv")
    with open_session(source) as a, open_session(report.path) as b:
        assert b.streams["ecg"].units == "mV"
        assert b.streams["ecg"].samples == pytest.approx(a.streams["ecg"].samples, rel=1e-12)
        assert b.streams["ecg"].times == pytest.approx(a.streams["ecg"].times, abs=1e-6)
        for column in ("onset", "duration", "kind", "label"):
            assert a.events[column].tolist() == b.events[column].tolist()


def test_tables_are_explained(live, tmp_path):
    folder = export_session(live.path, tmp_path / "p", to="csv").paths[0]
    table = pd.read_csv(folder / "acc.csv")
    assert list(table) == ["time_s", "x [g]", "y [g]", "z [g]"]
    told = json.loads((folder / "acc.json").read_text(encoding="utf-8"))
    assert list(told) == list(table)
    assert told["x [g]"]["Units"] == "g"


def test_the_same_bytes_again(live, tmp_path):
    both = [export_session(live.path, tmp_path / name, to="csv").paths[0] for name in "ab"]
    files = sorted(file.name for file in both[0].iterdir())
    assert files == sorted(file.name for file in both[1].iterdir())
    assert all((both[0] / f).read_bytes() == (both[1] / f).read_bytes() for f in files)


def broken(name, change):
    def do(folder):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(change(text), encoding="utf-8")

    return do


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "ecg.csv").unlink(),
        lambda folder: (folder / "events.csv").unlink(),
        broken("ecg.csv", lambda text: text[: len(text) // 2]),
        broken("ecg.csv", lambda _: "time_s,a,b\n1,2,3\n"),
        broken("ecg.csv", lambda text: text.replace("\n", "\nx,", 3)),
        broken("acc.csv", lambda _: "time_s,x,y,z\n" + "0,99999,1,1\n" * 50000),
        broken("events.csv", lambda text: text.replace("phase", "surprise")),
        broken("events.csv", lambda text: "a,b\n" + text),
        broken("session.json", lambda text: text.replace('"name": "acc"', '"name": "../acc"')),
        broken("session.json", lambda text: text[:-9]),
        broken("session.json", lambda text: text.replace('"version": 1', '"version": 9')),
    ],
)
def test_a_damaged_folder_is_refused(change, live, tmp_path):
    folder = export_session(live.path, tmp_path / "p", to="csv").paths[0]
    change(folder)
    with pytest.raises(RecordingError) as caught:
        import_recording(folder, tmp_path / "again.h5")
    assert "\n" not in str(caught.value)


def test_a_folder_of_other_files_is_never_replaced(live, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="other files"):
        export_session(live.path, tmp_path / "mine", to="csv", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
