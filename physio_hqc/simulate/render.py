"""Signals of a simulated participant: what sensors of any rate and noise would record."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline

from physio_hqc.errors import SignalError
from physio_hqc.simulate._courses import FloatArray
from physio_hqc.simulate.noise import Noise, ecg_noise, eda_noise, hold, pressure_noise
from physio_hqc.simulate.participant import generator
from physio_hqc.simulate.truth import SimulatedTruth
from physio_hqc.simulate.waveforms import ecg_waveform, pressure_waveform, scr_waveform

# Samples rendered at a time: fits the cache, and bounds the memory of a day at 1000 Hz.
_CHUNK = 1 << 17
# How much the R peaks grow and shrink with breathing.
_BREATH_ON_R = 0.04
_STREAM_KEYS = {"ecg": 0, "bp": 1, "eda": 2, "resp": 3}


def sample_count(duration_s: float, sfreq: float) -> int:
    """Return how many samples fit into a duration."""
    if not (np.isfinite(sfreq) and 0 < sfreq <= 20_000):
        raise SignalError(f"sfreq must lie above 0 and not above 20000 Hz, not {sfreq}.")
    return max(1, int(np.floor(duration_s * sfreq + 1e-9)))


def _in_chunks(n: int, sfreq: float, render: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Evaluate a function of time at n samples, a piece at a time."""
    signal = np.empty(n)
    for first in range(0, n, _CHUNK):
        last = min(first + _CHUNK, n)
        signal[first:last] = render(np.arange(first, last) / sfreq)
    return signal


def _rng(truth: SimulatedTruth, stream: str) -> np.random.Generator:
    """Return the generator for the noise of one stream."""
    return generator(truth.seed, "noise").spawn(len(_STREAM_KEYS))[_STREAM_KEYS[stream]]


def render_ecg(truth: SimulatedTruth, sfreq: float, noise: Noise | None = None) -> FloatArray:
    """Render the ECG of a participant.

    Parameters
    ----------
    truth : SimulatedTruth
    sfreq : float
        Hz.
    noise : Noise, optional
        None by default; movements and pops come from the truth's artifacts.

    Returns
    -------
    ndarray, shape (n,)
        mV, one sample every 1 / sfreq from time 0.

    Raises
    ------
    SignalError
        If the rate makes no sense.

    Examples
    --------
    >>> from physio_hqc.simulate import simulate_truth
    >>> truth = simulate_truth(seed=1, time_scale=0.05)
    >>> render_ecg(truth, 130.0).shape
    (11310,)
    """
    n = sample_count(truth.duration_s, sfreq)
    angle = 2 * np.pi * np.interp(truth.beat_times_s, truth.grid_s, truth.breath_cycles)
    heights = truth.person.r_amplitude * (1.0 + _BREATH_ON_R * np.sin(angle))
    signal = _in_chunks(n, sfreq, lambda t: ecg_waveform(t, truth.beat_times_s, heights))
    if noise is None:
        return signal
    speech = np.array([(phase.onset, phase.offset) for phase in truth.phases if phase.speech])
    signal += ecg_noise(
        n,
        sfreq,
        noise,
        _rng(truth, "ecg"),
        speech=speech,
        motion=truth.artifacts("ecg", "motion"),
        pops=truth.artifacts("ecg", "electrode_pop"),
    )
    return signal


def render_pressure(truth: SimulatedTruth, sfreq: float, noise: Noise | None = None) -> FloatArray:
    """Render the continuous pressure of a participant.

    Parameters
    ----------
    truth : SimulatedTruth
    sfreq : float
        Hz.
    noise : Noise, optional
        None by default; movements and calibrations come from the truth's artifacts.

    Returns
    -------
    ndarray, shape (n,)
        mmHg, one sample every 1 / sfreq from time 0.

    Raises
    ------
    SignalError
        If the rate makes no sense.

    Examples
    --------
    >>> from physio_hqc.simulate import simulate_truth
    >>> truth = simulate_truth(seed=1, time_scale=0.05)
    >>> abs(float(render_pressure(truth, 200.0).max()) - float(truth.sbp.max())) < 0.1
    True
    """
    n = sample_count(truth.duration_s, sfreq)
    signal = _in_chunks(
        n,
        sfreq,
        lambda t: pressure_waveform(t, truth.foot_s, truth.systole_s, truth.sbp, truth.dbp),
    )
    if noise is None:
        return signal
    motion = truth.artifacts("bp", "motion")
    signal += pressure_noise(n, sfreq, noise, _rng(truth, "bp"), motion)
    return hold(signal, sfreq, truth.artifacts("bp", "calibration"))


def render_eda(truth: SimulatedTruth, sfreq: float, noise: Noise | None = None) -> FloatArray:
    """Render the skin conductance of a participant: tonic course plus responses.

    Parameters
    ----------
    truth : SimulatedTruth
    sfreq : float
        Hz.
    noise : Noise, optional
        None by default; movements come from the truth's artifacts.

    Returns
    -------
    ndarray, shape (n,)
        µS, one sample every 1 / sfreq from time 0.

    Raises
    ------
    SignalError
        If the rate makes no sense.

    Examples
    --------
    >>> from physio_hqc.simulate import simulate_truth
    >>> eda = render_eda(simulate_truth(seed=1, time_scale=0.05), 4.0)
    >>> bool(eda.min() > 0)
    True
    """
    n = sample_count(truth.duration_s, sfreq)
    tonic = CubicSpline(truth.grid_s, truth.tonic_us)
    signal = _in_chunks(
        n, sfreq, lambda t: tonic(t) + scr_waveform(t, truth.scr_onset_s, truth.scr_amplitude)
    )
    if noise is None:
        return signal
    motion = truth.artifacts("eda", "motion")
    return signal + eda_noise(n, sfreq, noise, _rng(truth, "eda"), motion)


def render_respiration(
    truth: SimulatedTruth, sfreq: float, noise: Noise | None = None
) -> FloatArray:
    """Render the chest movement of a participant, inspiration upward.

    Parameters
    ----------
    truth : SimulatedTruth
    sfreq : float
        Hz.
    noise : Noise, optional
        None by default.

    Returns
    -------
    ndarray, shape (n,)
        Arbitrary units, from about -1 to 1, one sample every 1 / sfreq from time 0.

    Raises
    ------
    SignalError
        If the rate makes no sense.

    Examples
    --------
    >>> from physio_hqc.simulate import simulate_truth
    >>> float(abs(render_respiration(simulate_truth(seed=1, time_scale=0.05), 10.0)).max()) <= 1
    True
    """
    n = sample_count(truth.duration_s, sfreq)
    times = np.arange(n) / sfreq
    signal = np.sin(2 * np.pi * np.interp(times, truth.grid_s, truth.breath_cycles))
    if noise is None:
        return signal
    return signal + noise.resp * _rng(truth, "resp").standard_normal(n)
