"""A file that grows: packets in batches, facts, locks, a full disk, a recorder that is killed."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.session import SessionWriter, open_session
from physio_hqc.session.locks import is_being_written

NAN = float("nan")


def declare(writer: SessionWriter) -> None:
    writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0, dtype="int16")
    writer.add_stream("acc", modality="acc", units="g", sfreq=50.0, channels=["x", "y", "z"])
    writer.add_stream("rr", modality="rr", units="s", sfreq=0)


# --- many packets at once -----------------------------------------------------------------------

packets = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([0.0, 0.1, 0.2, NAN]),
        st.integers(0, 31),
        st.integers(0, 1),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(rows=packets, cuts=st.lists(st.integers(0, 60), max_size=5), width=st.sampled_from([1, 2]))
def test_a_batch_is_the_same_as_packet_by_packet(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, float, int, int]],
    cuts: list[int],
    width: int,
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    shape = (lambda n: (n, width)) if width > 1 else (lambda n: (n,))
    parts = [np.full(shape(n), fill, dtype=np.int16) for n, _, _, fill in rows]
    stored = []
    for name in ("single", "batch"):
        with SessionWriter(folder / f"{name}.h5") as writer:
            writer.add_stream(
                "x",
                modality="other",
                units="",
                sfreq=10.0,
                dtype="int16",
                channels=[f"c{k}" for k in range(width)],
            )
            dropped = 0
            if name == "single":
                for k, (_, stamp, flags, _) in enumerate(rows):
                    dropped += not writer.append("x", parts[k], float(k), stamp, flags)
            else:
                edges = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
                for a, b in itertools.pairwise(edges):
                    dropped += writer.append_packets(
                        "x",
                        np.concatenate(parts[a:b]),
                        [row[0] for row in rows[a:b]],
                        np.arange(a, b),
                        [row[1] for row in rows[a:b]],
                        [row[2] for row in rows[a:b]],
                    )
        with open_session(folder / f"{name}.h5") as session:
            stream = session.streams["x"]
            content = (stream.blocks.tobytes(), stream._samples[:].tobytes(), dropped)
        stored.append(content)
    assert stored[0] == stored[1]


@pytest.mark.parametrize(
    ("samples", "counts", "t_received", "t_device", "flags", "message"),
    [
        ([1, 2], [1], [0.0], [NAN], [0], "do not fill"),
        ([1], [2, -1], [0.0, 1.0], [NAN, NAN], [0, 0], "do not fill"),
        ([1, 2], [1, 1], [0.0], [NAN, NAN], [0, 0], "one count"),
        ([1, 2], [1, 1], [0.0, NAN], [NAN, NAN], [0, 0], "without an arrival time"),
        ([1, 70_000], [1, 1], [0.0, 1.0], [NAN, NAN], [0, 0], "does not fit"),
    ],
)
def test_a_batch_that_does_not_fit_leaves_nothing(
    tmp_path: Path,
    samples: list[int],
    counts: list[int],
    t_received: list[float],
    t_device: list[float],
    flags: list[int],
    message: str,
) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        declare(writer)
        with pytest.raises(SessionFileError, match=message):
            writer.append_packets("ecg", samples, counts, t_received, t_device, flags)
        writer.append("ecg", [7], 1.0)
    with open_session(tmp_path / "s.h5") as session:
        assert session.streams["ecg"].samples.tolist() == [7.0]


# --- locks --------------------------------------------------------------------------------------


def test_a_second_recorder_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    with SessionWriter(path) as writer:
        declare(writer)
        for recording in (False, True):
            if recording:
                writer.append("ecg", [1, 2], 0.1)
                writer.flush()
            for options in ({}, {"overwrite": True}, {"overwrite": True, "atomic": True}):
                with pytest.raises(OutputError, match="being recorded right now") as caught:
                    SessionWriter(path, **options)
                assert "\n" not in str(caught.value)
        writer.append("ecg", [3], 0.2)
    with open_session(path) as session:
        assert session.streams["ecg"].samples.tolist() == [1.0, 2.0, 3.0]
    assert list(tmp_path.iterdir()) == [path]


RACER = """
import sys, time
from physio_hqc.errors import OutputError
from physio_hqc.session import SessionWriter
time.sleep(max(0, float(sys.argv[2]) - time.time()))
try:
    writer = SessionWriter(sys.argv[1], participant_id=sys.argv[3])
except OutputError as error:
    print("refused")
else:
    print("recording", flush=True)
    sys.stdin.read()
