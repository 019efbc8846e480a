import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.empatica import read, sniff

START = 1_560_279_825
FILES = {
    "EDA.csv": f"{START}.0\n4.0\n0.0\n0.25\n0.5\n0.75\n",
    "BVP.csv": f"{START}.0\n64.0\n-0.00\n12.5\n",
    "TEMP.csv": f"{START + 2}.0\n4.0\n32.13\n32.15\n",
    "ACC.csv": f"{START}.0, {START}.0, {START}.0\n32.0, 32.0, 32.0\n-61,25,6\n-62,24,128\n",
    "HR.csv": f"{START + 10}.0\n1.0\n93.0\n101.0\n",
    "IBI.csv": f"{START}.0, IBI\n10.0,0.75\n10.8125,0.8125\n30.0,0.875\n",
    "tags.csv": f"{START + 3}.5\n{START + 60}.25\n",
    "info.txt": ".csv files in this archive ...\n",
}


def write(folder: Path, **changes: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in (FILES | {f"{k}.csv": v for k, v in changes.items()}).items():
        (folder / name).write_text(content)
    return folder


def by_name(recording):
    return {channel.name: channel for channel in recording.channels}


def test_units_rates_and_own_starts(tmp_path):
    recording = read(write(tmp_path / "e4"))
    found = by_name(recording)
    assert recording.t0_unix_ns == START * 10**9
    got = {n: (c.modality, c.units, c.sfreq, c.segments[0].t_start) for n, c in found.items()}
    assert got == {
        "EDA": ("eda", "µS", 4.0, 0.0),
        "BVP": ("ppg", "", 64.0, 0.0),
        "TEMP": ("temp", "°C", 4.0, 2.0),
        "ACC": ("acc", "g", 32.0, 0.0),
        "HR": (None, "bpm", 1.0, 10.0),
        "IBI": ("rr", "s", 0.0, 10.0),
    }
    acc = found["ACC"]
    assert acc.segments[0].samples.dtype == np.int16
    assert acc.components == ("x", "y", "z")
    # 128 counts of 1/64 g are 2 g.
    assert acc.segments[0].samples[1, 2] * acc.scale == 2.0
    assert [(m.onset, m.label) for m in recording.markers] == [(3.5, "tag"), (60.25, "tag")]
    assert any("reactivity" in note for note in recording.notes)


def test_intervals_carry_their_own_times_and_breaks_are_told(tmp_path):
    ibi = by_name(read(write(tmp_path / "e4")))["IBI"]
    np.testing.assert_array_equal(ibi.times, [10.0, 10.8125, 30.0])
    np.testing.assert_array_equal(ibi.segments[0].samples, [0.75, 0.8125, 0.875])
    notes = read(tmp_path / "e4").notes
    assert any("beats are missing at 1 places" in note for note in notes)


def test_shared_export_equals_its_files(shared_data):
    folder = shared_data / "formats" / "empatica_e4"
    assert sniff(folder)
    recording = read(folder)
    found = by_name(recording)
    for name, rate, start in (
        ("EDA", 4, 0),
        ("BVP", 64, 0),
        ("TEMP", 4, 0),
        ("ACC", 32, 0),
        ("HR", 1, 10),
    ):
        expected = np.loadtxt(folder / f"{name}.csv", delimiter=",", skiprows=2)
        channel = found[name]
        np.testing.assert_array_equal(channel.segments[0].samples, expected)
        assert (channel.sfreq, channel.segments[0].t_start) == (rate, start)
    expected = np.loadtxt(folder / "IBI.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(found["IBI"].times, expected[:, 0])
    np.testing.assert_array_equal(found["IBI"].segments[0].samples, expected[:, 1])
    # The first beats of the sample: 83.50 s, then 99.97 s; nothing is put between them.
    assert found["IBI"].times[:2].tolist() == [83.503822, 99.973326]
    assert recording.markers == ()
    assert recording.t0_unix_ns == 1560279825 * 10**9


def test_zip_equals_folder(tmp_path):
    folder = write(tmp_path / "e4")
    archive = tmp_path / "1560279825_A01234.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in FILES:
            file.write(folder / name, name)
        file.writestr("__MACOSX/._EDA.csv", b"\x00\x05\x16\x07")
    assert sniff(archive)
    for a, b in zip(read(archive).channels, read(folder).channels, strict=True):
        assert (a.name, a.sfreq) == (b.name, b.sfreq)
        np.testing.assert_array_equal(a.segments[0].samples, b.segments[0].samples)


def test_what_is_there_is_read(tmp_path):
    (tmp_path / "EDA.csv").write_text(FILES["EDA.csv"])
    (tmp_path / "tags.csv").write_text("")
    (tmp_path / "TEMP.csv").write_text("")
    (tmp_path / "BVP.csv").write_text(f"{START}.0\n64.0\n")
    recording = read(tmp_path)
    assert [channel.name for channel in recording.channels] == ["EDA"]
    assert recording.markers == ()
    assert {"TEMP.csv is empty", "BVP.csv holds no samples"} <= set(recording.notes)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("EDA", f"{START}.0\n4.0\n0.1\nx\n0.2\n", "EDA.csv line 4"),
        ("EDA", f"{START}.0\n4.0\n0.1\n0.2,0.3\n", "EDA.csv line 4"),
        ("EDA", f"{START}.0\n4.0\n0.1,7\n0.2,8\n", "EDA.csv line 3"),
        ("EDA", f"{START}.0\n4.0\n0.1\nnan\n", "EDA.csv line 4"),
        ("EDA", "monday\n4.0\n0.1\n", "EDA.csv line 1"),
        ("EDA", f"{START}.0\nfast\n0.1\n", "EDA.csv line 2"),
        ("EDA", f"{START}.0\n1e9\n0.1\n", "makes no sense"),
        ("EDA", f"{START}.0\n0\n0.1\n", "makes no sense"),
        ("ACC", f"{START}.0\n32.0\n1,2\n", "ACC.csv line 3"),
        ("IBI", f"{START}.0, IBI\n10.0,0.8\n9.0,0.8\n", "IBI.csv line 3"),
        ("tags", "soon\n", "tags.csv line 1"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, name, content, said):
    with pytest.raises(RecordingError, match=said):
        read(write(tmp_path / "e4", **{name: content}))


@pytest.mark.parametrize("member", ["../EDA.csv", "/etc/EDA.csv", "..\\EDA.csv", "C:/EDA.csv"])
def test_a_zip_that_names_files_outside_is_refused(tmp_path, member):
    archive = tmp_path / "e4.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("EDA.csv", FILES["EDA.csv"])
        file.writestr(member, FILES["EDA.csv"])
    with pytest.raises(RecordingError, match="outside itself"):
        read(archive)
    assert not sniff(archive)


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    archive = tmp_path / "e4.zip"
    monkeypatch.setattr("physio_hqc.importers.empatica._MAX_FILE_BYTES", 100_000)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("EDA.csv", f"{START}.0\n4.0\n" + "0\n" * 1_000_000)
    with pytest.raises(RecordingError, match="unpacks to"):
        read(archive)
    # The size that the directory of the zip states is no proof.
    data = archive.read_bytes()
    true = (2_000_000 + len(f"{START}.0\n4.0\n")).to_bytes(4, "little")
    archive.write_bytes(data.replace(true, (50).to_bytes(4, "little")))
    with pytest.raises(RecordingError):
        read(archive)


def test_twice_the_same_file_in_a_zip(tmp_path):
    archive = tmp_path / "e4.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/EDA.csv", FILES["EDA.csv"])
        file.writestr("b/EDA.csv", FILES["EDA.csv"])
    with pytest.raises(RecordingError, match="twice"):
        read(archive)


def test_what_is_no_export(tmp_path):
    (tmp_path / "EDA.csv").write_text("time,EDA\n0,1\n")
    assert not sniff(tmp_path)
    assert not sniff(tmp_path / "missing")
    (tmp_path / "text.zip").write_text("PK no zip")
    assert not sniff(tmp_path / "text.zip")
    with pytest.raises(RecordingError, match="zip"):
        read(tmp_path / "text.zip")
    with pytest.raises(RecordingError, match="no such"):
        read(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="no Empatica"):
        read(tmp_path / "empty")


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(FILES)),
    content=st.one_of(st.binary(max_size=60), st.text("0123456789.,-\n eEna", max_size=60)),
    keep=st.integers(0, 40),
)
def test_any_content_is_read_or_refused(tmp_path, name, content, keep):
    folder = write(tmp_path / "e4")
    extra = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(FILES[name].encode()[:keep] + extra)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sniff(folder)
        said = ""
        try:
            read(folder)
        except PhysioError as error:
            said = str(error)
    assert "\n" not in said


def test_a_zip_cut_short(tmp_path):
    folder = write(tmp_path / "e4")
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name in FILES:
            file.write(folder / name, name)
    data = whole.read_bytes()
    cut = tmp_path / "cut.zip"
    for size in np.linspace(0, len(data) - 1, 60).astype(int):
        cut.write_bytes(data[:size])
        with pytest.raises(PhysioError):
            read(cut)


def test_one_file_of_an_export_stands_for_its_folder(tmp_path):
    (tmp_path / "EDA.csv").write_text("1560279825.0\n4.0\n0.1\n0.2\n")
    (tmp_path / "TEMP.csv").write_text("1560279825.0\n4.0\n30.1\n30.2\n")
    recording = read_recording(tmp_path / "EDA.csv")
    assert recording.format == "empatica"
    assert [channel.name for channel in recording.channels] == ["EDA", "TEMP"]
    (tmp_path / "EDA.csv").write_text("time [s],EDA [uS]\n0.00,1\n0.25,2\n0.50,3\n")
    assert read_recording(tmp_path / "EDA.csv").format == "csv"
