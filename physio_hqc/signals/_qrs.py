"""QRS complexes of an ECG: candidates from the energy of the slope, and what speaks for each."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from physio_hqc.signals._checks import vertex
from physio_hqc.signals._qrs_path import PathCosts, best_path

FloatArray = NDArray[np.float64]

# Most of a QRS complex lies between 4 and 25 Hz, above P and T waves, below muscle noise.
_WORKING_HZ = 100.0
_QRS_BAND_HZ = (4.0, 25.0)
_KERNEL_S = 0.135
_ENERGY_S = 0.14
# Hearts reach 300 beats a minute at most.
_REFRACTORY_S = 0.2
_SLOW_S = 0.067
_SLOW_REACH_S = 0.08
_SHAPE_S = 0.1
_FLOOR_S, _FLOOR_SHARE, _FLOOR_HZ = 1.0, 0.2, 25.0
_SMALLEST = 1e-9

# A candidate stands out if none within 0.42 s is 1.7 times as high: T and P waves do not.
_ASIDE_S, _ASIDE_RATIO = 0.42, 1.7
_HIGH_PERCENT, _HIGH_BEATS, _NOTHING = 80, 61, 0.06
_LEVEL_BEATS = 15
_SHAPE_BEATS = 41
_RHYTHM_BEATS = 15
_USUAL_RR_S, _RR_RANGE_S, _PULSE_RANGE_S = 0.8, (0.25, 2.0), (0.3, 1.6)

# Evidence for a candidate. Heights are relative to the beats around it, evidence is the logarithm
# of an odds ratio in all but name: a candidate at the threshold counts 0. The weights, here and in
# _qrs_path, were chosen on both leads of 24 records of the MIT-BIH Arrhythmia Database, on the same
# records with noise added, and on simulated ECG with noise; near them the result hardly changes.
_THRESHOLD, _THRESHOLD_NOISE = 0.185, 2.0
_QUIET_FLOOR, _LOUD_FLOOR = 0.042, 0.5
_HEIGHT_WEIGHT, _SLOW_WEIGHT = 2.4, 0.52
_EVIDENCE_RANGE = (-2.0, 3.5)
_SHAPE_WEIGHT, _SHAPE_WEIGHT_NOISE = 0.57, 3.9
_SHAPE_NEUTRAL, _SHAPE_LEAST = 0.115, 0.48
_CERTAIN = 0.5
_ONE_INTERVAL, _UNLIKE, _REGULAR = 1.12, 0.75, 0.13
_BIGEMINY_BEATS, _BIGEMINY_SHARE = 16, 0.3
_INTRUDERS, _SAME_FOCUS = 9, 0.95
_T_WAVE_S, _T_LOWER, _T_WIDER = 0.36, 0.6, 3.0


class Candidates(NamedTuple):
    """Peaks of the slope energy of one block.

    Attributes
    ----------
    place : (n,) samples of the thinned signal.
    height, slow : (n,) slope in the QRS band, and in a band that wide complexes reach as well.
    shape : (n, w) course of the slope around the peak, of unit length.
    floor : (n,) energy between complexes: noise.
    """

    place: NDArray[np.int64]
    height: FloatArray
    slow: FloatArray
    shape: FloatArray
    floor: FloatArray

    def at(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Candidates:
        """Return those that are chosen."""
        place, height, slow, shape, floor = self
        return Candidates(place[which], height[which], slow[which], shape[which], floor[which])


def find_complexes(x: FloatArray, sfreq: float, known: NDArray[np.bool_] | None) -> FloatArray:
    """Return the middle of each QRS complex in samples of ``x`` (with fractions), ascending.

    ``x`` is finite; ``known`` tells which samples were measured (None: all), the others are
    bridged. Nothing is found in a bridge, and no rhythm is expected across one.
    """
    step = max(1, int(sfreq // _WORKING_HZ))
    rate = sfreq / step
    thinned = thin(x, step)
    if thinned.size < 3:
        return np.empty(0)
    found = _candidates(thinned, rate)
    stretch = np.zeros(found.place.size, dtype=np.int64)
    if known is not None:
        measured = known[: thinned.size * step : step]
        inside = measured[found.place]
        found = found.at(inside)
        stretch = np.cumsum(np.diff(measured.astype(np.int8), prepend=1) == 1)[found.place]
    chosen = _choose(found, stretch, rate)
    middle: FloatArray = found.place[chosen].astype(np.float64) * step + (step - 1) / 2
    return middle


def thin(x: FloatArray, step: int) -> FloatArray:
    """Return the means of ``step`` neighboring samples."""
    if step == 1:
        return x
    n = x.size // step * step
    total = x[0:n:step] + x[1:n:step]
    for first in range(2, step):
        total += x[first:n:step]
    total /= step
    return total


@lru_cache(maxsize=16)
def _slope_kernel(rate: float) -> FloatArray:
    """Impulse response of a zero-phase band-pass for the QRS band, and a derivative."""
    half = int(_KERNEL_S * rate)
    impulse = np.zeros(16 * half + 1)
    impulse[8 * half] = 1.0
    band = signal.butter(2, _QRS_BAND_HZ, "bandpass", fs=rate, output="sos")
    response = np.gradient(signal.sosfiltfilt(band, impulse))
    kernel: FloatArray = np.ascontiguousarray(response[7 * half : 9 * half + 1])
    return kernel


@lru_cache(maxsize=16)
def _bell(rate: float) -> FloatArray:
    """Hann window of unit sum that smooths the energy."""
    window = np.hanning((round(_ENERGY_S * rate) | 1) + 2)[1:-1]
    bell: FloatArray = window / window.sum()
    return bell


def _candidates(x: FloatArray, rate: float) -> Candidates:
    """Take the peaks of the slope energy that are the highest within the refractory period."""
    kernel = _slope_kernel(rate)
    half = kernel.size // 2
    padded = np.concatenate([np.full(half, x[0]), x, np.full(half, x[-1])])
    slope = np.convolve(padded, kernel, "valid")
    # Smooth as the energy is, every other sample of it is enough.
    energy = np.convolve(thin(slope * slope, 2), _bell(rate / 2), "same")
    peak = _peaks(energy, max(1, round(_REFRACTORY_S * rate / 2)))
    # Below the rounding of the converter's largest value there is nothing to find.
    peak = peak[energy[peak] > (_SMALLEST * np.abs(x).max(initial=0.0)) ** 2]
    place = np.rint(
        2 * (peak + vertex(energy[peak - 1], energy[peak], energy[peak + 1])) + 0.5
    ).astype(np.int64)
    reach = max(2, round(_SHAPE_S * rate))
    around = np.clip(place[:, None] + np.arange(-reach, reach + 1), 0, x.size - 1)
    shape = slope[around]
    shape /= np.sqrt(np.einsum("ij,ij->i", shape, shape))[:, None]
    return Candidates(
        place,
        np.sqrt(energy[peak]),
        _slow_height(x, place, rate),
        shape,
        _floor(energy, peak, rate / 2),
    )


def _peaks(energy: FloatArray, reach: int) -> NDArray[np.int64]:
    """Return the places that hold the largest value within ``reach`` samples."""
    inner = energy[1:-1]
    place = np.flatnonzero((inner > energy[:-2]) & (inner >= energy[2:])) + 1
    height = energy[place]
    last = energy.size - 1
    highest = height >= energy[np.maximum(place - reach, 0)]
    highest &= height >= energy[np.minimum(place + reach, last)]
    # The maximum over a range lies at its ends or at one of the peaks inside it.
    for apart in range(1, place.size):
        near = place[apart:] - place[:-apart] <= reach
        if not near.any():
            break
        highest[apart:] &= ~(near & (height[:-apart] >= height[apart:]))
        highest[:-apart] &= ~(near & (height[apart:] > height[:-apart]))
    peaks: NDArray[np.int64] = place[highest]
    return peaks


def _slow_height(x: FloatArray, place: NDArray[np.int64], rate: float) -> FloatArray:
    """Return the largest difference near each place between the means after and before it."""
    x, place, rate = thin(x, 2) - x[0], place // 2, rate / 2
    width = max(1, round(_SLOW_S * rate))
    so_far = np.concatenate([[0.0], np.cumsum(x)])
    reach = max(1, round(_SLOW_REACH_S * rate))
    at = np.clip(place[:, None] + np.arange(-reach, reach + 1), width, x.size - width)
    step = so_far[at + width] - 2 * so_far[at] + so_far[at - width]
    height: FloatArray = np.abs(step).max(axis=1, initial=0.0) / width
    return height


def _floor(energy: FloatArray, place: NDArray[np.int64], rate: float) -> FloatArray:
    """Return the slope between the complexes: the lowest fifth of each second, smoothed."""
    sparse = energy[:: max(1, int(rate // _FLOOR_HZ))]
    length = max(1, round(sparse.size / max(1.0, energy.size / rate / _FLOOR_S)))
    n_rows = sparse.size // length
    if n_rows == 0:
        return np.zeros(place.size)
    kth = int(_FLOOR_SHARE * length)
    rows = np.partition(sparse[: n_rows * length].reshape(n_rows, length), kth, axis=1)
    low = ndimage.median_filter(np.sqrt(rows[:, kth]), size=3, mode="mirror")
    middle = (np.arange(n_rows) + 0.5) * (length * energy.size / sparse.size)
    floor: FloatArray = np.interp(place, middle, low)
    return floor


def _choose(found: Candidates, stretch: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """Return which candidates are beats: the path with the most evidence and the best rhythm."""
    n = found.place.size
    if n < 2:
        return np.arange(n)
    times = found.place / rate
    outstanding = _outstanding(times, found.height)
    at = _not_nothing(found.height, np.flatnonzero(outstanding))
    level = _level(found.height, at)
    height = found.height / level
    slow = found.slow / np.maximum(_level(found.slow, at), np.finfo(float).tiny)
    noise = np.clip(found.floor / level - _QUIET_FLOOR, 0, _LOUD_FLOOR)
    threshold = _THRESHOLD + _THRESHOLD_NOISE * noise
    certain = np.flatnonzero(outstanding & (height > np.maximum(_CERTAIN, 1.1 * threshold)))
    if certain.size < 3:
        certain = at
    evidence = np.clip(
        _HEIGHT_WEIGHT * np.log(height / threshold)
        + _SLOW_WEIGHT * np.log(np.maximum(slow, _SMALLEST) / threshold),
        *_EVIDENCE_RANGE,
    )
    alike = _likeness(found.shape, certain)
    weight = _SHAPE_WEIGHT + _SHAPE_WEIGHT_NOISE * noise
    evidence += weight * (np.maximum(alike, _SHAPE_LEAST) - _SHAPE_NEUTRAL)
    usual_rr, unrest = _rhythm(times, certain)
    chosen = best_path(times, evidence, PathCosts(times, found.height, usual_rr, stretch))
    wide = found.slow[chosen] / found.height[chosen]
    chosen = chosen[~_t_waves(times[chosen], found.height[chosen], wide)]
    calm = (alike < _UNLIKE) & (unrest < _REGULAR)
    intruder = _intruders(times[chosen], usual_rr[chosen], calm[chosen])
    return chosen[~(intruder & ~_recurrent(found.at(chosen), times[chosen], intruder))]


def _t_waves(times: FloatArray, height: FloatArray, wide: FloatArray) -> NDArray[np.bool_]:
    """Tell which beats are the T waves of those before: close behind, less steep, much wider."""
    t_wave = np.zeros(times.size, dtype=bool)
    t_wave[1:] = np.diff(times) < _T_WAVE_S
    t_wave[1:] &= (height[1:] < _T_LOWER * height[:-1]) & (wide[1:] > _T_WIDER * wide[:-1])
    return t_wave


def _intruders(
    times: FloatArray, usual_rr: FloatArray, doubtful: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which doubtful beats lie between two beats that are one interval apart.

    An early beat of the heart is nearly always followed by a pause. One that leaves a regular
    rhythm as it was and looks unlike the others may be a movement.
    """
    intruder = np.zeros(times.size, dtype=bool)
    span = (times[2:] - times[:-2]) / usual_rr[1:-1]
    intruder[1:-1] = doubtful[1:-1] & (span < _ONE_INTERVAL)
    return intruder