"""


def test_of_recorders_that_start_together_one_records(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    start = time.time() + 2.0
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path), str(start), f"P{k}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(4)
    ]
    said = []
    for racer in racers:
        assert racer.stdout is not None
        said.append(racer.stdout.readline().strip())
    assert sorted(said) == ["recording", "refused", "refused", "refused"]
    assert is_being_written(path)
    for racer in racers:
        racer.kill()
        racer.communicate()
    with open_session(path) as session:
        assert session.participant_id == f"P{said.index('recording')}"
    # What a killed recorder held is free again.
    assert not is_being_written(path)
    with pytest.raises(OutputError, match="exists already"):
        SessionWriter(path)
    SessionWriter(path, overwrite=True).close()


def test_a_session_that_never_began_is_whole(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5", participant_id="P01") as writer:
        with open_session(tmp_path / "s.h5") as early:
            assert (early.closed, early.recording, early.streams) == (False, True, {})
        declare(writer)
    with open_session(tmp_path / "s.h5") as session:
        assert (session.closed, session.recording) == (True, False)
        assert [stream.n_samples for stream in session.streams.values()] == [0, 0, 0]
        assert (session.duration, len(session.events)) == (0.0, 0)


# --- facts, events, sync ------------------------------------------------------------------------


def test_facts_of_the_device_are_kept_even_without_a_close(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    writer = SessionWriter(path)
    writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0, device={"name": "strap"})
    writer.update_device("ecg", {"serial": "A1"})
    writer.append("ecg", [1.0], 0.0)
    writer.update_device("ecg", {"battery": 90, "µ": "ä"})
    writer.flush()
    writer.update_device("ecg", {"battery": 80, "clock_offsets": [[0.0, 0.1]] * 1000})
    writer.flush()
    writer.abandon()
    with open_session(path) as session:
        device = session.streams["ecg"].device
    # The long fact waits for the close.
    assert device == {"name": "strap", "serial": "A1", "battery": 80, "µ": "ä"}


def test_long_facts_come_with_the_close(tmp_path: Path) -> None:
    offsets = [[float(k), 0.1] for k in range(5000)]
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0)
        writer.append("ecg", [1.0], 0.0)
        for k in range(0, 5000, 100):
            writer.update_device("ecg", {"clock_offsets": offsets[: k + 100]})
            writer.flush()
        with pytest.raises(SessionFileError, match="JSON"):
            writer.update_device("ecg", {"bad": object()})
        with pytest.raises(SessionFileError, match="no stream"):
            writer.update_device("eeg", {"battery": 1})
    with open_session(tmp_path / "s.h5") as session:
        assert session.streams["ecg"].device == {"clock_offsets": offsets}
    assert (tmp_path / "s.h5").stat().st_size < 400_000


def test_events_end_before_and_after_they_reach_the_file(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "s.h5") as writer:
        waiting = writer.add_event(1.0, "phase", "a", duration=NAN)
        writer.end_event(waiting, 3.0)
        written = writer.add_event(5.0, "phase", "b", duration=NAN)
        writer.flush()
        writer.end_event(written, 9.0)
        for k in range(2000):
            assert writer.add_event(10.0 + k, "marker", f"m{k}", payload={"k": k}) == k + 2
    with open_session(tmp_path / "s.h5") as session:
        events = session.events
    assert events["duration"][:2].tolist() == [2.0, 4.0]
    assert events["label"][2:].tolist() == [f"m{k}" for k in range(2000)]
    assert [payload["k"] for payload in events["payload"][2:]] == list(range(2000))


def test_sync_from_another_thread_while_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    errors: list[OSError] = []
    done = threading.Event()
    with SessionWriter(path) as writer:
        declare(writer)
        writer.flush()

        def sync() -> None:
            try:
                while not done.is_set():
                    writer.sync()
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=sync)
        thread.start()
        for k in range(200):
            writer.append("ecg", np.full(50, k, dtype=np.int16), k * 0.5)
            writer.flush()
        done.set()
        thread.join()
    assert errors == []
    with open_session(path) as session:
        np.testing.assert_array_equal(session.streams["ecg"].samples, np.repeat(range(200), 50))


# --- a full disk --------------------------------------------------------------------------------

FULL = """
import os, resource, signal, sys
import numpy as np
from physio_hqc.session import SessionWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[2])
writer = SessionWriter(sys.argv[1])
writer.add_stream("ecg", modality="ecg", units="mV", sfreq=1000.0, dtype="int32")
writer.add_stream("rr", modality="rr", units="s", sfreq=0)
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
n = 0
try:
    while True:
        writer.append("ecg", np.arange(250 * n, 250 * n + 250), (n + 1) * 0.25)
        writer.append_irregular("rr", [n], [n])
        writer.add_event(n, "marker", f"m{n}", payload={"noise": os.urandom(200).hex()})
        writer.flush()
        n += 1
except OSError as error:
    assert error.errno == 27, error
    if sys.argv[3] == "close":
        try:
            writer.close()
        except OSError:
            pass
    writer.abandon()
    writer.abandon()
