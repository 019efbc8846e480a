import gzip
import struct
import warnings
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physio_hqc import open_session
from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers import import_recording
from physio_hqc.importers.xdf import read, sniff

BOUNDARY = bytes.fromhex("43A546DCCBF5410FB30ED5467383CBE4")
CODES = {"float32": "f", "double64": "d", "int16": "h", "int32": "i"}


# ---- a small writer of XDF, after the specification (version 1.0) --------------------------------


def varlen(value: int) -> bytes:
    return b"\x01" + bytes([value]) if value < 256 else b"\x04" + struct.pack("<I", value)


def chunk(tag: int, content: bytes) -> bytes:
    return varlen(len(content) + 2) + struct.pack("<H", tag) + content


def file_header(extra: str = "") -> bytes:
    return chunk(1, f"<?xml version='1.0'?><info><version>1.0</version>{extra}</info>".encode())


def header(number, name, *, kind="", rate=0.0, form="float32", labels=(), count=None) -> bytes:
    described = "".join(
        f"<channel><label>{a}</label><unit>{b}</unit><type>{c}</type></channel>"
        for a, b, c in labels
    )
    count = count or len(labels) or 1
    xml = (
        f"<?xml version='1.0'?><info><name>{escape(name)}</name><type>{kind}</type>"
        f"<channel_count>{count}</channel_count><nominal_srate>{rate}</nominal_srate>"
        f"<channel_format>{form}</channel_format>"
        f"<desc><channels>{described}</channels></desc></info>"
    )
    return chunk(2, struct.pack("<I", number) + xml.encode())


def samples(number, stamps, values, form="float32") -> bytes:
    body = varlen(len(stamps))
    for stamp, row in zip(stamps, values, strict=True):
        body += b"\x00" if np.isnan(stamp) else b"\x08" + struct.pack("<d", stamp)
        for value in np.atleast_1d(row).tolist():
            if form == "string":
                body += varlen(len(value.encode())) + value.encode()
            else:
                body += struct.pack(f"<{CODES[form]}", value)
    return chunk(3, struct.pack("<I", number) + body)


def many_samples(number, stamps, values, form="float32", size=20) -> bytes:
    parts = [
        samples(number, stamps[i : i + size], values[i : i + size], form)
        for i in range(0, len(stamps), size)
    ]
    return b"".join(parts)


def offset(number, time, value) -> bytes:
    return chunk(4, struct.pack("<Idd", number, time, value))


def footer(number, count) -> bytes:
    xml = f"<?xml version='1.0'?><info><sample_count>{count}</sample_count></info>"
    return chunk(6, struct.pack("<I", number) + xml.encode())


def write(path: Path, *chunks: bytes, extra: str = "") -> Path:
    path.write_bytes(b"XDF:" + file_header(extra) + b"".join(chunks))
    return path


def times(channel):
    return np.concatenate(
        [s.t_start + np.arange(len(s.samples)) / s.sfreq for s in channel.segments]
    )


# ---- the published example -----------------------------------------------------------------------


def test_minimal_file(shared_data):
    path = shared_data / "formats/xdf/minimal.xdf"
    assert sniff(path)
    recording = read(path)
    assert [c.name for c in recording.channels] == ["SendDataC 1", "SendDataC 2", "SendDataC 3"]
    for channel, (first, last) in zip(
        recording.channels, ((192, 15), (255, 25), (238, 35)), strict=True
    ):
        (segment,) = channel.segments
        assert segment.samples.dtype == np.int16
        assert (len(segment.samples), segment.samples[0], segment.samples[-1]) == (9, first, last)
        # Offsets of -0.1 s put the stamps 5.1-5.9 s at 5.0-5.8 s of the recorder's clock.
        assert channel.sfreq == 10
        np.testing.assert_allclose(times(channel), np.arange(9) / 10, atol=1e-9)
    assert any("second 0 is 5.000000 s" in note for note in recording.notes)
    # The text stream has no offsets: its own clock, 5.1-5.9 s.
    assert [m.label for m in recording.markers][1:] == 2 * ["Hello", "World", "from", "LSL"]
    np.testing.assert_allclose([m.onset for m in recording.markers], np.arange(1, 10) / 10)
    assert any("'SendDataString' has no clock offsets" in note for note in recording.notes)


