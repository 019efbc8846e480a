"""From frames to the times of samples: what the decoders pass on is enough for the reader."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from physio_hqc.acquisition.decoders import PmdDecoder, Samples
from physio_hqc.session import BLOCK_DTYPE, reconstruct

RATE = 130.273
IN_2019_NS = 599_616_000_000_000_000
N = 73


def ecg_frame(time_ns, values):
    content = b"".join(int(value).to_bytes(3, "little", signed=True) for value in values)
    return b"\x00" + int(time_ns).to_bytes(8, "little") + b"\x00" + content


def record(stamps_ns, arrivals):
    """Rows of the session file's blocks from frames with these stamps."""
    decoder, rows, first = PmdDecoder(), [], 0
    for k, (stamp, arrival) in enumerate(zip(stamps_ns, arrivals, strict=True)):
        (found,) = [
            entry
            for entry in decoder.feed(ecg_frame(stamp, np.full(N, k)), arrival)
            if isinstance(entry, Samples)
        ]
        rows.append((first, len(found.values), arrival, found.t_device, found.flags))
        first += len(found.values)
    return np.array(rows, dtype=BLOCK_DTYPE)


def strap(n_frames, seed=0):
    """True time of the last sample of every frame, and its arrival."""
    last = (np.arange(n_frames) + 1) * N / RATE
    delay = 0.05 + np.random.default_rng(seed).uniform(0, 0.2, n_frames)
    return last, np.maximum.accumulate(last + delay)


def stamps(last, start_ns=IN_2019_NS):
    return start_ns + np.round(last * 1e9).astype(np.int64)


def test_real_rate_is_found():
    last, arrival = strap(600)
    base = reconstruct(record(stamps(last), arrival), 130.0)
    assert base.measured_sfreq == pytest.approx(RATE, abs=5e-3)
    assert len(base.segments) == 1


def test_lost_frames_restart_the_time_instead_of_being_spread():
    last, arrival = strap(600)
    kept = np.delete(np.arange(600), np.s_[200:207])
    base = reconstruct(record(stamps(last)[kept], arrival[kept]), 130.0)
    found = base.times(0, base.n_samples).reshape(-1, N)
    truth = last[kept, np.newaxis] - np.arange(N - 1, -1, -1) / RATE
    # All are late by the shortest delay, which nobody can know.
    assert found - truth == pytest.approx(np.full(found.shape, 0.05), abs=5e-3)
    assert base.segments["start"].tolist() == [0, 200 * N]


def test_clock_that_starts_again_in_2019():
    last, arrival = strap(600)
    stamp = np.append(stamps(last[:300], 702903312619511941), stamps(last[300:] - last[299]))
    base = reconstruct(record(stamp, arrival), 130.0)
    assert base.n_resets == 1
    found = base.times(0, base.n_samples).reshape(-1, N)[:, -1]
    assert np.quantile(np.abs(found - last - 0.05), 0.95) < 5e-3


def test_two_frames_at_one_stamp_are_both_there():
    last, arrival = strap(600)
    stamp = stamps(last)
    stamp[100] = stamp[99]
    rows = record(stamp, arrival)
    assert len(rows) == 600
    assert rows["n_samples"].sum() == 600 * N
    assert rows["t_device"][100] == rows["t_device"][99]
    assert (rows["flags"] == 0).all()


def test_nothing_escapes_from_the_fuzzed_decoders():
    script = Path(__file__).parents[3] / "scripts" / "recording" / "fuzz.py"
    if not script.exists():
        pytest.skip("the script (scripts/recording) is not beside the tests")
    lines = runpy.run_path(str(script))["fuzz"](300, 1)
    assert len(lines) == 7
    for line in lines:
        assert not line.escaped
        assert line.packets == 300
        assert line.delivered
        assert line.troubles
