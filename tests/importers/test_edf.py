"""EDF, EDF+ and BDF: against the header's own arithmetic and MNE's reading, one rate at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from physio_hqc.errors import RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.recording import Channel

MNE_GAIN = {"uV": 1e-6, "mV": 1e-3}


def physical(channel: Channel) -> np.ndarray:
    stored = np.concatenate([part.samples for part in channel.segments]).astype(np.float64)
    return stored * channel.scale + channel.offset


def field(text: object, width: int) -> bytes:
    return str(text).ljust(width).encode("latin-1")


def edf_bytes(
    signals: Sequence[tuple[str, str, np.ndarray, int]],
    *,
    record_s: float = 1.0,
    lists: Sequence[bytes] = (),
    reserved: str = "",
    bdf: bool = False,
    n_records: int | None = None,
    limits: tuple[float, float, int, int] = (-3276.8, 3276.7, -32768, 32767),
    recording: str = "",
) -> bytes:
    """Write a small EDF by the book: (label, unit, samples, samples per record) and TAL bytes."""
    width = 3 if bdf else 2
    count = len(signals[0][2]) // signals[0][3]
    label = "BDF Annotations" if bdf else "EDF Annotations"
    rows = [(name, unit, n) for name, unit, _, n in signals]
    if lists:
        rows.append((label, "", 30))
    n = len(rows)
    head = b"\xffBIOSEMI" if bdf else field("0", 8)
    head += field("P07 F X X", 80) + field(recording, 80) + b"16.03.2019.12.51"
    head += field(256 * (n + 1), 8) + field(reserved, 44)
    head += field(count if n_records is None else n_records, 8) + field(record_s, 8) + field(n, 4)
    low, high, d_low, d_high = limits
    columns: list[tuple[list[object], int]] = [
        ([row[0] for row in rows], 16),
        (["electrode"] * n, 80),
        ([row[1] for row in rows], 8),
        ([low] * n, 8),
        ([high] * n, 8),
        ([d_low] * n, 8),
        ([d_high] * n, 8),
        (["HP:0.1Hz"] * n, 80),
        ([row[2] for row in rows], 8),
        ([""] * n, 32),
    ]
    head += b"".join(field(value, size) for values, size in columns for value in values)
    body = b""
    for i in range(count):
        for _, _, samples, per_record in signals:
            piece = samples[i * per_record : (i + 1) * per_record].astype("<i4")
            raw = piece.view("u1").reshape(-1, 4)[:, :width]
            body += raw.tobytes()
        if lists:
            body += lists[i].ljust(30 * width, b"\x00")
    return head + body


def tal(onset: str, *texts: str, duration: str = "") -> bytes:
    stamp = onset + (f"\x15{duration}" if duration else "")
    text = "".join(f"{item}\x14" for item in texts) or "\x14"
    return f"{stamp}\x14{text}\x00".encode()


@pytest.mark.parametrize("name", ["EDFmontage0", "eda_slow_signal", "supine_1min"])
def test_every_sample_equals_the_library_reading(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / "edf" / f"{name}.edf"
    recording = read_recording(path)
    rates = sorted({channel.sfreq for channel in recording.channels})
    seen = 0
    for rate in rates:
        group = [channel for channel in recording.channels if channel.sfreq == rate]
        raw = mne.io.read_raw_edf(
            path, include=[c.name for c in group], stim_channel=None, verbose="ERROR"
        )
        assert raw.info["sfreq"] == rate
        for channel, values in zip(group, raw.get_data(), strict=True):
            expected = values / MNE_GAIN.get(channel.units, 1.0)
            np.testing.assert_allclose(physical(channel), expected, rtol=1e-9, atol=1e-9)
            assert channel.segments[0].samples.dtype == np.int16
            seen += 1
    assert seen == len(recording.channels)


def test_rates_units_and_odd_numbers_of_the_montage(shared_data: Path) -> None:
    recording = read_recording(shared_data / "formats" / "edf" / "EDFmontage0.edf")
    channels = {channel.name: channel for channel in recording.channels}
    assert len(channels) == 16
    assert {n: channels[n].sfreq for n in ("F4", "F3", "P4", "DC04")} == {
        "F4": 200, "F3": 100, "P4": 50, "DC04": 25,
    }  # fmt: skip
    assert {n: channels[n].units for n in ("X10", "DC01", "DC04", "DC03", "DC02")} == {
        "X10": "mV", "DC01": "V", "DC04": "%", "DC03": "BPM", "DC02": "",
    }  # fmt: skip
    for name in ("X9", "FP1", "F8"):  # -32.E2, -.32E+4 and -32e2: all -3200 uV at -32768
        channel = channels[name]
        assert -32768 * channel.scale + channel.offset == pytest.approx(-3200)
    for channel in recording.channels:
        assert len(channel.segments[0].samples) == 900 * channel.sfreq


def test_physical_values_follow_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    samples = np.array([-2048, 0, 1, 2047])
    path.write_bytes(edf_bytes([("ECG", "mV", samples, 2)], limits=(-5, 5, -2048, 2047)))
    [channel] = read_recording(path).channels
    expected = (samples + 2048) * (5 - -5) / (2047 + 2048) - 5
    np.testing.assert_allclose(physical(channel), expected, rtol=1e-12)


def test_fractional_record_duration(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes([("ECG", "mV", np.arange(64), 16)], record_s=0.125))
    [channel] = read_recording(path).channels
    assert channel.sfreq == 128.0


def test_annotations_with_duration_and_utf8_text(tmp_path: Path) -> None:
    lists = [
        tal("+0") + tal("+0.5", "Rede beginnt: ä", duration="1.5"),
        tal("+1") + tal("+1.25", "eins", "zwei"),
    ]
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes([("ECG", "mV", np.arange(8), 4)], lists=lists, reserved="EDF+C"))
    markers = read_recording(path).markers
    assert [(m.onset, m.duration, m.label) for m in markers] == [
        (0.5, 1.5, "Rede beginnt: ä"),
        (1.25, 0.0, "eins"),
        (1.25, 0.0, "zwei"),
    ]
    library = mne.read_annotations(path)
    assert sorted(library.description) == sorted(marker.label for marker in markers)
    np.testing.assert_allclose(sorted(library.onset), sorted(m.onset for m in markers))


def test_a_start_between_two_seconds(tmp_path: Path) -> None:
    lists = [tal("+0.375"), tal("+1.375") + tal("+2", "mark")]
    path = tmp_path / "a.edf"
    content = edf_bytes(
        [("ECG", "mV", np.arange(8), 4)],
        lists=lists,
        reserved="EDF+C",
        recording="Startdate 16-MAR-2020 X X X",
    )
    path.write_bytes(content)
    recording = read_recording(path)
    started = datetime(2020, 3, 16, 19, 12, 51, 375_000, tzinfo=UTC)
    assert recording.t0_unix_ns == round(started.timestamp() * 1000) * 10**6
    assert recording.participant_id == "P07"
    assert [marker.onset for marker in recording.markers] == [1.625]


def test_a_discontinuous_file_keeps_its_gaps(tmp_path: Path) -> None:
    lists = [tal("+0"), tal("+1"), tal("+10.5") + tal("+10.75", "back"), tal("+11.5")]
    samples = np.arange(40)
    slow = np.arange(8)
    path = tmp_path / "d.edf"
    path.write_bytes(
        edf_bytes(
            [("ECG", "mV", samples, 10), ("EDA", "uS", slow, 2)], lists=lists, reserved="EDF+D"
        )
    )
    recording = read_recording(path)
    for channel, values in zip(recording.channels, (samples, slow), strict=True):
        assert [part.t_start for part in channel.segments] == [0.0, 10.5]
        half = len(values) // 2
        np.testing.assert_array_equal(channel.segments[0].samples, values[:half])
        np.testing.assert_array_equal(channel.segments[1].samples, values[half:])
    assert [marker.onset for marker in recording.markers] == [10.75]


def test_a_discontinuous_file_without_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.edf"
    path.write_bytes(edf_bytes([("ECG", "mV", np.arange(40), 10)], reserved="EDF+D"))
    with pytest.raises(RecordingError, match="do not state their times"):
        read_recording(path)


def test_records_that_overlap_are_refused(tmp_path: Path) -> None:
    lists = [tal("+0"), tal("+0.2"), tal("+2"), tal("+3")]
    path = tmp_path / "d.edf"
    content = edf_bytes([("ECG", "mV", np.arange(40), 10)], lists=lists, reserved="EDF+D")
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="begins before the previous one ends"):
        read_recording(path)


def test_24_bit_samples_and_triggers(tmp_path: Path) -> None:
    samples = np.array([-8388608, -1, 0, 1, 70000, 8388607, -70000, 5])
    status = np.array([0x10000, 0x10000, 0x10005, 0x10005, 0x10000, 0x10007, 0x10007, 0x10000])
    path = tmp_path / "a.bdf"
    content = edf_bytes(
        [("EXG1", "uV", samples, 4), ("Status", "Boolean", status, 4)],
        bdf=True,
        limits=(-262144, 262143, -8388608, 8388607),
    )
    path.write_bytes(content)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.channels[0].segments[0].samples, samples)
    raw = mne.io.read_raw_bdf(path, verbose="ERROR", stim_channel=None)
    np.testing.assert_allclose(physical(recording.channels[0]), raw.get_data()[0] * 1e6, rtol=1e-9)
    assert [(m.onset, m.label) for m in recording.markers] == [(0.5, "5"), (1.25, "7")]


def test_an_unfinished_or_cut_file_says_how_much_is_there(tmp_path: Path) -> None:
    content = edf_bytes([("ECG", "mV", np.arange(40), 10)], n_records=-1)
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    recording = read_recording(path)
    assert len(recording.channels[0].segments[0].samples) == 40
    assert any("not closed" in note for note in recording.notes)
    path.write_bytes(edf_bytes([("ECG", "mV", np.arange(40), 10)])[:-25])
    recording = read_recording(path)
    assert len(recording.channels[0].segments[0].samples) == 20
    assert any("2 of 4 records" in note for note in recording.notes)


def test_an_empty_physical_range_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes([("ECG", "mV", np.arange(10), 10)], limits=(0, 0, -100, 100)))
    recording = read_recording(path)
    assert recording.channels[0].units == ""
    assert any("uncalibrated" in note for note in recording.notes)


def test_annotations_without_signals_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes([("EDF Annotations", "", np.zeros(60), 30)], reserved="EDF+C"))
    with pytest.raises(RecordingError, match="annotations only"):
        read_recording(path)


def test_lists_of_annotations_are_read_whatever_the_header_calls_itself(tmp_path: Path) -> None:
    lists = [b"+0\x14\x14\x00+0.5\x14Speech\x14\x00", b"+1\x14\x14\x00"]
    content = edf_bytes([("ECG", "uV", np.arange(20), 10)], lists=lists, reserved="")
    (tmp_path / "a.edf").write_bytes(content)
    recording = read_recording(tmp_path / "a.edf")
    assert [channel.name for channel in recording.channels] == ["ECG"]
    assert [(m.onset, m.label) for m in recording.markers] == [(0.5, "Speech")]
