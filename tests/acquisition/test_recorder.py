"""The queue and the thread that writes."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from physio_hqc import open_session
from physio_hqc.acquisition.recorder import EventHandle, Recorder
from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.session import BlockFlag, SessionWriter


def writer_for(path: Path, sfreq: float = 250.0) -> SessionWriter:
    writer = SessionWriter(path, participant_id="P01")
    writer.add_stream("ecg", modality="ecg", units="mV", sfreq=sfreq, dtype="int32", scale=0.001)
    writer.add_stream("rr", modality="rr", units="s", sfreq=0.0)
    return writer


def test_everything_that_was_queued_is_in_the_file_in_order(tmp_path: Path) -> None:
    recorder = Recorder(writer_for(tmp_path / "a.h5"))
    recorder.start()
    for k in range(400):
        t = 0.1 * (k + 1)
        assert recorder.packet("ecg", np.arange(25 * k, 25 * (k + 1)), t, t)
    recorder.readings("rr", np.array([1.0, 2.0]), np.array([0.8, 0.9]), 2.0)
    recorder.close()
    with open_session(tmp_path / "a.h5") as session:
        assert session.closed
        np.testing.assert_allclose(session.streams["ecg"].samples, np.arange(10_000) * 0.001)
        np.testing.assert_array_equal(session.streams["rr"].samples, [0.8, 0.9])


def test_an_open_event_gets_its_end(tmp_path: Path) -> None:
    recorder = Recorder(writer_for(tmp_path / "a.h5"))
    recorder.start()
    handle = recorder.event(EventHandle(1.0, "phase", "baseline", float("nan"), "protocol"))
    recorder.end_event(handle, 31.0)
    recorder.close()
    with open_session(tmp_path / "a.h5") as session:
        assert session.events[["onset", "duration", "label"]].values.tolist() == [
            [1.0, 30.0, "baseline"]
        ]


def test_what_arrived_can_be_read_half_a_second_later(tmp_path: Path) -> None:
    recorder = Recorder(writer_for(tmp_path / "a.h5"))
    recorder.start()
    recorder.packet("ecg", np.arange(250), 1.0)
    recorder.event(EventHandle(0.5, "marker", "now"))
    time.sleep(0.5)
    try:
        with open_session(tmp_path / "a.h5") as session:
            assert not session.closed
            assert session.streams["ecg"].n_samples == 250
            assert session.events["label"].tolist() == ["now"]
    finally:
        recorder.close()


def test_a_full_queue_drops_packets_counts_them_and_marks_the_gap(tmp_path: Path) -> None:
    recorder = Recorder(writer_for(tmp_path / "a.h5"), max_queued=3)
    taken = [recorder.packet("ecg", np.full(10, k), 0.04 * k) for k in range(5)]
    assert taken == [True, True, True, False, False]
    assert recorder.n_dropped == 2
    assert recorder.fill == 1.0
    recorder.start()
    deadline = time.monotonic() + 5.0
    while recorder.fill and time.monotonic() < deadline:
        time.sleep(0.01)
    assert recorder.packet("ecg", np.full(10, 5), 0.2)
    recorder.close()
    with open_session(tmp_path / "a.h5") as session:
        flags = session.streams["ecg"].blocks["flags"]
        assert session.streams["ecg"].n_samples == 40
    assert [bool(flag & BlockFlag.GAP_BEFORE) for flag in flags] == [False, False, False, True]


def test_the_queue_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    recorder = Recorder(writer_for(tmp_path / "a.h5"), max_queued_bytes=10_000)
    assert recorder.packet("ecg", np.zeros(1000, dtype="int32"), 0.0)
    assert recorder.packet("ecg", np.zeros(1000, dtype="int32"), 0.0)
    assert not recorder.packet("ecg", np.zeros(1000, dtype="int32"), 0.0)
    recorder.start()
    recorder.close()


def test_a_packet_that_does_not_fit_costs_only_itself(tmp_path: Path) -> None:
    complaints: list[tuple[str, str]] = []
    recorder = Recorder(
        writer_for(tmp_path / "a.h5"),
        on_trouble=lambda stream, text: complaints.append((stream, text)),
    )
    recorder.packet("ecg", np.arange(10), 0.1)
    recorder.packet("ecg", np.array([2**40]), 0.2)
    recorder.packet("ecg", np.arange(10, 20), 0.3)
    recorder.event(EventHandle(0.1, "nonsense", "x"))
    recorder.start()
    recorder.close()
    with open_session(tmp_path / "a.h5") as session:
        np.testing.assert_allclose(session.streams["ecg"].samples, np.arange(20) * 0.001)
    assert [stream for stream, _ in complaints] == ["ecg", "events"]
    assert "does not fit int32" in complaints[0][1]


def test_a_disk_that_is_full_ends_the_writing_and_keeps_what_was_flushed(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file-size limits are a POSIX thing")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    failed = threading.Event()
    failures: list[PhysioError] = []

    def note(error: PhysioError) -> None:
        failures.append(error)
        failed.set()

    recorder = Recorder(writer_for(tmp_path / "a.h5"), on_failure=note, flush_s=0.02)
    recorder.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        for k in range(5000):
            recorder.packet("ecg", np.arange(1000 * k, 1000 * (k + 1)), 4.0 * (k + 1))
            if failed.wait(0.001):
                break
        assert failed.is_set()
        with pytest.raises(OutputError, match="cannot be written"):
            recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not recorder.packet("ecg", np.arange(3), 1e6)
    assert len(failures) == 1
    assert "recover" in str(failures[0])
    with open_session(tmp_path / "a.h5") as session:
        samples = session.streams["ecg"].samples
    assert len(samples) > 300_000
    np.testing.assert_allclose(samples, np.arange(len(samples)) * 0.001)
    assert (tmp_path / "a.h5").stat().st_size <= 2_000_000
