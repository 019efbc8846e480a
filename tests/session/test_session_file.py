"""The session file: what is written comes back, and what is no session is refused in one line."""

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import OutputError, PhysioError, SessionFileError
from physio_hqc.session import EVENT_DTYPE, BlockFlag, Session, SessionWriter, open_session


def write_small(path: Path, **kwargs: object) -> Path:
    with SessionWriter(
        path,
        participant_id="P01",
        condition="support",
        t0_unix_ns=1_700_000_000_000_000_000,
        **kwargs,
    ) as writer:
        writer.add_stream(
            "ecg", modality="ecg", units="mV", sfreq=100.0, dtype="int16", scale=0.01, offset=0.5
        )
        writer.add_stream("acc", modality="acc", units="g", sfreq=10.0, channels=["x", "y", "z"])
        writer.add_stream(
            "cuff",
            modality="cuff",
            units="mmHg,mmHg,mmHg,1/min",
            sfreq=0,
            channels=["SBP", "DBP", "MAP", "HR"],
        )
        writer.append_segment("ecg", np.arange(1000, dtype=np.int16), 0.0)
        writer.append_segment("ecg", np.arange(500, dtype=np.int16), 12.0)
        writer.append_segment("acc", np.arange(30.0).reshape(10, 3), 1.0)
        writer.append_irregular("cuff", [3.0, 9.0], [[120, 80, 93, 70], [130, 85, 100, np.nan]])
        writer.add_event(0.0, "phase", "baseline", duration=10.0)
        writer.add_event(12.0, "interaction", "with confederate", payload={"partner": "C2"})
        writer.add_event(5.0, "marker", "µ-marker")
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path / "small.h5")


def test_samples_times_and_attributes_come_back(small: Path) -> None:
    with open_session(small) as session:
        assert (session.participant_id, session.condition, session.closed) == (
            "P01",
            "support",
            True,
        )
        assert session.t0_unix_ns == 1_700_000_000_000_000_000
        assert session.created_utc == "2023-11-14T22:13:20.000+00:00"
        ecg = session.streams["ecg"]
        stored = np.concatenate([np.arange(1000), np.arange(500)])
        np.testing.assert_allclose(ecg.samples, stored * 0.01 + 0.5)
        expected = np.concatenate([np.arange(1000) / 100, 12 + np.arange(500) / 100])
        np.testing.assert_allclose(ecg.times, expected, atol=1e-9)
        acc = session.streams["acc"]
        assert acc.samples.shape == (10, 3)
        assert acc.channels == ("x", "y", "z")
        cuff = session.streams["cuff"]
        np.testing.assert_array_equal(cuff.times, [3.0, 9.0])
        np.testing.assert_array_equal(cuff.samples[1], [130, 85, 100, np.nan])
        assert session.duration == pytest.approx(16.99)


def test_what_lies_before_the_start_has_no_duration(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "p01.h5") as writer:
        writer.add_stream("eda", modality="eda", units="uS", sfreq=4)
        writer.append_segment("eda", np.ones(8), t_start=-10.0)
    with open_session(tmp_path / "p01.h5") as session:
        assert session.streams["eda"].t_end < 0
        assert session.duration == 0


def test_slicing_by_time_reads_half_open_ranges(small: Path) -> None:
    with open_session(small) as session:
        times, samples = session.streams["ecg"].read(9.5, 12.03)
        expected = np.concatenate([9.5 + np.arange(50) / 100, [12.0, 12.01, 12.02]])
        np.testing.assert_allclose(times, expected, atol=1e-9)
        np.testing.assert_allclose(samples[-3:], [0.5, 0.51, 0.52])
        assert session.streams["ecg"].read(10.2, 11.9)[0].size == 0
        assert session.streams["cuff"].read(tmin=3.0, tmax=9.0)[0].tolist() == [3.0]


def test_filled_puts_nan_into_the_gap_and_keeps_time_even(small: Path) -> None:
    with open_session(small) as session:
        times, samples = session.streams["ecg"].filled()
    np.testing.assert_allclose(times, np.arange(1700) / 100, atol=1e-9)
    assert np.isnan(samples[1000:1200]).all()
    assert np.isfinite(samples[:1000]).all()
    assert np.isfinite(samples[1200:]).all()


