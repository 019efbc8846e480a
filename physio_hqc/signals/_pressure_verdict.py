"""Decide which pressure beats are valid, and say why the others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import median_filter

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Limits = tuple[float, float]

BEAT_COLUMNS = ("foot_s", "systole_s", "SBP", "DBP", "MAP", "PP", "valid", "reason")
INTERVAL_S = (0.22, 3.0)

_STEEPEST_MMHG_S = 4000.0
_STEEPEST_FALL_MMHG_S = 2000.0
_STEEP_MMHG_S = 2000.0
_STEEPER_TIMES = 3.0
_TARDY_S = 0.16
_PATH_PULSES = 6.0
_SPIKES_SHARE = 0.08
_BESIDE_LIMIT_MMHG = 10.0
_NEIGHBORS = 11
_MANY = 51
_IN_TIME = 0.15
_RESTLESS_TIMES = 2.0
_ENCLOSED_S = 1.5
_STAYS_UP = 0.9
_SHAPE_MIN, _IRREGULAR = 0.65, 0.1
_UNLIKE, _ALIKE = 0.6, 0.9
_ALONE_S = 0.4

_NO_END = "flag: no MAP, the beat is cut off by a gap or the end"
_REPAIRED = "flag: a spike was taken out"


def empty_beats() -> pd.DataFrame:
    """Return a table of pressure beats without rows."""
    table = pd.DataFrame({name: np.empty(0) for name in BEAT_COLUMNS})
    return table.astype({"valid": bool, "reason": object})


def judge(
    beats: pd.DataFrame, limits: Limits, rate: float, sbp: Limits, dbp: Limits, pp_min: float
) -> pd.DataFrame:
    """Return the table of beats with ``valid`` and ``reason``; ``limits`` are the converter's."""
    high, low = beats["SBP"].to_numpy(), beats["DBP"].to_numpy()
    pp = high - low
    bad, faults = _single_faults(beats, limits, rate, sbp, dbp, pp_min)
    restless = _restless(beats, bad)
    leaps = _leaps(high, low, beats["_interval"].to_numpy(), bad | restless)
    faults["goes up and down within the beat (noise or movement)"] |= restless
    faults["leaps from the beats around"] = leaps
    faults["between disturbed beats"] = _enclosed(
        beats["foot_s"].to_numpy(), (restless | leaps) & ~bad
    )
    faults["damped"] = _damped(high, low, bad)
    faults["damped (slow upstroke)"] = _tardy(beats, pp, bad)
    faults["starts before the signal does"] = _cut_off_start(beats, pp)
    faults = {"ends after the signal does": beats["_ends"].to_numpy(), **faults}
    reason = np.full(len(beats), "", dtype=object)
    for text, mask in reversed(faults.items()):
        reason[mask] = text
    valid = reason == ""
    reason[valid & (beats["_repaired"].to_numpy() > 0)] = _REPAIRED
    reason[valid & np.isnan(beats["MAP"].to_numpy())] = _NO_END
    return beats.assign(PP=pp, valid=valid, reason=reason)[list(BEAT_COLUMNS)]


