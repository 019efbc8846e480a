"""Skin conductance on coarse grids: block means, smoothing, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from physio_hqc.signals._checks import as_signal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Half of a normal variable's absolute values lie below 0.6745 standard deviations, a third here:
_NOISE_QUANTILE, _NOISE_POINT = 1 / 3, 0.4307
_NOISE_PIECES, _NOISE_PIECE = 16, 1 << 13
_MIN_RUN_S = 4.0
# Finer steps are lost in the noise, coarser ones are no converter's; samples that are looked at.
_COARSE_US, _STEP_SAMPLES = (0.008, 0.15), 1 << 20


def measured(x: ArrayLike, name: str) -> FloatArray:
    """Return the signal with fill values (beyond a million, as no sensor gives) as missing."""
    signal = as_signal(x, name)
    signal[np.abs(signal) > 1e6] = np.nan
    return signal


def min_samples(rate: float) -> int:
    """Return the fewest samples of a stretch that can be worked on."""
    return max(int(np.ceil(_MIN_RUN_S * rate)), 8)


def block_means(x: FloatArray, rate: float, target_hz: float) -> tuple[FloatArray, float, float]:
    """Average whole blocks so that the rate lands in [target, 2 target) or stays as it is.

    Returns the means, their rate in Hz and the time of the first in s.
    """
    width = max(1, int(rate / target_hz + 1e-9))
    if width == 1:
        return x, rate, 0.0
    count = x.size // width
    means = x[: count * width].reshape(count, width).mean(axis=1)
    return means, rate / width, (width - 1) / 2 / rate


def smooth_derivatives(
    means: FloatArray, rate: float, sigma_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the Gaussian-smoothed signal and its slope per s."""
    sigma = sigma_s * rate
    # Odd reflection lets a drift run on beyond the ends; repeating the end would bend it.
    margin = min(int(4 * sigma) + 1, means.size - 1)
    padded = np.pad(means, margin, mode="reflect", reflect_type="odd")
    inside = slice(margin, margin + means.size)
    smooth: FloatArray = gaussian_filter1d(padded, sigma, mode="nearest")[inside]
    slope: FloatArray = gaussian_filter1d(padded, sigma, order=1, mode="nearest")[inside]
    return smooth, slope * rate


def white_noise(means: FloatArray, rate: float) -> tuple[float, float]:
    """Return the standard deviation per sample of white noise as strong as what is seen.

    Judged below some 2.5 Hz, inside the band of the responses, so that a low-pass filter hides
    little of it; what one at 3 Hz would hide is added. The second result leaves out what is seen
    there but not below 1 Hz, as mains hum that a slow recorder folds down to 2 Hz.
    """
    fine, coarse = (_noise_seen(means, rate, sigma) for sigma in (0.1, 0.2))
    return fine, min(fine, coarse)


def _noise_seen(means: FloatArray, rate: float, sigma_s: float) -> float:
    """Return the noise per sample, judged by third differences of the smoothed signal."""
    lag = max(1, round(2 * sigma_s * rate) if rate > 8 else round(0.25 * rate))
    reach = int(4 * sigma_s * rate)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma_s * rate)) ** 2)
    difference = np.zeros(3 * lag + 1)
    difference[::lag] = (-1, 3, -3, 1)
    kernel = np.convolve(difference, bell / bell.sum())
    if means.size < 2 * kernel.size:
        return 0.0
    # Of a long recording, pieces spread evenly tell enough.
    pieces = [means]
    if means.size > _NOISE_PIECES * _NOISE_PIECE:
        starts = np.linspace(0, means.size - _NOISE_PIECE, _NOISE_PIECES).astype(np.int64)
        pieces = [means[start : start + _NOISE_PIECE] for start in starts.tolist()]
    differences = np.concatenate([np.convolve(piece, kernel, mode="valid") for piece in pieces])
    # Third differences leave little of a response; a low quantile, because some of it is left.
    seen = np.quantile(np.abs(differences), _NOISE_QUANTILE)
    hidden = 1.25 if rate > 8 and sigma_s < 0.2 else 1.0
    return hidden * float(seen) / (_NOISE_POINT * float(np.sqrt(np.sum(kernel**2))))


def without_steps(x: FloatArray, rate: float, step: float) -> FloatArray:
    """Return the smoothest course that stays within half a converter step of ``x``.

    A slow drift through coarse steps is a staircase, in which every step looks like a response.
    """
    course = x
    for width_s in (8.0, 4.0, 2.0, 1.0, 0.5):
        width = 2 * int(width_s * rate / 2) + 1
        for _ in range(4):
            course = uniform_filter1d(uniform_filter1d(course, width, mode="nearest"), width)
            course = np.clip(course, x - step / 2, x + step / 2)
    return course


def converter_step(x: FloatArray) -> float:
    """Return the step of the converter in µS where it is coarse; else 0."""
    changes = np.abs(np.diff(x[:_STEP_SAMPLES]))
    changes = changes[changes > 0]
    if changes.size < 10:
        return 0.0
    step = float(changes.min())
    if not _COARSE_US[0] <= step <= _COARSE_US[1]:
        return 0.0
    multiples = changes / step
    return step if np.mean(np.abs(multiples - np.round(multiples)) < 0.01) >= 0.95 else 0.0


def first_best(values: FloatArray, start: IntArray, stop: IntArray) -> IntArray:
    """Return per row the offset from ``start`` of the largest value in [start, stop]."""
    columns = start[:, None] + np.arange(int((stop - start).max()) + 1)
    inside = columns <= stop[:, None]
    taken = np.where(inside, values[np.minimum(columns, values.size - 1)], -np.inf)
    offsets: IntArray = taken.argmax(axis=1)
    return offsets
