"""BIDS back in: what we exported bit for bit, what others wrote as meant, nothing hostile."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc import import_recording, open_session
from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.exporters.bids import write_bids
from physio_hqc.exporters.content import read_content
from physio_hqc.importers import _bids_files, read_recording
from physio_hqc.importers.recording import Recording
from physio_hqc.session import SessionWriter

SAMPLES = Path(__file__).resolve().parents[2] / "sample_recordings"


def export(session: Path, out: Path) -> list[Path]:
    with open_session(session) as opened:
        return write_bids(read_content(opened), out)[0]


def back(session: Path, folder: Path) -> Path:
    """Export and import again."""
    export(session, folder / "bids")
    [source] = (folder / "bids").glob("sub-*")
    return import_recording(source, folder / "back.h5").path


def assert_same(first: Path, second: Path) -> None:
    """Every fact, sample and event is equal; times to what the session file itself keeps."""
    with open_session(first) as a, open_session(second) as b:
        for fact in ("session_id", "participant_id", "condition", "dyad_id", "role", "protocol"):
            assert getattr(a, fact) == getattr(b, fact), fact
        assert a.t0_unix_ns == b.t0_unix_ns
        assert list(a.streams) == list(b.streams)
        for name, one in a.streams.items():
            two = b.streams[name]
            assert (one.modality, one.units, one.sfreq) == (two.modality, two.units, two.sfreq)
            assert (one.channels, one.device) == (two.channels, two.device)
            assert one.stored.dtype == two.stored.dtype
            np.testing.assert_array_equal(one.samples, two.samples)
            np.testing.assert_allclose(one.times, two.times, rtol=0, atol=1e-9)
            assert list(one.segments["start"]) == list(two.segments["start"])
        pd_events = a.events
        assert pd_events.equals(b.events)


def assert_recording_is(session: Path, recording: Recording) -> None:
    """The recording as read holds the very numbers of the session's time base."""
    with open_session(session) as opened:
        channels = {channel.stream: channel for channel in recording.channels}
        assert list(channels) == list(opened.streams)
        for name, stream in opened.streams.items():
            channel = channels[name]
            if channel.times is not None:
                np.testing.assert_array_equal(channel.times, stream.times)
                continue
            rows = stream.segments[stream.segments["stop"] > stream.segments["start"]]
            assert [part.t_start for part in channel.segments] == rows["t_start"].tolist()
            assert [part.sfreq for part in channel.segments] == rows["sfreq"].tolist()
            raw = np.concatenate([part.samples for part in channel.segments])
            np.testing.assert_array_equal(raw, stream.stored)


# --- round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alone", "support", "nonsupport"])
def test_sample_recordings_come_back(name: str, tmp_path: Path) -> None:
    session = SAMPLES / f"{name}.h5"
    assert_same(session, back(session, tmp_path))
    [folder] = (tmp_path / "bids").glob("sub-*")
    assert_recording_is(session, read_recording(folder))


def test_any_physio_file_stands_for_its_session(tmp_path: Path) -> None:
    export(SAMPLES / "support.h5", tmp_path / "bids")
    files = sorted((tmp_path / "bids").rglob("*_physio.tsv.gz"))
    read = [read_recording(file) for file in files]
    assert [len(recording.channels) for recording in read] == [4, 4, 4]
    assert {recording.condition for recording in read} == {"support"}
    assert {recording.participant_id for recording in read} == {"S02"}


