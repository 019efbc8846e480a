"""Rhythms that a detector trips over, each drawn beat by beat."""

import numpy as np
import pytest

from physio_hqc.signals import detect_r_peaks

SFREQ = 250.0
# Delay (s), height (mV) and width (s) of each wave.
NARROW = ((-0.028, -0.1, 0.009), (0, 1.0, 0.011), (0.03, -0.25, 0.011), (0.27, 0.25, 0.05))
P_WAVE = ((-0.16, 0.12, 0.025),)
NORMAL = P_WAVE + NARROW
WIDE = ((0, 1.1, 0.035), (0.09, -0.5, 0.05), (0.3, -0.35, 0.06))
BUNDLE_BRANCH = ((-0.02, 0.7, 0.025), (0.03, 0.8, 0.028), (0.3, -0.3, 0.06))
FAST = ((0, 1.0, 0.011), (0.03, -0.3, 0.011), (0.14, 0.2, 0.03))


def draw(beats, *, noise=0.02, seed=0):
    """ECG of (time, waves, size); the times of all beats that have more than a P wave."""
    n = int((beats[-1][0] + 1) * SFREQ)
    ecg = noise * np.random.default_rng(seed).standard_normal(n)
    times = np.arange(n) / SFREQ
    for beat, waves, size in beats:
        for delay, height, width in waves:
            ecg += size * height * np.exp(-0.5 * ((times - beat - delay) / width) ** 2)
    return ecg, np.array([beat for beat, waves, _ in beats if waves is not P_WAVE])


def regular(intervals, waves=NORMAL, sizes=None):
    starts = 0.7 + np.concatenate([[0.0], np.cumsum(intervals[:-1])])
    sizes = np.ones(len(starts)) if sizes is None else sizes
    return [(start, waves, size) for start, size in zip(starts, sizes, strict=True)]


def runs_of_wide_beats():
    beats, now = [], 0.7
    for _ in range(10):
        for waves, interval, number in ((NORMAL, 0.85, 6), (WIDE[:2], 0.36, 5)):
            for _ in range(number):
                beats.append((now, waves, 1.0))
                now += interval
        now += 0.7
    return beats


def between_two_beats():
    beats = regular(np.full(100, 1.0))
    return sorted(beats + [(beat + 0.5, WIDE, 1.0) for beat, _, _ in beats[4:-1:5]])


RNG = np.random.default_rng(1)
STEADY = 0.83 + 0.03 * RNG.standard_normal(100)
RHYTHMS = {
    "sinus": (regular(STEADY), 0),
    "fibrillation": (regular(np.clip(RNG.gamma(9, 0.08, 150), 0.35, 1.6), NARROW), 0),
    "200 a minute": (regular(np.full(200, 0.3), FAST), 0),
    "31 a minute": (regular(np.full(40, 1.9)), 0),
    "wide and fast": (regular(np.full(150, 0.34), WIDE[:2]), 0),
    "bundle branch block": (regular(STEADY, BUNDLE_BRANCH), 0),
    "large and small in turn": (regular(STEADY, sizes=np.tile([1.0, 0.45], 50)), 0),
    "deep breathing": (regular(0.6 + 0.25 * np.sin(0.35 * np.arange(200))), 0),
    "sudden change of rate": (regular(np.repeat([1.1, 0.42, 1.0], [30, 80, 30])), 0),
    "tall P waves": (regular(STEADY, ((-0.18, 0.6, 0.03), *NARROW)), 0),
    "every third beat blocked": (
        [
            (beat, P_WAVE if k % 3 == 2 else NORMAL, 1.0)
            for k, (beat, _, _) in enumerate(regular(np.full(90, 0.75)))
        ],
        0,
    ),
    "pauses of 5 s": (regular(np.where(np.arange(60) % 12, 0.8, 5.0)), 0),
    # Of 50 wide beats and 20 that come between two regular ones.
    "runs of wide beats": (runs_of_wide_beats(), 8),
    "between two regular beats": (between_two_beats(), 2),
}


@pytest.mark.parametrize("name", list(RHYTHMS))
def test_every_beat_is_found_once(name):
    beats, allowed = RHYTHMS[name]
    ecg, truth = draw(beats)
    found = detect_r_peaks(ecg, SFREQ) / SFREQ
    near = np.abs(found[:, None] - truth).min(axis=0) if found.size else np.full(truth.size, 9.0)
    assert np.count_nonzero(near > 0.1) <= allowed
    assert found.size <= truth.size
