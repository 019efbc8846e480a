"""Find and measure the pulses of one stretch of arterial pressure without missing samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter, minimum_filter1d, uniform_filter1d
from scipy.signal import find_peaks, savgol_filter

from physio_hqc.signals._checks import true_runs, vertex

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# How far before and after a sample anything looks that is decided about it.
REACH_S = 30.0

_SLOPE_WINDOW_S = 0.128
_CALM_S = 0.04
_DISTANCE_S = 0.2
_STEEP_SHARE = 0.75
_RISE_MIN_MMHG = 4.0
_WAVE_MIN_MMHG = 1.5
_WAVE_SHARE = 0.05
_LEADER_SHARE = 0.35
_LESSER_SHARE = 0.55
_LOW_START_SHARE = 0.33
_RANGE_S = 1.2
_IRREGULAR = 0.08
_BEAT_SHARE = 0.18
_BETWEEN_SHARE = 0.3
_HOLE_SHARE = 0.08
_HOLE_INTERVALS = 1.5
_EARLIEST_S = 0.24
_DICROTIC_FOOT_SHARE = 0.25
_DICROTIC_OFTEN = 0.4
_DICROTIC_SPREAD_S = 0.06
_NEIGHBORS = 31
_FOOT_REACH_S = 0.3
_PEAK_REACH_S = 0.45
_END_REACH_S = 6.0
_SHAPE_S = (0.08, 0.30)
_FLAT_S = 0.55
_FLAT_MMHG = 0.8
_FLAT_NOISY_S = 0.65
_FLAT_MARGIN_S = 0.1
_FLAT_RAISED_S = 0.3
_RAISED_SHARE, _RAISED_MMHG = 0.3, 15.0


def beats_of_run(
    x: FloatArray, flat: BoolArray, repaired: BoolArray, rate: float
) -> pd.DataFrame | None:
    """Find and measure the beats of one stretch; positions are samples from its start.

    The columns with an underscore are what the verdict on a beat needs (`_pressure_verdict`).
    """
    smooth = _smoothed(x, rate)
    slope = np.gradient(smooth) * rate
    steepest = _upstrokes(smooth, slope, rate)
    if steepest.size == 0:
        return None
    peak, foot = _extremes(smooth, steepest, rate)
    systole, sbp = _parabola(smooth, peak)
    dbp = smooth[foot]
    rise = slope[steepest]
    # Tangent of the steepest rise down to the diastolic level.
    place, height = _parabola(slope, steepest)
    inside = np.clip(place, 0, smooth.size - 1)
    level = np.interp(inside, np.arange(smooth.size), smooth)
    onset = np.clip(inside - (level - dbp) * rate / np.maximum(height, 1e-9), foot, systole)
    end, interval = _ends(foot, onset, smooth.size, rate)
    limit = int(_END_REACH_S * rate)
    return pd.DataFrame(
        {
            "at": steepest,
            "foot": onset,
            "systole": systole,
            "SBP": sbp,
            "DBP": dbp,
            "MAP": _area_mean(smooth, onset, interval * rate),
            "_begins": foot == 0,
            "_ends": peak >= x.size - 1,
            "_top": x[peak],
            "_top_n": _held(x, peak, rate),
            "_bottom": x[foot],
            "_bottom_n": _held(x, foot, rate),
            "_flat": any_between(flat, foot, np.minimum(end, foot + limit)),
            "_repaired": _share_between(repaired, foot, np.minimum(end, foot + limit)),
            "_rise": rise,
            "_fall": extreme_between(-slope, peak, np.minimum(end, peak + int(2.5 * rate))),
            "_path": _path(smooth, foot, np.minimum(end, foot + limit)),
            "_shape": _likeness(smooth, steepest, rate),
            "_interval": interval,
        }
    )


def take_out_spikes(x: FloatArray, rate: float) -> BoolArray:
    """Replace, in place, spikes of up to 16 ms that stand 15 mmHg out; tell where."""
    found = np.zeros(x.size, dtype=bool)
    half = max(int(0.016 * rate), 1)
    with np.errstate(invalid="ignore"):
        jumps = np.flatnonzero(np.abs(np.diff(x)) > 15.0)
    if jumps.size == 0 or x.size < 2 * half + 1:
        return found
    near = np.zeros(x.size, dtype=bool)
    for step in range(-half, half + 2):
        near[np.clip(jumps + step, half, x.size - 1 - half)] = True
    at = np.flatnonzero(near)
    if at.size > x.size // 8:
        middle = median_filter(x, 2 * half + 1, mode="nearest")[at]
    else:
        middle = np.median(x[at[:, None] + np.arange(-half, half + 1)], axis=1)
    found[at[np.abs(x[at] - middle) > 15.0]] = True
    for start, stop in true_runs(found).tolist():
        # Where the levels on both sides differ it is a step, not a spike.
        if stop >= x.size or start == 0 or abs(x[stop] - x[start - 1]) > 15.0:
            found[start:stop] = False
    x[found] = middle[np.searchsorted(at, np.flatnonzero(found))]
    return found


def flat_stretches(x: FloatArray, rate: float) -> BoolArray:
    """Mark where pressure does not move for longer than it can in the diastole of a pulse.

    Either the very same value for 0.55 s, or within 0.8 mmHg for 0.65 s (a held output
    that was recorded through another converter is never quite still).
    """
    flat = np.zeros(x.size, dtype=bool)
    if x.size < 2:
        return flat
    still = np.append(np.diff(x) == 0, False)
    for start, stop in true_runs(still, max(int(_FLAT_S * rate), 3)).tolist():
        flat[start : stop + 1] = True
    step = max(int(0.05 * rate), 1)
    n = x.size // step
    if rate < 20 or n < 4:
        return flat
    means = x[: n * step].reshape(n, step).mean(axis=1)
    still_means = _nearly_still(means, _FLAT_NOISY_S, _FLAT_MMHG)
    # High in the pulse nothing stands still even half as long.
    width = 2 * int(_RANGE_S / 2 / 0.05) + 1
    low = minimum_filter1d(np.where(np.isnan(means), np.inf, means), width)
    high = maximum_filter1d(np.where(np.isnan(means), -np.inf, means), width)
    with np.errstate(invalid="ignore"):
        raised = (means - low > _RAISED_SHARE * (high - low)) & (high - low > _RAISED_MMHG)
        still_means |= _nearly_still(np.where(raised, means, np.nan), _FLAT_RAISED_S, 0.5)
    covered = np.repeat(still_means, step)
    flat[: covered.size] |= covered
    return flat


def _nearly_still(means: FloatArray, length_s: float, within: float) -> BoolArray:
    """Mark where means over 50 ms stay within so many mmHg for so long."""
    count = int(length_s / 0.05)
    marks = np.zeros(means.size + 1, dtype=np.int64)
    if means.size < count:
        return marks[:-1] > 0
    missing, middle = np.isnan(means), slice(count // 2, means.size - (count - 1) // 2)
    high = maximum_filter1d(np.where(missing, np.inf, means), count)[middle]
    low = minimum_filter1d(np.where(missing, -np.inf, means), count)[middle]
    quiet = np.flatnonzero(high - low <= within)
    marks[quiet] += 1
    marks[quiet + count] -= 1
    return np.asarray(np.cumsum(marks[:-1]) > 0)


def beside(mask: BoolArray, rate: float) -> BoolArray:
    """Widen the marked stretches by 0.1 s on both sides: their edges belong to no pulse."""
    if not mask.any():
        return mask
    widened: BoolArray = maximum_filter1d(mask, 2 * max(int(_FLAT_MARGIN_S * rate), 1) + 1)
    return widened


def _smoothed(x: FloatArray, rate: float) -> FloatArray:
    """Smooth by a cubic over about 50 ms, which keeps height and place of the peaks."""
    width = 2 * int(0.025 * rate) + 1
    if width < 5 or x.size < width:
        return x.copy()
    smooth: FloatArray = savgol_filter(x, width, 3, mode="interp")
    return smooth


def _upstrokes(smooth: FloatArray, slope: FloatArray, rate: float) -> IntArray:
    """Return the sample of the steepest rise of each beat."""
    # Noise must not add up: it goes up as often as it goes down, and only the former counts.
    calm = uniform_filter1d(smooth, max(2 * int(_CALM_S / 2 * rate) + 1, 3))
    rises = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(calm), 0))))
    width = max(round(_SLOPE_WINDOW_S * rate), 2)
    total = rises.copy()
    total[width:] -= rises[:-width]
    # Flushes must not raise the threshold for the beats beside them.
    np.minimum(total, 150.0, out=total)
    height = _local_height(total, rate)
    distance = max(int(_DISTANCE_S * rate), 1)
    peaks, _ = find_peaks(np.append(total, 0.0), height=_WAVE_MIN_MMHG, distance=distance)
    usual = np.interp(peaks, np.arange(height.size) * max(round(rate), 1), height)
    large = total[peaks] >= np.maximum(_WAVE_SHARE * usual, _WAVE_MIN_MMHG)
    peaks, usual = peaks[large], usual[large]
    if peaks.size == 0:
        return np.empty(0, dtype=np.int64)
    first = np.maximum(peaks - width, 0)
    steepest, index = np.unique(first + _first_steep(slope, first, peaks), return_index=True)
    keep = _is_beat(smooth, steepest, total[peaks[index]], usual[index], rate)
    kept: IntArray = steepest[keep]
    return kept


def _local_height(total: FloatArray, rate: float) -> FloatArray:
    """Return once a second the height of the pulses: median over 13 s of maxima over 2 s."""
    step = max(round(rate), 1)
    maxima = maximum_filter1d(total, 2 * step + 1)[::step]
    half = 6
    padded = np.pad(maxima, half, constant_values=np.nan)
    # Stretches without pulses tell nothing about the pulses beside them.
    padded[~(padded >= 2 * _RISE_MIN_MMHG)] = np.nan
    view = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    ordered = np.sort(view, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    middle = np.maximum((count - 1) // 2, 0)
    return np.where(count > 0, ordered[np.arange(len(view)), middle], 0.0)


def _is_beat(
    smooth: FloatArray, steepest: IntArray, rise: FloatArray, usual: FloatArray, rate: float
) -> BoolArray:
    """Tell which rises are the upstroke of a beat and which a dicrotic or reflected wave.

    A rise of a third of the usual height and more that starts low in the pulse is a beat. Another
    one that follows such a beat while the valve closes, and does so after most beats at about
    the same delay, is its dicrotic (or reflected) wave; one that comes at other times is a beat
    of its own (early, or weak). Where a beat is overdue, still smaller rises count.
    """
    share = rise / np.maximum(usual, 1e-9)
    strong = (share >= _LEADER_SHARE) & (rise >= _RISE_MIN_MMHG)
    strong &= _starts_low(smooth, steepest, rate)
    beat = (share >= _BEAT_SHARE) & (rise >= _RISE_MIN_MMHG)
    leaders = np.flatnonzero(strong)
    if leaders.size == 0:
        return beat
    before = np.searchsorted(leaders, np.arange(steepest.size), side="left") - 1
    own = np.maximum(before, 0)
    leader = leaders[own]
    delay = np.where(before >= 0, (steepest - steepest[leader]) / rate, np.inf)
    usual, spread = _rhythm(steepest[leaders] / rate)
    interval = usual[own]
    # Ejection takes 413 - 1.7 HR ms (Weissler et al., 1968); the wave follows within 0.1 s.
    latest = np.clip(0.413 - 0.102 / np.maximum(interval, 0.2) + 0.09, 0.2, 0.75 * interval)
    wave = _dicrotic(smooth, steepest, rise, ~strong & (delay <= latest), leader, delay, rate)
    # In a regular rhythm not even an early beat comes before the valve has closed.
    wave |= (delay <= 0.8 * latest) & (spread[own] < _IRREGULAR)
    following = np.append(steepest[leaders[1:]], np.iinfo(np.int64).max)[own]
    gap = (following - steepest[leader]) / rate
    overdue = (
        (gap > _HOLE_INTERVALS * interval)
        & (delay > 0.6 * interval)
        & ((following - steepest) / rate > 0.45 * interval)
    )
    weak = (share >= _HOLE_SHARE) & (rise >= _RISE_MIN_MMHG) & overdue & np.isfinite(delay)
    small = ~strong & (beat | weak) & ~wave & (delay >= _EARLIEST_S)
    regular = (gap < 1.25 * interval) & (spread[own] < _IRREGULAR) & (before >= 0)
    small &= ~regular | (share >= _BETWEEN_SHARE) | _usually(small, own, leaders.size)
    return _without_waves_of_small(strong | small, small, steepest, rise, latest * rate)


def _usually(small: BoolArray, own: IntArray, n_leaders: int) -> BoolArray:
    """Tell where many of the strong beats around are followed by a small one."""
    has = np.zeros(n_leaders)
    has[own[small]] = 1.0
    return np.asarray(_running_mean(has, _NEIGHBORS)[own] >= _DICROTIC_OFTEN)


def _without_waves_of_small(
    beat: BoolArray, small: BoolArray, steepest: IntArray, rise: FloatArray, latest: FloatArray
) -> BoolArray:
    """Drop the lesser of two small beats that are too close: it is the other's dicrotic wave."""
    at = np.flatnonzero(beat)
    close = small[at[1:]] & small[at[:-1]] & (np.diff(steepest[at]) <= latest[at[1:]])
    low, high = np.minimum(rise[at[1:]], rise[at[:-1]]), np.maximum(rise[at[1:]], rise[at[:-1]])
    close &= low < _LESSER_SHARE * high
    lesser = np.where(rise[at[1:]] <= rise[at[:-1]], at[1:], at[:-1])
    kept = beat.copy()
    kept[lesser[close]] = False
    return kept