# ---- time ----------------------------------------------------------------------------------------


def test_a_two_minute_hole_at_4_hz_is_a_gap(tmp_path):
    rng = np.random.default_rng(1)
    stamps = np.concatenate([np.arange(400), np.arange(880, 1280)]) / 4 + 1000
    jittered = stamps + rng.uniform(-0.02, 0.02, stamps.size)
    path = write(
        tmp_path / "a.xdf",
        header(1, "EDA", rate=4, labels=[("EDA", "uS", "EDA")]),
        many_samples(1, jittered, np.arange(800.0)),
        footer(1, 800),
    )
    (channel,) = read(path).channels
    assert [len(s.samples) for s in channel.segments] == [400, 400]
    assert channel.segments[1].t_start - channel.segments[0].t_start == pytest.approx(220, abs=0.01)
    np.testing.assert_allclose(times(channel), stamps - 1000, atol=0.01)
    assert (channel.modality, channel.units) == ("eda", "uS")


def test_a_lasting_half_second_loss_is_a_gap_and_a_late_packet_is_none(tmp_path):
    true = np.arange(5000) / 250
    true[2500:] += 0.5
    late = np.arange(5000) / 250
    late[2000:2100] += np.linspace(0.5, 0.02, 100)
    path = write(
        tmp_path / "a.xdf",
        header(1, "lost", rate=250),
        header(2, "late", rate=250),
        many_samples(1, true, np.zeros(5000)),
        many_samples(2, late, np.zeros(5000)),
    )
    lost, whole = read(path).channels
    assert [len(s.samples) for s in lost.segments] == [2500, 2500]
    np.testing.assert_allclose(times(lost), true, atol=0.002)
    assert len(whole.segments) == 1
    assert whole.segments[0].sfreq == pytest.approx(250, rel=2e-3)


def test_streams_with_different_offsets_are_aligned(tmp_path):
    # One event, seen by two computers whose clocks differ by 3000 s and drift by 50 ppm.
    true = np.arange(3000) / 100
    pulse = (true > 12).astype(float)
    here = true + 50
    there = (true + 3050) * (1 + 50e-6)
    chunks = [header(1, "here", rate=100), header(2, "there", rate=100)]
    chunks += [many_samples(1, here, pulse), many_samples(2, there, pulse)]
    rng = np.random.default_rng(2)
    for moment in np.arange(0, 30, 5.0):
        at = (moment + 3050) * (1 + 50e-6)
        chunks.append(offset(1, moment + 50, 0.0))
        chunks.append(offset(2, at, moment + 50 - at + rng.normal(0, 5e-5)))
    a, b = read(write(tmp_path / "a.xdf", *chunks)).channels
    onsets = [times(c)[np.argmax(c.segments[0].samples)] for c in (a, b)]
    assert abs(onsets[0] - onsets[1]) < 1e-3
    assert b.segments[0].sfreq == pytest.approx(100, rel=1e-5)
    assert onsets[0] == pytest.approx(12.01, abs=1e-3)


def test_a_clock_reset_is_a_new_stretch_on_the_right_place(tmp_path):
    # The sender restarts after 100 s: its clock falls from 5100 s to 10 s, samples pause for 20 s.
    first, second = np.arange(10_000) / 100, np.arange(10_000) / 100
    chunks = [header(1, "ECG", rate=100), many_samples(1, first + 5000, first)]
    chunks += [offset(1, 5000 + t, -4000.0) for t in np.arange(0, 100, 5.0)]
    chunks += [many_samples(1, second + 10, second)]
    chunks += [offset(1, 10 + t, 1110.0) for t in np.arange(0, 100, 5.0)]
    recording = read(write(tmp_path / "a.xdf", *chunks))
    (channel,) = recording.channels
    assert [len(s.samples) for s in channel.segments] == [10_000, 10_000]
    assert [s.t_start for s in channel.segments] == pytest.approx([0, 120], abs=1e-3)
    assert any("clock was reset 1 times" in note for note in recording.notes)


