"""Streams that hold anything but physiology: tables with reasons, never an exception."""

import numpy as np
import pytest

from physio_hqc.pipeline import process_session
from physio_hqc.session import SessionWriter

RATES = {"ecg": 250.0, "bp": 100.0, "eda": 100.0, "resp": 100.0}
UNITS = {"ecg": "mV", "bp": "mmHg", "eda": "µS", "resp": "V"}


def samples(kind, n):
    rng = np.random.default_rng(0)
    index = np.arange(n)
    made = {
        "zero": np.zeros(n),
        "missing": np.full(n, np.nan),
        "infinite": np.where(index % 7 == 0, np.inf, 1.0),
        "noise": rng.standard_normal(n),
        "ramp": index.astype(float),
        "huge": 1e300 * rng.standard_normal(n),
        "spike": np.where(index == n // 2, 1e9, 0.0),
        "holes": np.where(rng.random(n) < 0.1, np.nan, 80 + 10 * rng.standard_normal(n)),
    }
    return made[kind]


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3, 60])
@pytest.mark.parametrize(
    "kind", ["zero", "missing", "infinite", "noise", "ramp", "huge", "spike", "holes"]
)
def test_no_stream_raises_and_nothing_is_missing_without_a_reason(tmp_path, kind, seconds):
    with SessionWriter(tmp_path / "p.h5") as writer:
        for name, rate in RATES.items():
            writer.add_stream(name, modality=name, units=UNITS[name], sfreq=rate)
        for name, rate in RATES.items():
            writer.append_segment(name, samples(kind, max(1, int(seconds * rate))), 0.0)
        writer.add_event(0.0, "phase", "baseline", duration=seconds / 2)
        writer.add_event(seconds / 2, "phase", "speech", duration=seconds / 2)
        writer.add_event(seconds / 3, "marker", "tone")
    result = process_session(tmp_path / "p.h5", out_dir=tmp_path / "derivatives")
    features = result.tables["features"]
    assert (features["value"].notna() | (features["reason"] != "")).all()
    quality = result.tables["quality"]
    assert set(quality["stream"]) == set(RATES)
    for column in ("quality", "usable_share", "missing_share"):
        assert quality[column].dropna().between(0, 1).all()
