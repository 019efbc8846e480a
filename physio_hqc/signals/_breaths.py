"""Turning points of breathing: the search that respiration rests on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_MEANS_HZ, _WORK_HZ = 50.0, 12.5
_LOW_PASS_HZ = (0.6, 1.5)
_HARMONICS = 5.0
# Standard deviation in s of the Gaussian that halves the power at 1 Hz.
_GAUSSIAN = np.sqrt(np.log(2)) / (2 * np.pi)
_RANGE_S = 14.0
_SCALE_S = 91
_LEAST_OF_USUAL = 0.4
_NEAR_TURN = 0.015
# The share of a cycle that a sine takes to leave its turn by that much, and a margin for noise.
_NEAR_SHARE = 0.045
_NOISE_SAMPLES, _NOISE_BLOCKS = 16, 15


class Turns(NamedTuple):
    """Turning points of one stretch, alternating, in time order.

    ``up`` tells maxima; ``level`` is the mean of the signal from each to the next; ``noise`` is
    the standard deviation of what noise leaves in the band of breathing; ``blur_s`` is that of
    the Gaussian that smoothed the signal; ``stretch`` numbers the stretches between missing
    samples.
    """

    time_s: FloatArray
    value: FloatArray
    up: BoolArray
    level: FloatArray
    noise: FloatArray
    blur_s: FloatArray
    stretch: IntArray


def turns_in(x: FloatArray, runs: IntArray, sfreq: float, depth_min: float) -> Turns:
    """Return the turning points of all stretches (r, 2); times are sample / sfreq."""
    parts = [_turns_of(x[start:stop], sfreq, depth_min) for start, stop in runs.tolist()]
    counts = [part.value.size for part in parts]
    if not sum(counts):
        none = np.empty(0)
        return Turns(none, none, none.astype(bool), none, none, none, none.astype(np.int64))
    joined = Turns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    stretch = np.repeat(np.arange(len(parts)), counts)
    return joined._replace(
        time_s=joined.time_s + runs[stretch, 0] / sfreq, stretch=stretch.astype(np.int64)
    )


def _turns_of(x: FloatArray, sfreq: float, depth_min: float) -> Turns:
    """Return the turning points of one stretch.

    The stretch is searched twice: the second low-pass follows the breathing that the first finds.
    """
    work, rate, start_s = _decimated(x, sfreq)
    smooth = _low_passed(work, rate, _LOW_PASS_HZ[1])
    first = _search(smooth, rate, depth_min)
    cutoff = _fitting_cutoff(first / rate)
    if cutoff < _LOW_PASS_HZ[1]:
        smooth = _low_passed(work, rate, cutoff)
    placed = _after_rest(smooth, _search(smooth, rate, depth_min))
    up = smooth[placed] > smooth[np.roll(placed, 1)]
    if placed.size > 1:
        up[0] = not up[1]
    time, value = _between_samples(smooth, placed)
    level = np.diff(np.concatenate([[0.0], np.cumsum(smooth)])[placed], append=np.nan)
    noise = _noise_in_band(work, rate, cutoff, placed)
    level /= np.diff(placed, append=np.inf)
    return Turns(
        start_s + time / rate,
        value,
        up,
        level,
        noise,
        np.full(placed.size, _GAUSSIAN / cutoff),
        np.zeros(placed.size, dtype=np.int64),
    )


def _search(smooth: FloatArray, rate: float, depth_min: float) -> IntArray:
    """Return the samples at which breathing turns."""
    at = _extremes(smooth)
    return at[_prune(smooth[at], depth_min * _usual_depth(smooth, rate, at))]


def _fitting_cutoff(turn_s: FloatArray) -> float:
    """Return the low-pass that leaves the faster of the breaths found their shape."""
    low, high = _LOW_PASS_HZ
    if turn_s.size < 5:
        return high
    period = float(np.quantile(turn_s[2:] - turn_s[:-2], 0.25))
    return float(np.clip(_HARMONICS / period, low, high))


def _decimated(x: FloatArray, sfreq: float) -> tuple[FloatArray, float, float]:
    """Return the stretch at 12.5 to 25 Hz or as slow as it is, its rate, its first sample's time.

    Means of neighbors bring it to 50 Hz or more, which is cheap; a filter does the rest.
    """
    block = max(1, int(sfreq // _MEANS_HZ))
    n_blocks = x.size // block
    x = x[: n_blocks * block].reshape(n_blocks, block).mean(axis=1) if block > 1 else x
    start_s = (block - 1) / 2 / sfreq
    rate = sfreq / block
    factor = int(rate // _WORK_HZ)
    if factor > 1:
        level = float(x.mean())
        x = signal.resample_poly(x - level, 1, factor, padtype="line") + level
        rate /= factor
    return x, rate, start_s


def _low_passed(x: FloatArray, rate: float, cutoff: float) -> FloatArray:
    """Take off what is faster than breathing: a Gaussian, which moves and overshoots nothing."""
    smooth: FloatArray = ndimage.gaussian_filter1d(x, _GAUSSIAN * rate / cutoff, mode="nearest")
    return smooth


def _extremes(x: FloatArray) -> IntArray:
    """Return where the direction changes; of a level stretch, its last sample."""
    steps = np.sign(np.diff(x))
    moving = np.flatnonzero(steps)
    turned = np.flatnonzero(np.diff(steps[moving]))
    return moving[turned + 1].astype(np.int64)


def _usual_depth(x: FloatArray, rate: float, at: IntArray) -> FloatArray:
    """Return the usual range of breathing around the samples ``at``.

    The median, over a minute and a half, of the range in 14 s: a sigh or a pause moves it
    little. A long pause must not make noise pass for breaths, so that it does not fall under a
    share of the usual range of the whole stretch.
    """
    size = min(x.size, max(1, round(rate)))
    n_blocks = x.size // size
    blocks = x[: n_blocks * size].reshape(n_blocks, size)
    width = min(n_blocks, round(_RANGE_S * rate / size))
    reach = ndimage.maximum_filter1d(blocks.max(axis=1), width)
    reach -= ndimage.minimum_filter1d(blocks.min(axis=1), width)
    median = ndimage.median_filter(reach, min(_SCALE_S, n_blocks), mode="reflect")
    median = np.maximum(median, _LEAST_OF_USUAL * np.median(reach))
    usual: FloatArray = np.interp(at, (np.arange(n_blocks) + 0.5) * size, median)
    return usual


def _prune(value: FloatArray, least: FloatArray) -> IntArray:
    """Return which extremes remain when differences below ``least`` are taken out.

    The smallest differences go first, each with the two extremes that it joins, so that what
    remains alternates and keeps its highest and lowest points.
    """
    kept = np.arange(value.size)
    while kept.size > 1:
        change = np.abs(np.diff(value[kept]))
        weak = change < (least[kept[1:]] + least[kept[:-1]]) / 2
        if not weak.any():
            break
        size = np.concatenate([[np.inf], np.where(weak, change, np.inf), [np.inf]])
        first = np.flatnonzero(weak & (size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:]))
        # At either end of the stretch only the outer extreme goes: the inner one has a neighbor.
        gone = np.full(kept.size, kept.size == 2)
        gone[first[first + 2 < kept.size]] = True
        gone[first[first > 0] + 1] = True
        kept = kept[~gone]
    return kept.astype(np.int64)


def _after_rest(x: FloatArray, turns: IntArray) -> IntArray:
    """Move each turn towards the end of the rest that follows it, if there is one.

    People rest between expiration and inspiration: the lowest point may lie anywhere in the rest,
    but breathing turns at its end. The end is told by how long the signal stays near the turn;
    for as long as a wave without a rest stays there, the turn is left where it is.
    """
    if turns.size < 3:
        return turns
    section = np.repeat(np.arange(turns.size - 1), np.diff(turns))
    part = x[turns[0] : turns[-1]]
    gone = np.abs(part - x[turns[:-1]][section])
    near = np.flatnonzero(gone <= _NEAR_TURN * np.abs(np.diff(x[turns]))[section])
    last = np.searchsorted(section[near], np.arange(turns.size - 1), side="right") - 1
    cycle = turns[2:] - turns[:-2]
    usual = _NEAR_SHARE * np.append(cycle, cycle[-1])
    rest_end = np.rint(turns[0] + near[last] - usual).astype(np.int64)
    return np.append(np.maximum(rest_end, turns[:-1]), turns[-1])


def _between_samples(x: FloatArray, at: IntArray) -> tuple[FloatArray, FloatArray]:
    """Place extremes between samples by a parabola; return position in samples and value."""
    left, middle, right = x[np.maximum(at - 1, 0)], x[at], x[np.minimum(at + 1, x.size - 1)]
    bend = left - 2 * middle + right
    # On a level stretch there is no parabola: its last sample stands as it is.
    real = (np.abs(bend) > 0) & ((middle - left) * (middle - right) > 0)
    shift = np.zeros(at.size)
    np.divide((left - right) / 2, bend, out=shift, where=real)
    return at + shift, middle - shift * (left - right) / 4


def _noise_in_band(x: FloatArray, rate: float, cutoff: float, at: IntArray) -> FloatArray:
    """Return the standard deviation that noise leaves in the band of breathing.

    It is taken from the density of what lies above 1.5 Hz, where breathing itself has little.
    """
    band = min(_LOW_PASS_HZ[1], 0.35 * rate)
    sos = signal.butter(2, band, "highpass", fs=rate, output="sos")
    rest = signal.sosfiltfilt(sos, x, padlen=min(x.size - 1, int(5 * rate)))
    size = min(rest.size, max(_NOISE_SAMPLES, round(rate)))
    n_blocks = rest.size // size
    power = (rest[: n_blocks * size] ** 2).reshape(n_blocks, -1).mean(axis=1)
    # The median of blocks: a jerk does not count as noise.
    power = ndimage.median_filter(power, min(_NOISE_BLOCKS, n_blocks), mode="reflect")
    power = np.interp(at, (np.arange(n_blocks) + 0.5) * size, power)
    density = power / max(rate / 2 - band, 1e-9)
    level: FloatArray = np.sqrt(density * cutoff)
    return level