def test_the_rate_that_was_delivered_per_stretch(tmp_path):
    stamps = np.concatenate([np.arange(8000) / 130.273, 200 + np.arange(8000) / 129.8])
    path = write(tmp_path / "a.xdf", header(1, "H10", rate=130), many_samples(1, stamps, stamps))
    (channel,) = read(path).channels
    assert [s.sfreq for s in channel.segments] == pytest.approx([130.273, 129.8], rel=1e-6)
    assert channel.sfreq == 130


def test_stamps_left_out_are_deduced(tmp_path):
    stamps = np.full(100, np.nan)
    stamps[0] = 7.0
    path = write(tmp_path / "a.xdf", header(1, "x", rate=50), samples(1, stamps, np.arange(100.0)))
    (channel,) = read(path).channels
    np.testing.assert_allclose(times(channel), np.arange(100) / 50, atol=1e-9)


def test_irregular_stream_keeps_its_times(tmp_path):
    path = write(
        tmp_path / "a.xdf",
        header(1, "RR", labels=[("RR", "ms", "RR")]),
        samples(1, [10.8, 11.5, 12.4], [800.0, 700.0, 900.0]),
    )
    (channel,) = read(path).channels
    assert channel.sfreq == 0
    np.testing.assert_allclose(channel.times, [0, 0.7, 1.6])
    assert channel.segments[0].samples.tolist() == [800, 700, 900]


def test_date_of_the_file_header(tmp_path):
    date = "<datetime>2026-03-14T15:09:26.5+0100</datetime>"
    chunks = (header(1, "x", rate=50), samples(1, [1.0, 1.02], [1.0, 2.0]))
    recording = read(write(tmp_path / "a.xdf", *chunks, extra=date))
    assert recording.t0_unix_ns == 1773497366500 * 10**6
    assert read(write(tmp_path / "b.xdf", *chunks)).t0_unix_ns is None
    strange = read(write(tmp_path / "c.xdf", *chunks, extra="<datetime>noon</datetime>"))
    assert strange.t0_unix_ns is None


# ---- streams, names, markers ---------------------------------------------------------------------


def test_markers_of_all_kinds(tmp_path):
    texts = ["Begrüßung 握手", '{"phase": "speech"}', ""]
    path = write(
        tmp_path / "a.xdf",
        header(1, "Tags", kind="Markers", form="string"),
        header(2, "Codes", kind="Markers", form="int32"),
        samples(1, [3.0, 1.0, 4.0], [[t] for t in texts], "string"),
        samples(2, [2.0], [[7]], "int32"),
    )
    recording = read(path)
    assert recording.channels == ()
    got = [(m.onset, m.label, m.payload["stream"]) for m in recording.markers]
    assert got == [
        (0.0, '{"phase": "speech"}', "Tags"),
        (1.0, "7", "Codes"),
        (2.0, "Begrüßung 握手", "Tags"),
        (3.0, "Tags", "Tags"),
    ]
    assert {m.kind for m in recording.markers} == {"marker"}


def test_labels_units_and_types(tmp_path):
    stamps = np.arange(50) / 50
    labels = [("ECG I", "uV", "ECG"), ("belt", "a.u.", "Respiration"), ("ECG I", "", "")]
    path = write(
        tmp_path / "a.xdf",
        header(1, "hub", rate=50, labels=labels),
        samples(1, stamps, np.arange(150.0).reshape(50, 3)),
    )
    got = [(c.name, c.units, c.modality) for c in read(path).channels]
    assert got == [("ECG I", "uV", "ecg"), ("belt", "a.u.", "resp"), ("ECG I 2", "", None)]


