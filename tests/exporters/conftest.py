"""Sessions whose content is known, for the tests of every export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from physio_hqc import open_session
from physio_hqc.session import BlockFlag, SessionWriter

T0 = 1_763_900_000_123_456_789
PAYLOAD = {"who": "Zoë", "note": "„läuft“ 心拍 " * 60, "n": 3, "nested": {"a": [1, None, True]}}


@dataclass(frozen=True)
class Live:
    """A recording with drifting clocks, jitter and gaps, and what was true."""

    path: Path
    pulses_s: np.ndarray
    """Times of the pulses that are in the ECG."""
    duration: float


def _write_drifting(
    writer: SessionWriter, rng: np.random.Generator, name: str, rate: float, duration: float,
    signal: Any, gap: tuple[float, float], packet: int, dtype: str,
) -> None:  # fmt: skip
    """Packets that arrive late and unevenly, from a device that samples at `rate`."""
    n = int(duration * rate)
    for k in range(0, n - packet + 1, packet):
        times = (np.arange(k, k + packet)) / rate
        if gap[0] < times[-1] < gap[1]:
            continue
        first_after = k > 0 and gap[1] <= times[-1] < gap[1] + packet / rate
        flags = BlockFlag.GAP_BEFORE if first_after else 0
        arrival = times[-1] + 0.02 + rng.exponential(0.03)
        writer.append(name, signal(times).astype(dtype), arrival, float(times[-1]), int(flags))


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """Twenty minutes: ECG 40 ppm fast, EDA 80 ppm slow, with a gap in each."""
    path = tmp_path_factory.mktemp("live") / "live.h5"
    rng = np.random.default_rng(7)
    duration = 1200.0
    pulses = np.arange(1.0, duration - 1, 7.3)

    def ecg(t: np.ndarray) -> np.ndarray:
        nearest = pulses[np.clip(np.searchsorted(pulses, t), 1, len(pulses) - 1) - 1]
        following = pulses[np.clip(np.searchsorted(pulses, t), 0, len(pulses) - 1)]
        wave = np.exp(-0.5 * ((t - nearest) / 0.03) ** 2)
        wave += np.exp(-0.5 * ((t - following) / 0.03) ** 2)
        return np.rint(3000 * wave)

    def eda(t: np.ndarray) -> np.ndarray:
        return 5 + np.sin(t / 20) + 0.01 * np.cos(t)

    with SessionWriter(
        path, participant_id="P 07 é", condition="support", dyad_id="D3", role="speaker",
        protocol="name: x\nphases: [é]\n", t0_unix_ns=T0,
    ) as writer:  # fmt: skip
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0, dtype="int16",
                          scale=0.00125, offset=0.5,
                          device={"model": "H10", "serial": "A1"})  # fmt: skip
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0, dtype="float32")
        writer.add_stream("acc", modality="acc", units="g", sfreq=50.0, dtype="int16",
                          channels=["x", "y", "z"], scale=[0.001, 0.001, 0.002])  # fmt: skip
        writer.add_stream("ppg", modality="ppg", units="", sfreq=100.0)
        writer.add_stream("rr", modality="rr", units="s", sfreq=0, dtype="uint16", scale=1 / 1024)
        writer.add_stream("cuff", modality="cuff", units="mmHg,mmHg,mmHg,1/min", sfreq=0,
                          channels=["SBP", "DBP", "MAP", "HR"])  # fmt: skip
        _write_drifting(
            writer, rng, "ecg", 250.0 * (1 + 40e-6), duration, ecg, (400, 460), 73, "int16"
        )
        _write_drifting(
            writer, rng, "eda", 4.0 * (1 - 80e-6), duration, eda, (700, 731), 4, "float32"
        )
        for k in range(20):
            block = rng.integers(-4000, 4000, (50 * 50, 3))
            writer.append_segment("acc", block, t_start=k * 50.0 + 0.013)
        beats = np.cumsum(rng.uniform(0.7, 0.9, 300))
        writer.append_irregular("rr", beats, rng.integers(700, 900, 300))
        writer.append_irregular(
            "cuff", [30.25, 600.1], [[120, 80, np.nan, 70], [131, 82, 99, 71.5]]
        )
        writer.add_event(0.1 + 0.2, "phase", "speech", duration=359.7, source="clock")
        writer.add_event(500.0, "note", "läuft\tgut", source="key", payload=PAYLOAD)
        writer.add_event(-0.5, "system", "armed")
        writer.add_event(700.0, "interaction", "talk", duration=float("nan"))
        writer.add_event(700.0, "marker", "same time")
        writer.add_event(1190.123456789012, "rating", "stress", payload={"value": 7})
    return Live(path, pulses, duration)


def assert_same_session(
    first: Path, second: Path, *, exact: bool, steps: dict[str, float] | None = None
) -> None:
    """Compare two session files: who, when, what, every sample and time."""
    with open_session(first) as a, open_session(second) as b:
        for name in ("session_id", "participant_id", "condition", "dyad_id", "role", "protocol",
                     "t0_unix_ns"):  # fmt: skip
            assert getattr(a, name) == getattr(b, name), name
        assert list(a.streams) == list(b.streams)
        pd.testing.assert_frame_equal(a.events, b.events)
        for name, mine in a.streams.items():
            other = b.streams[name]
            for key in ("modality", "units", "sfreq", "channels", "device"):
                assert getattr(mine, key) == getattr(other, key), (name, key)
            assert mine.stored.dtype == other.stored.dtype
            np.testing.assert_array_equal(mine.scale, other.scale)
            np.testing.assert_allclose(mine.times, other.times, rtol=0, atol=1e-6)
            if exact or mine.stored.dtype.kind in "iu":
                np.testing.assert_array_equal(mine.stored, other.stored)
                continue
            step = (steps or {}).get(name)
            if step is None:
                values = mine.samples[np.isfinite(mine.samples)]
                step = float(np.ptp(values)) / 65000 if values.size else 0.0
            largest = np.abs(mine.stored[np.isfinite(mine.stored)]).max(initial=0)
            kept = float(np.spacing(largest)) * float(np.max(np.abs(mine.scale)))
            np.testing.assert_allclose(
                mine.samples, other.samples, rtol=1e-6, atol=0.51 * step + kept
            )


@pytest.fixture(scope="session")
def same_session() -> Any:
    """Comparison of two session files."""
    return assert_same_session
