"""Damaged, cut, misnamed and random input of every format: a PhysioError or a recording."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers import FORMATS, import_recording, read_recording
from physio_hqc.importers.recording import Recording

N_CUTS = 100
N_FLIPS = 40


def _copy(source: Path, folder: Path, n_lines: int | None = None) -> Path:
    """Copy a file, or its first lines."""
    target = folder / source.name
    if n_lines is None:
        shutil.copy(source, target)
    else:
        lines = source.read_bytes().splitlines(keepends=True)[:n_lines]
        target.write_bytes(b"".join(lines))
    return target


def _wfdb(data: Path, folder: Path) -> tuple[Path, Path]:
    _copy(data / "abp/3975656_0013.hea", folder)
    return folder / "3975656_0013", _copy(data / "abp/3975656_0013.dat", folder)


def _wfdb_header(data: Path, folder: Path) -> tuple[Path, Path]:
    _copy(data / "abp/3975656_0013.dat", folder)
    return folder / "3975656_0013", _copy(data / "abp/3975656_0013.hea", folder)


def _wfdb_flac(data: Path, folder: Path) -> tuple[Path, Path]:
    for name in ("mixedsignals.hea", "mixedsignals_p.dat", "mixedsignals_r.dat"):
        _copy(data / "abp" / name, folder)
    return folder / "mixedsignals", _copy(data / "abp/mixedsignals_e.dat", folder)


def _wfdb_annotations(data: Path, folder: Path) -> tuple[Path, Path]:
    _, signal = _wfdb(data, folder)
    annotations = folder / "3975656_0013.atr"
    annotations.write_bytes((data / "mitbih/207.atr").read_bytes()[:3000])
    return signal, annotations


def _edf(data: Path, folder: Path) -> tuple[Path, Path]:
    path = _copy(data / "formats/edf/eda_slow_signal.edf", folder)
    return path, path


def _edf_montage(data: Path, folder: Path) -> tuple[Path, Path]:
    path = folder / "EDFmontage0.edf"
    path.write_bytes((data / "formats/edf/EDFmontage0.edf").read_bytes()[:60_000])
    return path, path


def _fif(_: Path, folder: Path) -> tuple[Path, Path]:
    info = mne.create_info(["ECG", "EDA"], 100.0, ["ecg", "gsr"], verbose="ERROR")
    values = np.random.default_rng(0).normal(size=(2, 500))
    path = folder / "p01_raw.fif"
    mne.io.RawArray(values, info, verbose="ERROR").save(path, verbose="ERROR")
    return path, path


def _brainvision(_: Path, folder: Path) -> tuple[Path, Path]:
    header = folder / "p01.vhdr"
    header.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=p01.eeg\nMarkerFile=p01.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=2\nSamplingInterval=4000\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        "[Channel Infos]\nCh1=ECG,,0.5,uV\nCh2=BP,,0.25,mmHg\n",
        encoding="utf-8",
    )
    np.arange(1000, dtype="<i2").tofile(folder / "p01.eeg")
    (folder / "p01.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Marker Infos]\n"
        "Mk1=New Segment,,1,1,0,20200304114412650000\nMk2=Stimulus,S  1,251,1,0\n"
    )
    return header, header


def _brainvision_data(data: Path, folder: Path) -> tuple[Path, Path]:
    header, _ = _brainvision(data, folder)
    return header, folder / "p01.eeg"


def _brainvision_markers(data: Path, folder: Path) -> tuple[Path, Path]:
    header, _ = _brainvision(data, folder)
    return header, folder / "p01.vmrk"


def _acq(name: str) -> Callable[[Path, Path], tuple[Path, Path]]:
    def make(data: Path, folder: Path) -> tuple[Path, Path]:
        path = _copy(data / "formats/acqknowledge" / name, folder)
        return path, path

    return make


def _xdf(data: Path, folder: Path) -> tuple[Path, Path]:
    path = _copy(data / "formats/xdf/minimal.xdf", folder)
    return path, path


def _opensignals_h5(data: Path, folder: Path) -> tuple[Path, Path]:
    path = _copy(data / "formats/opensignals/ecg_sample.h5", folder)
    return path, path


def _opensignals_txt(data: Path, folder: Path) -> tuple[Path, Path]:
    path = _copy(data / "formats/opensignals/ecg_sample.txt", folder, 400)
    return path, path


def _bitalino_txt(data: Path, folder: Path) -> tuple[Path, Path]:
    path = _copy(data / "formats/opensignals/OSmontage1A.txt", folder, 400)
    return path, path


def _empatica(name: str) -> Callable[[Path, Path], tuple[Path, Path]]:
    def make(data: Path, folder: Path) -> tuple[Path, Path]:
        export = folder / "e4"
        export.mkdir()
        for file in (data / "formats/empatica_e4").glob("*.csv"):
            _copy(file, export, 200)
        return export, export / name

    return make


def _empatica_zip(data: Path, folder: Path) -> tuple[Path, Path]:
    export, _ = _empatica("EDA.csv")(data, folder)
    path = folder / "e4.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(export.glob("*.csv")):
            archive.write(file, file.name)
    return path, path


def _csv(_: Path, folder: Path) -> tuple[Path, Path]:
    path = folder / "table.csv"
    rows = "\n".join(f"{i / 50:.2f},{(i * 7) % 11 / 10},{80 + i % 40}" for i in range(400))
    path.write_text(f"time (s),ECG (mV),ABP (mmHg)\n{rows}\n")
    return path, path


# Each makes a good recording and returns what to import and which of its files to damage.
GOOD: dict[str, Callable[[Path, Path], tuple[Path, Path]]] = {
    "wfdb": _wfdb,
    "wfdb header": _wfdb_header,
    "wfdb FLAC": _wfdb_flac,
    "wfdb annotations": _wfdb_annotations,
    "edf": _edf,
    "edf montage": _edf_montage,
    "fif": _fif,
    "brainvision": _brainvision,
    "brainvision data": _brainvision_data,
    "brainvision markers": _brainvision_markers,
    "acq 5.0.1": _acq("physio-5.0.1.acq"),
    "acq 4.4.0": _acq("physio-4.4.0-c.acq"),
    "acq 3.9.1": _acq("physio-3.9.1-c.acq"),
    "xdf": _xdf,
    "opensignals h5": _opensignals_h5,
    "opensignals txt": _opensignals_txt,
    "bitalino txt": _bitalino_txt,
    "empatica EDA": _empatica("EDA.csv"),
    "empatica IBI": _empatica("IBI.csv"),
    "empatica zip": _empatica_zip,
    "csv": _csv,
}
ONE_FILE = [
    name
    for name in GOOD
    if not name.startswith(("wfdb", "brainvision", "empatica EDA", "empatica IBI"))
]


@pytest.fixture(params=list(GOOD))
def good(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "in"
    folder.mkdir()
    return GOOD[request.param](shared_data, folder)


def attempt(source: Path) -> Recording | None:
    """Read; None for a PhysioError of one line, and anything else fails the test."""
    message = ""
    recording = None
    try:
        recording = read_recording(source)
    except PhysioError as error:
        message = str(error)
    assert "\n" not in message
    return recording


def test_the_samples_are_good(good: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = good
    report = import_recording(source, tmp_path / "out.h5")
    assert report.streams
    assert report.format in {item.name for item in FORMATS}


def test_cut_at_a_hundred_places(good: tuple[Path, Path], tmp_path: Path) -> None:
    source, victim = good
    content = victim.read_bytes()
    whole = read_recording(source)
    n_whole = sum(len(part.samples) for channel in whole.channels for part in channel.segments)
    for size in np.unique(np.linspace(0, len(content) - 1, N_CUTS).astype(int)):
        victim.write_bytes(content[:size])
        recording = attempt(source)
        if recording is None:
            continue
        n = sum(len(part.samples) for channel in recording.channels for part in channel.segments)
        assert n <= n_whole


def test_changed_bytes(good: tuple[Path, Path]) -> None:
    source, victim = good
    content = np.frombuffer(victim.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(5)
    for i in range(N_FLIPS):
        changed = content.copy()
        reach = min(len(content), 3000) if i % 2 else len(content)  # headers stand in front
        places = rng.integers(0, reach, size=1 + i % 8)
        changed[places] = rng.integers(0, 256, size=len(places))
        victim.write_bytes(changed.tobytes())
        attempt(source)


def test_what_is_left_of_a_cut_file_can_be_written(good: tuple[Path, Path], tmp_path: Path) -> None:
    source, victim = good
    content = victim.read_bytes()
    for share in (0.2, 0.5, 0.8, 0.95):
        victim.write_bytes(content[: int(share * len(content))])
        out = tmp_path / "out.h5"
        try:
            import_recording(source, out, overwrite=True)
        except PhysioError:
            continue
        assert out.is_file()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.parametrize("name", ONE_FILE)
@pytest.mark.parametrize("ending", [".edf", ".acq", ".xdf", ".csv", ".fif", ".dat", ""])
def test_the_content_decides_not_the_ending(
    shared_data: Path, tmp_path: Path, name: str, ending: str
) -> None:
    source, _ = GOOD[name](shared_data, tmp_path)
    expected = read_recording(source)
    misnamed = source.rename(tmp_path / f"misnamed{ending}")
    recording = read_recording(misnamed)
    assert recording.format == expected.format
    assert [c.name for c in recording.channels] == [c.name for c in expected.channels]


ENDINGS = sorted({ending for item in FORMATS for ending in item.suffixes} | {".vmrk", ".eeg", ""})


@pytest.mark.parametrize("ending", ENDINGS)
def test_empty_and_random_files(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / f"noise{ending}"
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match="empty"):
        read_recording(path)
    for size in (1, 7, 64, 300, 5000, 40_000):
        path.write_bytes(rng.bytes(size))
        assert attempt(path) is None
    path.write_bytes(b"\x00" * 2000)
    assert attempt(path) is None
    path.write_text("The quick brown fox.\nNothing here is a table.\n")
    assert attempt(path) is None


MAGIC = {
    "edf": b"0       " + b" " * 176 + b"512     ",
    "bdf": b"\xffBIOSEMI" + b" " * 176 + b"512     ",
    "xdf": b"XDF:",
    "fif": b"\x00\x00\x00\x64\x00\x00\x00\x1f\x00\x00\x00\x14",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "zip": b"PK\x03\x04",
    "opensignals": b"# OpenSignals Text File Format\n",
    "brainvision": b"Brain Vision Data Exchange Header File Version 1.0\n",
    "acq": b"\x00\x00" + (132).to_bytes(4, "big") + (3000).to_bytes(4, "big") + b"\x00\x04"
    + b"\x00\x00\x00\x00" + b"\x3f\xe0" + b"\x00" * 6,
    "wfdb": b"rec 2 250 1000\n",
}  # fmt: skip


@pytest.mark.parametrize("name", MAGIC)
def test_random_bytes_after_a_true_beginning(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(13)
    path = tmp_path / ("rec.hea" if name == "wfdb" else "noise")
    for size in (0, 10, 500, 20_000):
        path.write_bytes(MAGIC[name] + rng.bytes(size))
        assert attempt(path) is None
        path.write_bytes(MAGIC[name] + b"\x00" * size)
        assert attempt(path) is None


def test_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        read_recording(tmp_path / "nothing.acq")
    with pytest.raises(RecordingError, match="no format"):
        read_recording(tmp_path)
    (tmp_path / "notes.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(RecordingError, match="named like Empatica"):
        read_recording(tmp_path / "notes.zip")


def test_a_session_file_is_not_imported_again(shared_data: Path, tmp_path: Path) -> None:
    source, _ = _edf(shared_data, tmp_path)
    report = import_recording(source, tmp_path / "p01.h5")
    with pytest.raises(RecordingError, match="session file already"):
        read_recording(report.path)


@pytest.mark.parametrize("cell", ["1e999999999999", "1e-999999999999", "1e2147483648"])
def test_a_huge_exponent_does_not_crash_the_parser(tmp_path: Path, cell: str) -> None:
    # Some of the number parsers of pandas index out of their tables here.
    table = tmp_path / "a.csv"
    for text in (
        f"time [s],x,y\n0,1,2\n1,{cell},3\n2,3,4\n3,4,5\n",
        f"time [s];x\n0,5;1,5\n1,5;{cell}\n2,5;3,5\n",
        f"time [s],x\n0,1\n{cell},2\nlater,3\n",
    ):
        table.write_text(text)
        _read_or_refuse(table)
    signals = tmp_path / "a.txt"
    header = '{"AA": {"column": ["nSeq", "CH1"], "sampling rate": 100, "device": "bioplux"}}'
    signals.write_text(f"# OpenSignals Text File Format\n# {header}\n# EndOfHeader\n0\t{cell}\n")
    _read_or_refuse(signals)


def _read_or_refuse(path: Path) -> None:
    with contextlib.suppress(PhysioError):
        read_recording(path)


def test_messages_stay_on_one_line_whatever_a_cell_holds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('time [s],x\n0,1\n1,"two\nlines"\n2,3\n3,4\n')
    with pytest.raises(RecordingError, match="two lines") as caught:
        read_recording(tmp_path / "a.csv")
    assert len(str(caught.value).splitlines()) == 1