def test_segments_tell_where_and_why(small: Path) -> None:
    with open_session(small) as session:
        rows = session.streams["ecg"].segments
    assert rows["start"].tolist() == [0, 1000]
    assert rows["t_start"].tolist() == pytest.approx([0.0, 12.0])
    assert rows["t_end"].tolist() == pytest.approx([10.0, 17.0])
    assert rows["reason"].tolist() == ["", "gap"]


def test_events_and_windows(small: Path) -> None:
    with open_session(small) as session:
        events = session.events
        assert events["label"].tolist() == ["baseline", "µ-marker", "with confederate"]
        assert events["payload"].tolist() == [{}, {}, {"partner": "C2"}]
        assert session.windows(kind="phase")["label"].tolist() == ["baseline"]
        assert session.windows(label="with confederate")["onset"].tolist() == [12.0]
        assert len(session.windows()) == 2


def test_open_events_end_with_the_session_or_when_told(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        first = writer.add_event(1.0, "phase", "rest", duration=float("nan"))
        writer.add_event(4.0, "phase", "speech", duration=float("nan"))
        writer.add_event(9.0, "marker", "end")
        writer.end_event(first, 4.0)
    with open_session(tmp_path / "s.h5") as session:
        assert np.isnan(session.events["duration"][1])
        assert session.windows()["duration"].tolist() == [3.0, 5.0]


def test_a_repeated_packet_is_dropped_and_flagged(tmp_path: Path) -> None:
    packet = np.arange(10, dtype=np.int16)
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=10.0, dtype="int16")
        assert writer.append("ecg", packet, 1.05, 0.9)
        assert not writer.append("ecg", packet, 1.06, 0.9)
        assert writer.append("ecg", packet, 2.05, 1.9)
    with open_session(tmp_path / "s.h5") as session:
        stream = session.streams["ecg"]
        assert stream.n_samples == 20
        assert stream.blocks["flags"].tolist() == [0, BlockFlag.DUPLICATE_DROPPED]


def test_late_packets_are_presented_in_order_and_slices_follow(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=10.0, dtype="int32")
        for k in [0, 1, 3, 2, 4, 6, 5, 7]:
            writer.append("ecg", np.arange(10) + 10 * k, 10.0 + k, float(k) + 0.9)
    with open_session(tmp_path / "s.h5") as session:
        stream = session.streams["ecg"]
        np.testing.assert_array_equal(stream.samples, np.arange(80))
        assert stream.timebase.n_reordered == 2
        for start, stop in [(0, 80), (15, 38), (29, 31), (20, 20), (55, 80)]:
            t = stream.times
            end = t[stop] if stop < 80 else None
            np.testing.assert_array_equal(stream.read(t[start], end)[1], np.arange(start, stop))


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(["int8", "uint8", "int16", "int32", "uint16", "float32", "float64"]),
    n_channels=st.integers(1, 3),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    compress=st.booleans(),
)
def test_any_number_type_comes_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    n_channels: int,
    sizes: list[int],
    seed: int,
    compress: bool,
) -> None:
    path = tmp_path_factory.mktemp("types") / "s.h5"
    rng = np.random.default_rng(seed)
    shape = (sum(sizes), n_channels) if n_channels > 1 else (sum(sizes),)
    data = (rng.normal(size=shape) * 50).astype(dtype)
    with SessionWriter(path) as writer:
        writer.add_stream(
            "x",
            modality="other",
            units="",
            sfreq=20.0,
            dtype=dtype,
            channels=[f"c{k}" for k in range(n_channels)],
            compress=compress,
        )
        for k, part in enumerate(np.split(data, np.cumsum(sizes)[:-1])):
            writer.append("x", part, 1.0 + k, float("nan"))
    with open_session(path) as session:
        np.testing.assert_array_equal(session.streams["x"].samples, data.astype(np.float64))