def test_acceleration_stays_one_channel(tmp_path):
    stamps = np.arange(50) / 50
    path = write(
        tmp_path / "a.xdf",
        header(1, "H10 ACC", kind="x", rate=50, labels=[(axis, "g", "ACC") for axis in "XYZ"]),
        samples(1, stamps, np.arange(150.0).reshape(50, 3)),
    )
    (channel,) = read(path).channels
    assert (channel.name, channel.units, channel.modality) == ("H10 ACC", "g", "acc")
    assert channel.components == ("X", "Y", "Z")
    np.testing.assert_array_equal(channel.segments[0].samples[1], [3, 4, 5])


def test_empty_streams_are_told(tmp_path):
    path = write(
        tmp_path / "a.xdf",
        header(1, "nothing", rate=100),
        header(2, "x", rate=50),
        samples(2, [1.0, 1.02], [1.0, 2.0]),
        footer(1, 0),
        footer(2, 2),
    )
    recording = read(path)
    assert [c.name for c in recording.channels] == ["x"]
    assert "stream 'nothing' is empty" in recording.notes
    assert not any("footer" in note for note in recording.notes)


# ---- damage --------------------------------------------------------------------------------------


def two_chunk_file(path: Path) -> bytes:
    stamps = np.arange(100) / 50
    write(
        path,
        header(1, "x", rate=50),
        many_samples(1, stamps[:50], stamps[:50]),
        chunk(5, BOUNDARY),
        many_samples(1, stamps[50:], stamps[50:]),
        footer(1, 100),
    )
    return path.read_bytes()


def test_missing_footer_and_cut_tail_lose_only_the_tail(tmp_path):
    data = two_chunk_file(tmp_path / "a.xdf")
    path = tmp_path / "b.xdf"
    path.write_bytes(data[: -len(footer(1, 100)) - 5])
    recording = read(path)
    assert len(recording.channels[0].segments[0].samples) == 90
    assert any("end is missing" in note for note in recording.notes)
    assert any("no footer for x" in note for note in recording.notes)


def test_damage_in_the_middle_resumes_at_the_next_boundary(tmp_path):
    data = bytearray(two_chunk_file(tmp_path / "a.xdf"))
    damaged = len(b"XDF:" + file_header() + header(1, "x", rate=50))
    data[damaged] = 99
    path = tmp_path / "b.xdf"
    path.write_bytes(data)
    recording = read(path)
    assert len(recording.channels[0].segments[0].samples) == 50
    assert any("damaged at byte" in note for note in recording.notes)


def test_a_count_that_the_chunk_cannot_hold_is_left_out(tmp_path):
    good = samples(1, [1.0, 1.02], [[1.0], [2.0]])
    claims = struct.pack("<I", 1) + b"\x08" + struct.pack("<Q", 2**40) + b"\x00" * 40
    texts = struct.pack("<I", 2) + b"\x04" + struct.pack("<I", 2**32 - 1) + b"\x00" * 40
    path = write(
        tmp_path / "a.xdf",
        header(1, "x", rate=50),
        header(2, "tags", form="string"),
        chunk(3, claims),
        chunk(3, texts),
        good,
    )
    recording = read(path)
    assert len(recording.channels[0].segments[0].samples) == 2
    assert sum("more than they hold" in note for note in recording.notes) == 2


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (header(1, "x", rate=1e9), "rate"),
        (header(1, "x", rate=-1), "rate"),
        (header(1, "x", rate="nan"), "rate"),
        (header(1, "x", rate=1, count=10**9), "channels"),
        (header(1, "x", rate=1, form="float128"), "float128"),
        (header(1, "x", rate="fast"), "no channel count or rate"),
        (chunk(2, b"\x01\0\0\0<!DOCTYPE a [<!ENTITY b 'c'>]><info/>"), "entities"),
        (chunk(2, b"\x01\0\0\0" + b"<info>" * 3000 + b"</info>" * 3000), "deep"),
        (b"", "no readable stream header"),
        (header(1, "x", rate=1), "no stream holds any sample"),
    ],
)
def test_absurd_headers_are_refused(tmp_path, head, said):
    with pytest.raises(RecordingError, match=said):
        read(write(tmp_path / "a.xdf", head))