def test_packets_with_drift_and_losses_come_back(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    rng = np.random.default_rng(2)
    with SessionWriter(path, participant_id="P 1/ä", t0_unix_ns=-5) as writer:
        writer.add_stream("polar", modality="ecg", units="uV", sfreq=130.0, dtype="int32")
        for k in range(200):
            if 80 <= k < 90:
                continue
            t = k * 73 / 130.02
            packet = rng.integers(-(2**20), 2**20, 73)
            writer.append("polar", packet, t + rng.uniform(0.02, 0.2), t_device=100 + t)
    assert_same(path, back(path, tmp_path))


def test_scales_per_channel_and_awkward_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with SessionWriter(path) as writer:
        writer.add_stream(
            "acc", modality="acc", units="g", sfreq=10.0, dtype="int16", channels=["x", "x y"],
            scale=[0.1, 1 / 3], offset=[0.0, -7.7],
        )  # fmt: skip
        writer.add_stream("note", modality="other", units="", sfreq=1.0, dtype="float32", scale=0.1)
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=5.0, device={"model": "x"})
        writer.append_segment("acc", [[1, 2], [-32768, 32767], [0, -1]], t_start=-3.3)
        writer.append_segment("note", [1e-30, np.nan, 3e8, -0.0], t_start=1 / 3)
    result = back(path, tmp_path)
    with open_session(path) as a, open_session(result) as b:
        for name in ("acc", "note", "ecg"):
            one, two = a.streams[name].samples, b.streams[name].samples
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(np.signbit(one), np.signbit(two))
        assert b.streams["acc"].channels == ("x", "x y")
        assert b.streams["acc"].stored.dtype == np.int16
        assert b.participant_id == ""


SAMPLE = st.floats(-1e100, 1e100) | st.just(float("nan"))
TEXT = st.text(max_size=40).filter(lambda text: "\x00" not in text)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EVENT = st.tuples(
    st.floats(-100, 1e6),
    st.sampled_from(["phase", "interaction", "marker", "rating", "note", "system"]),
    TEXT,
    st.one_of(st.floats(0, 1e5), st.just(float("nan"))),
    TEXT,
    st.dictionaries(TEXT | st.sampled_from(["value", "partner", "onset", "extra"]), JSON),
)


@given(
    st.lists(st.tuples(st.floats(0.5, 20), st.lists(SAMPLE, min_size=1, max_size=8)), max_size=5),
    st.lists(st.tuples(st.floats(0, 1e5), SAMPLE), max_size=6),
    st.lists(EVENT, max_size=5),
    st.lists(TEXT, min_size=5, max_size=5),
)
@settings(deadline=None, max_examples=40)
def test_whatever_a_session_holds_comes_back(
    parts: list[tuple[float, list[float]]],
    readings: list[tuple[float, float]],
    events: list[tuple[float, str, str, float, str, dict[str, Any]]],
    about: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "a.h5"
        keys = ("participant_id", "condition", "dyad_id", "role", "protocol")
        with SessionWriter(path, **dict(zip(keys, about, strict=True))) as writer:
            writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
            writer.add_stream("rr", modality="rr", units="s", sfreq=0)
            writer.add_stream("ecg", modality="ecg", units="mV", sfreq=50.0, dtype="int16")
            writer.append_segment("ecg", [1, 2, 3], t_start=0.0)
            start = 0.0
            for gap, samples in parts:
                start += gap
                writer.append_segment("eda", samples, t_start=start)
                start += len(samples) / 4
            for time, value in sorted(readings):
                writer.append_irregular("rr", [time], [value])
            for onset, kind, label, duration, source, payload in events:
                writer.add_event(
                    onset, kind, label, duration=duration, source=source, payload=payload
                )
        assert_same(path, back(path, folder))


# --- data sets of others -----------------------------------------------------------------------


def told(sfreq: float, channels: list[str]) -> dict[str, Any]:
    """What our own export tells of a stream, as far as it has to."""
    segments = {"row": [0], "n": [2], "t_start": [0], "sfreq": [sfreq]}
    stream = {"name": "p", "modality": "ppg", "units": "V", "sfreq": 50, "channels": channels}
    return {"PhysioHqc": {"Stream": {**stream, "segments": segments}}}


def foreign(root: Path, **sidecar: Any) -> Path:
    """Make a data set as others write them: sidecars at the root, an MRI run, a long StartTime."""
    folder = root / "sub-01" / "ses-a" / "func"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    shared = {
        "SamplingFrequency": 50,
        "StartTime": -22.345,
        "Columns": ["cardiac", "respiratory", "trigger"],
        "cardiac": {"Units": "mV", "Description": "wrong: told nearer the file"},
        **sidecar,
    }
    (root / "task-rest_physio.json").write_text(json.dumps(shared))
    (root / "task-other_physio.json").write_text(json.dumps({"SamplingFrequency": 1}))
    near = {"cardiac": {"Description": "ECG lead II", "Units": "mV"}}
    (folder.parent / "sub-01_ses-a_task-rest_physio.json").write_text(json.dumps(near))
    lines = [f"{k / 10}\t{'n/a' if k == 3 else -k}\t0" for k in range(100)]
    data = folder / "sub-01_ses-a_task-rest_run-1_physio.tsv.gz"
    data.write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "sub-01_ses-a_task-rest_run-1_events.tsv").write_text(
        "onset\tduration\ttrial_type\tresponse_time\tstim_file\n"
        "-1.5\t0\tgo\t0.35\tn/a\nn/a\t1\tlost\tn/a\tn/a\n2\tn/a\tstop\tn/a\ta.png\n"
    )
    (folder.parent / "sub-01_ses-a_scans.tsv").write_text(
        f"filename\tacq_time\nfunc/{data.name}\t2020-01-02T03:04:05.5\n"
    )
    return data


