"""Skin conductance responses of one gap-free stretch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.ndimage import minimum_filter1d
from scipy.signal import find_peaks

from physio_hqc.signals._eda_grid import (
    BoolArray,
    FloatArray,
    IntArray,
    block_means,
    first_best,
    smooth_derivatives,
    white_noise,
)

TAU_DECAY = 2.0
TAU_RISE = 0.7
# Pulses are found with a longer decay than that of the model, which sharpens slow responses, too.
TAU_FIND = 3.0
SCR_COLUMNS = ("onset_s", "peak_s", "amplitude", "rise_time_s", "half_recovery_s", "overlapped")

SCR_MEANS_HZ = 20.0
_GRID_HZ = 16.0
_STEP_S = 1 / _GRID_HZ
# Smoothings from which amplitudes are read, s.
_LEVEL_SCALES_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25)
# Smoothings at which pulses are looked for, s, and how many standard deviations of the noise a
# pulse must reach there: the finer, the more chances there are, and the less of the noise is known.
_PULSE_OVER_NOISE = {0.12: 8.0, 0.18: 7.5, 0.25: 7.0, 0.35: 6.5, 0.5: 6.5, 0.7: 6.5}
# Responses come in groups: beside a sure one a pulse needs to reach this much less. How near is
# beside, and from which smoothing on.
_LESS_BESIDE, _BESIDE_S, _BESIDE_SCALE_S = 1.2, 5.0, 0.25
_LEVEL_OVER_NOISE = 4.5
_PULSE_APART_S = 1.0
_HIDING_S, _HIDING_SHARE = 10.0, 0.8
# The rise of a response, where a recording has too few of its own to tell, s.
_USUAL_RISE_S = 1.2
_BLOCK_S, _MARGIN_S = 3600.0, 60.0


@dataclass(frozen=True)
class _Trace:
    """One stretch at some 20 Hz, and the limits that its noise sets."""

    means: FloatArray
    rate: float
    noise: tuple[float, float]
    amplitude_min: float
    rise_min: float
    rise_max: float


@dataclass(frozen=True)
class _Pulses:
    """Pulses on the grid: maximum, base before it, where they clearly left it, response in µS."""

    at: IntArray
    begin: IntArray
    leave: IntArray
    amplitude: FloatArray
    prominence: FloatArray

    def __getitem__(self, which: BoolArray | IntArray) -> _Pulses:
        return _Pulses(*(getattr(self, field.name)[which] for field in fields(self)))


_NOWHERE, _NOTHING = np.zeros(0, dtype=np.int64), np.zeros(0)
_NO_PULSES = _Pulses(_NOWHERE, _NOWHERE, _NOWHERE, _NOTHING, _NOTHING)


def scrs_of_run(
    x: FloatArray,
    rate: float,
    amplitude_min: float,
    rise_min: float,
    rise_max: float,
    noise_min: tuple[float, float] = (0.0, 0.0),
) -> pd.DataFrame:
    """Find the responses of one gap-free stretch; times from its first sample.

    ``noise_min`` is the noise of the whole recording, as `white_noise` gives it.
    """
    means, mean_rate, first = block_means(x, rate, SCR_MEANS_HZ)
    if means.size < 8:
        return empty_scrs()
    fine, coarse = white_noise(means, mean_rate)
    noise = (max(fine, noise_min[0]), max(coarse, noise_min[1]))
    tables = []
    core, margin = int(_BLOCK_S * mean_rate), int(_MARGIN_S * mean_rate)
    for start in range(0, means.size, core):
        # A short rest goes with the block before it.
        if start and means.size - start < 8:
            break
        stop = start + core if means.size - start - core >= 8 else means.size
        low, high = max(start - margin, 0), min(stop + margin, means.size)
        trace = _Trace(means[low:high], mean_rate, noise, amplitude_min, rise_min, rise_max)
        table = _scrs_of_block(trace)
        table[["onset_s", "peak_s"]] += low / mean_rate
        inside = (table["onset_s"] >= start / mean_rate) | (start == 0)
        inside &= (table["onset_s"] < stop / mean_rate) | (stop == means.size)
        tables.append(table[inside])
    table = pd.concat(tables, ignore_index=True)
    table[["onset_s", "peak_s"]] += first
    return _with_usual_peaks(table, (x.size - 1) / rate)


def empty_scrs() -> pd.DataFrame:
    """Return a table of responses without rows."""
    table = pd.DataFrame({name: np.empty(0) for name in SCR_COLUMNS})
    return table.astype({"overlapped": bool})


def bateman_peak() -> float:
    """Return the peak of the unscaled response exp(-t / decay) - exp(-t / rise)."""
    time = np.log(TAU_DECAY / TAU_RISE) * TAU_DECAY * TAU_RISE / (TAU_DECAY - TAU_RISE)
    return float(np.exp(-time / TAU_DECAY) - np.exp(-time / TAU_RISE))


@lru_cache(maxsize=64)
def _pulse_gain(sigma_s: float) -> float:
    """Return the pulse height that a response of 1 µS has after its decay is undone."""
    rate = 100.0
    time = np.arange(-500, 1500) / rate
    after = np.clip(time, 0, None)
    response = np.exp(-after / TAU_DECAY) - np.exp(-after / TAU_RISE)
    smooth, slope = smooth_derivatives(response / bateman_peak(), rate, sigma_s)
    return float((smooth + TAU_FIND * slope).max())


def _pulse_noise(trace: _Trace, sigma_s: float) -> float:
    """Return the noise of the signal whose decay is undone, at a smoothing."""
    spread = max(sigma_s, 0.4 / trace.rate)
    fine, coarse = trace.noise
    noise = fine if sigma_s < _BESIDE_SCALE_S else coarse
    return noise * TAU_FIND / float(np.sqrt(4 * np.sqrt(np.pi) * spread**3 * trace.rate))


def _level_share(trace: _Trace, sigma_s: float) -> float:
    """Return what part of the noise is left in the smoothed signal."""
    return 1 / float(np.sqrt(max(2 * np.sqrt(np.pi) * sigma_s * trace.rate, 1.0)))


def _level_scale(trace: _Trace) -> float:
    """Pick the least smoothing for reading amplitudes that the noise allows."""
    least = trace.amplitude_min / 6
    quiet = [s for s in _LEVEL_SCALES_S if trace.noise[0] * _level_share(trace, s) <= least]
    return quiet[0] if quiet else _LEVEL_SCALES_S[-1]


def _scrs_of_block(trace: _Trace) -> pd.DataFrame:
    """Find the responses of one block; times from its first mean."""
    times = np.arange(trace.means.size) / trace.rate
    grid = np.arange(0.0, times[-1], _STEP_S)
    # Amplitudes are read from a lighter smoothing; straight lines between samples add nothing.
    scale = _level_scale(trace)
    light, _ = smooth_derivatives(trace.means, trace.rate, scale)
    level = np.interp(grid, times, light)
    least = max(
        trace.amplitude_min, _LEVEL_OVER_NOISE * trace.noise[1] * _level_share(trace, scale)
    )
    pulses = _find_pulses(trace, times, grid)
    for _ in range(2):  # once more, because a dropped pulse no longer bounds its neighbors
        table, keep = _measure(level, pulses, trace, least)
        pulses = pulses[keep]
    return table[keep].reset_index(drop=True)


def _find_pulses(trace: _Trace, times: FloatArray, grid: FloatArray) -> _Pulses:
    """Find pulses at all smoothings: the finest that shows a pulse above the noise places it."""
    found = _NO_PULSES
    for sigma, over_noise in _PULSE_OVER_NOISE.items():
        if sigma * trace.rate < 0.9:
            continue
        noise = _pulse_noise(trace, sigma)
        criterion = 0.5 * trace.amplitude_min * _pulse_gain(sigma)
        less = _LESS_BESIDE if sigma >= _BESIDE_SCALE_S else 0.0
        least = max(criterion, (over_noise - less) * noise)
        pulses = _pulses_at_scale(trace, sigma, least, times, grid)
        far = _distance(pulses.at, found.at) * _STEP_S >= _PULSE_APART_S
        strong = pulses.prominence >= over_noise * noise
        sure = np.sort(np.concatenate((found.at, pulses.at[strong])))
        beside = _distance(pulses.at, sure) * _STEP_S <= _BESIDE_S
        found = _joined(found, pulses[far & (strong | beside)])
        # As noise falls with smoothing, nothing finer than the criterion is left to find.
        if over_noise * noise <= criterion:
            break
    # A pulse seen at a coarse smoothing must not reach into the one before.
    before = np.append(0, found.at[:-1])[: found.at.size]
    begin = np.maximum(found.begin, before)
    return replace(found, begin=begin, leave=np.maximum(found.leave, begin))


def _joined(first: _Pulses, second: _Pulses) -> _Pulses:
    """Return the pulses of both in the order of time."""
    columns = (
        np.concatenate((getattr(first, field.name), getattr(second, field.name)))
        for field in fields(_Pulses)
    )
    both = _Pulses(*columns)
    return both[np.argsort(both.at, kind="stable")]


def _distance(at: IntArray, others: IntArray) -> FloatArray:
    """Return how far each place is from the nearest of the others."""
    if not others.size:
        return np.full(at.size, np.inf)
    after = np.searchsorted(others, at)
    left = np.abs(at - others[np.maximum(after - 1, 0)])
    right = np.abs(at - others[np.minimum(after, others.size - 1)])
    nearest: FloatArray = np.minimum(left, right).astype(np.float64)
    return nearest


def _pulses_at_scale(
    trace: _Trace, sigma: float, least: float, times: FloatArray, grid: FloatArray
) -> _Pulses:
    """Find the pulses that stand out of the noise at one smoothing."""
    smooth, slope = smooth_derivatives(trace.means, trace.rate, sigma)
    sharp = CubicSpline(times, smooth + TAU_FIND * slope)(grid)
    reach = int(10 * _GRID_HZ)
    # A plateau as wide as the window in which prominence is measured has none: no response.
    at, about = find_peaks(sharp, plateau_size=(None, reach), prominence=least, wlen=2 * reach + 1)
    if at.size == 0:
        return _NO_PULSES
    begin, leave, height = _pulse_starts(sharp, at)
    # Smoothing lets a pulse leave its base this much before the response begins.
    leave = np.minimum(leave + round(0.75 * sigma / _STEP_S), at)
    return _Pulses(at, begin, leave, height / _pulse_gain(sigma), about["prominences"])


def _pulse_starts(sharp: FloatArray, pulses: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return where each pulse leaves its base, where it has clearly left it, and its height."""
    reach = int(2.5 * _GRID_HZ)
    earliest = np.maximum(pulses - reach, np.append(0, pulses[:-1]))
    base = earliest + first_best(-sharp, earliest, pulses)
    height = sharp[pulses] - sharp[base]
    columns = pulses[:, None] - np.arange(reach + 1)
    values = sharp[np.maximum(columns, 0)]
    before = columns <= base[:, None]
    begin, leave = (
        pulses - ((values <= (sharp[base] + share * height)[:, None]) | before).argmax(axis=1)
        for share in (0.1, 0.3)
    )
    return begin, leave, height


