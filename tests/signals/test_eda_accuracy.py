"""Responses of many shapes, rates and kinds of noise: found, placed and measured."""

import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from physio_hqc.signals.eda import decompose_eda, detect_scrs, eda_artifacts, eda_quality

FINE = np.arange(-10, 70, 0.01)


def biexponential(rise, decay):
    after = np.clip(FINE, 0, None)
    return np.exp(-after / decay) - np.exp(-after / rise)


def sigmoid_exponential(rise, decay):
    """Shape of Lim et al. (1997)."""
    after = np.clip(FINE, 1e-6, None)
    return (FINE > 0) * np.exp(-after / decay) / (1 + (after / rise) ** -2)


def alpha(tau):
    after = np.clip(FINE, 0, None)
    return after * np.exp(-after / tau)


SHAPES = {
    "biexponential 0.75/2": biexponential(0.75, 2.0),
    "biexponential 0.5/1.5": biexponential(0.5, 1.5),
    "biexponential 1/3": biexponential(1.0, 3.0),
    "biexponential 0.3/4": biexponential(0.3, 4.0),
    "smoothed": gaussian_filter1d(biexponential(0.7, 2.0), 30),
    "sigmoid-exponential": sigmoid_exponential(1.0, 3.0),
    "alpha": alpha(1.0),
}
USUAL = "biexponential 0.75/2"


class Simulated:
    """Skin conductance with log-normal responses of 0.02 to 2 µS at known times."""

    def __init__(
        self, sfreq, *, noise=0.002, per_minute=5.0, seed=0, shape=USUAL, apart=2.0, minutes=10
    ):
        rng = np.random.default_rng([seed, int(sfreq)])
        duration = 60.0 * minutes
        wait = max(60 / per_minute - apart, 0.1)
        starts = np.cumsum(apart + rng.exponential(wait, int(3 * per_minute * minutes) + 10))
        starts = starts[(starts > 5) & (starts < duration - 8)]
        self.amplitude = np.clip(0.15 * np.exp(0.8 * rng.standard_normal(starts.size)), 0.02, 2)
        self.time = np.arange(int(duration * sfreq)) / sfreq
        unit = SHAPES[shape] / SHAPES[shape].max()
        self.peak = starts + FINE[unit.argmax()]
        self.onset = starts + FINE[(unit > 0.01).argmax()]
        self.tonic = 6 - 0.002 * self.time
        for period, size in ((240, 0.3), (95, 0.15)):
            self.tonic += size * np.sin(2 * np.pi * self.time / period + rng.uniform(0, 6))
        self.signal = self.tonic + noise * rng.standard_normal(self.time.size)
        for start, height in zip(starts, self.amplitude, strict=True):
            part = slice(*np.searchsorted(self.time, (start - 3, start + 60)))
            self.signal[part] += height * np.interp(self.time[part] - start, FINE, unit)


def pairs(found, true, within):
    """Match times one to one, nearest first."""
    gap = np.abs(np.asarray(found)[:, None] - np.asarray(true))
    matched = []
    while gap.size and gap.min() <= within:
        row, column = np.unravel_index(gap.argmin(), gap.shape)
        matched.append((row, column))
        gap[row, :] = gap[:, column] = np.inf
    return matched


def f1_score(found, true, within=1.0):
    return 2 * len(pairs(found, true, within)) / (len(found) + len(true))


def scored(simulated, sfreq, signal=None):
    phasic = decompose_eda(simulated.signal if signal is None else signal, sfreq)[1]
    found = detect_scrs(phasic, sfreq)
    return found, f1_score(found["peak_s"], simulated.peak)


@pytest.mark.parametrize("sfreq", [4, 8, 15, 32, 64, 100, 250, 1000, 2000])
@pytest.mark.parametrize("noise", [0.001, 0.005])
def test_every_rate(sfreq, noise):
    scores = [
        scored(Simulated(sfreq, noise=noise, seed=seed, minutes=5), sfreq)[1] for seed in range(2)
    ]
    assert np.mean(scores) >= 0.95


@pytest.mark.parametrize("sfreq", [8, 32])
@pytest.mark.parametrize("per_minute", [1, 3, 12, 20])
def test_every_number_of_responses(sfreq, per_minute):
    score = scored(Simulated(sfreq, per_minute=per_minute, apart=1.5), sfreq)[1]
    assert score >= 0.95


