"""Recovery: what is readable comes out, what is lost is told, the broken file stays as it is."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import OutputError, PhysioError, SessionFileError
from physio_hqc.session import BlockFlag, SessionWriter, open_session, recover_session
from physio_hqc.session.salvage import lookup3

NAN = float("nan")
SECONDS = 120

RECORDER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recover import record
record(Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


def record(path: Path) -> SessionWriter:
    """Write two minutes as a recorder does, and do not close them."""
    writer = SessionWriter(
        path, participant_id="P01", condition="support", role="speaker", protocol="name: x"
    )
    writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0, dtype="int16", scale=0.01)
    writer.add_stream("acc", modality="acc", units="g", sfreq=25.0, channels=["x", "y", "z"])
    writer.add_stream("eda", modality="eda", units="uS", sfreq=4.0, device={"name": "band"})
    writer.add_stream("rr", modality="rr", units="s", sfreq=0)
    writer.add_event(0.0, "phase", "baseline", duration=60.0)
    writer.add_event(60.0, "phase", "speech", duration=NAN, payload={"by": "clock"})
    for k in range(SECONDS):
        stamps = k + np.array([0.5, 1.0])
        ecg = (np.arange(250) + 250 * k).astype(np.int16)
        writer.append_packets("ecg", ecg, [125, 125], stamps + 0.02, stamps, [0, k == 50])
        acc = np.repeat(np.arange(25.0)[:, None] + 25 * k, 3, axis=1)
        writer.append_packets("acc", acc, [25], stamps[1:] + 0.01, stamps[1:], [0])
        writer.append("eda", np.arange(4.0) + 4 * k, k + 1.0)
        writer.append_irregular("rr", [k + 0.3, k + 0.9], [0.6, 0.7], k + 1.0)
        writer.add_event(k + 0.5, "marker", f"m{k}", payload={"k": k})
        if k == 30:
            writer.update_device("eda", {"battery": 71})
        writer.flush()
    return writer


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose recorder was killed."""
    path = tmp_path_factory.mktemp("killed") / "live.h5"
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", RECORDER, str(path), here], check=False)
    return path


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same recording, closed."""
    path = tmp_path_factory.mktemp("closed") / "whole.h5"
    record(path).close()
    return path


def test_the_hash_is_the_one_that_hdf5_writes(closed: Path) -> None:
    start = closed.read_bytes()[:48]
    assert struct.unpack("<I", start[44:])[0] == lookup3(start[:44])


def test_an_unclosed_file_becomes_whole(killed: Path, tmp_path: Path) -> None:
    before = killed.read_bytes()
    out = tmp_path / "out.h5"
    report = recover_session(killed, out)
    assert killed.read_bytes() == before
    assert (report.was_closed, report.lost) == (False, ())
    assert any("never closed" in note for note in report.notes)
    assert any("phase 'speech'" in note for note in report.notes)
    assert report.samples == {"ecg": 30_000, "acc": 3000, "eda": 480, "rr": 240}
    with open_session(killed) as broken, open_session(out) as whole:
        assert not broken.closed
        assert whole.closed
        for name in ("session_id", "participant_id", "condition", "role", "protocol"):
            assert getattr(whole, name) == getattr(broken, name)
        assert (whole.t0_unix_ns, whole.created_utc) == (broken.t0_unix_ns, broken.created_utc)
        for name, stream in whole.streams.items():
            np.testing.assert_array_equal(stream.samples, broken.streams[name].samples)
            np.testing.assert_array_equal(stream.times, broken.streams[name].times)
            assert stream.blocks.tobytes() == broken.streams[name].blocks.tobytes()
        ecg = whole.streams["ecg"]
        assert ecg._samples.dtype == np.int16
        assert ecg.blocks["flags"][101] == BlockFlag.GAP_BEFORE
        np.testing.assert_allclose(ecg.samples, (np.arange(30_000) % 32_768) * 0.01)
        assert whole.streams["eda"].device == {"name": "band", "battery": 71}
        events = whole.events
    speech = events[events["label"] == "speech"].iloc[0]
    assert speech["onset"] + speech["duration"] == pytest.approx(120.0, abs=0.05)
    assert speech["payload"] == {"by": "clock", "ended_by": "recover"}
    told = events[events["label"] == "recovered"].iloc[0]
    assert (told["kind"], told["payload"]["lost"]) == ("system", [])
    assert [f"m{k}" for k in range(SECONDS)] == events.loc[
        events["kind"] == "marker", "label"
    ].tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["out.h5"]


def test_a_whole_file_is_copied_as_it_is(closed: Path, tmp_path: Path) -> None:
    report = recover_session(closed, tmp_path / "out.h5")
    assert (report.was_closed, report.lost) == (True, ())
    assert (tmp_path / "out.h5").read_bytes() == closed.read_bytes()


def check_what_is_there(out: Path) -> dict[str, int]:
    """Every sample that came out is the one that was recorded, at its time."""
    with open_session(out) as session:
        assert session.closed
        for name, sfreq in (("ecg", 250.0), ("acc", 25.0), ("eda", 4.0)):
            if name not in session.streams:
                continue
            times, samples = session.streams[name].read()
            values = np.rint(samples * 100) if name == "ecg" else samples
            values = values if values.ndim == 1 else values[:, 0]
            # Values count up at the nominal rate: they tell when they were recorded.
            expected = (values + 1) / sfreq
            np.testing.assert_allclose(times, expected, atol=0.05)
        return {name: stream.n_samples for name, stream in session.streams.items()}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.98])
@pytest.mark.parametrize("which", ["killed", "closed"])
def test_of_a_truncated_copy_comes_out_what_is_in_it(
    which: str, share: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    content = request.getfixturevalue(which).read_bytes()
    cut, out = tmp_path / "cut.h5", tmp_path / "out.h5"
    cut.write_bytes(content[: int(len(content) * share)])
    report = recover_session(cut, out)
    assert report.lost
    assert any("bytes too short" in note for note in report.notes)
    assert check_what_is_there(out) == report.samples
    assert report.samples["ecg"] >= 30_000 * (share - 0.35)


@pytest.mark.parametrize("name", ["ecg", "acc"])
def test_a_damaged_index_leaves_the_other_streams(closed: Path, tmp_path: Path, name: str) -> None:
    bad, out = tmp_path / "bad.h5", tmp_path / "out.h5"
    content = bytearray(closed.read_bytes())
    with h5py.File(closed) as file:
        at = h5py.h5o.get_info(file[f"streams/{name}/samples"].id).addr
    content[at + 8 : at + 200] = b"\xff" * 192
    bad.write_bytes(content)
    with pytest.raises(SessionFileError), open_session(bad) as session:
        _ = session.streams[name].samples
    report = recover_session(bad, out)
    assert report.lost[0].startswith(f"stream '{name}': all of it")
    others = {"ecg": 30_000, "acc": 3000, "eda": 480, "rr": 240}
    del others[name]
    assert check_what_is_there(out) == others == report.samples


def test_lost_chunks_leave_a_gap_and_the_rest_keeps_its_times(closed: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.h5", tmp_path / "out.h5"
    with h5py.File(closed) as file:
        samples = file["streams/ecg/samples"]
        rows = samples.chunks[0]
        offset = samples.id.get_chunk_info(samples.id.get_num_chunks() - 1).byte_offset
        start = (len(samples) - 1) // rows * rows
    # All that lies behind the last chunk of the ECG is cut off, and half of that chunk.
    bad.write_bytes(closed.read_bytes()[: offset + rows])
    report = recover_session(bad, out)
    assert report.samples["ecg"] <= start + rows // 2
    check_what_is_there(out)


def test_samples_whose_packet_rows_are_lost_are_placed_between_their_neighbors(
    closed: Path, tmp_path: Path
) -> None:
    bad, out = tmp_path / "bad.h5", tmp_path / "out.h5"
    bad.write_bytes(closed.read_bytes())
    with h5py.File(bad, "r+") as file:
        file.attrs["closed"] = False
        rows = file["streams/ecg/blocks"][:]
        rows[100:140] = np.zeros((), rows.dtype)
        file["streams/ecg/blocks"][:] = rows
        # Here samples are missing as well: their rows tell of four seconds that are not there.
        rows = file["streams/acc/blocks"][:]
        rows["t_received"][60:] += 4.0
        rows["t_device"][60:] += 4.0
        rows[55:60] = np.zeros((), rows.dtype)
        file["streams/acc/blocks"][:] = rows
    report = recover_session(bad, out)
    assert any("measured times of 5,000 samples" in line for line in report.lost)
    assert any("acc: 125 samples (5.0 s)" in line for line in report.lost)
    assert (report.samples["ecg"], report.samples["acc"]) == (30_000, 3000 - 125)
    with open_session(out) as session:
        ecg, acc = session.streams["ecg"], session.streams["acc"]
        np.testing.assert_allclose(ecg.times, (np.arange(30_000) + 1) / 250, atol=0.03)
        assert len(acc.segments) == 2
        gap = acc.segments["t_start"][1] - acc.segments["t_end"][0]
        assert gap == pytest.approx(9.0, abs=0.05)


def test_of_one_long_packet_what_is_there_keeps_its_times(tmp_path: Path) -> None:
    """An imported recording is one packet: damage in the middle must not take all of it."""
    whole, bad, out = (tmp_path / name for name in ("whole.h5", "bad.h5", "out.h5"))
    n = 100_000
    with SessionWriter(whole) as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0, compress=True)
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_segment("ecg", np.arange(float(n)), 10.0)
        writer.append_irregular("rr", np.arange(50.0), np.arange(50.0))
    content = bytearray(whole.read_bytes())
    with h5py.File(whole) as file:
        samples = file["streams/ecg/samples"]
        rows = samples.chunks[0]
        for chunk in (5, 6, 12):
            at = samples.id.get_chunk_info(chunk).byte_offset
            content[at : at + 64] = os.urandom(64)
    bad.write_bytes(content)
    with h5py.File(bad, "r+") as file:
        file["streams/rr/times"].resize(40, axis=0)
    report = recover_session(bad, out)
    assert report.samples == {"ecg": n - 3 * rows, "rr": 40}
    assert any(f"ecg: {3 * rows:,} samples" in line for line in report.lost)
    assert any("rr: 10 of 50 values" in line for line in report.lost)
    with open_session(out) as session:
        times, samples = session.streams["ecg"].read()
        np.testing.assert_allclose(times, 10.0 + samples / 250, atol=0.002)
        assert session.streams["ecg"].segments["reason"].tolist() == ["", "gap", "gap"]
        assert session.streams["rr"].samples.tolist() == list(range(40))


def test_a_destroyed_superblock_is_made_anew(killed: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.h5", tmp_path / "out.h5"
    bad.write_bytes(b"\0" * 48 + killed.read_bytes()[48:])
    with pytest.raises(SessionFileError):
        open_session(bad)
    report = recover_session(bad, out)
    assert report.lost == ()
    assert report.samples == {"ecg": 30_000, "acc": 3000, "eda": 480, "rr": 240}
    check_what_is_there(out)


def test_rows_of_packets_that_are_zero_are_no_packets(killed: Path, tmp_path: Path) -> None:
    """As a crash leaves them: room for rows and events, nothing in it yet."""
    torn = tmp_path / "torn.h5"
    recover_session(killed, torn)
    with h5py.File(torn, "r+") as file:
        file.attrs["closed"] = False
        for name, more in (
            ("streams/ecg/blocks", 3),
            ("streams/ecg/samples", 125),
            ("streams/rr/times", 4),
            ("streams/rr/samples", 2),
            ("streams/rr/blocks", 1),
            ("events", 2),
        ):
            file[name].resize(len(file[name]) + more, axis=0)
    with open_session(torn) as session:
        assert session.streams["ecg"].n_samples == 30_000
        assert len(session.streams["rr"].times) == len(session.streams["rr"].samples) == 240
        assert "" not in session.events["kind"].tolist()
    report = recover_session(torn, tmp_path / "out.h5")
    assert report.samples == {"ecg": 30_000, "acc": 3000, "eda": 480, "rr": 240}
    assert any("ecg: 125 samples" in line for line in report.lost)
    assert any("rr: 4 of 244 values" in line for line in report.lost)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_pages_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, killed: Path, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("pages")
    content = bytearray(killed.read_bytes())
    page = data.draw(st.integers(0, len(content) // 4096 - 1)) * 4096
    fill = data.draw(st.sampled_from([b"\0", b"\xff", os.urandom(1)]))
    content[page : page + 4096] = fill * 4096
    (folder / "bad.h5").write_bytes(content)
    problem, report = "", None
    try:
        report = recover_session(folder / "bad.h5", folder / "out.h5")
    except PhysioError as error:
        problem = str(error)
    if report is None:
        assert "beyond repair" in problem
        assert "\n" not in problem
        return
    with open_session(folder / "out.h5") as session:
        assert {k: s.n_samples for k, s in session.streams.items()} == report.samples
        assert len(session.events) == report.n_events + 1


def test_what_cannot_be_recovered_is_refused_in_one_line(
    killed: Path, closed: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.h5").touch()
    (tmp_path / "text.h5").write_text("onset,duration\n" * 500)
    with h5py.File(tmp_path / "other.h5", "w", libver="v110") as file:
        file["x"] = 1
    out = tmp_path / "out.h5"
    for name, match in (
        ("nothing.h5", "No such file"),
        ("", "is a folder"),
        ("empty.h5", "is empty"),
        ("text.h5", "beyond repair"),
        ("other.h5", "beyond repair"),
    ):
        with pytest.raises(SessionFileError, match=match) as caught:
            recover_session(tmp_path / name, out)
        assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="never changed"):
        recover_session(killed, killed, overwrite=True)
    with pytest.raises(OutputError, match="exists already"):
        recover_session(killed, closed)
    with pytest.raises(OutputError, match="folder does not exist"):
        recover_session(killed, tmp_path / "no" / "out.h5")
    assert not out.exists()


def test_a_running_recording_is_not_recovered(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "live.h5") as writer:
        writer.add_event(0.0, "note", "begun")
        writer.flush()
        with pytest.raises(SessionFileError, match="being recorded right now"):
            recover_session(tmp_path / "live.h5", tmp_path / "out.h5")


def test_damaged_texts_do_not_stop_the_recovery(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    with SessionWriter(path, participant_id="participant one") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.append_segment("eda", [1.0, 2.0, 3.0], t_start=0.0)
    with h5py.File(path, "r+") as file:
        kind = h5py.string_dtype("utf-8", 8)
        file.attrs.create("participant_id", b"part\xb7\xb8ic", dtype=kind)
        file.attrs["closed"] = False
    report = recover_session(path, tmp_path / "out.h5")
    assert report.samples == {"eda": 3}
    with open_session(tmp_path / "out.h5") as session:
        assert session.participant_id == "part\ufffd\ufffdic"


def test_where_nothing_is_left_there_is_no_file(tmp_path: Path) -> None:
    path, out = tmp_path / "p.h5", tmp_path / "out.h5"
    with SessionWriter(path, participant_id="P01") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0, compress=True)
        writer.append_segment("eda", np.arange(64.0), t_start=0.0)
    with h5py.File(path, "r") as file:
        samples = file["streams/eda/samples"].id.get_chunk_info(0)
        blocks = file["streams/eda/blocks"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    for chunk in (samples, blocks):
        content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    with pytest.raises(SessionFileError, match="beyond repair: no sample and no event"):
        recover_session(path, out)
    assert not out.exists()