def test_to_mne_raw_has_volts_siemens_and_annotations(small: Path) -> None:
    with open_session(small) as session:
        raw = session.to_mne_raw(["ecg", "acc"])
    assert isinstance(raw, mne.io.BaseRaw)
    assert raw.info["sfreq"] == pytest.approx(100.0)
    assert raw.get_channel_types() == ["ecg", "misc", "misc", "misc"]
    np.testing.assert_allclose(raw.get_data("ECG")[0, :1000], (np.arange(1000) * 0.01 + 0.5) / 1e3)
    described = dict(zip(raw.annotations.description, raw.annotations.onset, strict=True))
    assert described["phase/baseline"] == 0.0
    assert described["interaction/with confederate"] == 12.0
    gap = raw.annotations[[str(d) == "BAD_gap" for d in raw.annotations.description]]
    assert ("ECG",) in gap.ch_names.tolist()
    k = gap.ch_names.tolist().index(("ECG",))
    assert (gap.onset[k], gap.duration[k]) == (pytest.approx(10.0), pytest.approx(2.0))
    assert raw.info["meas_date"].timestamp() == 1_700_000_000


@pytest.mark.parametrize("streams", [["cuff"], ["nope"], []])
def test_to_mne_raw_refuses_what_it_cannot_hold(small: Path, streams: list[str]) -> None:
    with open_session(small) as session, pytest.raises(SessionFileError):
        session.to_mne_raw(streams)


RECORDER = """
import sys, time
import numpy as np
from physio_hqc.session import SessionWriter
writer = SessionWriter(sys.argv[1])
writer.add_stream("eda", modality="eda", units="uS", sfreq=4.0)
writer.add_event(0.0, "phase", "rest", duration=float("nan"))
writer.append("eda", np.full(40, 5.0), 10.0)
writer.flush()
time.sleep(60)
"""


def test_a_growing_file_can_be_read_and_survives_its_recorder(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    with subprocess.Popen([sys.executable, "-c", RECORDER, str(path)]) as recorder:
        try:
            with _opened_when_ready(path) as session:
                assert not session.closed
                assert session.streams["eda"].n_samples == 40
                assert session.windows()["label"].tolist() == ["rest"]
        finally:
            recorder.kill()
    with open_session(path) as session:
        assert not session.closed
        np.testing.assert_array_equal(session.streams["eda"].samples, np.full(40, 5.0))
    content = path.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(SessionFileError, match=r"not closed and is damaged|truncated"):
        open_session(cut)


def _opened_when_ready(path: Path) -> Session:
    for _ in range(300):
        time.sleep(0.1)
        try:
            session = open_session(path)
        except SessionFileError:
            continue
        if session.streams and session.streams["eda"].n_samples:
            return session
        session.close()
    raise AssertionError("the recorder never wrote")


def test_atomic_writing_leaves_the_old_file_or_the_new(small: Path) -> None:
    before = small.read_bytes()
    with pytest.raises(SessionFileError), SessionWriter(small, overwrite=True, atomic=True) as half:
        half.add_event(0.0, "party", "an error in the middle")
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]
    with SessionWriter(small, overwrite=True, atomic=True) as writer:
        writer.add_event(0.0, "note", "whole")
    with open_session(small) as session:
        assert session.events["label"].tolist() == ["whole"]
    assert list(small.parent.iterdir()) == [small]