def test_a_data_set_of_others(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    recording = read_recording(data)
    cardiac, breath, trigger = recording.channels
    assert (cardiac.modality, breath.modality, trigger.modality) == ("ecg", "resp", None)
    assert (cardiac.units, breath.units, cardiac.sfreq) == ("mV", "", 50.0)
    assert cardiac.segments[0].t_start == -22.345
    np.testing.assert_array_equal(cardiac.segments[0].samples, np.arange(100) / 10)
    assert np.flatnonzero(np.isnan(breath.segments[0].samples)).tolist() == [3]
    first, second = recording.markers
    assert (first.onset, first.label, first.payload) == (-1.5, "go", {"response_time": 0.35})
    assert (second.onset, second.duration, second.payload) == (2.0, 0.0, {"stim_file": "a.png"})
    assert recording.participant_id == "01"
    assert recording.t0_unix_ns == 1_577_934_245_500_000_000
    assert any("without an onset" in note for note in recording.notes)
    report = import_recording(tmp_path / "sub-01", tmp_path / "a.h5")
    assert [(s.name, s.modality) for s in report.streams][:2] == [("ecg", "ecg"), ("resp", "resp")]


def test_a_pulse_without_words_is_a_pulse(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    (data.parent.parent / "sub-01_ses-a_task-rest_physio.json").unlink()
    (tmp_path / "sub-01" / "task-rest_physio.json").write_text('{"cardiac": {"Units": "V"}}')
    [cardiac, *_] = read_recording(data).channels
    assert (cardiac.modality, cardiac.units) == ("ppg", "V")


def test_several_recordings_are_named(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    other = data.with_name(data.name.replace("run-1", "run-2"))
    other.write_bytes(data.read_bytes())
    with pytest.raises(RecordingError, match=r"2 recordings: import one of them.*run-1"):
        read_recording(tmp_path / "sub-01")
    assert read_recording(other).markers == ()


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ({"SamplingFrequency": None}, "no SamplingFrequency"),
        ({"SamplingFrequency": -1}, "no SamplingFrequency"),
        ({"SamplingFrequency": True}, "no SamplingFrequency"),
        ({"StartTime": "soon"}, "StartTime"),
        ({"Columns": None}, "names no Columns"),
        ({"Columns": ["a", "a", "b"]}, "make no sense"),
        ({"Columns": ["a"]}, "3 cells"),
        ({"PhysioHqc": {"Stream": {"name": "ecg"}}}, "no segments"),
        (
            {"PhysioHqc": {"Stream": {"segments": {"row": [0], "n": [10**9], "t_start": [0],
             "sfreq": [50]}}}},
            "does not hold",
        ),
        (told(-0.0, ["red", "green", "blue"]), "rate"),
        (told(50.0, ["red", "green"]), "2 components"),
    ],
)  # fmt: skip
def test_sidecars_that_make_no_sense(tmp_path: Path, sidecar: dict[str, Any], message: str) -> None:
    data = foreign(tmp_path, **sidecar)
    with pytest.raises(RecordingError, match=message) as caught:
        read_recording(data)
    assert len(str(caught.value).splitlines()) == 1


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    line = b"0\t0\t0\n" * 1_000_000
    data.write_bytes(gzip.compress(line * 20, 9))
    assert data.stat().st_size < 500_000
    with pytest.raises(RecordingError, match="unpacks to more than"):
        read_recording(data)
    data.write_bytes(gzip.compress(b"1" * 10_000_000))
    with pytest.raises(RecordingError, match="no end"):
        read_recording(data)


def test_a_bomb_is_refused_before_its_numbers_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = foreign(tmp_path)
    data.write_bytes(gzip.compress(b"0\n" * 50_000_000, 9))

    def never(*_: object) -> None:
        raise AssertionError("numbers were read")

    monkeypatch.setattr(_bids_files, "_numbers", never)
    with pytest.raises(RecordingError, match="unpacks to more than"):
        read_recording(data)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short(tmp_path: Path, share: float) -> None:
    data = foreign(tmp_path)
    content = data.read_bytes()
    data.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RecordingError):
        read_recording(data)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    content = gzip.decompress(data.read_bytes())
    data.write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    assert len(read_recording(data).channels[0].segments[0].samples) == 100