def _rhythm(times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return at each beat the usual interval in s and its relative scatter around there."""
    if times_s.size < 2:
        return np.ones(times_s.size), np.full(times_s.size, np.inf)
    interval = np.diff(times_s)
    usual = _running_median(interval, _NEIGHBORS)
    spread = _running_median(np.abs(interval - usual), _NEIGHBORS) / usual
    return np.append(usual, usual[-1]), np.append(spread, spread[-1])


def _starts_low(smooth: FloatArray, steepest: IntArray, rate: float) -> BoolArray:
    """Tell which rises start in the lower part of the range of pressure around them."""
    # Means of a tenth of a second suffice for the range, at a fraction of the work.
    step = max(int(0.1 * rate), 1)
    coarse = smooth[: smooth.size // step * step].reshape(-1, step)
    if coarse.size == 0:
        return np.ones(steepest.size, dtype=bool)
    width = 2 * int(_RANGE_S / 2 * rate / step) + 1
    at = np.minimum(steepest // step, len(coarse) - 1)
    low = minimum_filter1d(coarse.min(axis=1), width)[at]
    high = maximum_filter1d(coarse.max(axis=1), width)[at]
    columns = steepest[:, None] - np.arange(max(int(0.1 * rate), 1) + 1)
    start = smooth[np.maximum(columns, 0)].min(axis=1)
    return np.asarray(start - low <= _LOW_START_SHARE * (high - low))


def _dicrotic(
    smooth: FloatArray,
    steepest: IntArray,
    rise: FloatArray,
    soon: BoolArray,
    leader: IntArray,
    delay: FloatArray,
    rate: float,
) -> BoolArray:
    """Tell which rises soon after a beat are its dicrotic wave: most beats have one there."""
    back = max(int(0.06 * rate), 1)
    level = smooth[np.maximum(steepest - back, 0)] - smooth[np.maximum(steepest[leader] - back, 0)]
    like = soon & (level > _DICROTIC_FOOT_SHARE * rise[leader])
    at = np.flatnonzero(like)
    if at.size == 0:
        return like
    # The largest such wave of each strong beat speaks for it.
    order = at[np.lexsort((-rise[at], leader[at]))]
    owners, first = np.unique(leader[order], return_index=True)
    spokesman = order[first]
    usual_delay = _running_median(delay[spokesman], _NEIGHBORS)
    usual_rise = _running_median(rise[spokesman], _NEIGHBORS)
    regular = np.abs(delay[spokesman] - usual_delay) <= _DICROTIC_SPREAD_S
    leaders = np.unique(leader)
    has = np.zeros(leaders.size)
    has[np.searchsorted(leaders, owners[regular])] = 1.0
    often = _running_mean(has, _NEIGHBORS)[np.searchsorted(leaders, leader[at])]
    near = np.clip(np.searchsorted(owners, leader[at]), 0, owners.size - 1)
    usual = np.abs(delay[at] - usual_delay[near]) <= _DICROTIC_SPREAD_S
    usual &= rise[at] <= 2.0 * usual_rise[near]
    like[at] = (often >= _DICROTIC_OFTEN) & usual
    return like


def _running_median(values: FloatArray, count: int) -> FloatArray:
    """Return at each value the median of ``count`` values around it."""
    if values.size == 0:
        return values
    medians: FloatArray = median_filter(values, count, mode="reflect")
    return medians


def _running_mean(values: FloatArray, count: int) -> FloatArray:
    """Return at each value the mean of ``count`` values around it (fewer where there are)."""
    width = min(count, values.size)
    total = np.concatenate(([0.0], np.cumsum(values)))
    means = (total[width:] - total[:-width]) / width
    out: FloatArray = means[np.clip(np.arange(values.size) - width // 2, 0, means.size - 1)]
    return out


def _extremes(smooth: FloatArray, steepest: IntArray, rate: float) -> tuple[IntArray, IntArray]:
    """Return the samples of the systole after, and of the foot before, each upstroke."""
    # A weak pulse must not take the upstroke of the next one as its systole: what lies in the
    # first part of the interval tells where the next foot is, and that where to stop.
    reach = np.minimum(steepest + int(_PEAK_REACH_S * rate), smooth.size - 1)
    first = steepest + (0.6 * np.diff(steepest, append=smooth.size)).astype(np.int64)
    peak = steepest + _first_best(smooth, steepest, np.minimum(reach, first))
    foot = _feet(smooth, steepest, np.append(0, peak[:-1]), rate)
    until = np.maximum(np.minimum(reach, np.append(foot[1:], smooth.size - 1)), steepest)
    peak = steepest + _first_best(smooth, steepest, until)
    return peak, _feet(smooth, steepest, np.append(0, peak[:-1]), rate)


def _feet(smooth: FloatArray, steepest: IntArray, earliest: IntArray, rate: float) -> IntArray:
    """Return the sample of the last minimum before each upstroke, not before ``earliest``."""
    earliest = np.maximum(steepest - int(_FOOT_REACH_S * rate), earliest)
    earliest = np.minimum(earliest, steepest)
    columns = steepest[:, None] - np.arange(int((steepest - earliest).max()) + 1)
    inside = columns >= earliest[:, None]
    taken = np.where(inside, smooth[np.maximum(columns, 0)], np.inf)
    foot: IntArray = steepest - taken.argmin(axis=1)
    return foot


def _first_best(values: FloatArray, start: IntArray, stop: IntArray) -> IntArray:
    """Return per row the offset from ``start`` of the largest value in [start, stop]."""
    columns = start[:, None] + np.arange(int((stop - start).max()) + 1)
    inside = columns <= stop[:, None]
    taken = np.where(inside, values[np.minimum(columns, values.size - 1)], -np.inf)
    offsets: IntArray = taken.argmax(axis=1)
    return offsets


def _first_steep(slope: FloatArray, start: IntArray, stop: IntArray) -> IntArray:
    """Return per row the offset from ``start`` of the first steep rise in [start, stop].

    An upstroke may have a shoulder; the steepest part would then jump from beat to beat.
    """
    columns = start[:, None] + np.arange(int((stop - start).max()) + 2)
    values = slope[np.minimum(columns, slope.size - 1)]
    inside = columns <= stop[:, None]
    most = np.where(inside, values, -np.inf).max(axis=1, keepdims=True)
    top = inside[:, :-1] & (values[:, :-1] >= _STEEP_SHARE * most)
    top &= values[:, :-1] >= values[:, 1:]
    top[np.arange(len(top)), np.where(inside, values, -np.inf).argmax(axis=1)] = True
    offsets: IntArray = top.argmax(axis=1)
    return offsets


def _parabola(values: FloatArray, peak: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return place and height of the parabola through each maximum and its neighbors."""
    at = np.clip(peak, 1, max(values.size - 2, 1))
    left, middle, right = values[at - 1], values[at], values[at + 1]
    usable = (at == peak) & (middle >= left) & (middle >= right)
    shift = np.where(usable, vertex(left, middle, right), 0.0)
    return peak.astype(np.float64) + shift, values[peak] - np.where(
        usable, 0.25 * (left - right) * shift, 0.0
    )


def _likeness(smooth: FloatArray, steepest: IntArray, rate: float) -> FloatArray:
    """Return the correlation of each pulse with the mean of 30 around it; NaN when alone."""
    around = np.arange(-int(_SHAPE_S[0] * rate), int(_SHAPE_S[1] * rate) + 1)
    parts = smooth[np.clip(steepest[:, None] + around, 0, smooth.size - 1)]
    parts -= parts.mean(axis=1, keepdims=True)
    parts /= np.maximum(np.sqrt((parts * parts).sum(axis=1, keepdims=True)), 1e-9)
    width = min(_NEIGHBORS, len(parts))
    total = np.vstack((np.zeros(around.size), np.cumsum(parts, axis=0)))
    sums = total[width:] - total[:-width]
    others = sums[np.clip(np.arange(len(parts)) - width // 2, 0, len(sums) - 1)] - parts
    length = np.sqrt((others * others).sum(axis=1))
    r = np.full(len(parts), np.nan)
    np.divide((parts * others).sum(axis=1), length, out=r, where=length > 1e-6)
    return r


def _ends(foot: IntArray, onset: FloatArray, size: int, rate: float) -> tuple[IntArray, FloatArray]:
    """Return where each beat ends (sample) and its length in s.

    The length is NaN where the stretch ends first, infinite where no beat follows in 6 s.
    """
    end = np.append(foot[1:], size - 1)
    length = np.append(np.diff(onset), np.nan) / rate
    long = np.where(np.isnan(length), (size - onset) / rate, length) > _END_REACH_S
    return end, np.where(long, np.inf, length)


def _area_mean(smooth: FloatArray, onset: FloatArray, length: FloatArray) -> FloatArray:
    """Return the mean from each onset over ``length`` samples by area; NaN without an end."""
    area = np.concatenate(([0.0], np.cumsum((smooth[1:] + smooth[:-1]) / 2)))
    usable = np.isfinite(length) & (length > 0)
    places = np.stack((onset, onset + np.where(usable, length, 0.0)))
    whole = np.clip(places.astype(np.int64), 0, smooth.size - 2)
    part = places - whole
    value = smooth[whole]
    upto = area[whole] + part * (value + (smooth[whole + 1] - value) * part / 2)
    mean = np.full(onset.size, np.nan)
    np.divide(upto[1] - upto[0], length, out=mean, where=usable)
    return mean


def _held(x: FloatArray, at: IntArray, rate: float) -> IntArray:
    """Return how many equal samples in a row there are at the extreme within 50 ms of ``at``."""
    margin = int(0.05 * rate) + 1
    columns = np.clip(at[:, None] + np.arange(-margin, margin + 1), 0, x.size - 1)
    same = x[columns] == x[at][:, None]
    run = np.zeros(at.size, dtype=np.int64)
    longest = run.copy()
    for column in same.T:
        run = np.where(column, run + 1, 0)
        np.maximum(longest, run, out=longest)
    return longest


def any_between(mask: BoolArray, start: IntArray, stop: IntArray) -> BoolArray:
    """Tell per row whether ``mask`` holds anywhere in [start, stop]."""
    total = np.concatenate(([0], np.cumsum(mask)))
    return np.asarray(total[stop + 1] > total[start])


def _share_between(mask: BoolArray, start: IntArray, stop: IntArray) -> FloatArray:
    """Return per row the share of [start, stop] in which ``mask`` holds."""
    total = np.concatenate(([0], np.cumsum(mask)))
    share: FloatArray = (total[stop + 1] - total[start]) / (stop + 1 - start)
    return share


def extreme_between(values: FloatArray, start: IntArray, stop: IntArray) -> FloatArray:
    """Return per row the largest of ``values`` in [start, stop]."""
    bounds = np.column_stack((start, np.maximum(stop, start + 1))).ravel()
    largest: FloatArray = np.maximum.reduceat(np.append(values, -np.inf), bounds)[::2]
    return largest


def _path(smooth: FloatArray, start: IntArray, stop: IntArray) -> FloatArray:
    """Return the length of the way up and down between ``start`` and ``stop``, in mmHg."""
    total = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(smooth)))))
    way: FloatArray = total[stop] - total[start]
    return way