def _single_faults(
    beats: pd.DataFrame, limits: Limits, rate: float, sbp: Limits, dbp: Limits, pp_min: float
) -> tuple[BoolArray, dict[str, BoolArray]]:
    """Return which beats are not valid by themselves, and per fault which have it."""
    high, low = beats["SBP"].to_numpy(), beats["DBP"].to_numpy()
    pp = high - low
    need = max(3, int(np.ceil(0.025 * rate)))
    interval, rise = beats["_interval"].to_numpy(), beats["_rise"].to_numpy()
    held = (beats["_top"].to_numpy() == limits[1]) & (beats["_top_n"].to_numpy() >= need)
    held |= (beats["_bottom"].to_numpy() == limits[0]) & (beats["_bottom_n"].to_numpy() >= need)
    flat = beats["_flat"].to_numpy()
    shape = beats["_shape"].to_numpy()
    usual_shape = _median_around(shape, np.isfinite(shape))
    usual_rise = _median_around(rise, ~held & ~flat & (pp >= pp_min))
    with np.errstate(invalid="ignore", over="ignore"):
        fast = rise > np.fmin(_STEEPEST_MMHG_S, np.fmax(_STEEP_MMHG_S, _STEEPER_TIMES * usual_rise))
        release = beats["_fall"].to_numpy() > _STEEPEST_FALL_MMHG_S
        # What falls so fast swings below the pressure: the next foot is none.
        fast |= release | np.append(False, release[:-1])
        faults: dict[str, BoolArray] = {
            "held at the limit of the converter (flush or clipping)": held,
            "flat line (zeroing, calibration pause or open line)": flat,
            f"SBP outside {sbp[0]:g}-{sbp[1]:g} mmHg": _outside(high, sbp, ~flat & ~held),
            f"DBP outside {dbp[0]:g}-{dbp[1]:g} mmHg": _outside(low, dbp, ~flat & ~held),
            f"pulse pressure under {pp_min:g} mmHg": ~(pp >= pp_min),
            "changes faster than pressure can (flush or disconnection)": fast,
            "goes up and down within the beat (noise or movement)": (
                (beats["_path"].to_numpy() > _PATH_PULSES * pp)
                | (beats["_repaired"].to_numpy() > _SPIKES_SHARE)
            ),
            "does not fall back (flush or step)": (
                np.isfinite(interval) & (np.append(low[1:], np.nan) - low > _STAYS_UP * pp)
            ),
            "no common shape of the pulses (noise)": (usual_shape < _SHAPE_MIN)
            & (_irregularity(interval) > _IRREGULAR),
            # A following early beat would be part of what is compared.
            "unlike the pulses around (movement)": (shape < _UNLIKE)
            & (usual_shape > _ALIKE)
            & (interval > _ALONE_S),
            "interval to the next beat is not that of a heart": ~(
                np.isnan(interval) | ((interval >= INTERVAL_S[0]) & (interval <= INTERVAL_S[1]))
            ),
        }
    return np.logical_or.reduce(list(faults.values())), faults


def _irregularity(interval: FloatArray) -> FloatArray:
    """Return the usual relative change from one interval to the next around each beat."""
    change = np.full(interval.size, np.nan)
    np.divide(np.abs(np.diff(interval, append=np.nan)), interval, out=change, where=interval > 0)
    return _median_around(change, np.isfinite(change), 3 * _NEIGHBORS)


def _outside(values: FloatArray, limits: Limits, use: BoolArray) -> BoolArray:
    """Tell which values are outside plausible limits.

    Where the beats around lie inside, one beyond a limit by less than 10 mmHg stays: to leave
    out one side of the scatter would move the mean.
    """
    inside = np.ones(values.size, dtype=bool)
    # Both the beats just around and those of half a minute: one flush is no level.
    for count in (_NEIGHBORS, 3 * _NEIGHBORS):
        around = _median_around(values, use, count)
        inside &= (around >= limits[0]) & (around <= limits[1])
    margin = np.where(inside, _BESIDE_LIMIT_MMHG, 0.0)
    return np.asarray(~((values >= limits[0] - margin) & (values <= limits[1] + margin)))


def _median_around(values: FloatArray, use: BoolArray, count: int = _NEIGHBORS) -> FloatArray:
    """Return at each beat the median over ``count`` usable beats around it; NaN if none."""
    at = np.flatnonzero(use)
    if at.size == 0:
        return np.full(values.size, np.nan)
    medians = median_filter(values[at], count, mode="reflect")
    nearest = np.searchsorted(at, np.arange(values.size))
    out: FloatArray = medians[np.minimum(nearest, at.size - 1)]
    return out


