"""Disturbances of an ECG at a stated signal-to-noise ratio.

The noise is that of `physio_hqc.simulate` (spectra in its docstrings), put together to five kinds:

white     the same power at every frequency
mains     50 or 60 Hz and, at a fifth of its amplitude, the third harmonic
wander    0.05 to 0.5 Hz
muscle    20 to 120 Hz, three times as large in bursts of 1 to 3 s that fill a third of the time
motion    electrode motion: 1 to 12 Hz in swelling bursts of 1 to 3 s, and steps that decay within
          2 s, twelve bursts and six steps a minute

The ratio is that of the noise stress test: the signal is the power of a sine as high as the QRS
complexes from peak to peak, the noise its mean effective value in stretches of 1 s without their
means; of both, the largest and smallest 5 percent are left out.

References
----------
Moody GB, Muldrow WK, Mark RG (1984). A noise stress test for arrhythmia detectors. Computers in
Cardiology 11:381-384; the program nst of the WFDB software says how amplitudes are measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physio_hqc.simulate import Noise
from physio_hqc.simulate.noise import ecg_noise

FloatArray = NDArray[np.float64]

KINDS = ("white", "mains", "wander", "muscle", "motion")
SNRS_DB = (24, 18, 12, 6, 0)

_QRS_REACH_S = 0.05
_TRIM = 0.05


def disturbed(
    ecg: FloatArray, beat_times_s: FloatArray, sfreq: float, kind: str, snr_db: float, seed: int
) -> FloatArray:
    """Return a clean ECG with noise of one kind at a signal-to-noise ratio."""
    noise = draw(kind, ecg.size, sfreq, np.random.default_rng([seed, KINDS.index(kind)]))
    gain = np.sqrt(signal_power(ecg, beat_times_s, sfreq) / noise_power(noise, sfreq))
    return ecg + gain * 10.0 ** (-snr_db / 20.0) * noise


def draw(kind: str, n: int, sfreq: float, rng: np.random.Generator) -> FloatArray:
    """Draw n samples of one kind of noise, of any size."""
    duration = n / sfreq
    silent = Noise.none()
    if kind == "white":
        return rng.standard_normal(n)
    if kind == "mains":
        hz = float(rng.choice([50.0, 60.0]))
        hum = ecg_noise(n, sfreq, _only(mains_mv=1.0, mains_hz=hz), rng)
        if 3 * hz < 0.5 * sfreq:
            hum += ecg_noise(n, sfreq, _only(mains_mv=0.2, mains_hz=3 * hz), rng)
        return hum
    if kind == "wander":
        return ecg_noise(n, sfreq, _only(wander_mv=1.0), rng)
    if kind == "muscle":
        return ecg_noise(n, sfreq, _only(muscle_mv=1.0), rng, speech=_bursts(duration, 10, rng))
    if kind == "motion":
        return ecg_noise(
            n, sfreq, silent, rng, motion=_bursts(duration, 12, rng), pops=_bursts(duration, 6, rng)
        )
    raise ValueError(f"there is no noise of the kind {kind!r}; use one of {KINDS}")


def _only(**levels: float) -> Noise:
    """Return noise that has nothing but what is named."""
    none = dict.fromkeys(("white_mv", "mains_mv", "wander_mv", "muscle_mv"), 0.0)
    return Noise(**{**none, **levels})


def _bursts(duration: float, per_min: float, rng: np.random.Generator) -> FloatArray:
    """Draw stretches of 1 to 3 s, so many a minute, one in each equal share of the time."""
    share = 60.0 / per_min
    onsets = np.arange(0.0, duration, share)
    lengths = rng.uniform(1.0, 3.0, onsets.size)
    onsets = onsets + rng.uniform(0.0, 1.0, onsets.size) * (share - lengths)
    return np.column_stack([onsets, onsets + lengths])


def signal_power(ecg: FloatArray, beat_times_s: FloatArray, sfreq: float) -> float:
    """Return the power of a sine that is as high, from peak to peak, as the QRS complexes."""
    reach = max(1, round(_QRS_REACH_S * sfreq))
    middle = np.round(beat_times_s * sfreq).astype(np.int64)
    middle = middle[(middle >= reach) & (middle < ecg.size - reach)]
    complexes = ecg[middle[:, None] + np.arange(-reach, reach + 1)]
    return _middle_mean(np.ptp(complexes, axis=1)) ** 2 / 8.0


def noise_power(noise: FloatArray, sfreq: float) -> float:
    """Return the square of the mean effective value in stretches of 1 s without their means."""
    second = round(sfreq)
    rows = noise[: noise.size // second * second].reshape(-1, second)
    return _middle_mean(rows.std(axis=1)) ** 2


def _middle_mean(values: FloatArray) -> float:
    """Return the mean without the largest and smallest 5 percent."""
    ordered = np.sort(values)
    cut = int(_TRIM * ordered.size)
    return float(ordered[cut : ordered.size - cut].mean())