print(n)
sys.exit(2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file-size limits on Windows")
@pytest.mark.parametrize("limit", [50_000, 300_000, 777_777])
@pytest.mark.parametrize("how", ["abandon", "close"])
def test_on_a_full_disk_all_that_was_flushed_can_be_read(
    tmp_path: Path, limit: int, how: str
) -> None:
    path = tmp_path / "s.h5"
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(limit), how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (2, "")
    n = int(result.stdout)
    assert not is_being_written(path)
    with open_session(path) as session:
        assert not session.closed
        ecg = session.streams["ecg"].samples
        assert len(ecg) >= 250 * n
        np.testing.assert_array_equal(ecg, np.arange(len(ecg)))
        rr = session.streams["rr"]
        assert len(rr.samples) >= n
        np.testing.assert_array_equal(rr.samples, rr.times)
        labels = session.events["label"].tolist()
    assert labels[:n] == [f"m{k}" for k in range(n)]


# --- a recorder that is killed ------------------------------------------------------------------

RECORDER = """
import os, sys, time
import numpy as np
from physio_hqc.session import SessionWriter
writer = SessionWriter(sys.argv[1])
writer.add_stream("ecg", modality="ecg", units="mV", sfreq=1000.0, dtype="int32")
writer.add_stream("acc", modality="acc", units="g", sfreq=200.0, channels=["x", "y", "z"])
writer.add_stream("eda", modality="eda", units="uS", sfreq=50.0)
writer.add_stream("rr", modality="rr", units="s", sfreq=0)
writer.add_stream("cuff", modality="cuff", units="mmHg", sfreq=0, channels=["SBP", "DBP"])
writer.flush()
stop = time.monotonic() + float(sys.argv[2])
n = 0
os.write(1, b"0\\n")
while time.monotonic() < stop:
    for name, size in (("ecg", 50), ("acc", 10), ("eda", 5)):
        values = 1.0 + np.arange(3 * size) + 3 * size * n
        values = values.astype("i4") if name == "ecg" else values
        values = np.repeat(values[:, None], 3, axis=1) if name == "acc" else values
        stamps = (np.arange(3) + 1 + 3 * n) * 0.05
        writer.append_packets(name, values, [size] * 3, stamps + 0.01, stamps, [0] * 3)
    writer.append_irregular("rr", [n + 1.0, n + 1.5], [n + 1.0, n + 1.5])
    writer.append_irregular("cuff", [n + 1.0], [[n + 1.0, n + 2.0]])
    event = writer.add_event(n, "marker", f"m{n}", duration=float("nan"), payload={"n": n})
    if n % 2:
        writer.end_event(event, n + 1.0)
    if n % 20 == 0:
        writer.update_device("ecg", {"battery": n})
    writer.flush()
    n += 1
    os.write(1, b"%d\\n" % n)
writer.close()
os.write(1, b"closed\\n")
"""
SIZES = {"ecg": 150, "acc": 30, "eda": 15, "rr": 2, "cuff": 1}


def kill_one(path: Path, after_s: float, closes_after_s: float = 1e9) -> dict[str, Any]:
    """Kill a recorder of five streams; check its file and tell what is in it."""
    command = [sys.executable, "-c", RECORDER, str(path), str(closes_after_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout is not None
        recorder.stdout.readline()
        time.sleep(after_s)
        recorder.send_signal(signal.SIGKILL)
        said = recorder.stdout.read().split()
    flushed = max((int(word) for word in said if word.isdigit()), default=0)
    with open_session(path) as session:
        for name, size in SIZES.items():
            stream = session.streams[name]
            samples, times = stream.samples, stream.times
            assert len(samples) == len(times)
            assert len(samples) >= size * flushed, name
            counted = 1.0 + np.arange(len(samples))
            if name == "rr":
                counted = 1.0 + np.arange(len(samples)) / 2
            if name == "cuff":
                samples = samples[:, 0]
            if name == "acc":
                counted = np.repeat(counted[:, None], 3, axis=1)
            np.testing.assert_array_equal(samples, counted, name)
        labels = session.events["label"].tolist()
        assert len(labels) >= flushed
        assert labels == [f"m{k}" for k in range(len(labels))]
        return {
            "closed": session.closed,
            "said_closed": "closed" in said,
            "flushed": flushed,
            "ahead": len(labels) - flushed,
        }


def kill_many(folder: Path, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Kill `n` recorders at random moments, some while they close; all files must open."""
    rng = random.Random(seed)
    found = []
    for k in range(n):
        path = folder / f"killed_{k}.h5"
        closing = rng.random() < 0.3
        stop = rng.uniform(0.0, 0.5)
        after = max(0.0, stop + rng.uniform(-0.01, 0.03)) if closing else rng.uniform(0.0, 0.8)
        found.append(kill_one(path, after, stop if closing else 1e9))
        path.unlink()
    return found


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_recorder_killed_at_any_moment_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    for facts in kill_many(tmp_path, 12, seed=4):
        assert facts["closed"] or not facts["said_closed"]
        assert 0 <= facts["ahead"] <= 1
