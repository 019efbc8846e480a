"""Session files for the fuzz tests: small valid ones, and ones that lie in what they hold."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzzing import Case
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError
from physio_hqc.session import Session, SessionWriter, open_session, summarize
from physio_hqc.session.salvage import lookup3

PROTOCOL = """name: short
title: Rest and talk
phases:
  - {name: baseline, duration_s: 2, role: baseline}
  - {name: talk, duration_s: 2, role: task}
baseline: {phase: baseline, min_cuff_readings: 1}
"""


def small_session(path: Path) -> bytes:
    """One regular stream of packets, one irregular stream, three events; some 20 kB."""
    with SessionWriter(path, participant_id="P01", condition="support", protocol=PROTOCOL) as to:
        to.add_stream("ecg", modality="ecg", units="mV", sfreq=50.0, dtype="int16", scale=0.01)
        to.add_stream(
            "cuff",
            modality="cuff",
            units="mmHg,mmHg,mmHg,1/min",
            sfreq=0,
            channels=["SBP", "DBP", "MAP", "HR"],
        )
        for k in range(10):
            samples = (100 * np.sin(np.arange(20 * k, 20 * k + 20) / 4)).astype(np.int16)
            to.append("ecg", samples, 0.4 * k + 0.45, 0.4 * k + 0.4)
        to.append_irregular("cuff", [1.0, 3.0], [[120, 80, 93, 70], [130, 85, 100, np.nan]])
        to.add_event(0.0, "phase", "baseline", duration=2.0)
        to.add_event(2.0, "phase", "talk", duration=float("nan"), payload={"role": "task"})
        to.add_event(3.0, "rating", "stress", payload={"value": 4})
    return path.read_bytes()


def unclosed(raw: bytes) -> bytes:
    """The same file, had its recorder died: `closed` is False."""
    return edited(raw, lambda file: file.attrs.modify("closed", np.array(False)))


def edited(raw: bytes, edit: Callable[[h5py.File], object]) -> bytes:
    """A file of the given content after an edit through h5py, all in memory."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fapl_core(backing_store=False)
    access.set_file_image(raw)
    with h5py.File(h5py.h5f.open(b"edited", h5py.h5f.ACC_RDWR, access)) as file:
        edit(file)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def in_old_format(raw: bytes) -> bytes:
    """The same session in the oldest layout of HDF5, whose metadata have no checksums."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    new = h5py.h5f.create(b"old", h5py.h5f.ACC_TRUNC, fapl=access)
    old = h5py.h5f.open_file_image(raw)
    with h5py.File(old) as source, h5py.File(new) as file:
        file.attrs.update(source.attrs)
        for name in source:
            source.copy(name, file)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def resealed(data: bytearray, changed: list[int]) -> bytes:
    """The same bytes, checksums of superblock and object headers around what changed made right."""
    if len(data) > 48 and data[8] == 3:
        data[44:48] = struct.pack("<I", lookup3(bytes(data[:44])))
    at = data.find(b"OHDR")
    while 0 <= at < len(data) - 32:
        flags = data[at + 5]
        size_of = 1 << (flags & 3)
        begin = at + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        size = int.from_bytes(data[begin : begin + size_of], "little")
        end = begin + size_of + size
        if end + 4 <= len(data) and any(at <= place < end for place in changed):
            data[end : end + 4] = struct.pack("<I", lookup3(bytes(data[at:end])))
        at = data.find(b"OHDR", at + 4)
    return bytes(data)


NUMBERS = (
    *(float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 50.0, 1e-9),
    *(1e-300, 5e-324, 1e300, -1e300, 1.7976931348623157e308, 1e17, 9.2e18, -9.3e18, 1e12, 1e6),
)
INTEGERS = (
    *(0, 1, -1, 2, 7, 19, 20, 21, 200, 201, 1000, 10**6, 2**31 - 1, 2**31, 2**32, 2**40),
    *(2**62, 2**63 - 1, -(2**63), -(2**31), 10**18),
)
JSON = (
    *("", "{}", "[]", "null", "1", '"x"', "[1,2", "NaN", '{"a":NaN}', '{"a":1e999}', "[[]]"),
    *('["x"]', '["x","y","z","w"]', '["x","x"]', "[" * 3000 + "]" * 3000, '{"a":' * 2000),
    *("1" * 3000, '{"a":1,"a":2}', '["\\ud800"]', '{"\\ud800":"\\ud800"}', "[null,{},[],1e400]"),
    *('{"value":"x","min":1,"max":0}', '{"role":[],"speech":"no"}', '{"value":1e308,"max":-1e308}'),
    *('{"import_notes":[{"a":1},null,"x"]}', '{"import_notes":5}', '{"role":{"a":1}}', "\x00"),
)
TEXTS = (
    *("", " ", "x", "ecg", "bp", "rr", "eda", "resp", "cuff", "acc", "temp", "other", "mV", "µS"),
    *("\x00", "a\nb", "../x", "/etc/passwd", "%s{0}", "\u202e", "é" * 300, "1", "nan", "phase"),
    *("s", "ms", "mmHg,mmHg,mmHg,1/min", "interaction", "rating", "baseline", "\U0001f600"),
)
BYTES = (
    b"",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\x00\x00",
    b"phase",
    b"rating",
    b"\x1b[2J",
)

numbers = st.sampled_from(NUMBERS) | st.floats(-10, 10)
integers = st.sampled_from(INTEGERS)


def _empty() -> h5py.Empty:
    return h5py.Empty("f8")


ATTRIBUTE_VALUES = st.one_of(
    numbers,
    integers.filter(lambda n: abs(n) < 2**63),
    st.sampled_from((*TEXTS, *JSON)).filter(lambda text: "\x00" not in text),
    st.sampled_from(BYTES).map(np.bytes_),
    st.sampled_from(
        (
            _empty(),
            h5py.Empty(h5py.string_dtype()),
            np.zeros(0),
            np.zeros((2, 2)),
            np.array([1.0, np.nan]),
            np.ones(4),
            np.full(4, 1e300),
            np.array([True, False]),
            np.array(True),
            np.zeros(3, dtype="c16"),
            np.array(1 + 2j),
            np.array(["a", "b"], dtype=h5py.string_dtype()),
            np.array([b"a", b"\xff"], dtype="S3"),
            np.zeros(2, dtype=[("a", "f8"), ("b", "S4")]),
            np.zeros((), dtype="V8"),
            np.array(2**64 - 1, dtype="u8"),
            np.array(3.0, dtype=">f2"),
            np.array(5, dtype=h5py.enum_dtype({"a": 5})),
            np.ones(5000, dtype="u1"),
            "x" * 60_000,
        )
    ),
)

ROOT = ("format", "format_version", "closed", "t0_unix_ns", "session_id", "participant_id")
ROOT += ("condition", "protocol", "role", "created_utc", "software", "dyad_id", "more")
STREAM = ("modality", "units", "sfreq", "channels", "device", "scale", "offset", "more")
FIELDS = ("first_sample", "n_samples", "t_received", "t_device", "flags")
DATASETS = ("events", "facts", "streams/ecg/samples", "streams/ecg/blocks")
DATASETS += tuple(f"streams/cuff/{part}" for part in ("samples", "blocks", "times"))
MEMBERS = (*DATASETS, "streams", "streams/ecg", "streams/cuff")
NAMES = ("ecg2", "..", ".", "µ", "a b", "x" * 300, "\n", "%s", "streams", "-", "ecg\u202e")


def _set_attribute(file: h5py.File, draw: st.DrawFn) -> None:
    where = draw(st.sampled_from(("/", "streams/ecg", "streams/cuff")))
    name = draw(st.sampled_from(ROOT if where == "/" else STREAM))
    attrs = file[where].attrs
    if name in attrs:
        del attrs[name]
    if draw(st.integers(0, 7)):
        attrs.create(name, draw(ATTRIBUTE_VALUES))


def _set_rate(file: h5py.File, draw: st.DrawFn) -> None:
    where = draw(st.sampled_from(("streams/ecg", "streams/cuff")))
    name = draw(st.sampled_from(("sfreq", "scale", "offset")))
    file[where].attrs.modify(name, np.float64(draw(numbers)))


def _set_text(file: h5py.File, draw: st.DrawFn) -> None:
    where = draw(st.sampled_from(("streams/ecg", "streams/cuff")))
    name = draw(st.sampled_from(("modality", "units", "channels", "device")))
    attrs = file[where].attrs
    del attrs[name]
    attrs[name] = draw(st.sampled_from(TEXTS if name in ("modality", "units") else JSON[:-1]))


def _rows(item: h5py.Dataset) -> Any:
    """All rows, unless an edit before this one made them what not even a test should read."""
    if item.is_virtual or item.external or item.dtype.hasobject or item.size > 10_000:
        raise ValueError("not to be read")
    return item[:]


def _set_block(file: h5py.File, draw: st.DrawFn) -> None:
    rows = file[draw(st.sampled_from(("streams/ecg/blocks",) * 4 + ("streams/cuff/blocks",)))]
    table = _rows(rows)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(FIELDS))
        value: Any = draw(numbers if name.startswith("t_") else integers)
        if name == "flags":
            value = abs(value) % 2**32
        which = draw(st.sampled_from((0, 1, len(table) // 2, -1, slice(None), slice(3, 6))))
        with np.errstate(all="ignore"):
            if draw(st.booleans()) and name.startswith("t_"):
                value = table[name][which] + value
            table[name][which] = value
    rows[:] = table


def _arrange_blocks(file: h5py.File, draw: st.DrawFn) -> None:
    rows = file["streams/ecg/blocks"]
    table = _rows(rows)
    order = draw(st.lists(st.integers(0, len(table) - 1), max_size=24))
    rows.resize(len(order), axis=0)
    rows[:] = table[order]


def _set_event(file: h5py.File, draw: st.DrawFn) -> None:
    rows = file["events"]
    table = _rows(rows)
    which = draw(st.integers(0, len(table) - 1))
    name = draw(st.sampled_from(("onset", "duration", "kind", "label", "source", "payload")))
    if name in ("onset", "duration"):
        table[name][which] = draw(numbers)
    elif name == "payload":
        table[name][which] = draw(st.sampled_from(JSON)).encode("utf-8", "replace")
    else:
        texts = st.sampled_from(TEXTS).map(str.encode)
        table[name][which] = draw(texts | st.sampled_from(BYTES))
    if draw(st.booleans()) and name == "payload":
        table["kind"][which] = b"rating"
    rows[:] = table


def _set_numbers(file: h5py.File, draw: st.DrawFn) -> None:
    name = draw(st.sampled_from(("streams/cuff/times", "streams/cuff/samples")))
    file[name][draw(st.integers(0, 1))] = draw(numbers)


def _resize(file: h5py.File, draw: st.DrawFn) -> None:
    item = file[draw(st.sampled_from(DATASETS))]
    size = draw(st.sampled_from((0, 1, 2, 9, 11, 199, 201, 500, 10**5, 10**7, 2**40, 2**62)))
    item.resize(size, axis=0)


_LAYOUTS: tuple[dict[str, Any], ...] = (
    {"shape": (), "dtype": "f8"},
    {"shape": (0,), "dtype": "f8"},
    {"shape": (200,), "dtype": "f4"},
    {"shape": (200,), "dtype": ">i2"},
    {"shape": (200,), "dtype": "?"},
    {"shape": (200,), "dtype": "c16"},
    {"shape": (200,), "dtype": "S8"},
    {"shape": (200,), "dtype": "f2"},
    {"shape": (200,), "dtype": "u8"},
    {"shape": (200, 1), "dtype": "i2"},
    {"shape": (200, 0), "dtype": "i2"},
    {"shape": (0, 4), "dtype": "i2"},
    {"shape": (2, 2, 2), "dtype": "f8"},
    {"shape": (10,), "dtype": [("first_sample", "<i8"), ("n_samples", "<i8")]},
    {"shape": (3,), "dtype": [(f"f{k}", "<i8") for k in range(300)]},
    {"shape": (3,), "dtype": [("a", [("b", [("c", "f8")])])]},
    {"shape": (3,), "dtype": h5py.string_dtype()},
    {"shape": (3,), "dtype": h5py.vlen_dtype("f8")},
    {"shape": (3,), "dtype": h5py.ref_dtype},
    {"shape": (3,), "dtype": h5py.enum_dtype({"a": 1})},
    {"shape": (3,), "dtype": "V16"},
    {"shape": (3,), "dtype": ("f8", (3,))},
    {"shape": (2**40,), "dtype": "i2", "chunks": (1024,)},
    {"shape": (2**30,), "dtype": "i2", "chunks": (2**29,), "compression": "gzip"},
    {"shape": (2**33,), "dtype": "i2", "chunks": (2**20,), "fillvalue": 7},
    {"shape": (200,), "dtype": "i2", "chunks": (200,), "compression": "lzf", "shuffle": True},
    {"shape": (200,), "dtype": "i2", "chunks": (7,), "fletcher32": True},
    {"shape": (200,), "dtype": "i4", "chunks": (7,), "scaleoffset": 4},
    {"shape": (10**6, 1000), "dtype": "f8", "chunks": (1, 1)},
)


def _other_layout(file: h5py.File, draw: st.DrawFn) -> None:
    name = draw(st.sampled_from(DATASETS))
    del file[name]
    file.create_dataset(name, **draw(st.sampled_from(_LAYOUTS)))


def _virtual(file: h5py.File, draw: st.DrawFn) -> None:
    name = draw(st.sampled_from(DATASETS))
    del file[name]
    if draw(st.booleans()):
        file.create_dataset(name, (64,), "u1", external=[("/etc/passwd", 0, 64)])
        return
    layout = h5py.VirtualLayout(shape=(200,), dtype="i2")
    where = draw(st.sampled_from((".", "other.h5", "/etc/passwd")))
    layout[:] = h5py.VirtualSource(where, "streams/ecg/samples", shape=(200,))
    file.create_virtual_dataset(name, layout)


def _link(file: h5py.File, draw: st.DrawFn) -> None:
    name, other = draw(st.sampled_from(MEMBERS)), draw(st.sampled_from((*MEMBERS, "/")))
    target = file[other]
    del file[name]
    if name.rpartition("/")[0] not in ("", "streams") and name.rpartition("/")[0] not in file:
        return
    how = draw(st.integers(0, 5))
    if how == 0:
        file[name] = target
    elif how == 1:
        file[name] = h5py.SoftLink(f"/{other}")
    elif how == 2:
        file[name] = h5py.ExternalLink("/etc/passwd", "/")
    elif how == 3:
        file[name] = np.dtype("f8")
    elif how == 4:
        file.create_group(name)


def _more_streams(file: h5py.File, draw: st.DrawFn) -> None:
    name = draw(st.sampled_from(NAMES))
    how = draw(st.integers(0, 3))
    if "streams" not in file or name in file["streams"]:
        return
    if how == 0:
        file["streams"].copy("ecg", name)
    elif how == 1:
        file["streams"][name] = file["streams"]
    elif how == 2:
        file["streams"][name] = h5py.SoftLink("/streams")
    else:
        file["streams"].create_group(name)


def _facts(file: h5py.File, draw: st.DrawFn) -> None:
    line = draw(
        st.sampled_from(JSON).map(str.encode)
        | st.sampled_from((*JSON[:-1], "5", "[1]", '"ab"', '[["a",1]]', '[["a"]]')).map(
            lambda text: f'{{"stream":"ecg","device":{text}}}'.encode()
        )
        | st.sampled_from(BYTES)
    )
    rows = file["facts"]
    rows.resize(len(line), axis=0)
    rows[:] = np.frombuffer(line, dtype="u1")


EDITS = (
    *(_set_attribute, _set_attribute, _set_rate, _set_text, _set_block, _set_block, _set_block),
    *(_set_block, _arrange_blocks, _arrange_blocks, _set_event, _set_event, _set_event),
    *(_set_numbers, _resize, _other_layout, _virtual, _link, _more_streams, _facts),
)


_IMPOSSIBLE = (KeyError, ValueError, OSError, TypeError, AttributeError, RuntimeError, IndexError)
_IMPOSSIBLE += (OverflowError,)


@st.composite
def lying(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """A session file of the corpus with one to three things in it that are not so."""
    raw = draw(st.sampled_from(corpus))
    edits = draw(st.lists(st.sampled_from(EDITS), min_size=1, max_size=3))

    def change(file: h5py.File) -> None:
        for edit in edits:
            try:
                edit(file, draw)
            except (*_IMPOSSIBLE, Warning):
                # What an edit before it took away, or HDF5 itself refuses to write.
                continue

    return Case(edited(raw, change))


def use_everything(session: Session, deep: bool) -> None:
    """Do with a session all that a caller may do, and hold it to what it promises."""
    assert session.duration >= 0
    assert np.isfinite(session.duration)
    rows = session.events
    assert np.isfinite(rows["onset"]).all()
    assert not (rows["duration"] < 0).any()
    assert not np.isinf(rows["duration"]).any()
    assert all(isinstance(payload, dict) for payload in rows["payload"])
    windows = session.windows()
    assert np.isfinite(windows["duration"]).all()
    assert (windows["duration"] >= 0).all()
    for stream in session.streams.values():
        use_stream(stream)
    if deep:
        assert json.dumps(summarize(session), allow_nan=False).isascii()
        one_line(session.to_mne_raw)


def use_stream(stream: Any) -> None:
    """Read a stream in every way."""
    samples, times = stream.samples, stream.times
    n = stream.n_samples
    assert len(samples) == len(times) == n
    assert samples.dtype == times.dtype == np.float64
    assert samples.shape[1:] == (() if samples.ndim == 1 else (len(stream.channels),))
    assert np.isfinite(times).all()
    assert (np.diff(times) >= 0).all()
    if n:
        middle = float(times[n // 2])
        before, after = stream.read(tmax=middle), stream.read(tmin=middle)
        assert len(before[0]) + len(after[0]) == n
        assert len(before[0]) == len(before[1])
        assert stream.t_end == times[-1]
    assert stream.read(5, 1)[0].size == 0
    segments = stream.segments
    if not stream.sfreq:
        return
    assert (segments["stop"] > segments["start"]).all()
    assert segments["stop"].iloc[-1] == n if n else not len(segments)
    assert (segments["sfreq"] > 0).all()
    assert np.isfinite(segments[["t_start", "t_end", "sfreq"]].to_numpy()).all()
    filled = one_line(stream.filled)
    if filled is not None:
        assert len(filled[0]) == len(filled[1]) >= n
        assert (np.diff(filled[0]) > 0).all()
        pieces = list(stream.filled_pieces())
        assert sum(map(len, pieces)) >= n


def one_line(call: Callable[[], Any]) -> Any:
    """Result of a call, or None where it was refused in one line."""
    try:
        return call()
    except PhysioError as error:
        if len(str(error).splitlines()) != 1:
            raise TypeError("an error of several lines") from error
        return None


def read_file(path: Path, deep: bool = False) -> None:
    """Open a session file and do everything with it."""
    with open_session(path) as session:
        repr(session)
        use_everything(session, deep)
