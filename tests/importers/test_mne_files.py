"""BrainVision written by hand and FIF written by MNE: samples, units, markers, pauses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from physio_hqc.errors import RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.recording import Channel

CHANNELS = [
    ("ECG", 0.5, "µV"),
    ("BP", 0.25, "mmHg"),
    ("EDA", 0.001, "µS"),
    ("Temp", 0.01, "°C"),
    ("AUX", 2.0, "mV"),
]


def physical(channel: Channel) -> np.ndarray:
    stored = np.concatenate([part.samples for part in channel.segments]).astype(np.float64)
    return stored * channel.scale + channel.offset


def write_brainvision(
    folder: Path,
    digital: np.ndarray,
    markers: list[str],
    *,
    data_file: str = "p01.eeg",
    kind: str = "INT_16",
) -> Path:
    rows = "\n".join(f"Ch{i}={n},,{r},{u}" for i, (n, r, u) in enumerate(CHANNELS, start=1))
    header = folder / "p01.vhdr"
    header.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={data_file}\nMarkerFile=p01.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(CHANNELS)}\nSamplingInterval=4000\n\n"
        f"[Binary Infos]\nBinaryFormat={kind}\n\n[Channel Infos]\n{rows}\n",
        encoding="utf-8",
    )
    digital.astype({"INT_16": "<i2", "IEEE_FLOAT_32": "<f4"}[kind]).tofile(folder / "p01.eeg")
    lines = "\n".join(f"Mk{i}={text}" for i, text in enumerate(markers, start=1))
    (folder / "p01.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile=p01.eeg\n\n[Marker Infos]\n{lines}\n",
        encoding="utf-8",
    )
    return header


@pytest.fixture
def digital() -> np.ndarray:
    return np.random.default_rng(1).integers(-30000, 30000, size=(1000, len(CHANNELS)))


def test_brainvision_values_are_in_the_units_of_the_header(
    tmp_path: Path, digital: np.ndarray
) -> None:
    header = write_brainvision(
        tmp_path,
        digital,
        [
            "New Segment,,1,1,0,20200304114412650000",
            "Stimulus,S  1,251,1,0",
            "Comment,cough,501,25,0",
        ],
    )
    recording = read_recording(header)
    assert [(c.name, c.units, c.sfreq) for c in recording.channels] == [
        (name, unit, 250.0) for name, _, unit in CHANNELS
    ]
    for i, (channel, (_, resolution, _)) in enumerate(
        zip(recording.channels, CHANNELS, strict=True)
    ):
        np.testing.assert_allclose(physical(channel), digital[:, i] * resolution, rtol=1e-12)
    assert [(m.onset, m.duration, m.label) for m in recording.markers] == [
        (1.0, 0.004, "S  1"),
        (2.0, 0.1, "cough"),
    ]
    started = datetime(2020, 3, 4, 11, 44, 12, 650_000, tzinfo=UTC)
    assert recording.t0_unix_ns == round(started.timestamp() * 1000) * 10**6


@pytest.mark.parametrize("ending", [".eeg", ".vmrk"])
def test_any_of_the_three_brainvision_files_will_do(
    tmp_path: Path, digital: np.ndarray, ending: str
) -> None:
    header = write_brainvision(tmp_path, digital, ["New Segment,,1,1,0"])
    recording = read_recording(header.with_suffix(ending))
    assert recording.format == "brainvision"
    assert len(recording.channels) == len(CHANNELS)


def test_brainvision_float_data(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(100, len(CHANNELS))).astype(np.float32)
    recording = read_recording(write_brainvision(tmp_path, values, [], kind="IEEE_FLOAT_32"))
    for i, (channel, (_, resolution, _)) in enumerate(
        zip(recording.channels, CHANNELS, strict=True)
    ):
        expected = values[:, i].astype(np.float64) * resolution
        np.testing.assert_allclose(physical(channel), expected, rtol=1e-12)


def test_a_pause_in_a_brainvision_recording_is_a_gap(tmp_path: Path, digital: np.ndarray) -> None:
    header = write_brainvision(
        tmp_path,
        digital,
        [
            "New Segment,,1,1,0,20200304114400000000",
            "Stimulus,S  1,251,1,0",
            "New Segment,,501,1,0,20200304114410000000",
            "Stimulus,S  2,751,1,0",
        ],
    )
    recording = read_recording(header)
    for channel in recording.channels:
        parts = [(part.t_start, len(part.samples)) for part in channel.segments]
        assert parts == [(0.0, 500), (10.0, 500)]
    assert [(m.onset, m.label) for m in recording.markers] == [(1.0, "S  1"), (11.0, "S  2")]


def test_a_pause_of_unknown_length_is_said(tmp_path: Path, digital: np.ndarray) -> None:
    header = write_brainvision(tmp_path, digital, ["New Segment,,1,1,0", "New Segment,,501,1,0"])
    recording = read_recording(header)
    assert [part.t_start for part in recording.channels[0].segments] == [0.0, 2.0]
    assert any("no known length" in note for note in recording.notes)


@pytest.mark.parametrize("name", ["../p01.eeg", "/etc/passwd", "missing.eeg", ""])
def test_a_brainvision_header_that_points_elsewhere_is_refused(
    tmp_path: Path, digital: np.ndarray, name: str
) -> None:
    header = write_brainvision(tmp_path, digital, [], data_file=name)
    with pytest.raises(RecordingError, match=r"p01\.vhdr"):
        read_recording(header)


def test_brainvision_without_a_marker_file(tmp_path: Path, digital: np.ndarray) -> None:
    header = write_brainvision(tmp_path, digital, [])
    (tmp_path / "p01.vmrk").unlink()
    recording = read_recording(header)
    assert recording.markers == ()
    assert any("marker file" in note for note in recording.notes)


@pytest.fixture
def raw() -> mne.io.RawArray:
    rng = np.random.default_rng(3)
    info = mne.create_info(
        ["EKG1", "GSR", "Belt", "STI 014"], 200.0, ["ecg", "gsr", "resp", "stim"], verbose="ERROR"
    )
    values = rng.normal(scale=1e-3, size=(4, 2000))
    values[3] = 0
    values[3, 400:410] = 5
    raw = mne.io.RawArray(values, info, first_samp=1000, verbose="ERROR")
    raw.set_meas_date(datetime(2020, 3, 4, 11, 44, 12, tzinfo=UTC))
    onset = raw.first_time + 3.0
    raw.set_annotations(
        mne.Annotations([onset], [1.5], ["speech"], orig_time=raw.info["meas_date"])
    )
    return raw


def test_fif(tmp_path: Path, raw: mne.io.RawArray) -> None:
    path = tmp_path / "p01_raw.fif"
    raw.save(path, fmt="double", verbose="ERROR")
    recording = read_recording(path)
    library = mne.io.read_raw_fif(path, verbose="ERROR")
    for channel, values in zip(recording.channels, library.get_data(), strict=True):
        np.testing.assert_array_equal(physical(channel), values)
        assert channel.sfreq == 200.0
    assert [c.modality for c in recording.channels] == ["ecg", "eda", "resp", None]
    assert [c.units for c in recording.channels] == ["V", "S", "V", "V"]
    found = [(m.onset, m.duration, m.label) for m in recording.markers]
    assert found == [(2.0, 0.0, "5"), (pytest.approx(3.0), 1.5, "speech")]
    # second 0 is the first sample, 1000 samples after the acquisition began
    started = datetime(2020, 3, 4, 11, 44, 17, tzinfo=UTC)
    assert recording.t0_unix_ns == int(started.timestamp()) * 10**9


def test_a_skip_in_a_fif_file_is_a_gap(tmp_path: Path, raw: mne.io.RawArray) -> None:
    onset = raw.first_time + 2.5
    raw.annotations.append([onset], [5.0], ["BAD_ACQ_SKIP"])
    path = tmp_path / "p01_raw.fif"
    raw.save(path, verbose="ERROR")
    recording = read_recording(path)
    for channel in recording.channels:
        parts = [(part.t_start, len(part.samples)) for part in channel.segments]
        assert parts == [(0.0, 500), (7.5, 500)]
    assert "BAD_ACQ_SKIP" not in [marker.label for marker in recording.markers]


def test_single_precision_is_kept(tmp_path: Path, raw: mne.io.RawArray) -> None:
    path = tmp_path / "p01_raw.fif"
    raw.save(path, fmt="single", verbose="ERROR")
    recording = read_recording(path)
    assert recording.channels[0].segments[0].samples.dtype == np.float32
