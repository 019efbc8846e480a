"""BIDS data sets: the official validator, names, several sessions, whole or not at all."""

from __future__ import annotations

import collections
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc import open_session, process_session
from physio_hqc.errors import OutputError
from physio_hqc.exporters import _bids_streams, bids, export_session, open_key
from physio_hqc.exporters._bids_names import distinct_labels, free_label, labels_for
from physio_hqc.exporters.bids import write_bids
from physio_hqc.exporters.content import Content, read_content
from physio_hqc.pipeline import SessionResult
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import simulate_session

SAMPLES = Path(__file__).resolve().parents[2] / "sample_recordings"
VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")

# What only the study knows: authors, license, institution, terms of an ontology, and stimuli.
UNKNOWN = {
    *("TOO_FEW_AUTHORS", "Authors"),
    *("HEDVersion", "License", "SourceDatasets"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
    *("CogAtlasID", "CogPOID", "StimulusPresentation"),
}
WITHOUT_PROTOCOL = {"TaskDescription", "Instructions"}


def issues(dataset: Path) -> collections.Counter[tuple[str, str]]:
    """What the official validator says, as severity and code."""
    if not VALIDATOR.is_file():
        pytest.skip("bids-validator-deno is not installed")
    run = subprocess.run(
        [str(VALIDATOR), "--json", "--max-rows", "-1", str(dataset)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = json.loads(run.stdout)["issues"]["issues"]
    return collections.Counter(
        (issue["severity"], issue.get("subCode") or issue["code"]) for issue in said
    )


def assert_valid(dataset: Path, also: set[str] | None = None) -> None:
    found = issues(dataset)
    assert [key for key in found if key[0] == "error"] == []
    assert {code for _, code in found} <= UNKNOWN | (also or set())


def export(session: Path, out: Path, **options: Any) -> tuple[list[Path], list[str]]:
    change: Callable[[Content], Content] = options.pop("change", lambda content: content)
    with open_session(session) as opened:
        return write_bids(change(read_content(opened)), out, **options)


def made(path: Path, participant: str = "P01", **about: Any) -> Path:
    """Make a small session with two gaps, drift, several channels and events."""
    rng = np.random.default_rng(3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with SessionWriter(path, participant_id=participant, **about) as writer:
        writer.add_stream(
            "ecg", modality="ecg", units="mV", sfreq=100.0, dtype="int16", scale=0.001, offset=0.5
        )
        writer.add_stream("acc", modality="acc", units="g", sfreq=25.0, channels=["x", "y", "z"])
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_segment("ecg", rng.integers(-900, 900, 500), t_start=0.25)
        writer.append_segment("ecg", rng.integers(-900, 900, 300), t_start=7.3, sfreq=100.4)
        writer.append_segment("ecg", rng.integers(-900, 900, 300), t_start=20.0)
        writer.append_segment("acc", rng.normal(size=(200, 3)), t_start=0.0)
        writer.append_segment("eda", [5.0, np.nan, 5.2, 1 / 3], t_start=-1.5)
        writer.append_irregular("rr", [1.0, 1.8, 2.7], [0.81, 0.8, 0.9])
        writer.add_event(0.0, "phase", "speech", duration=20.0, source="screen")
        writer.add_event(3.0, "rating", "stress", payload={"value": 4, "partner": "n/a"})
        writer.add_event(4.0, "note", 'a "tab"\t and\nbreak', payload={"deep": {"a": [1, None]}})
        writer.add_event(5.0, "interaction", "open", duration=float("nan"))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    header, *rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the validator -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SessionResult]:
    path = tmp_path_factory.mktemp("simulated") / "p07.h5"
    simulate_session(path, seed=4, time_scale=0.1, participant_id="P07", condition="support")
    return path, process_session(path)


def test_sample_recordings_are_valid(tmp_path: Path) -> None:
    for name in ("alone", "support", "nonsupport"):
        export(SAMPLES / f"{name}.h5", tmp_path / "bids")
    assert_valid(tmp_path / "bids")
    participants = rows_of(tmp_path / "bids" / "participants.tsv")
    assert [row["condition"] for row in participants] == ["alone", "support", "nonsupport"]


def test_results_are_a_valid_derivatives_data_set(
    tmp_path: Path, processed: tuple[Path, SessionResult]
) -> None:
    session, results = processed
    paths, _ = export(session, tmp_path / "bids", results=results)
    assert_valid(tmp_path / "bids")
    derived = tmp_path / "bids" / "derivatives" / "physio_hqc"
    assert_valid(derived)
    [beats] = [path for path in paths if "desc-beats" in path.name]
    onsets = [float(row["onset"]) for row in rows_of(beats)]
    np.testing.assert_array_equal(onsets, np.sort(results.tables["beats"]["time_s"]))
    [features] = [path for path in paths if "desc-features" in path.name]
    told = {(row["window"], row["feature"]): row["value"] for row in rows_of(features)}
    table = results.tables["features"]
    assert len(told) == len(table)
    for window, feature, value in table[["window", "feature", "value"]].itertuples(index=False):
        cell = told[window, feature]
        assert cell == "n/a" if np.isnan(value) else float(cell) == value
    dictionary = json.loads(features.with_suffix(".json").read_text(encoding="utf-8"))
    assert set(rows_of(features)[0]) <= set(dictionary)
    assert dictionary["feature"]["Levels"]["HRV_RMSSD"]["Units"] == "ms"


def test_gaps_drift_and_odd_ids_are_valid(tmp_path: Path) -> None:
    ids = ["P-01 ä", "P01", "p01", "../../etc", "", "漢字", "sub-1_ses-2", "x" * 300, "n/a"]
    for number, participant in enumerate(ids):
        session = made(tmp_path / f"s{number}.h5", participant, t0_unix_ns=0)
        export(session, tmp_path / "bids")
    assert_valid(tmp_path / "bids", WITHOUT_PROTOCOL)
    participants = rows_of(tmp_path / "bids" / "participants.tsv")
    assert len({row["participant_id"].casefold() for row in participants}) == len(ids)
    originals = [row["original_id"] for row in participants]
    assert sorted(originals) == sorted(name or "n/a" for name in ids)
    outside = [path for path in tmp_path.iterdir() if path.suffix != ".h5"]
    assert outside == [tmp_path / "bids"]


def test_sessions_without_streams_or_with_readings_only(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "a.h5", participant_id="A") as writer:
        writer.add_event(0.0, "marker", "start")
    with SessionWriter(tmp_path / "b.h5", participant_id="B") as writer:
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_irregular("rr", [1.0], [0.8])
    with SessionWriter(tmp_path / "c.h5", participant_id="C") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=10.0)
    for name in "abc":
        _, notices = export(tmp_path / f"{name}.h5", tmp_path / "bids")
    assert notices == ["stream ecg holds no samples and has no recording"]
    assert_valid(tmp_path / "bids", WITHOUT_PROTOCOL)


# --- what stands in the files ------------------------------------------------------------------


def test_the_recording_says_rate_start_gaps_and_units(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5")
    export(session, tmp_path / "bids")
    folder = tmp_path / "bids" / "sub-P01" / "beh"
    name = "sub-P01_task-session_recording-ecg_physio"
    sidecar = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    text = gzip.decompress((folder / f"{name}.tsv.gz").read_bytes()).decode("ascii")
    values = [float(line.replace("n/a", "nan")) for line in text.splitlines()]
    with open_session(session) as opened:
        stream = opened.streams["ecg"]
        assert sidecar["SamplingFrequency"] == pytest.approx(stream.measured_sfreq, rel=1e-11)
        assert sidecar["StartTime"] == pytest.approx(stream.times[0], abs=1e-9)
        held = np.flatnonzero(~np.isnan(values))
        np.testing.assert_array_equal(np.array(values)[held], stream.samples)
        times = sidecar["StartTime"] + held / sidecar["SamplingFrequency"]
        assert np.abs(times - stream.times).max() < 1.5 / stream.sfreq
    assert sidecar["Columns"] == ["cardiac"]
    assert sidecar["cardiac"]["Units"] == "mV"
    eda = folder / "sub-P01_task-session_recording-eda_physio.json"
    assert json.loads(eda.read_text(encoding="utf-8"))["eda"]["Units"] == "uS"


def test_beats_and_readings_are_events(tmp_path: Path) -> None:
    export(made(tmp_path / "a.h5"), tmp_path / "bids")
    folder = tmp_path / "bids" / "sub-P01" / "beh"
    assert not list(folder.glob("*recording-rr*"))
    rows = rows_of(folder / "sub-P01_task-session_acq-rr_events.tsv")
    assert [float(row["onset"]) for row in rows] == [1.0, 1.8, 2.7]
    assert [float(row["rr_value"]) for row in rows] == [0.81, 0.8, 0.9]


def test_events_are_a_plain_table(tmp_path: Path) -> None:
    export(made(tmp_path / "a.h5"), tmp_path / "bids")
    rows = rows_of(tmp_path / "bids" / "sub-P01" / "beh" / "sub-P01_task-session_events.tsv")
    assert [row["trial_type"] for row in rows] == ["speech", "stress", "note", "open"]
    assert [row["duration"] for row in rows] == ["20.0", "0.0", "0.0", "n/a"]
    assert rows[1]["value"] == "4"
    assert rows[2]["label"] == 'a "tab"  and break'


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5")
    export(session, tmp_path / "one")
    export(session, tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_deidentified_session_keeps_no_original_id(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5", "Real Name")
    hidden = lambda content: replace(content, participant_id="S001", deidentified=True)  # noqa: E731
    export(session, tmp_path / "bids", change=hidden)
    [row] = rows_of(tmp_path / "bids" / "participants.tsv")
    assert (row["participant_id"], row["original_id"]) == ("sub-S001", "n/a")
    for path in (tmp_path / "bids").rglob("*.*"):
        assert path.is_dir() or b"Real Name" not in path.read_bytes()


def test_a_rate_that_changed_is_said(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "a.h5", participant_id="A") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=10.0)
        writer.append_segment("eda", np.ones(2000), t_start=0.0, sfreq=9.9)
        writer.append_segment("eda", np.ones(2000), t_start=300.0, sfreq=10.1)
    _, [notice] = export(tmp_path / "a.h5", tmp_path / "bids")
    assert "rate changed" in notice


# --- several sessions --------------------------------------------------------------------------


def test_a_second_session_gives_both_a_session_level(
    tmp_path: Path, processed: tuple[Path, SessionResult]
) -> None:
    path, results = processed
    second = tmp_path / "later.h5"
    simulate_session(second, seed=5, time_scale=0.05, participant_id="P07", condition="alone")
    out = tmp_path / "bids"
    export(path, out, results=results)
    export(second, out)
    folders = [item.name for item in (out / "sub-P07").iterdir() if item.is_dir()]
    assert sorted(folders) == ["ses-later", "ses-p07"]
    sessions = rows_of(out / "sub-P07" / "sub-P07_sessions.tsv")
    assert [row["condition"] for row in sessions] == ["alone", "support"]
    [row] = rows_of(out / "participants.tsv")
    assert row["condition"] == "n/a"
    assert_valid(out, {"pathology", "TSV_COLUMN_MISSING"})
    assert_valid(out / "derivatives" / "physio_hqc")
    assert (out / "derivatives" / "physio_hqc" / "sub-P07" / "ses-p07").is_dir()
    other = tmp_path / "other order"
    export(second, other)
    export(path, other, results=results)
    assert digests(out) == digests(other)


def test_a_session_is_not_written_twice(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5")
    export(session, tmp_path / "bids")
    before = digests(tmp_path / "bids")
    with pytest.raises(OutputError, match="holds this session already"):
        export(session, tmp_path / "bids")
    assert digests(tmp_path / "bids") == before
    export(session, tmp_path / "bids", overwrite=True)
    assert digests(tmp_path / "bids") == before


def test_what_others_added_stays(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5")
    out = tmp_path / "bids"
    export(session, out)
    table = out / "participants.tsv"
    lines = table.read_text(encoding="utf-8").replace("homo sapiens\tn/a", "homo sapiens\t31")
    table.write_text(lines.replace("\trole", "\trole\tbelt").replace("P01\tn/a", "P01\tn/a", 1))
    header, row = table.read_text(encoding="utf-8").splitlines()
    table.write_text(f"{header}\n{row}\tleft\n", encoding="utf-8")
    (out / "dataset_description.json").write_text('{"Name": "Mine", "BIDSVersion": "1.9.0"}')
    (out / "sub-P01" / "anat").mkdir()
    (out / "sub-P01" / "anat" / "sub-P01_T1w.json").write_text("{}")
    export(session, out, overwrite=True)
    export(made(tmp_path / "b.h5", "P02"), out)
    first, second = rows_of(table)
    assert (first["age"], first["belt"], second["belt"]) == ("31", "left", "n/a")
    assert "Mine" in (out / "dataset_description.json").read_text()
    assert (out / "sub-P01" / "anat" / "sub-P01_T1w.json").is_file()


def test_results_of_a_replaced_session_go(
    tmp_path: Path, processed: tuple[Path, SessionResult]
) -> None:
    path, results = processed
    export(path, tmp_path / "bids", results=results)
    export(path, tmp_path / "bids", overwrite=True)
    derived = tmp_path / "bids" / "derivatives" / "physio_hqc"
    assert not list(derived.rglob("*_desc-*"))


def test_sessions_of_one_name_get_labels_of_their_own(tmp_path: Path) -> None:
    for day in ("one", "two", "three"):
        export(made(tmp_path / day / "p01.h5"), tmp_path / "bids")
    folders = [item for item in (tmp_path / "bids" / "sub-P01").iterdir() if item.is_dir()]
    assert len(folders) == 3
    assert_valid(tmp_path / "bids", {*WITHOUT_PROTOCOL, "pathology", "TSV_COLUMN_MISSING"})


def test_several_writers_at_once(tmp_path: Path) -> None:
    sessions = [made(tmp_path / f"s{n}.h5", f"P{n}") for n in range(6)]
    threads = [threading.Thread(target=export, args=(path, tmp_path / "bids")) for path in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    rows = rows_of(tmp_path / "bids" / "participants.tsv")
    assert [row["participant_id"] for row in rows] == [f"sub-P{n}" for n in range(6)]


# --- whole or not at all -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
def test_an_interrupted_export_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    out = tmp_path / "bids"
    export(made(tmp_path / "a.h5"), out)
    before = digests(out)
    second = made(tmp_path / "b.h5")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(_bids_streams, "write_samples", fail)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        export(second, out)
    assert digests(out) == before
    monkeypatch.undo()
    monkeypatch.setattr(bids, "_write_sessions_table", fail)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        export(second, out)
    assert digests(out) == before
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_export_left_is_tidied_up(tmp_path: Path) -> None:
    out = tmp_path / "bids"
    export(made(tmp_path / "a.h5"), out)
    before = digests(out / "sub-P01")
    shutil.copytree(out / "sub-P01", out / ".sub-P01.0123abcd.part")
    (out / "sub-P01").rename(out / ".sub-P01.89abcdef.part")  # killed between two renames
    (out / ".sub-P09.89abcdef.part" / "beh").mkdir(parents=True)
    export(made(tmp_path / "b.h5", "P02"), out)
    assert digests(out / "sub-P01") == before
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    session = made(tmp_path / "a.h5")
    with pytest.raises(OutputError, match="is a file"):
        export(session, session)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="no BIDS data set"):
        export(session, full)
    assert [item.name for item in full.iterdir()] == ["thesis.txt"]
    derived = tmp_path / "derived"
    derived.mkdir()
    (derived / "dataset_description.json").write_text('{"DatasetType": "derivative"}')
    with pytest.raises(OutputError, match="not of recordings"):
        export(session, derived)
    foreign = tmp_path / "foreign"
    (foreign / "sub-P01" / "func").mkdir(parents=True)
    (foreign / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (foreign / "sub-P01" / "func" / "sub-P01_task-rest_bold.json").write_text("{}")
    with pytest.raises(OutputError, match="not exported by physio_hqc"):
        export(session, foreign)


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff", "participant\tid\n1\n"])
def test_damaged_tables_of_the_data_set(tmp_path: Path, content: str) -> None:
    out = tmp_path / "bids"
    export(made(tmp_path / "a.h5"), out)
    (out / "participants.tsv").write_bytes(content.encode("latin-1"))
    with pytest.raises(OutputError) as caught:
        export(made(tmp_path / "b.h5", "P02"), out)
    assert len(str(caught.value).splitlines()) == 1
    assert not (out / "sub-P02").exists()


# --- labels ------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1), unique=True, max_size=12))
@settings(deadline=None, max_examples=200)
def test_no_two_ids_share_a_label(ids: list[str]) -> None:
    taken: set[str] = set()
    for text in ids:
        label = free_label(text, taken)
        assert label.isascii()
        assert label.isalnum()
        assert label.casefold() not in taken
        taken.add(label.casefold())


def test_an_id_that_looks_like_a_label_of_another(tmp_path: Path) -> None:
    marked = next(labels_for("P-01"))
    for number, participant in enumerate(["P-01", marked, "P-01"]):
        export(made(tmp_path / f"{number}.h5", participant), tmp_path / "bids")
    rows = rows_of(tmp_path / "bids" / "participants.tsv")
    assert sorted(row["original_id"] for row in rows) == ["P-01", marked]


@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True), unique=True))
@settings(deadline=None, max_examples=100)
def test_streams_get_distinct_labels(names: list[str]) -> None:
    labels = distinct_labels(names)
    assert len({label.casefold() for label in labels}) == len(names)


def test_shifted_dates_are_years_before_1926(tmp_path: Path) -> None:
    path = simulate_session(tmp_path / "p01.h5", time_scale=0.05, streams=["cuff"]).path
    with open_key(tmp_path / "key.csv") as key:
        export_session(path, tmp_path / "shared", to="bids", deidentify=key)
    (scans,) = (tmp_path / "shared").rglob("*_scans.tsv")
    years = {int(line.split("\t")[1][:4]) for line in scans.read_text().splitlines()[1:]}
    assert years
    assert all(1700 < year <= 1925 for year in years)