def _leaps(sbp: FloatArray, dbp: FloatArray, interval: FloatArray, bad: BoolArray) -> BoolArray:
    """Tell which beats lie too far from the beats around to be the same patient's.

    After an early or late beat pressure may differ more than after a usual interval.
    """
    far = np.zeros(sbp.size, dtype=bool)
    pulse = _median_around(sbp - dbp, ~bad)
    before = np.append(np.nan, interval[:-1])
    with np.errstate(invalid="ignore"):
        usual_interval = _median_around(interval, np.isfinite(interval) & ~bad, _MANY)
        in_time = np.abs(before / usual_interval - 1) < _IN_TIME
        for values, most, least in ((sbp, 45.0, 20.0), (dbp, 30.0, 15.0)):
            change = values - _median_around(values, ~bad)
            usual = 6 * _median_around(np.abs(change), ~bad, _MANY)
            wide = np.fmax(np.fmax(most, usual), 0.9 * pulse)
            narrow = np.fmax(np.fmax(least, usual), 0.3 * pulse)
            # The pulse of a premature beat comes late and is weak, so that only SBP is low.
            strict = in_time & ((values is dbp) | (change > 0))
            far |= np.abs(change) > np.where(strict, narrow, wide)
    return far


def _restless(beats: pd.DataFrame, bad: BoolArray) -> BoolArray:
    """Tell where pressure goes up and down twice as much per second as around: movement."""
    interval = beats["_interval"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        path = np.where(np.isfinite(interval), beats["_path"].to_numpy(), np.nan)
        # Three beats together: every second one may be weak or early.
        rate = _with_neighbors(path) / _with_neighbors(interval)
        usable = ~bad & np.isfinite(rate)
        return np.asarray(rate > _RESTLESS_TIMES * _median_around(rate, usable, _MANY))


def _with_neighbors(values: FloatArray) -> FloatArray:
    """Return each value plus the ones before and after it."""
    padded = np.pad(values, 1)
    total: FloatArray = padded[:-2] + padded[1:-1] + padded[2:]
    return total


def _enclosed(times: FloatArray, disturbed: BoolArray) -> BoolArray:
    """Tell which beats stand between disturbed ones, at most 1.5 s from either."""
    at = times[disturbed]
    if at.size < 2:
        return np.zeros(times.size, dtype=bool)
    after = np.searchsorted(at, times, side="right")
    inside = (after > 0) & (after < at.size)
    since = times - at[np.maximum(after - 1, 0)]
    until = at[np.minimum(after, at.size - 1)] - times
    return np.asarray(inside & (since <= _ENCLOSED_S) & (until <= _ENCLOSED_S))


def _damped(sbp: FloatArray, dbp: FloatArray, bad: BoolArray) -> BoolArray:
    """Tell where pulse pressure is half the record's for many beats while the mean stays."""
    if (~bad).sum() < 3 * _NEIGHBORS:
        return np.zeros(sbp.size, dtype=bool)
    pulse = sbp - dbp
    # The larger of two neighbors: every second pulse may be weak without any damping.
    larger = np.fmax(pulse, np.append(pulse[1:], pulse[-1]))
    larger = np.fmax(larger, np.append(pulse[0], pulse[:-1]))
    pulse = _median_around(larger, ~bad)
    middle = _median_around(dbp + (sbp - dbp) / 3, ~bad)
    usual = np.nanpercentile(pulse, 75)
    level = np.nanmedian(middle[pulse >= 0.8 * usual])
    with np.errstate(invalid="ignore"):
        return np.asarray((pulse < 0.5 * usual) & (np.abs(middle - level) < 15))


def _tardy(beats: pd.DataFrame, pp: FloatArray, bad: BoolArray) -> BoolArray:
    """Tell where the steepest rise would take too long to climb the pulse, beat after beat."""
    climb = pp / np.maximum(beats["_rise"].to_numpy(), 1e-9)
    with np.errstate(invalid="ignore"):
        return np.asarray(_median_around(climb, ~bad) > _TARDY_S)


def _cut_off_start(beats: pd.DataFrame, pp: FloatArray) -> BoolArray:
    """Tell which beats had begun before their stretch, so that the foot is not in it."""
    usual = np.median(pp)
    return np.asarray(beats["_begins"].to_numpy() & (pp < 0.8 * usual))