@pytest.mark.parametrize("stamp", [float("inf"), 1e300, -1e300])
def test_impossible_stamps_are_refused(tmp_path, stamp):
    path = write(tmp_path / "a.xdf", header(1, "x", rate=50), samples(1, [1.0, stamp], [[1], [2]]))
    with pytest.raises(RecordingError, match="time stamps"):
        read(path)


def test_gzipped_file(tmp_path):
    data = two_chunk_file(tmp_path / "a.xdf")
    path = tmp_path / "a.xdfz"
    path.write_bytes(gzip.compress(data))
    assert sniff(path)
    assert len(read(path).channels[0].segments[0].samples) == 100
    path.write_bytes(gzip.compress(b"XDF:" + bytes(100_000_000)))
    with pytest.raises(RecordingError, match="unpacks to more"):
        read(path)
    path.write_bytes(gzip.compress(data)[:-20])
    with pytest.raises(RecordingError, match="cannot be read"):
        read(path)


def test_what_is_no_xdf(tmp_path):
    path = tmp_path / "a.xdf"
    path.write_bytes(b"RIFF")
    assert not sniff(path)
    assert not sniff(tmp_path)
    with pytest.raises(RecordingError, match="not an XDF"):
        read(path)
    with pytest.raises(RecordingError, match="no such"):
        read(tmp_path / "none.xdf")


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), drop=st.integers(0, 60), junk=st.binary(max_size=30))
def test_any_content_is_read_or_refused(tmp_path, at, drop, junk):
    source = tmp_path / "source.xdf"
    write(
        source,
        header(1, "x", rate=50),
        header(2, "tags", form="string"),
        samples(1, np.arange(10) / 50, np.arange(10.0)),
        samples(2, [0.1], [["ä"]], "string"),
        offset(1, 0.0, 1.0),
        offset(1, 5.0, 1.0),
        chunk(5, BOUNDARY),
        samples(1, np.arange(10, 20) / 50, np.arange(10.0)),
        footer(1, 20),
    )
    data = source.read_bytes()
    cut = int(at * len(data))
    path = tmp_path / "b.xdf"
    path.write_bytes(data[:cut] + junk + data[cut + drop :])
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sniff(path)
        try:
            read(path)
        except PhysioError as error:
            said = str(error)
    assert "\n" not in said


def test_stretches_of_two_rates_far_from_the_nominal_one_reach_the_session(tmp_path):
    # As in the published clock_resets.xdf: 100 Hz stated, 93.24 and 92.67 Hz delivered.
    stamps = np.concatenate([np.arange(4000) / 93.24, 300 + np.arange(4000) / 92.67])
    path = write(
        tmp_path / "a.xdf",
        header(1, "ECG", rate=100, labels=[("ECG", "mV", "ECG")]),
        many_samples(1, stamps + 500, np.arange(8000.0), size=100),
        footer(1, 8000),
    )
    report = import_recording(path, tmp_path / "a.h5")
    assert any("it states 100 Hz" in note for note in report.notes)
    with open_session(report.path) as session:
        stream = session.streams["ecg"]
        assert stream.sfreq == pytest.approx(92.95, abs=0.01)
        assert stream.segments["stop"].tolist() == [4000, 8000]
        np.testing.assert_allclose(stream.times, stamps, atol=1e-4)
        assert stream.samples.tolist() == list(range(8000))


def test_an_hour_in_stretches_of_slightly_different_rates(tmp_path):
    n = 200_000
    stamps = np.concatenate([np.arange(n) / 1000.02, 300 + np.arange(n) / 999.97])
    path = write(
        tmp_path / "a.xdf",
        header(1, "ECG", rate=1000, labels=[("ECG", "mV", "ECG")]),
        many_samples(1, stamps, np.zeros(2 * n), size=10_000),
        footer(1, 2 * n),
    )
    report = import_recording(path, tmp_path / "a.h5")
    with open_session(report.path) as session:
        stream = session.streams["ecg"]
        assert (stream.sfreq, stream.segments["stop"].tolist()) == (1000, [n, 2 * n])
        np.testing.assert_allclose(stream.times, stamps, atol=1e-4)