def _recurrent(
    beats: Candidates, times: FloatArray, intruder: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which intruders come again as movements do not: ventricular beats.

    They come in every other interval (bigeminy), or look like the intruders around them and are
    no T waves.
    """
    share = ndimage.uniform_filter1d(intruder.astype(np.float64), _BIGEMINY_BEATS, mode="nearest")
    recurrent: NDArray[np.bool_] = share > _BIGEMINY_SHARE
    at = np.flatnonzero(intruder)
    if at.size < 3:
        return recurrent
    shape, n = beats.shape[at], min(_INTRUDERS, at.size)
    others = ndimage.uniform_filter1d(shape, n, axis=0, mode="nearest") * n - shape
    length = np.maximum(np.sqrt(np.einsum("ij,ij->i", others, others)), _SMALLEST)
    alike = np.einsum("ij,ij->i", shape, others) > _SAME_FOCUS * length
    late = times[at] - times[at - 1] > _ASIDE_S
    recurrent[at] |= alike & (late | (beats.height[at] > _T_LOWER * beats.height[at - 1]))
    return recurrent


def _not_nothing(height: FloatArray, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out what is next to nothing beside the beats of a minute: ripples in a pause."""
    high = ndimage.percentile_filter(height[at], _HIGH_PERCENT, size=_HIGH_BEATS, mode="mirror")
    something: NDArray[np.int64] = at[height[at] > _NOTHING * high]
    return something


def _outstanding(times: FloatArray, height: FloatArray) -> NDArray[np.bool_]:
    """Tell which candidates have no much higher one near them."""
    stands_out = np.ones(times.size, dtype=bool)
    for apart in range(1, min(4, times.size)):
        near = times[apart:] - times[:-apart] < _ASIDE_S
        stands_out[apart:] &= ~(near & (height[:-apart] > _ASIDE_RATIO * height[apart:]))
        stands_out[:-apart] &= ~(near & (height[apart:] > _ASIDE_RATIO * height[:-apart]))
    return stands_out


def _level(height: FloatArray, at: NDArray[np.int64]) -> FloatArray:
    """Return the usual height around each candidate, from those at ``at``."""
    tops = ndimage.maximum_filter1d(height[at], 3, mode="mirror")
    usual = ndimage.median_filter(tops, size=_LEVEL_BEATS, mode="mirror")
    level: FloatArray = np.interp(np.arange(height.size), at, usual)
    return level


def _likeness(shape: FloatArray, certain: NDArray[np.int64]) -> FloatArray:
    """Return the correlation of each shape with the mean of the certain ones around it."""
    usual = ndimage.uniform_filter1d(shape[certain], _SHAPE_BEATS, axis=0, mode="mirror")
    length = np.sqrt(np.einsum("ij,ij->i", usual, usual))
    usual /= np.maximum(length, _SMALLEST)[:, None]
    near = np.minimum(np.searchsorted(certain, np.arange(len(shape))), certain.size - 1)
    likeness: FloatArray = np.einsum("ij,ij->i", shape, usual[near])
    return likeness


def _rhythm(times: FloatArray, certain: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return the usual interval around each candidate in s, and how far intervals stray from it.

    Both come from the certain candidates and are medians; the second is relative.
    """
    when = times[certain]
    rr = np.diff(when)
    plausible = (rr > _RR_RANGE_S[0]) & (rr < _RR_RANGE_S[1])
    if np.count_nonzero(plausible) < 3:
        return np.full(times.size, _USUAL_RR_S), np.full(times.size, np.inf)
    rr = rr[plausible]
    usual = ndimage.median_filter(rr, size=_RHYTHM_BEATS, mode="mirror")
    stray = ndimage.median_filter(np.abs(rr / usual - 1), size=_RHYTHM_BEATS, mode="mirror")
    middle = (0.5 * (when[1:] + when[:-1]))[plausible]
    rhythm: FloatArray = np.clip(np.interp(times, middle, usual), *_PULSE_RANGE_S)
    unrest: FloatArray = np.interp(times, middle, stray)
    return rhythm, unrest
