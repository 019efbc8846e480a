"""Hostile session files: refused in one line, with little memory, and never followed anywhere."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from physio_hqc.errors import SessionFileError
from physio_hqc.session import SessionWriter, open_session, recover_session
from physio_hqc.session._untrusted import plain_json


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "p01.h5"
    with SessionWriter(file, participant_id="P01") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0, dtype="int16")
        for k in range(10):
            writer.append("ecg", np.arange(50, dtype=np.int16), 0.5 * k + 0.5)
        writer.add_event(1.0, "phase", "baseline", duration=2.0)
    return file


def replace(file: h5py.File, name: str, **how: object) -> h5py.Dataset:
    del file[name]
    return file.create_dataset(name, **how)


def bomb(file: h5py.File) -> None:
    """One chunk of the declared 2 kB that inflates to a gigabyte."""
    del file["streams/ecg/samples"]
    data = file.create_dataset(
        "streams/ecg/samples", (500,), "i2", maxshape=(None,), chunks=(1000,), compression="gzip"
    )
    packer = zlib.compressobj(9)
    raw = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    data.id.write_direct_chunk((0,), raw)


def same_text_often(file: h5py.File) -> None:
    """Thousands of texts where one belongs."""
    text = "x" * 1000
    file.attrs["protocol"] = np.array([text] * 4000, dtype=h5py.string_dtype())


def rows(field: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        table = file["streams/ecg/blocks"][:]
        table[field][3] = value
        file["streams/ecg/blocks"][:] = table

    return change


def event(field: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        table = file["events"][:]
        table[field][0] = value
        file["events"][:] = table

    return change


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["streams/ecg"].attrs[name]
        file["streams/ecg"].attrs[name] = value

    return change


def deep(file: h5py.File) -> None:
    group = file["streams"]
    for _ in range(2000):
        group = group.create_group("g")


HOSTILE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "chunk bomb": (bomb, "larger than it can be|more than its place"),
    "giant chunk": (
        lambda f: replace(
            f, "streams/ecg/samples", shape=(500,), maxshape=(None,), dtype="i2",
            chunks=(2**30,), compression="gzip",
        ),
        "chunks of 2147 MB",
    ),
    "endless chunks": (
        lambda f: replace(f, "streams/ecg/samples", shape=(10**7,), dtype="u1", chunks=(1,)),
        "cut into 10000000 chunks",
    ),
    "fill value": (
        lambda f: replace(
            f, "streams/ecg/samples", shape=(2**40,), dtype="i2", chunks=(2**20,), fillvalue=7
        ),
        "more than the file holds",
    ),
    "many zeros": (
        lambda f: replace(
            f, "streams/ecg/samples", shape=(4 * 10**7,), dtype="u1", chunks=(2**20,),
            compression="gzip",
        ),
        "more samples than a file of its size",
    ),
    "wide compound": (
        lambda f: replace(
            f, "events", shape=(3,), dtype=[(f"f{k}", "i1") for k in range(1000)]
        ),
        "not laid out",
    ),
    "compound in compound": (
        lambda f: replace(f, "events", shape=(3,), dtype=[("a", [("b", [("c", "f8")])])]),
        "not laid out",
    ),
    "texts for samples": (
        lambda f: replace(f, "streams/ecg/samples", shape=(9,), dtype=h5py.string_dtype()),
        "holds no numbers",
    ),
    "references": (
        lambda f: replace(f, "streams/ecg/samples", shape=(9,), dtype=h5py.ref_dtype),
        "holds no numbers",
    ),
    "no space": (
        lambda f: replace(f, "streams/ecg/samples", data=h5py.Empty("i2")),
        "not laid out",
    ),
    "another filter": (
        lambda f: replace(
            f, "streams/ecg/samples", shape=(500,), dtype="i4", chunks=(50,), scaleoffset=4
        ),
        "unknown filter",
    ),
    "texts in an attribute": (same_text_often, "not one short text"),
    "complex rate": (attribute("sfreq", 1 + 2j), "neither text nor number"),
    "tiny rate": (attribute("sfreq", 1e-300), "claims 1e-300 Hz"),
    "huge rate": (attribute("sfreq", 1e300), "Hz"),
    "no scale": (attribute("scale", np.zeros(0)), "scale"),
    "table of scales": (attribute("scale", np.ones((2, 2))), "neither text nor number"),
    "deep JSON": (attribute("device", '{"a":' * 900 + "1" + "}" * 900), "deeper than 64"),
    "NaN in JSON": (attribute("device", '{"a": NaN}'), "no number"),
    "endless integer": (attribute("device", '{"a": 1' + "0" * 400 + "}"), "out of range"),
    "deep groups": (deep, "is no name|is missing|is not what"),
    "a path for a name": (lambda f: f["streams"].copy("ecg", ".. x"), "no name of a stream"),
    "a circle": (lambda f: f["streams"].__setitem__("loop", f["streams"]), "is missing"),
    "packets in each other": (rows("first_sample", 10), "share their samples"),
    "packets beyond all numbers": (rows("n_samples", 2**63 - 1), "beyond its samples"),
    "packets before the first": (rows("first_sample", -1), "beyond its samples"),
    "packets at no time": (rows("t_received", -1e308), "beyond its samples"),
    "event at no time": (event("onset", np.nan), "makes no sense"),
    "event in eternity": (event("duration", 1e300), "makes no sense"),
    "event before itself": (event("duration", -1.0), "makes no sense"),
    "event of endless depth": (event("payload", b"[" * 4000), "damaged"),
}  # fmt: skip


def read_all(path: Path) -> None:
    with open_session(path) as session:
        _ = session.events, session.duration, session.windows()
        for stream in session.streams.values():
            _ = stream.samples, stream.times


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(path: Path, name: str) -> None:
    change, message = HOSTILE[name]
    with h5py.File(path, "r+") as file:
        change(file)
    before = path.read_bytes()
    with pytest.raises(SessionFileError, match=message) as caught:
        read_all(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


_LIMITED = """
import contextlib, resource, sys
from pathlib import Path
from physio_hqc.errors import PhysioError
from physio_hqc.session import open_session
import pandas
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 700_000_000,) * 2)
for name in sys.argv[1:]:
    try:
        with open_session(name) as session:
            session.events, session.duration
            for stream in session.streams.values():
                stream.samples, stream.times
    except PhysioError as error:
        assert "memory" not in str(error).lower(), error
    else:
        raise SystemExit(f"{name} was read")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_hostile_files_take_little_memory(path: Path, tmp_path: Path) -> None:
    raw = path.read_bytes()
    files = []
    for number, (change, _) in enumerate(HOSTILE.values()):
        file = tmp_path / f"{number}.h5"
        file.write_bytes(raw)
        with h5py.File(file, "r+") as opened:
            change(opened)
        files.append(str(file))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LIMITED, *files],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["chunk bomb", "giant chunk", "endless chunks", "a circle"])
