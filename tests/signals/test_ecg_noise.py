"""R peaks in noise: simulated ECG at the signal-to-noise ratio of the noise stress test."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from physio_hqc.protocol import parse_protocol
from physio_hqc.signals import detect_r_peaks
from physio_hqc.simulate import render_ecg, simulate_truth

GENERATORS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "ecg_noise.py"
REST = parse_protocol(
    "name: rest\ntitle: Rest\nphases:\n"
    "  - {name: rest, role: baseline, duration_s: 90}\n"
    "baseline: {phase: rest}\n"
)
SEEDS = (1, 2, 3)
NEAR_S = 0.15
# Smallest F1 at 12 dB over the seeds.
SMALLEST = {"white": 0.998, "mains": 0.998, "wander": 0.998, "muscle": 0.998, "motion": 0.95}


@pytest.fixture(scope="module")
def noises():
    if not GENERATORS.is_file():
        pytest.skip("the noise generators (scripts/benchmarks) are not beside the tests")
    spec = importlib.util.spec_from_file_location("ecg_noise", GENERATORS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def f1_of(truth_s, found_s):
    """Each true beat takes its nearest detection, and no detection is taken twice."""
    if not found_s.size:
        return 0.0
    nearest = np.abs(found_s[:, None] - truth_s).argmin(axis=0)
    taken = {
        int(place)
        for place, true in zip(nearest, truth_s, strict=True)
        if abs(found_s[place] - true) <= NEAR_S
    }
    return 2 * len(taken) / (truth_s.size + found_s.size)


@pytest.mark.parametrize("kind", list(SMALLEST))
@pytest.mark.parametrize("sfreq", [130.0, 250.0, 1000.0])
def test_beats_are_found_at_12_db_of_noise(noises, kind, sfreq):
    scores = []
    for seed in SEEDS:
        truth = simulate_truth(seed=seed, protocol=REST, condition="alone")
        clean = render_ecg(truth, sfreq)
        ecg = noises.disturbed(clean, truth.beat_times_s, sfreq, kind, 12.0, seed)
        scores.append(f1_of(truth.beat_times_s, detect_r_peaks(ecg, sfreq) / sfreq))
    assert np.mean(scores) >= SMALLEST[kind]


@pytest.mark.parametrize("kind", ["white", "mains", "wander", "muscle", "motion"])
@pytest.mark.parametrize("snr_db", [24.0, 0.0])
def test_noise_has_the_ratio_that_was_asked_for(noises, kind, snr_db):
    truth = simulate_truth(seed=5, protocol=REST, condition="alone")
    clean = render_ecg(truth, 250.0)
    noise = noises.disturbed(clean, truth.beat_times_s, 250.0, kind, snr_db, 5) - clean
    # Peak to peak of the complexes, as a sine; noise in seconds; both without their extremes.
    heights = sorted(
        np.ptp(clean[round(beat * 250) - 12 : round(beat * 250) + 13])
        for beat in truth.beat_times_s
    )
    seconds = sorted(np.std(noise[a : a + 250]) for a in range(0, noise.size - 249, 250))
    trimmed = [np.mean(v[len(v) // 20 : len(v) - len(v) // 20]) for v in (heights, seconds)]
    assert 10 * np.log10(trimmed[0] ** 2 / 8 / trimmed[1] ** 2) == pytest.approx(snr_db, abs=0.2)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("wander", 0.05, 0.55), ("muscle", 15.0, 125.0), ("motion", 0.0, 13.0)],
)
def test_noise_lies_in_its_band(noises, kind, low, high):
    noise = noises.draw(kind, 60_000, 500.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(noise.size, 1 / 500.0)
    inside = (frequency >= low) & (frequency <= high)
    assert power[inside].sum() > 0.85 * power.sum()
