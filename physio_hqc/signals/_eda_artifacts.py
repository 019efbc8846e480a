"""What in a skin conductance signal does not come from the skin."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from physio_hqc.signals._checks import finite_runs, true_runs
from physio_hqc.signals._eda_grid import (
    BoolArray,
    FloatArray,
    IntArray,
    block_means,
    min_samples,
    smooth_derivatives,
    white_noise,
)

MOVEMENT = "movement"
RANGE_US = (0.05, 60.0)
SLOPE_MAX = 10.0

# Sweat leaves its ducts slowly: over so many seconds no response loses more of its height than
# this, and what is lost follows what was gained.
_FALL_OF_HEIGHT = {0.25: 0.15, 0.5: 0.28}
_HEIGHT_S = 10.0
# Per seconds since the rise: the share of what rose in the same time that a fall may reach.
_FALL_OF_RISE = {3.0: 0.6, 10.0: 0.3}
# A response takes longer than this to rise; a step does not.
_STEP_S, _STEP_AFTER_S = 0.25, 0.75
_STEP_BESIDE = 0.15
_LEAST_US, _OVER_NOISE = 0.03, 6.0
_LEAST_MARGIN_S, _MOST_MARGIN_S = 0.5, 1.5
_APART_S = 3.0
_JUMP_S = 3.5
_GRID_HZ, _LIGHT_S = 20.0, 0.05
_SLOWEST_HZ = 2.0
# Means looked at together, so that long recordings need little memory.
_CHUNK = 1 << 16


def faults(
    x: FloatArray,
    rate: float,
    range_us: tuple[float, float],
    slope_max: float,
    flat_s: float,
    around_s: float,
) -> dict[str, BoolArray]:
    """Return per kind of fault which samples have it."""
    low, high = range_us
    around = round(around_s * rate)
    with np.errstate(invalid="ignore"):
        outside = (x < low) | (x > high)
    return {
        f"outside {low:g} to {high:g} µS": grown(outside, around),
        "clipped": at_limit(x, rate),
        "flat": flat(x, rate, flat_s),
        f"changes faster than {slope_max:g} µS/s": grown(too_fast(x, rate, slope_max), around),
        MOVEMENT: movement(x, rate),
    }


def disturbed(x: FloatArray, rate: float) -> BoolArray:
    """Mark what must not shape responses or the tonic part around it."""
    # Limits in µS/s would take the largest responses, too; below 2 Hz nothing else can be told.
    if rate < _SLOWEST_HZ:
        return grown(too_fast(x, rate, SLOPE_MAX), 1)
    return movement(x, rate)


def movement(x: FloatArray, rate: float) -> BoolArray:
    """Mark what changes in a way that skin does not: falls too fast, steps, bursts of both."""
    marked = np.zeros(x.size, dtype=bool)
    for start, stop in finite_runs(x, min_samples(rate)):
        means, mean_rate, _ = block_means(x[start:stop], rate, _GRID_HZ)
        width = round(rate / mean_rate)
        for first, last in _movement_of_run(means, mean_rate):
            # The last block may be longer than the others: it takes what is left over.
            end = stop if last >= means.size else start + last * width
            marked[start + first * width : end] = True
    return marked


def _movement_of_run(means: FloatArray, rate: float) -> IntArray:
    """Return (m, 2) first and last-plus-one mean of the disturbed stretches of one run."""
    if rate < _SLOWEST_HZ or means.size < 8:
        return np.empty((0, 2), dtype=np.int64)
    spread = max(2 * np.sqrt(np.pi) * _LIGHT_S * rate, 1.0)
    least = max(_LEAST_US, _OVER_NOISE * white_noise(means, rate)[0] / float(np.sqrt(spread)))
    bad = np.zeros(means.size, dtype=bool)
    # What is seen around a sample reaches no further than the margin.
    margin = round(2 * _HEIGHT_S * rate)
    for start in range(0, means.size, _CHUNK):
        low, high = max(start - margin, 0), min(start + _CHUNK + margin, means.size)
        level = means[low:high]
        if rate > 10:
            level = smooth_derivatives(level, rate, _LIGHT_S)[0]
        found = _falls_too_fast(level, rate, least) | _steps(level, rate, least)
        bad[start : start + _CHUNK] = found[start - low : start - low + _CHUNK]
    runs = true_runs(closed(bad, round(_APART_S * rate)))
    length = (runs[:, 1] - runs[:, 0])[:, None]
    # A burst swells before it is told apart; what is over at once needs little around it.
    beside = np.minimum(_LEAST_MARGIN_S * rate + length / 2, _MOST_MARGIN_S * rate).astype(np.int64)
    wide = runs + beside * np.array([-1, 1])
    inside: IntArray = np.clip(wide, 0, means.size)
    return inside


def _falls_too_fast(level: FloatArray, rate: float, least: float) -> BoolArray:
    """Mark falls that are too fast for the height over the surroundings or the rise before."""
    reach = 2 * round(_HEIGHT_S * rate) + 1
    height = level - minimum_filter1d(level, reach, mode="nearest")
    bad = np.zeros(level.size, dtype=bool)
    for seconds, share in _FALL_OF_HEIGHT.items():
        lag = max(1, round(seconds * rate))
        if level.size <= lag:
            continue
        change = level[lag:] - level[:-lag]
        limit = share * height[:-lag]
        for since, part in _FALL_OF_RISE.items():
            back = max(1, round(since * rate))
            # The largest rise in the seconds before, not around: nothing falls before it rose.
            rise = maximum_filter1d(change, back, mode="nearest", origin=(back - 1) // 2)
            limit = np.maximum(limit, part * rise)
        bad |= _spread(-change > limit + least, lag, level.size)
    return bad


def _steps(level: FloatArray, rate: float, least: float) -> BoolArray:
    """Mark changes that are over within a quarter of a second, and last."""
    lag, after = max(1, round(_STEP_S * rate)), round(_STEP_AFTER_S * rate)
    if level.size <= 2 * lag + after or rate < 3.9:
        return np.zeros(level.size, dtype=bool)
    change = np.abs(level[lag:] - level[:-lag])
    beside = np.full(change.size, np.inf)
    stays = slice(lag, -after)
    beside[stays] = np.maximum(
        np.maximum(change[: -lag - after], change[2 * lag : change.size - after + lag]),
        np.abs(level[2 * lag + after :] - level[2 * lag : -after]),
    )
    return _spread((change > 2 * least) & (beside < _STEP_BESIDE * change), lag, level.size)


def _spread(at: BoolArray, lag: int, size: int) -> BoolArray:
    """Mark from each change to its end, ``lag`` samples later."""
    runs = true_runs(at)
    return _marked(runs[:, 0], runs[:, 1] + lag, size)


def grown(mask: BoolArray, margin: int) -> BoolArray:
    """Return the marked stretches with ``margin`` samples more on both sides."""
    runs = true_runs(mask)
    return _marked(runs[:, 0] - margin, runs[:, 1] + margin, mask.size)


def _marked(first: IntArray, last: IntArray, size: int) -> BoolArray:
    """Mark from ``first`` up to before ``last``; stretches may overlap and go beyond the ends."""
    mask = np.zeros(size, dtype=bool)
    if not first.size:
        return mask
    order = np.argsort(first, kind="stable")
    first, last = np.maximum(first[order], 0), np.maximum.accumulate(np.minimum(last[order], size))
    apart = np.append(True, first[1:] > last[:-1])
    starts = first[apart]
    stops = np.append(last[:-1][apart[1:]], last[-1])
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        mask[start:stop] = True
    return mask


def closed(mask: BoolArray, gap: int) -> BoolArray:
    """Return the mask with gaps of up to ``gap`` samples between marked stretches filled."""
    runs = true_runs(mask)
    near = runs[1:, 0] - runs[:-1, 1] <= gap
    return _marked(runs[:-1, 1][near], runs[1:, 0][near], mask.size) | mask


def too_fast(x: FloatArray, rate: float, slope_max: float) -> BoolArray:
    """Mark changes over 0.25 s that are faster than ``slope_max``."""
    lag = max(1, round(rate / 4))
    if x.size <= lag:
        return np.zeros(x.size, dtype=bool)
    with np.errstate(invalid="ignore"):
        fast = np.abs(x[lag:] - x[:-lag]) > slope_max * lag / rate
    return _spread(fast, lag, x.size)


def flat(x: FloatArray, rate: float, flat_s: float) -> BoolArray:
    """Mark stretches that do not change at all for ``flat_s``."""
    marked = np.zeros(x.size, dtype=bool)
    unchanging = np.append(np.diff(x) == 0, False) if x.size else marked
    for start, stop in true_runs(unchanging, max(int(flat_s * rate), 2)):
        marked[start : stop + 1] = True
    return marked


def at_limit(x: FloatArray, rate: float) -> BoolArray:
    """Mark stretches of a second and more held at the highest value, where values pile up."""
    held = np.zeros(x.size, dtype=bool)
    counts: list[int] = []
    below = np.inf
    highest = np.nan
    for _ in range(3):
        lower = x < below
        if not lower.any():
            return held
        below = float(np.max(x, where=lower, initial=-np.inf))
        highest = highest if counts else below
        counts.append(int(np.count_nonzero(x == below)))
    # A converter's limit holds many more samples than the values just under it.
    if counts[0] < 2.5 * (counts[1] + counts[2]):
        return held
    for start, stop in true_runs(x == highest, max(int(rate), 3)):
        held[start:stop] = True
    return held


def without(x: FloatArray, marked: BoolArray, rate: float) -> tuple[FloatArray, FloatArray]:
    """Return gap-free ``x`` with straight lines through the marked stretches, and the jumps.

    Where a short stretch ends at another level than it began, the jump is taken away from all that
    follows. The second result is what was taken away as jumps and in short stretches.
    """
    if not marked.any() or marked.all():
        return x, np.zeros(1)
    runs = true_runs(marked)
    inner = (runs[:, 0] > 0) & (runs[:, 1] < x.size)
    short = inner & (runs[:, 1] - runs[:, 0] <= _JUMP_S * rate)
    moved = np.zeros(x.size if short.any() else 1)
    for start, stop in runs[short].tolist():
        jump_at = start + int(np.abs(np.diff(x[start - 1 : stop + 1])).argmax())
        moved[jump_at] = x[stop] - x[start - 1]
    np.cumsum(moved, out=moved)
    level = x - moved
    for (start, stop), is_short in zip(runs.tolist(), short.tolist(), strict=True):
        # Beyond an end of the signal the nearest value is all there is.
        left = level[start - 1] if start else level[stop]
        right = level[stop] if stop < x.size else left
        level[start:stop] = np.linspace(left, right, stop - start + 2)[1:-1]
        if is_short:
            moved[start:stop] = x[start:stop] - level[start:stop]
    return level, moved
