"""WFDB records: against wfdb's own physical reading, and records made with wfdb's own writer."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb

from physio_hqc.errors import RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.recording import Channel


def physical(channel: Channel) -> list[np.ndarray]:
    return [
        part.samples.astype(np.float64) * channel.scale + channel.offset
        for part in channel.segments
    ]


@pytest.mark.parametrize(
    "record",
    [
        "abp/3975656_0013",
        "abp/3234460_0018",
        "abp/mixedsignals",
        "mitbih/101",
        "mitbih/114",
        "mitbih/207",
    ],
)
def test_every_sample_equals_the_library_reading(shared_data: Path, record: str) -> None:
    recording = read_recording(shared_data / record)
    library = wfdb.rdrecord(str(shared_data / record), smooth_frames=False)
    assert [channel.name for channel in recording.channels] == library.sig_name
    assert [channel.units for channel in recording.channels] == library.units
    for i, channel in enumerate(recording.channels):
        assert channel.sfreq == pytest.approx(library.fs * library.samps_per_frame[i])
        [values] = physical(channel)
        np.testing.assert_allclose(values, library.e_p_signal[i], rtol=1e-9, atol=1e-9)


def test_header_signal_file_and_record_name_lead_to_the_same_record(shared_data: Path) -> None:
    base = shared_data / "abp" / "3975656_0013"
    readings = [read_recording(f"{base}{ending}") for ending in ("", ".hea", ".dat")]
    for other in readings[1:]:
        for a, b in zip(readings[0].channels, other.channels, strict=True):
            np.testing.assert_array_equal(a.segments[0].samples, b.segments[0].samples)


def test_integers_stay_integers_and_missing_becomes_nan(shared_data: Path) -> None:
    channels = {c.name: c for c in read_recording(shared_data / "abp/3234460_0018").channels}
    assert channels["ABP"].segments[0].samples.dtype == np.int16
    # README of the data: 152 samples of II and 44 of V are missing
    assert np.isnan(channels["II"].segments[0].samples).sum() == 152
    assert np.isnan(channels["V"].segments[0].samples).sum() == 44


def test_rhythm_changes_are_markers_and_beats_are_counted(shared_data: Path) -> None:
    recording = read_recording(shared_data / "mitbih/207")
    annotations = wfdb.rdann(str(shared_data / "mitbih/207"), "atr")
    rhythm = [
        (sample / 360, note.strip("\x00"))
        for sample, symbol, note in zip(
            annotations.sample, annotations.symbol, annotations.aux_note, strict=True
        )
        if symbol == "+"
    ]
    found = [(m.onset, m.label) for m in recording.markers if m.payload["symbol"] == "+"]
    assert found == rhythm
    n_left = len(annotations.sample) - len(recording.markers)
    assert any(f"{n_left} annotations of beats" in note for note in recording.notes)


def write(folder: Path, name: str, digital: np.ndarray, **more: object) -> None:
    """Write a record of one or more channels in format 16, 200 units per mV."""
    n_sig = digital.shape[1]
    header = {
        "fs": 250,
        "units": ["mV"] * n_sig,
        "sig_name": [f"ch{i}" for i in range(n_sig)],
        "fmt": ["16"] * n_sig,
        "adc_gain": [200.0] * n_sig,
        "baseline": [0] * n_sig,
        **more,
    }
    wfdb.wrsamp(name, d_signal=digital, write_dir=str(folder), **header)


def ramp(n: int, n_sig: int = 1, start: int = 0) -> np.ndarray:
    return (start + np.arange(n * n_sig)).reshape(n, n_sig).astype(np.int64)


def test_segments_and_gaps_of_a_fixed_layout(tmp_path: Path) -> None:
    write(tmp_path, "seg1", ramp(500))
    write(tmp_path, "seg2", ramp(250, start=500))
    write(tmp_path, "seg3", ramp(300, start=1000))
    (tmp_path / "whole.hea").write_text(
        "whole/4 1 250 2050\nseg1 500\nseg2 250\n~ 1000\nseg3 300\n"
    )
    [channel] = read_recording(tmp_path / "whole.hea").channels
    assert [(part.t_start, len(part.samples)) for part in channel.segments] == [(0, 750), (7, 300)]
    np.testing.assert_array_equal(channel.segments[0].samples, np.arange(750))
    np.testing.assert_array_equal(channel.segments[1].samples, np.arange(1000, 1300))


def test_variable_layout_keeps_each_channel_where_it_was_recorded(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(500, 2), sig_name=["II", "ABP"], units=["mV", "mmHg"])
    write(tmp_path, "b", ramp(250, 1), sig_name=["ABP"], units=["mmHg"])
    write(tmp_path, "c", ramp(250, 2), sig_name=["ABP", "II"], units=["mmHg", "mV"])
    (tmp_path / "layout.hea").write_text(
        "layout 2 250 0\n~ 0 200/mV 16 0 0 0 0 II\n~ 0 200/mmHg 16 0 0 0 0 ABP\n"
    )
    (tmp_path / "v.hea").write_text("v/4 2 250 1000\nlayout 0\na 500\nb 250\nc 250\n")
    channels = {c.name: c for c in read_recording(tmp_path / "v").channels}
    starts = {name: [p.t_start for p in c.segments] for name, c in channels.items()}
    assert starts == {"II": [0.0, 3.0], "ABP": [0.0]}
    library = wfdb.rdrecord(str(tmp_path / "v"), m2s=True)
    [abp] = physical(channels["ABP"])
    np.testing.assert_allclose(abp, library.p_signal[:, library.sig_name.index("ABP")])
    ecg = library.p_signal[:, library.sig_name.index("II")]
    np.testing.assert_allclose(np.concatenate(physical(channels["II"])), ecg[~np.isnan(ecg)])


def test_a_change_of_gain_between_segments_keeps_physical_values(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(100))
    write(tmp_path, "b", ramp(100), adc_gain=[400.0], baseline=[7])
    (tmp_path / "v.hea").write_text("v/2 1 250 200\na 100\nb 100\n")
    recording = read_recording(tmp_path / "v.hea")
    [values] = physical(recording.channels[0])
    expected = np.concatenate([np.arange(100) / 200, (np.arange(100) - 7) / 400])
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert any("gain changes" in note for note in recording.notes)


def test_skew_is_undone(tmp_path: Path) -> None:
    samples = ramp(100, 2)
    write(tmp_path, "s", samples)
    header = tmp_path / "s.hea"
    first, one, two = header.read_text().splitlines()[:3]
    header.write_text("\n".join([first, one, two.replace(" 16 ", " 16:10 ", 1), ""]))
    plain, skewed = read_recording(header).channels
    assert plain.segments[0].t_start == skewed.segments[0].t_start == 0
    np.testing.assert_array_equal(plain.segments[0].samples, samples[:, 0])
    # The header says that this signal's samples were taken 10 frames earlier than they stand.
    np.testing.assert_array_equal(skewed.segments[0].samples, samples[10:, 1])


def test_gain_zero_means_200_units(tmp_path: Path) -> None:
    write(tmp_path, "g", ramp(50))
    header = tmp_path / "g.hea"
    header.write_text(header.read_text().replace("200.0(0)/mV", "0"))
    [channel] = read_recording(header).channels
    assert channel.scale == 1 / 200
    assert channel.units == "mV"


def test_missing_code_depends_on_the_format(tmp_path: Path) -> None:
    samples = np.array([[1], [-2048], [3], [-2047]])
    write(tmp_path, "twelve", samples, fmt=["212"])
    write(tmp_path, "sixteen", samples)
    [twelve] = read_recording(tmp_path / "twelve").channels
    [sixteen] = read_recording(tmp_path / "sixteen").channels
    np.testing.assert_array_equal(twelve.segments[0].samples, [1, np.nan, 3, -2047])
    np.testing.assert_array_equal(sixteen.segments[0].samples, [1, -2048, 3, -2047])


def test_several_rates_in_one_record(tmp_path: Path) -> None:
    digital = [np.arange(400), np.arange(100)]
    record = wfdb.Record(
        record_name="multi",
        n_sig=2,
        fs=62.5,
        sig_len=100,
        samps_per_frame=[4, 1],
        e_d_signal=digital,
        file_name=["multi.dat"] * 2,
        fmt=["16", "16"],
        adc_gain=[200.0, 10.0],
        baseline=[0, 0],
        units=["mV", "mmHg"],
        sig_name=["II", "ABP"],
        adc_res=[16, 16],
        adc_zero=[0, 0],
        init_value=[0, 0],
        checksum=[0, 0],
        block_size=[0, 0],
        byte_offset=[0, 0],
        skew=[0, 0],
    )
    record.wrheader(write_dir=str(tmp_path), expanded=True)
    record.wr_dats(expanded=True, write_dir=str(tmp_path))
    ecg, pressure = read_recording(tmp_path / "multi").channels
    assert (ecg.sfreq, pressure.sfreq) == (250.0, 62.5)
    np.testing.assert_array_equal(ecg.segments[0].samples, digital[0])
    np.testing.assert_array_equal(pressure.segments[0].samples, digital[1])


def test_start_time_and_two_channels_of_one_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        "d",
        ramp(50, 2),
        base_time=datetime(2020, 3, 4, 11, 44, 12, 650_000).time(),
        base_date=datetime(2020, 3, 4).date(),
    )
    header = tmp_path / "d.hea"
    header.write_text(header.read_text().replace("ch0", "II").replace("ch1", "II"))
    recording = read_recording(header)
    expected = datetime(2020, 3, 4, 11, 44, 12, 650_000, tzinfo=UTC).timestamp()
    assert recording.t0_unix_ns == round(expected * 1000) * 10**6
    assert [len(channel.segments[0].samples) for channel in recording.channels] == [50, 50]
    assert any("taken as UTC" in note for note in recording.notes)


def test_annotation_times_follow_the_rate_that_the_file_states(tmp_path: Path) -> None:
    write(tmp_path, "n", ramp(500))
    wfdb.wrann(
        "n",
        "atr",
        sample=np.array([100, 200, 300]),
        symbol=["N", "+", '"'],
        aux_note=["", "(AFIB", "coughs"],
        fs=100,
        write_dir=str(tmp_path),
    )
    annotation = wfdb.rdann(str(tmp_path / "n"), "atr")
    markers = read_recording(tmp_path / "n").markers
    assert [(m.onset, m.label) for m in markers] == [
        (200 / annotation.fs, "(AFIB"),
        (300 / annotation.fs, "coughs"),
    ]


def test_a_signal_file_cut_short_gives_what_is_there_and_says_so(
    shared_data: Path, tmp_path: Path
) -> None:
    for ending in (".hea", ".dat"):
        shutil.copy(shared_data / f"abp/3975656_0013{ending}", tmp_path / f"3975656_0013{ending}")
    data = tmp_path / "3975656_0013.dat"
    data.write_bytes(data.read_bytes()[:30_001])
    recording = read_recording(data)
    assert {len(c.segments[0].samples) for c in recording.channels} == {10_000}
    assert any("10000 of 18075" in note for note in recording.notes)


@pytest.mark.parametrize(
    "name", ["../secret.dat", "/etc/passwd", "http://example.org/x.dat", "memory://x", "a::b"]
)
def test_a_header_that_points_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.hea").write_text(f"x 1 250 10\n{name} 16 200/mV 16 0 0 0 0 II\n")
    with pytest.raises(RecordingError, match=r"x\.hea|cannot be read"):
        read_recording(tmp_path / "x.hea")


def test_a_segment_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.hea").write_text("x/1 1 250 10\n../y 10\n")
    with pytest.raises(RecordingError):
        read_recording(tmp_path / "x.hea")


def test_a_missing_signal_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.hea").write_text("x 1 250 10\nx.dat 16 200/mV 16 0 0 0 0 II\n")
    with pytest.raises(RecordingError, match=r"signal file x\.dat, which is not beside it"):
        read_recording(tmp_path / "x")


def test_a_header_without_a_length(tmp_path: Path) -> None:
    stored = np.arange(-50, 50, dtype="<i2")
    (tmp_path / "r.dat").write_bytes(b"\x00" * 24 + stored.tobytes())
    (tmp_path / "r.hea").write_text("r 2 250\nr.dat 16+24 100/mV 16 0 0 0 0 II\n"
                                    "r.dat 16+24 1/mmHg 16 0 0 0 0 ABP\n")  # fmt: skip
    lead, pressure = read_recording(tmp_path / "r.hea").channels
    np.testing.assert_allclose(physical(lead)[0], stored[::2] / 100)
    np.testing.assert_allclose(physical(pressure)[0], stored[1::2])


@pytest.mark.parametrize("frames", ["", "x2"])
def test_format_61_holds_the_high_byte_first(tmp_path: Path, frames: str) -> None:
    stored = np.array([0, 1, -1, 300, -300, 32767, -32767, -32768])
    (tmp_path / "r.dat").write_bytes(stored.astype(">i2").tobytes())
    n = len(stored) // (2 if frames else 1)
    (tmp_path / "r.hea").write_text(f"r 1 250 {n}\nr.dat 61{frames} 200(5)/mV 16 0 0 0 0 ECG\n")
    (channel,) = read_recording(tmp_path / "r.hea").channels
    assert channel.sfreq == (500 if frames else 250)
    (values,) = physical(channel)
    np.testing.assert_allclose(values[:-1], (stored[:-1] - 5) / 200, rtol=1e-9)
    assert np.isnan(values[-1])