def test_an_existing_file_is_not_overwritten_unasked(small: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        SessionWriter(small)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot create"):
        SessionWriter(tmp_path / "no" / "such" / "s.h5")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.add_stream("1x", modality="ecg", units="", sfreq=1.0), "no stream name"),
        (lambda w: w.add_stream("../x", modality="ecg", units="", sfreq=1.0), "no stream name"),
        (lambda w: w.add_stream("y", modality="eeg", units="", sfreq=1.0), "unknown modality"),
        (lambda w: w.add_stream("y", modality="ecg", units="", sfreq=-1.0), "no sense"),
        (lambda w: w.add_stream("x", modality="ecg", units="", sfreq=1.0), "exists already"),
        (lambda w: w.append("nope", [1], 0.0), "no stream 'nope'"),
        (lambda w: w.append("x", [0.5], 0.0), "fractions would be lost"),
        (lambda w: w.append("x", [70_000], 0.0), "does not fit"),
        (lambda w: w.append("x", [[1, 2]], 0.0), "do not fit"),
        (lambda w: w.append("x", ["a"], 0.0), "must be numbers"),
        (lambda w: w.append("x", [1], float("nan")), "without an arrival time"),
        (lambda w: w.append_irregular("x", [1.0], [1]), "has a rate"),
        (lambda w: w.append_segment("i", [1.0], 0.0), "is irregular"),
        (lambda w: w.append_irregular("i", [1.0, 2.0], [1.0]), "do not fit"),
        (lambda w: w.add_event(0.0, "party", "x"), "unknown event kind"),
        (lambda w: w.add_event(float("nan"), "note", "x"), "no sense"),
        (lambda w: w.add_event(0.0, "note", "x", duration=-1.0), "no sense"),
        (lambda w: w.add_event(0.0, "note", "x", payload={"t": "a" * 5000}), "exceeds 4096"),
        (lambda w: w.add_event(0.0, "note", "x", payload={"t": object()}), "JSON"),
        (lambda w: w.end_event(3, 1.0), "no event 3"),
    ],
)
def test_the_writer_refuses_what_makes_no_sense(tmp_path: Path, call, message: str) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("x", modality="ecg", units="mV", sfreq=10.0, dtype="int16")
        writer.add_stream("i", modality="rr", units="s", sfreq=0)
        with pytest.raises(SessionFileError, match=message):
            call(writer)


