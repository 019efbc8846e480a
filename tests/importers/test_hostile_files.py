"""Files made to harm: each is refused with a reason, at once and within little memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers import import_recording, read_recording
from physio_hqc.importers._limits import BoundedFile
from physio_hqc.importers.events_csv import read_events

ROOM = 900_000_000


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more than a little memory on top of what the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(source: Path, said: str) -> None:
    with pytest.raises(RecordingError, match=said) as caught:
        read_recording(source)
    message = str(caught.value)
    assert len(message) <= 2000
    assert message.isprintable()


# ---- WFDB ----------------------------------------------------------------------------------------


def wfdb(folder: Path, header: str, dat: bytes = b"\x01\x00" * 500) -> Path:
    (folder / "rec.hea").write_text(header)
    (folder / "rec.dat").write_bytes(dat)
    return folder / "rec.hea"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "a/b.dat", "a\\b", "s3://x/y", "\x1b[2J"]
)
def test_a_record_that_names_other_places(tmp_path: Path, name: str) -> None:
    line = f"{name} 16 200/mV 12 0 0 0 0 ECG\n"
    refused(wfdb(tmp_path, f"rec 1 250 100\n{line}"), "not a plain file name")
    refused(wfdb(tmp_path, f"rec/2 1 250 200\n{name} 100\n~ 100\n"), "not a plain file name")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("rec 999999999 250 100\nrec.dat 16\n", "make no sense"),
        ("rec 99999999999999 250 100\nrec.dat 16\n", "record line is damaged"),
        ("rec/999999999 1 250 100\nseg 100\n", "make no sense"),
        ("rec 1 1e300 100\nrec.dat 16\n", "WFDB|makes no sense|damaged"),
        (f"rec 1 {'9' * 300} 100\nrec.dat 16 200/mV 12 0 0 0 0 ECG\n", "makes no sense"),
        ("rec 1 250 100\nrec.dat 516x99999999 200/mV 12 0 0 0 0 ECG\n", "more samples than"),
        ("rec 1 250 9999999999\nrec.dat 516 200/mV 12 0 0 0 0 ECG\n", "more samples than"),
        ("rec 1 250\nrec.dat 516 200/mV 12 0 0 0 0 ECG\n", "more samples than"),
        ("rec 1 250 100\nrec.dat 16 200/mV 12 0 0 0 0 " + "E" * 5000 + "\n", "characters"),
    ],
)
def test_a_record_of_absurd_counts(
    tmp_path: Path, little_memory: None, header: str, said: str
) -> None:
    refused(wfdb(tmp_path, header), said)


def test_a_segment_named_ten_thousand_times(tmp_path: Path, little_memory: None) -> None:
    (tmp_path / "seg.hea").write_text("seg 1 250 50000\nrec.dat 16 200/mV 12 0 0 0 0 ECG\n")
    lines = "seg 50000\n" * 10_000
    source = wfdb(tmp_path, f"rec/10000 1 250 500000000\n{lines}", bytes(100_000))
    refused(source, "10000 times")


# ---- EDF -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        ["## of no meaning"],
        ["## end of definitions"],
        ["## annotation type definitions "],
        ["## time resolution: 250", "## time resolution: 250"],
    ],
)
def test_notes_about_annotations_that_would_be_read_for_ever(
    tmp_path: Path, texts: list[str]
) -> None:
    path = wfdb(tmp_path, "rec 1 250 500\nrec.dat 16 200/mV 16 0 0 0 0 ECG\n")
    notes = b"".join(
        struct.pack("<HBB", 22 << 10, len(text), 0xFC) + text.encode() + bytes(len(text) % 2)
        for text in texts
    )
    path.with_suffix(".atr").write_bytes(notes + struct.pack("<HH", (1 << 10) + 100, 0))
    recording = read_recording(path)
    assert recording.channels[0].segments[0].samples.size == 500
    assert any("annotations are left out" in note for note in recording.notes)


def edf(n_per_record: list[int], labels: list[str], data: bytes, record_s: str = "1") -> bytes:
    n = len(labels)
    columns = [
        *([label.ljust(16) for label in labels], [" " * 80] * n, ["uV".ljust(8)] * n),
        *([text.ljust(8)] * n for text in ("-100", "100", "-2048", "2047")),
        *([" " * 80] * n, [str(count).ljust(8) for count in n_per_record], [" " * 32] * n),
    ]
    fixed = "0".ljust(8) + "X".ljust(80) * 2 + "02.03.2010.11.12" + str(256 * (n + 1)).ljust(8)
    fixed += "EDF+C".ljust(44) + "-1".ljust(8) + record_s.ljust(8) + str(n).ljust(4)
    return (fixed + "".join("".join(column) for column in columns)).encode() + data


def test_an_edf_with_thousands_of_empty_annotation_signals(tmp_path: Path) -> None:
    # One step for each of them in each record would be a thousand million steps.
    labels = ["ECG", *["EDF Annotations"] * 4000]
    path = tmp_path / "a.edf"
    path.write_bytes(edf([1, *[0] * 4000], labels, bytes(500_000)))
    (channel,) = read_recording(path).channels
    assert len(channel.segments[0].samples) == 250_000


def test_an_edf_whose_annotations_never_end(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf([1, 300_000], ["ECG", "EDF Annotations"], b"  " + b"+1\x14" * 200_000))
    assert read_recording(path).markers == ()


@pytest.mark.parametrize("seconds", ["1e-300", "5e-324", "1e-9", "1e300"])
def test_an_edf_of_an_absurd_rate(tmp_path: Path, seconds: str) -> None:
    path = tmp_path / "a.edf"
    path.write_bytes(edf([10], ["ECG"], bytes(200), seconds))
    refused(path, "damaged")


# ---- BrainVision and FIF -------------------------------------------------------------------------

VHDR = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
MarkerFile=a.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels=1
SamplingInterval=4000
[Binary Infos]
BinaryFormat=INT_16
[Channel Infos]
Ch1=ECG,,0.5,uV
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("DataFile=a.eeg", "DataFile=../../etc/passwd", "plain file name"),
        ("DataFile=a.eeg", "datafile=/etc/passwd", "plain file name"),
        ("DataFile=a.eeg", "DataFile: ../x", "plain file name"),
        ("DataFile=a.eeg", "DataFile=a.eeg\n  ../x", "plain file name"),
        ("DataFile=a.eeg", "DATAFILE=..\\x", "plain file name"),
        ("MarkerFile=a.vmrk", "MarkerFile=/etc/passwd", "plain file name"),
        ("MarkerFile=a.vmrk", "markerfile = ../x.vmrk", "plain file name"),
        ("[Common", "[Other]\nDataFile=a.eeg\n[DEFAULT]\nDataFile=/x\n[Common", "plain file name"),
        ("Codepage=UTF-8", "Codepage=utf-7", "code page"),
        ("Codepage=UTF-8", "Codepage=utf-16", "code page|not known"),
        ("Channels=1", "Channels=2147483648", "makes no sense"),
        ("Channels=1", "Channels=-1", "makes no sense"),
        ("Interval=4000", "Interval=0", "BrainVision"),
        ("Interval=4000", "Interval=1e-300", "BrainVision|damaged"),
        ("Interval=4000", "Interval=nan", "BrainVision|damaged"),
        ("MULTIPLEXED", "VECTORIZED\nDataPoints=-1", "makes no sense"),
    ],
)
def test_a_brainvision_header_that_points_elsewhere_or_lies(
    tmp_path: Path, little_memory: None, old: str, new: str, said: str
) -> None:
    (tmp_path / "a.eeg").write_bytes(bytes(400))
    (tmp_path / "a.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n")
    path = tmp_path / "a.vhdr"
    path.write_text(VHDR)
    assert read_recording(path).channels[0].sfreq == 250
    path.write_text(VHDR.replace(old, new))
    refused(path, said)


def tag(kind: int, form: int, data: bytes, following: int = 0) -> bytes:
    return struct.pack(">iIii", kind, form, len(data), following) + data


FIF = tag(100, 31, bytes(20)) + tag(101, 3, struct.pack(">i", -1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (FIF + tag(1, 3, bytes(4), 36), "circles"),
        (FIF + tag(1, 3, bytes(4), 56), "circles"),
        (FIF + tag(300, 2, bytes(64)) + tag(301, 3, struct.pack(">i", 2**30)), "cannot hold"),
        (FIF + tag(118, 10, b"../../secret_raw.fif"), "plain file name"),
        (FIF + tag(118, 10, b"/etc/passwd"), "plain file name"),
        (FIF + tag(118, 10, b"a_raw.fif"), "twice"),
    ],
)
def test_fif_tags_that_lead_astray(
    tmp_path: Path, little_memory: None, content: bytes, said: str
) -> None:
    path = tmp_path / "a_raw.fif"
    path.write_bytes(content + tag(108, 0, b"", -1))
    refused(path, said)


def test_a_gzipped_fif_that_unpacks_to_gigabytes(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "a_raw.fif.gz"
    path.write_bytes(gzip.compress(FIF + bytes(50_000_000), 1))
    refused(path, "unpacks to more")


# ---- AcqKnowledge --------------------------------------------------------------------------------


def test_counts_that_lead_round_in_circles_run_out_of_reads() -> None:
    file = BoundedFile(b"x" * 100, "a.acq")
    assert len(file.read(2**62)) == 100
    with pytest.raises(RecordingError, match="circles"):
        list(iter(lambda: (file.seek(0), file.read(4)), None))


@pytest.mark.parametrize("channels", [-1, 0, 513, 32767])
def test_acqknowledge_counts(tmp_path: Path, channels: int) -> None:
    head = struct.pack("<hiihhh", 0, 38, 1894, max(1, channels), 0, 0) + struct.pack("<d", 4.0)
    path = tmp_path / "a.acq"
    path.write_bytes(head + bytes(5000))
    refused(path, "AcqKnowledge|make no sense|circles")


# ---- XDF -----------------------------------------------------------------------------------------


def chunk(kind: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, kind) + content


def xdf(xml: bytes, *more: bytes) -> bytes:
    start = chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    return b"XDF:" + start + chunk(2, struct.pack("<I", 1) + xml) + b"".join(more)


def described(count: object = 1, rate: object = 10, *, front: str = "", name: str = "a") -> bytes:
    return (
        f"{front}<info><name>{name}</name><type>x</type><channel_count>{count}</channel_count>"
        f"<nominal_srate>{rate}</nominal_srate><channel_format>int16</channel_format></info>"
    ).encode()


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (described(front=BOMB, name="&i;"), "entities"),
        (described(front=BOMB, name="&i;").decode().encode("utf-16"), "stream header"),
        (described(front=BOMB, name="&i;").decode().encode("utf-16-le"), "stream header"),
        (b"<a>" * 100_000, "deeply"),
        (described(count=2**31), "channels"),
        (described(count=-1), "channels"),
        (described(count="9" * 5000), "channel count"),
        (described(rate="1e300"), "rate"),
        (described(rate="nan"), "rate"),
        (described(rate=-5), "rate"),
    ],
)
def test_xdf_headers(tmp_path: Path, little_memory: None, xml: bytes, said: str) -> None:
    path = tmp_path / "a.xdf"
    path.write_bytes(xdf(xml))
    refused(path, said)


def test_xdf_streams_of_a_million_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    more = [chunk(2, struct.pack("<I", i) + described(count=9000)) for i in range(2, 200)]
    path.write_bytes(xdf(described(), *more))
    refused(path, "channels in all")


def test_an_xdf_whose_stamps_jump_everywhere(tmp_path: Path) -> None:
    stamps = np.cumsum(np.full(60_000, 0.3))
    body = b"".join(b"\x08" + struct.pack("<dh", stamp, 1) for stamp in stamps)
    samples = chunk(3, struct.pack("<IBI", 1, 4, len(stamps)) + body)
    path = tmp_path / "a.xdf"
    path.write_bytes(xdf(described(rate=1e6), samples))
    assert read_recording(path).channels


def test_an_xdf_whose_clocks_jump_everywhere(tmp_path: Path) -> None:
    # Each stretch between two jumps would be fitted anew, for a tenth of a second.
    clocks = [chunk(4, struct.pack("<Idd", 1, 5 * i, i // 5 * 1000)) for i in range(20_000)]
    path = tmp_path / "a.xdf"
    path.write_bytes(xdf(described(), *clocks))
    refused(path, "jump")


def test_an_xdf_name_that_is_almost_a_unit(tmp_path: Path) -> None:
    name = "(" + " " * 200_000 + "x"
    samples = chunk(
        3, struct.pack("<IBB", 1, 1, 2) + b"\x08" + struct.pack("<dh", 1, 1) + b"\0\1\0"
    )
    path = tmp_path / "a.xdf"
    path.write_bytes(xdf(described(name=name), samples))
    assert len(read_recording(path).channels[0].name) <= 300


def test_an_xdf_that_unpacks_to_gigabytes(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "a.xdfz"
    path.write_bytes(gzip.compress(b"XDF:" + bytes(50_000_000), 1))
    refused(path, "unpacks to more")


# ---- Empatica ------------------------------------------------------------------------------------

EDA = b"1560279825.0\n4.0\n0.1\n0.2\n"


def packed(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("EDA.csv", EDA)
        archive.writestr("TEMP.csv", EDA)
        for info, content in members:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("../HR.csv", EDA, "outside"),
        ("a/../../HR.csv", EDA, "outside"),
        ("/etc/HR.csv", EDA, "outside"),
        ("C:\\HR.csv", EDA, "outside"),
        ("..\\HR.csv", EDA, "outside"),
        ("../unknown.txt", b"x", "outside"),
        (linked("HR.csv"), b"/etc/passwd", "link"),
        (linked("notes.txt"), b"../../secret", "link"),
        ("inner/EDA.csv", EDA, "twice"),
        ("BVP.csv", EDA + b"0\n" * 40_000_000, "unpacks to"),
    ],
)
def test_a_hostile_zip(
    tmp_path: Path, little_memory: None, member: str | zipfile.ZipInfo, content: bytes, said: str
) -> None:
    refused(packed(tmp_path / "a.zip", (member, content)), said)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(packed(tmp_path / "a.zip").read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(magic)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(magic, start + 4)
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", "encrypted")


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip").read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("EDA.csv.zip", inner)
    (tmp_path / "a.zip").write_bytes(made.getvalue())
    refused(tmp_path / "a.zip", "content is not")


def test_a_damaged_lzma_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("EDA.csv", EDA * 50)
        archive.writestr("TEMP.csv", EDA)
    data = bytearray(path.read_bytes())
    data[41:60] = b"\xff" * 19
    path.write_bytes(data)
    refused(path, "cannot be unpacked")


# ---- OpenSignals ---------------------------------------------------------------------------------


def opensignals(path: Path, header: str, body: str = "0\t1\n1\t2\n") -> Path:
    path.write_text(f"# OpenSignals Text File Format\n# {header}\n# EndOfHeader\n{body}")
    return path


def stated(columns: int) -> str:
    names = ["nSeq", *(f"CH{i}" for i in range(1, columns))]
    return json.dumps({"AA": {"column": names, "sampling rate": 100, "device": "bioplux"}})


def test_an_opensignals_header_of_open_quotes(tmp_path: Path) -> None:
    # Searched anew from each quote, this would take minutes.
    refused(opensignals(tmp_path / "a.txt", "{" + '\\"' * 400_000), "JSON")


def test_opensignals_rows_of_one_cell(tmp_path: Path, little_memory: None) -> None:
    first = "\t".join(["1"] * 1000) + "\n"
    path = opensignals(tmp_path / "a.txt", stated(1000), first + "1\n" * 400_000)
    refused(path, "too short")


def bomb(path: Path, fill: Callable[[h5py.Group], None]) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("AA:BB")
        group.attrs.update({"device": "biosignalsplux", "sampling rate": 100})
        raw = group.create_group("raw")
        raw["channel_1"] = np.arange(50, dtype="u2")[:, None]
        fill(raw)
    return path


def huge(raw: h5py.Group) -> None:
    raw.create_dataset("channel_2", (10**12, 1), "u2", chunks=(1 << 20, 1), compression="gzip")


def huge_chunk(raw: h5py.Group) -> None:
    raw.create_dataset(
        "channel_2", (10, 1), "f8", maxshape=(None, 1), chunks=(1 << 28, 1), compression="gzip"
    )


def many_names(raw: h5py.Group) -> None:
    raw.create_dataset("channel_0", (10**5, 1), "u2", compression="gzip")[...] = 1
    for i in range(2, 900):
        raw[f"channel_{i}"] = raw["channel_0"]


def soft(raw: h5py.Group) -> None:
    raw["channel_2"] = h5py.SoftLink("/AA:BB/raw/channel_1")


def outside(raw: h5py.Group) -> None:
    raw["channel_2"] = h5py.ExternalLink("/etc/passwd", "/x")


def external(raw: h5py.Group) -> None:
    raw.create_dataset("channel_2", (10, 1), "u1", external=[("/etc/passwd", 0, 10)])


def texts(raw: h5py.Group) -> None:
    raw["channel_2"] = np.array([[b"x" * 100]] * 5)


def records(raw: h5py.Group) -> None:
    raw["channel_2"] = np.zeros((5, 1), dtype=[(f"f{i}", "f8") for i in range(500)])


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (huge, "claims"),
        (huge_chunk, "claims"),
        (many_names, "claims"),
        (soft, "refused"),
        (outside, "refused"),
        (external, "refused"),
        (texts, "numbers"),
        (records, "numbers"),
    ],
)
def test_a_hostile_hdf5_file(
    tmp_path: Path, little_memory: None, fill: Callable[[h5py.Group], None], said: str
) -> None:
    refused(bomb(tmp_path / "a.h5", fill), said)


# ---- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t," + ",".join(f"c{i}" for i in range(5000)) + "\n0\n1\n", "columns"),
        ("time,x\n0,1" + ",1" * 2000 + "\n" + "1\n" * 300_000, "content is not"),
        ("t," + ",".join(f"c{i}" for i in range(900)) + "\n" + "1\n" * 400_000, "too short"),
        ("time [s],a" + "(" * 20_000 + "\n0,1\n1,2\n", "characters"),
        ("time [s],a" + " " * 20_000 + "b\n0,1\n1,2\n", "characters"),
        ("# rate: 1" + " " * 60_000 + "x\nECG\n1\n2\n3\n", "rate"),
        ("time [s],x\n0,1\n1,\x002\n2,3\n" * 2, "content is not"),
        ("time [s],x\n0,1\n1e300,2\n2e300,3\n", "."),
        ("time [s],x\n0,1\nnan,2\n2,3\n", "time"),
        ("time [s],x\n-1e300,1\n0,2\n1,3\n", "."),
        ("time [s],x\n0,1\n1,1e300\n2,3\n", "no sensor"),
        ("time [s],x\n0,1\n1," + "1" * 300_000 + "x\n2,3\n", "is no number"),
        ("a\n1\n" + "1" * 60_000 + "x\n2\n", "."),
    ],
)
def test_a_hostile_table(tmp_path: Path, little_memory: None, text: str, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    refused(path, said)


def test_a_table_with_one_endless_line(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"time [s],x\n0,1\n1,2\n2," + b"9" * 20_000_000 + b"\n3,4\n")
    (channel,) = read_recording(path).channels
    assert np.isnan(channel.segments[0].samples[2])  # as every infinite value
    path.write_bytes(b"1," * 25_000_000)
    refused(path, ".")


def test_a_table_named_like_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zip"
    path.write_text("time [s],ECG [mV]\n0,1\n1,2\n2,3\n")
    assert read_recording(path).channels[0].sfreq == 1


def test_terminal_commands_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time [s],x\n0,1\n1,\x1b[2J\x1b]0;owned\x07\n2,3\n3,4\n")
    refused(path, "is no number")


# ---- events --------------------------------------------------------------------------------------

HEADER = "onset,duration,kind,label,who\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "inf,0,marker,a,b\n", "onset"),
        (HEADER + "1e300,0,marker,a,b\n", "onset"),
        (HEADER + "0,1e300,phase,a,b\n", "duration"),
        (HEADER + "-1,0,marker,a,b\n", "onset"),
        (HEADER + "0,-inf,marker,a,b\n", "duration"),
        (HEADER + "0,nan,phase,a,b\n", "duration"),
        (HEADER.strip() + ",a" * 2_000_000 + "\n", "columns"),
        (HEADER + "0,0,marker,a,b\n" * 100_001, "at most"),
        (HEADER + "0,0,marker,a,b\x00\n", "not a text"),
        (HEADER + "0,0,marker,a," + "b" * 200_000 + "\n", "field|bytes"),
    ],
)
def test_hostile_events(tmp_path: Path, little_memory: None, text: str, said: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(RecordingError, match=said):
        read_events(path)


def test_huge_numbers_and_formulas_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + f'0,0,marker,"=HYPERLINK(""x"")",{"9" * 4000}\n1,0,note,@SUM(1),-7\n')
    first, second = read_events(path)
    assert (first.label, first.payload) == ('=HYPERLINK("x")', {"who": "9" * 4000})
    assert (second.label, second.payload) == ("@SUM(1)", {"who": -7})


def test_what_is_no_file_of_events(tmp_path: Path) -> None:
    for source in (tmp_path, Path("/dev/zero"), tmp_path / "a\x00b", tmp_path / ("n" * 300)):
        with pytest.raises(RecordingError):
            read_events(source)


# ---- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n" * 300, "a\x00b", "\udcff", "..", "/dev/zero", "/dev/full"])
def test_names_that_no_recording_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(PhysioError):
        read_recording(tmp_path / name)


def test_nothing_is_left_open_or_behind(tmp_path: Path) -> None:
    source = packed(tmp_path / "a.zip", ("../HR.csv", EDA))
    before = {item.name for item in Path("/proc/self/fd").iterdir()}
    for _ in range(20):
        with pytest.raises(RecordingError):
            import_recording(source, tmp_path / "out.h5")
    assert (
        len({item.name for item in Path("/proc/self/fd").iterdir()} - before) <= 1
    )  # the listing itself
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]