def _measure(
    level: FloatArray, pulses: _Pulses, trace: _Trace, least: float
) -> tuple[pd.DataFrame, BoolArray]:
    """Measure the response behind each pulse; second result: which of them count."""
    at, begin = pulses.at, pulses.begin
    if at.size == 0:
        return empty_scrs(), np.zeros(0, dtype=bool)
    trough = begin + first_best(-level, begin, at)
    onset = np.where(trough < at, np.maximum(trough, pulses.leave), begin)
    following = np.append(begin[1:], level.size - 1)
    stop = np.maximum(np.minimum(following, onset + int(trace.rise_max * _GRID_HZ) + 1), at)
    peak = at + first_best(level, at, stop)
    amplitude = level[peak] - level[trough]
    merged = (peak >= following) & (following < level.size - 1)
    rise = (peak - begin) * _STEP_S
    own = (amplitude >= least) & ~merged & (peak < stop)
    own &= (rise >= trace.rise_min) & (rise <= trace.rise_max)
    after_other = np.diff(at, prepend=-(10**9)) * _STEP_S < 4 * TAU_DECAY
    # What hides a response is the decay of others: they must still stand as high as it would.
    surroundings = minimum_filter1d(level, 2 * int(_HIDING_S * _GRID_HZ) + 1, mode="nearest")
    hidden = after_other & (level[at] - surroundings[at] >= _HIDING_SHARE * pulses.amplitude)
    overlapped = ~own & (merged | hidden) & (pulses.amplitude >= trace.amplitude_min)
    amplitude = np.where(overlapped, pulses.amplitude, amplitude)
    recovery = _half_recovery(level, peak, following, amplitude) * _STEP_S
    table = pd.DataFrame(
        {
            "onset_s": onset * _STEP_S,
            "peak_s": peak * _STEP_S,
            "amplitude": amplitude,
            "rise_time_s": np.where(overlapped, np.nan, (peak - onset) * _STEP_S),
            "half_recovery_s": np.where(overlapped, np.nan, recovery),
            "overlapped": overlapped,
        }
    )
    return table, own | overlapped