def test_recovery_of_a_hostile_file_ends(path: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        HOSTILE[name][0](file)
    with contextlib.suppress(SessionFileError):
        report = recover_session(path, tmp_path / "whole.h5")
        assert report.lost
        read_all(tmp_path / "whole.h5")


def test_texts_that_are_no_text_can_be_written_again(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["condition"] = np.bytes_(b"a\xffb")
    with open_session(path) as session:
        assert session.condition == "a\ufffdb"


def test_gaps_of_years_are_not_filled(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=1000.0)
        writer.append_segment("eda", [1.0, 2.0], t_start=0.0)
        writer.append_segment("eda", [1.0, 2.0], t_start=9e8)
    with open_session(tmp_path / "p.h5") as session:
        stream = session.streams["eda"]
        for call in (stream.filled, lambda: list(stream.filled_pieces()), session.to_mne_raw):
            with pytest.raises(SessionFileError, match=r"only gap|far more than|fit into memory"):
                call()


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.add_event(1e12, "marker", "x"),
        lambda w: w.add_event(0.0, "marker", "x", duration=1e12),
        lambda w: w.add_event(0.0, "marker", "x", payload={"a": 10**400}),
        lambda w: w.append("ecg", [1], 1e12),
    ],
)
def test_the_writer_writes_nothing_that_the_reader_refuses(
    tmp_path: Path, change: Callable[[SessionWriter], object]
) -> None:
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0)
        with pytest.raises(SessionFileError):
            change(writer)
    with open_session(tmp_path / "p.h5") as session:
        assert not len(session.events)


def test_json_is_plain() -> None:
    assert plain_json('{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
    plain_json('{"a": "\\ud800\\u00e9"}')["a"].encode()
    for text in ("[" * 100 + "]" * 100, "[1e999]", "[Infinity]", "{", ""):
        with pytest.raises(ValueError, match=r"\w"):
            plain_json(text)


def test_far_more_behind_the_content_than_content(path: Path, tmp_path: Path) -> None:
    """Limits go by the size of the file, and a copy of it would fill the disk."""
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(SessionFileError, match="MB behind its content: refused"):
        open_session(path)
    whole = tmp_path / "whole.h5"
    report = recover_session(path, whole)
    assert report.samples == {"ecg": 500}
    assert whole.stat().st_size < 1_000_000


def test_recovery_takes_no_more_than_a_session_may_hold(path: Path, tmp_path: Path) -> None:
    """Gigabytes of zeros shrink to megabytes; what comes out must be readable again."""
    with h5py.File(path, "r+") as file:
        chunk = 1 << 24
        data = replace(
            file,
            "streams/ecg/samples",
            shape=(100 * chunk,),
            dtype="i1",
            maxshape=(None,),
            chunks=(chunk,),
            compression="gzip",
        )
        for k in range(100):
            data.id.write_direct_chunk((k * chunk,), zlib.compress(bytes(chunk), 9))
    whole = tmp_path / "whole.h5"
    recover_session(path, whole)
    with open_session(whole) as session:
        assert session.streams["ecg"].n_samples == 500


@pytest.mark.parametrize("name", ["modality", "sfreq", "scale"])
def test_messages_do_not_quote_all_that_a_file_holds(path: Path, name: str) -> None:
    with h5py.File(path, "r+") as file:
        file["streams/ecg"].attrs[name] = "{" * 50_000
    with pytest.raises(SessionFileError) as refused:
        open_session(path)
    assert len(str(refused.value)) < 500 + len(str(path))


def test_ids_of_which_every_row_of_the_results_would_be_full(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["participant_id"] = "x" * 1001
    with pytest.raises(SessionFileError, match="participant_id is absurdly long"):
        open_session(path)
    with pytest.raises(SessionFileError, match="condition is too long"):
        SessionWriter(tmp_path / "p02.h5", condition="x" * 1001)


def test_a_damaged_stream_takes_no_room_from_the_others(path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.copy("streams/ecg", "streams/eda")
        replace(
            file,
            "streams/ecg/samples",
            shape=(1 << 40,),
            dtype="i1",
            maxshape=(None,),
            chunks=(1 << 24,),
            compression="gzip",
        )
    report = recover_session(path, tmp_path / "whole.h5")
    assert report.samples["eda"] == 500