def test_a_file_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = foreign(tmp_path)
    whole = read_recording(data).channels[0].segments[0].samples
    monkeypatch.setattr(_bids_files, "_PIECE", 37)
    np.testing.assert_array_equal(read_recording(data).channels[0].segments[0].samples, whole)


@pytest.mark.parametrize("what", ["data", "sidecar", "events"])
def test_links_that_leave_the_data_set(tmp_path: Path, what: str) -> None:
    data = foreign(tmp_path / "set")
    victim = {
        "data": data,
        "sidecar": tmp_path / "set" / "task-rest_physio.json",
        "events": data.with_name(data.name.replace("physio.tsv.gz", "events.tsv")),
    }[what]
    moved = victim.rename(tmp_path / "outside")
    victim.symlink_to(moved)
    with pytest.raises(RecordingError, match="leaves the data set"):
        read_recording(data)


def test_a_link_inside_the_data_set_is_followed(tmp_path: Path) -> None:
    data = foreign(tmp_path)
    (tmp_path / ".git" / "annex").mkdir(parents=True)
    moved = data.rename(tmp_path / ".git" / "annex" / "object")
    data.symlink_to(os.path.relpath(moved, data.parent))
    assert len(read_recording(data).channels) == 3


@pytest.mark.parametrize(
    "content", ["[]", "{", "\xff\xfe", '{"a": ' * 100_000, "[" * 200_000, '{"Columns": 1e999}']
)
def test_hostile_json(tmp_path: Path, content: str) -> None:
    data = foreign(tmp_path)
    (tmp_path / "task-rest_physio.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordingError) as caught:
        read_recording(data)
    assert len(str(caught.value).splitlines()) == 1


@given(st.binary(max_size=300), st.sampled_from(["data", "json", "events", "scans"]))
@settings(deadline=None, max_examples=150)
def test_only_our_errors_leave(noise: bytes, what: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        data = foreign(Path(name))
        victim = {
            "data": data,
            "json": Path(name) / "task-rest_physio.json",
            "events": data.with_name(data.name.replace("physio.tsv.gz", "events.tsv")),
            "scans": data.parent.parent / "sub-01_ses-a_scans.tsv",
        }[what]
        victim.write_bytes(gzip.compress(noise) if what == "data" else noise)
        with contextlib.suppress(PhysioError):
            read_recording(data)


def test_real_recordings_by_way_of_bids(shared_data: Path, tmp_path: Path) -> None:
    sources = [
        shared_data / "abp" / "3975656_0013",
        shared_data / "formats" / "acqknowledge" / "physio-5.0.1.acq",
        shared_data / "formats" / "empatica_e4",
    ]
    for number, source in enumerate(sources):
        folder = tmp_path / str(number)
        folder.mkdir()
        session = import_recording(source, folder / "first.h5", participant_id=f"R{number}").path
        assert_same(session, back(session, folder))
