"""AcqKnowledge files of three versions: against bioread, and with a second appended segment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import bioread
import numpy as np
import pytest

from physio_hqc.errors import RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.acqknowledge import _journal, _positions
from physio_hqc.importers.recording import Channel

FILES = ["physio-5.0.1.acq", "physio-4.4.0-c.acq", "physio-3.9.1-c.acq"]


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "formats" / "acqknowledge"


def physical(channel: Channel) -> np.ndarray:
    stored = np.concatenate([part.samples for part in channel.segments]).astype(np.float64)
    return stored * channel.scale + channel.offset


@pytest.mark.parametrize("name", FILES)
def test_every_sample_equals_the_library_reading(folder: Path, name: str) -> None:
    recording = read_recording(folder / name)
    library = bioread.read_file(str(folder / name))
    assert len(recording.channels) == len(library.channels) == 4
    for channel, expected in zip(recording.channels, library.channels, strict=True):
        assert (channel.name, channel.units) == (expected.name, expected.units)
        assert channel.sfreq == expected.samples_per_second
        np.testing.assert_allclose(physical(channel), expected.data, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FILES)
def test_channels_keep_their_own_rates_and_integers(folder: Path, name: str) -> None:
    channels = {channel.name: channel for channel in read_recording(folder / name).channels}
    rates = {n: (c.sfreq, len(c.segments[0].samples)) for n, c in channels.items()}
    assert rates == {
        "EKG - ERS100C": (1000.0, 61893),
        "RESP - RSP100C": (3.90625, 241),
        "EDA - GSR100C": (2000.0, 123787),
        "EDA filtered, differentiated": (2000.0, 123787),
    }
    kinds = {n: c.segments[0].samples.dtype for n, c in channels.items()}
    assert kinds["EDA - GSR100C"] == np.int16
    assert kinds["EDA filtered, differentiated"] == np.float64
    assert all(kind.isnative for kind in kinds.values())


@pytest.mark.parametrize("name", FILES)
def test_markers_stand_at_the_base_rate(folder: Path, name: str) -> None:
    recording = read_recording(folder / name)
    markers = [marker for marker in recording.markers if marker.kind == "marker"]
    # sample_index / 2000 Hz, in the order of the recording
    assert [(m.label, m.onset) for m in markers] == [
        ("Segment 1", 0.0),
        ("Breathe In", 4.309),
        ("Breathe Out", 6.0995),
        ("Deep Breath 1", 6.1555),
        ("EDA Peak", 9.569),
        ("EDA Peak", 9.569),
        ("Deep Breath 2", 16.676),
        ("EDA Trough", 17.4035),
        ("EDA Trough", 17.4035),
        ("Deep Breath 3", 36.766),
    ]
    assert markers[0].payload["segment_start"] is True


def test_what_newer_versions_say_of_a_marker(folder: Path) -> None:
    recording = read_recording(folder / FILES[0])
    payload = next(m.payload for m in recording.markers if m.label == "Breathe In")
    assert payload["type"] == "Inspire Start"
    assert payload["channel"] == "RESP - RSP100C"
    assert payload["created_utc"].startswith("2016-02-02T16:44:39.680")
    # The first segment's marker was created when the recording began, before all others.
    started = datetime(2016, 2, 2, 16, 30, 56, 276_000, tzinfo=UTC)
    assert recording.t0_unix_ns == round(started.timestamp() * 1000) * 10**6


@pytest.mark.parametrize("name", FILES)
def test_the_journal_is_a_note_without_its_html(folder: Path, name: str) -> None:
    [note] = [marker for marker in read_recording(folder / name).markers if marker.kind == "note"]
    assert note.label == "journal"
    assert note.payload["text"].startswith("In this sample, we collected three channels")
    assert "<" not in note.payload["text"]
    assert note.payload["text"].endswith("stored as a float.")


def test_a_long_journal_comes_in_parts_that_fit_an_event() -> None:
    text = "ä😀\n" * 3000
    parts = _journal(text)
    assert len(parts) > 1
    assert parts[0].label == f"journal 1 of {len(parts)}"
    assert max(len(part.payload["text"].encode()) for part in parts) <= 4000
    assert "".join(part.payload["text"] for part in parts).replace("\n", "") == "ä😀" * 3000
    assert _journal(None) == []


@pytest.fixture
def appended(folder: Path, tmp_path: Path) -> Path:
    """Make a file whose last marker says that a second segment begins there."""
    content = (folder / FILES[0]).read_bytes()
    at = content.rindex(b"flag", 0, content.index(b"Deep Breath 3"))
    path = tmp_path / "appended.acq"
    path.write_bytes(content[:at] + b"apnd" + content[at + 4 :])
    return path


def test_appended_segments_are_set_apart_in_time(folder: Path, appended: Path) -> None:
    # Created 16:42:58.647, the first segment 16:30:56.276; sample 73532 at the base rate.
    later = 722.371
    recording = read_recording(appended)
    whole = {channel.name: channel for channel in read_recording(folder / FILES[0]).channels}
    for channel in recording.channels:
        first, second = channel.segments
        divider = round(2000 / channel.sfreq)
        assert len(first.samples) == -(-73532 // divider)
        assert first.t_start == 0.0
        late = (len(first.samples) * divider - 73532) / 2000
        assert second.t_start == pytest.approx(later + late, abs=1e-9)
        np.testing.assert_array_equal(physical(channel), physical(whole[channel.name]))
    [mark] = [m for m in recording.markers if m.label == "Deep Breath 3"]
    assert mark.onset == pytest.approx(later)
    assert any("2 segments" in note for note in recording.notes)


def test_absurd_headers_are_refused_before_memory_is_taken(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / FILES[0]).read_bytes())
    content[10:12] = (900).to_bytes(2, "big")  # number of channels
    path = tmp_path / "many.acq"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="900 channels make no sense"):
        read_recording(path)


def test_samples_cut_short_are_told(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.acq"
    path.write_bytes((folder / FILES[0]).read_bytes()[:700_000])
    with pytest.raises(RecordingError, match=r"cut\.acq: cut short: \d+ of \d+ bytes"):
        read_recording(path)


def test_markers_that_count_from_a_cut_are_counted_from_the_first_sample() -> None:
    # What bioread gives where the beginning was cut off: negative positions without their sign.
    events = [
        SimpleNamespace(sample_index=2**32 - 300, type_code="apnd", text="Segment 1"),
        SimpleNamespace(sample_index=2**32 - 100, type_code="flag", text="Breath"),
        SimpleNamespace(sample_index=50, type_code="flag", text="Speech"),
    ]
    notes: list[str] = []
    assert _positions(events, notes) == [0, 200, 350]
    assert any("sample 300" in note for note in notes)
    assert _positions(events[2:], notes) == [50]