@pytest.mark.parametrize("sfreq", [4, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(sfreq, shape):
    simulated = Simulated(sfreq, shape=shape, apart=4.0)
    found, score = scored(simulated, sfreq)
    assert score >= 0.95
    assert f1_score(found["onset_s"], simulated.onset) >= 0.95


@pytest.mark.parametrize("sfreq", [4, 32, 1000])
def test_times_and_amplitudes(sfreq):
    simulated = Simulated(sfreq, per_minute=4, apart=6.0)
    found, _ = scored(simulated, sfreq)
    rows, columns = np.transpose(pairs(found["onset_s"], simulated.onset, 1.0))
    found = found.iloc[rows]
    assert np.median(np.abs(found["onset_s"] - simulated.onset[columns])) < 0.15
    assert np.median(np.abs(found["peak_s"] - simulated.peak[columns])) < 0.15
    assert np.median(np.abs(found["amplitude"] / simulated.amplitude[columns] - 1)) < 0.05


@pytest.mark.parametrize("sfreq", [4, 32])
def test_tonic_level_is_true(sfreq):
    simulated = Simulated(sfreq, per_minute=6)
    tonic = decompose_eda(simulated.signal, sfreq)[0]
    assert np.median(np.abs(tonic - simulated.tonic)) < 0.01
    assert np.abs((tonic - simulated.tonic).mean()) < 0.01


@pytest.mark.parametrize("step", [0.0009, 25 / 2**16, 25 / 2**12, 25 / 2**10])
@pytest.mark.parametrize("sfreq", [4, 32])
def test_quantized(sfreq, step):
    simulated = Simulated(sfreq, noise=0.0005, seed=1)
    signal = step * np.round(simulated.signal / step)
    found, score = scored(simulated, sfreq, signal)
    # Steps of 0.024 µS hide what is smaller than two of them.
    assert score >= (0.95 if step < 0.02 else 0.88)
    assert len(found) <= 1.1 * simulated.peak.size
    assert f1_score(detect_scrs(signal, sfreq)["peak_s"], simulated.peak) >= score - 0.05


@pytest.mark.parametrize("sfreq", [32, 100, 1000])
def test_mains_hum(sfreq):
    simulated = Simulated(sfreq, seed=2)
    hum = 0.05 * np.sin(2 * np.pi * 50 * simulated.time + 1)
    assert scored(simulated, sfreq, simulated.signal + hum)[1] >= 0.95


@pytest.mark.parametrize("sfreq", [4, 15, 32, 250])
@pytest.mark.parametrize("noise", [0.002, 0.01, 0.05])
def test_noise_is_not_counted(sfreq, noise):
    rng = np.random.default_rng(3)
    signal = 5 + noise * rng.standard_normal(int(600 * sfreq))
    assert len(detect_scrs(decompose_eda(signal, sfreq)[1], sfreq)) <= 3
    assert len(detect_scrs(signal, sfreq)) <= 3


@pytest.mark.parametrize("sfreq", [15, 100])
def test_noisy(sfreq):
    _, score = scored(Simulated(sfreq, noise=0.02, per_minute=4, apart=3.0), sfreq)
    assert score >= 0.9


@pytest.mark.parametrize(("sfreq", "noise"), [(8, 0.002), (100, 0.005)])
def test_better_than_the_default_of_neurokit2(sfreq, noise):
    nk = pytest.importorskip("neurokit2")
    ours, theirs = [], []
    for seed in range(2):
        simulated = Simulated(sfreq, noise=noise, seed=seed, minutes=5)
        ours.append(scored(simulated, sfreq)[1])
        peaks = nk.eda_process(simulated.signal, sampling_rate=sfreq)[1]["SCR_Peaks"]
        theirs.append(f1_score(np.asarray(peaks) / sfreq, simulated.peak))
    assert np.mean(ours) >= 0.95
    assert np.mean(ours) > np.mean(theirs) + 0.05


@pytest.mark.parametrize("sfreq", [4, 32, 100, 250])
def test_responses_of_neurokit2(sfreq):
    nk = pytest.importorskip("neurokit2")
    signal = nk.eda_simulate(
        duration=120, sampling_rate=sfreq, scr_number=6, noise=0.005, drift=0.002, random_state=3
    )
    found = detect_scrs(decompose_eda(signal, sfreq)[1], sfreq)
    # What it draws rises within half a second, one every 20 s.
    assert len(found) == 6
    assert np.diff(found["peak_s"]) == pytest.approx(20, abs=1.5)


def test_blocks_of_a_long_recording_join():
    # Longer than the hour that is worked on at a time; the same responses without the first part.
    simulated = Simulated(4, minutes=75, per_minute=4)
    whole = detect_scrs(simulated.signal, 4)
    assert f1_score(whole["peak_s"], simulated.peak) >= 0.95
    assert (np.diff(whole["onset_s"]) > 0).all()
    around = whole[whole["onset_s"].between(3500, 3700)]
    part = detect_scrs(simulated.signal[4 * 3300 : 4 * 3900], 4)
    part = part[(part["onset_s"] + 3300).between(3500, 3700)]
    assert part["onset_s"].to_numpy() + 3300 == pytest.approx(around["onset_s"], abs=0.1)


@pytest.mark.parametrize("sfreq", [4, 32, 250])
@pytest.mark.parametrize("shape", SHAPES)
def test_responses_are_no_disturbance(shape, sfreq):
    simulated = Simulated(sfreq, shape=shape, seed=5, minutes=5)
    assert eda_artifacts(simulated.signal, sfreq).empty
    assert eda_quality(simulated.signal, sfreq)["quality"].iloc[0] == 1


@pytest.mark.parametrize(("sfreq", "hours"), [(4, 24), (100, 5)])
def test_memory_is_a_few_times_the_signal(sfreq, hours):
    signal = 5 + 0.002 * np.random.default_rng(0).standard_normal(hours * 3600 * sfreq)
    signal[100_000:100_500] = np.nan
    phasic = decompose_eda(signal, sfreq)[1]
    for work in (
        lambda: decompose_eda(signal, sfreq),
        lambda: detect_scrs(phasic, sfreq),
        lambda: eda_quality(signal, sfreq, [[0, 60], [60, 120]]),
    ):
        tracemalloc.start()
        try:
            work()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * signal.nbytes