def test_streams_are_declared_before_the_first_packet(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_event(0.0, "note", "begun")
        with pytest.raises(SessionFileError, match="before the first packet"):
            writer.add_stream("x", modality="ecg", units="mV", sfreq=10.0)


def test_overlapping_stretches_are_refused(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("x", modality="ecg", units="mV", sfreq=10.0)
        writer.append_segment("x", np.zeros(100), 0.0)
        with pytest.raises(SessionFileError, match="before the previous one ended"):
            writer.append_segment("x", np.zeros(10), 5.0)


def test_long_labels_are_cut_and_kept_whole_in_the_payload(tmp_path: Path) -> None:
    label = "ä" * 300
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_event(0.0, "note", label)
    with open_session(tmp_path / "s.h5") as session:
        assert session.events["label"][0] == "ä" * 128
        assert session.events["payload"][0]["label"] == label


# --- what is no session -------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    with pytest.raises(SessionFileError, match=match) as caught:
        open_session(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_missing_empty_folder_and_foreign_files(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.h5", "No such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.h5").touch()
    refused(tmp_path / "empty.h5", "is empty")
    (tmp_path / "text.h5").write_text("onset,duration\n" * 100)
    refused(tmp_path / "text.h5", "no session file")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    refused(tmp_path / "other.h5", "no physio_hqc session")


def test_a_newer_format_is_named(small: Path) -> None:
    with h5py.File(small, "r+") as file:
        file.attrs["format_version"] = 2
    refused(small, "format version 2.*update physio_hqc")


def test_every_truncation_is_one_clear_error(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    cut = tmp_path / "cut.h5"
    for size in np.linspace(1, len(whole) - 1, 100).astype(int):
        cut.write_bytes(whole[:size])
        with pytest.raises(SessionFileError) as caught:
            open_session(cut)
        assert "\n" not in str(caught.value)
    assert "truncated" in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flips"
    folder.mkdir(exist_ok=True)
    whole = folder / "whole.h5"
    if not whole.exists():
        write_small(whole)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    broken = folder / "broken.h5"
    broken.write_bytes(bytes(content))
    with contextlib.suppress(PhysioError), open_session(broken) as session:
        for stream in session.streams.values():
            assert len(stream.samples) == len(stream.times)
        assert len(session.events) == len(session.events["label"])


def test_links_to_elsewhere_are_not_followed(small: Path, tmp_path: Path) -> None:
    secret = write_small(tmp_path / "secret.h5")
    for link in (h5py.ExternalLink(str(secret), "/streams/ecg"), h5py.SoftLink("/streams/ecg")):
        hostile = tmp_path / "hostile.h5"
        shutil.copy(small, hostile)
        with h5py.File(hostile, "r+") as file:
            del file["streams/acc"]
            file["streams/acc"] = link
        refused(hostile, "link to elsewhere")
    with h5py.File(hostile, "r+") as file:
        del file["streams/acc"]
        del file["events"]
        file["events"] = h5py.ExternalLink(str(secret), "/events")
    refused(hostile, "link to elsewhere")


def test_data_kept_in_other_files_is_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(bytes(8000))
    with h5py.File(small, "r+") as file:
        del file["streams/ecg/samples"]
        file["streams/ecg"].create_dataset(
            "samples", (1000,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 8000)]
        )
    refused(small, "refers to other files")
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (1000,))
    with h5py.File(small, "r+") as file:
        del file["streams/ecg/samples"]
        file["streams/ecg"].create_virtual_dataset("samples", layout)
    refused(small, "refers to other files")


@pytest.mark.parametrize("name", ["streams/ecg/samples", "streams/ecg/blocks", "events"])
def test_absurd_sizes_are_refused_before_allocation(small: Path, name: str) -> None:
    with h5py.File(small, "r+") as file:
        dtype = file[name].dtype
        del file[name]
        file.create_dataset(name, (10**12,), dtype, chunks=(1000,), compression="gzip")
    refused(small, "more than the file holds")


def test_an_events_table_of_another_shape_is_refused(small: Path) -> None:
    wide = np.dtype([(n, EVENT_DTYPE[n]) for n in EVENT_DTYPE.names] + [("more", "S1000000")])
    with h5py.File(small, "r+") as file:
        del file["events"]
        file.create_dataset("events", (3,), wide)
    refused(small, "not laid out")


def test_packets_beyond_the_samples_are_refused(small: Path) -> None:
    with h5py.File(small, "r+") as file:
        rows = file["streams/ecg/blocks"][:]
        rows["n_samples"][1] = 10**9
        file["streams/ecg/blocks"][:] = rows
    with (
        open_session(small) as session,
        pytest.raises(SessionFileError, match="beyond its samples"),
    ):
        _ = session.streams["ecg"].times


def test_hostile_attributes_are_refused(small: Path, tmp_path: Path) -> None:
    for name, value in [("sfreq", np.inf), ("channels", "[1"), ("device", "[]"), ("scale", "x")]:
        hostile = tmp_path / "hostile.h5"
        shutil.copy(small, hostile)
        with h5py.File(hostile, "r+") as file:
            file["streams/ecg"].attrs[name] = value
        with pytest.raises(SessionFileError):
            open_session(hostile)


def test_the_same_session_is_the_same_bytes_whenever_it_is_written(tmp_path: Path) -> None:
    for name in ("now.h5", "later.h5"):
        with SessionWriter(
            tmp_path / name, session_id="x", t0_unix_ns=1, created_utc="2026-01-01"
        ) as writer:
            writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
            writer.append_segment("eda", [1.0, 2.0], t_start=0.0)
            writer.add_event(0.0, "marker", "m")
        # HDF5 counts seconds.
        time.sleep(1.05)
    assert (tmp_path / "now.h5").read_bytes() == (tmp_path / "later.h5").read_bytes()


def test_to_mne_raw_makes_no_gigabytes_of_a_tiny_file(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("eda", modality="eda", units="uS", sfreq=1000.0)
        writer.append_segment("eda", np.zeros(100), t_start=0.0)
        writer.append_segment("eda", np.zeros(100), t_start=400_000.0)
    with open_session(tmp_path / "s.h5") as session, pytest.raises(SessionFileError) as refused:
        session.to_mne_raw()
    assert len(str(refused.value).splitlines()) == 1
    with open_session(tmp_path / "s.h5") as session, pytest.raises(SessionFileError):
        session.to_mne_raw(sfreq=1e9)


def test_to_mne_raw_of_a_short_stretch_long_after_the_start(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("eda", modality="eda", units="uS", sfreq=100.0)
        writer.append_segment("eda", np.zeros(500), t_start=3600.0)
    with open_session(tmp_path / "s.h5") as session:
        assert session.to_mne_raw().n_times == 360_500