def _with_usual_peaks(table: pd.DataFrame, end_s: float) -> pd.DataFrame:
    """Put the peak of a response without one of its own where responses usually peak."""
    if not table["overlapped"].any():
        return table
    rises = table["rise_time_s"].to_numpy()
    rises = rises[np.isfinite(rises)]
    usual = float(np.median(rises)) if rises.size >= 5 else _USUAL_RISE_S
    hidden = table["overlapped"].to_numpy()
    peak = table["peak_s"].to_numpy()
    peak = np.where(hidden, np.maximum(table["onset_s"].to_numpy() + usual, peak), peak)
    # Responses peak in the order in which they begin, and before the signal ends.
    return table.assign(peak_s=np.minimum(np.minimum.accumulate(peak[::-1])[::-1], end_s))


def _half_recovery(
    level: FloatArray, peak: IntArray, following: IntArray, amplitude: FloatArray
) -> FloatArray:
    """Return grid steps from each peak until half the amplitude is lost; NaN if never."""
    reach = int(30 * _GRID_HZ)
    half = level[peak] - amplitude / 2
    columns = peak[:, None] + np.arange(reach)
    values = level[np.minimum(columns, level.size - 1)]
    below = (values <= half[:, None]) & (columns < following[:, None])
    step = below.argmax(axis=1)
    found = below.any(axis=1) & (step > 0)
    rows = np.arange(peak.size)
    before, at = values[rows, step - 1], values[rows, step]
    drop = np.where(found, before - at, 1.0)
    return np.where(found, step - 1 + (before - half) / drop, np.nan)
