"""Beat intervals: from peak times to a corrected beat series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import as_signal, as_window_array

__all__ = ["KINDS", "Beats", "correct_beats", "plain_beats"]

KINDS = ("normal", "ectopic", "missed", "extra", "long", "short")
_NORMAL, _ECTOPIC, _MISSED, _EXTRA, _LONG, _SHORT = range(6)

_SCALE = 5.2
_THRESHOLD_BEATS = 91
_MEDIAN_BEATS = 11
_SLOPE, _INTERCEPT = 0.13, 0.17
_FEW_INTERVALS = 30
_SMALLEST_THRESHOLD_S = 0.01
_SMALLEST_THRESHOLD_FEW_S = 0.1
_PAD = 6


@dataclass(frozen=True, slots=True, eq=False)
class Beats:
    """Beats in time order and what correction did to each.

    Attributes
    ----------
    times_s : ndarray, shape (k,)
        Beat times in s.
    rr_s : ndarray, shape (k,)
        Interval in s that ends at the beat; NaN for the first beat and after a gap.
    kind : ndarray of str, shape (k,)
        ``normal``: as detected. ``missed``: this beat was inserted. ``extra``: a beat just before
        it was removed. ``ectopic``, ``long``, ``short``: this beat was moved.
    n_corrected : int
        Beats inserted, removed and moved.
    raw_times_s : ndarray, shape (k0,)
        Beat times in s as detected.
    raw_index : ndarray of int, shape (k,)
        Which detected beat each beat was; -1 for an inserted one. A detected beat that is not
        listed was removed.
    """

    times_s: NDArray[np.float64]
    rr_s: NDArray[np.float64]
    kind: NDArray[np.str_]
    n_corrected: int
    raw_times_s: NDArray[np.float64]
    raw_index: NDArray[np.int64]


def correct_beats(
    peak_times_s: ArrayLike,
    *,
    gaps: ArrayLike | None = None,
    max_rr_s: float = 3.0,
    max_passes: int = 3,
) -> Beats:
    """Find and correct ectopic, missed, extra and misplaced beats.

    The decisions are those of Lipponen and Tarvainen (2019): successive differences of the
    intervals, and their deviations from a running median of 11, are compared with thresholds
    that follow the spread of the 91 surrounding beats. Then extra beats are removed, missed beats
    inserted evenly, and ectopic and misplaced beats moved to where linear interpolation between
    their neighbors puts them.

    Where this differs from the publication or from NeuroKit2's reading of it:

    - Nothing is judged or moved across a gap, and no interval before the first beat is invented.
    - Thresholds are at least 10 ms, so that a perfectly even series is left alone; with fewer
      than 30 intervals quartiles say little and the floor is 100 ms: only gross errors are then
      corrected.
    - An interval is split, or joined with the next, only if that brings it nearer to the median:
      where breathing alone makes intervals swing, the thresholds are wide enough for a single
      slow beat to pass as two.
    - An interval near 3 or 4 times the median counts as 2 or 3 missed beats.
    - An ectopic pattern is a long and a short interval side by side; the beat between them is the
      one that is moved (NeuroKit2 moves the beat after).
    - A beat beside an inserted or removed one is judged again in the next pass instead of being
      moved on the evidence of an interval that no longer exists.
    - The search is repeated on the corrected series while it finds fewer errors than before, at
      most ``max_passes`` times.

    Parameters
    ----------
    peak_times_s : array-like, shape (k0,)
        Times of the detected beats in s, strictly ascending.
    gaps : array-like, shape (g, 2), optional
        Start and end in s of stretches without signal. No interval spans a gap.
    max_rr_s : float
        A longer interval in s counts as a gap.
    max_passes : int
        How often the series is searched; 1 is the single pass of the publication, 0 corrects
        nothing.

    Returns
    -------
    Beats
        The corrected series, with what was done to each beat.

    Raises
    ------
    SignalError
        If times are not finite and strictly ascending, or gaps are not (g, 2).

    References
    ----------
    Lipponen J. A., Tarvainen M. P. (2019). A robust algorithm for heart rate variability time
    series artefact correction using novel beat classification. J Med Eng Technol 43, 173.
    doi:10.1080/03091902.2019.1640306.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import correct_beats
    >>> times = np.cumsum(0.8 + 0.02 * np.sin(np.arange(100)))
    >>> beats = correct_beats(np.delete(times, 50))
    >>> str(beats.kind[50]), beats.n_corrected, round(float(beats.times_s[50] - times[50]), 2)
    ('missed', 1, 0.01)
    """
    raw = plain_beats(peak_times_s, gaps=gaps, max_rr_s=max_rr_s)
    state = _Series(
        raw.times_s,
        np.cumsum(np.isnan(raw.rr_s)),
        raw.raw_index,
        np.zeros(raw.times_s.size, dtype=np.int64),
    )
    n_before = np.inf
    for _ in range(max_passes):
        verdict = _classify(_intervals(state))
        n_found = int(np.count_nonzero(verdict.code))
        if n_found == 0 or n_found >= n_before:
            break
        state, n_before = _apply(state, verdict), n_found
    detected = state.raw_index >= 0
    kept = state.raw_index[detected]
    moved = np.zeros(detected.size, dtype=bool)
    moved[detected] = state.times_s[detected] != raw.times_s[kept]
    n_removed, n_inserted = raw.times_s.size - kept.size, state.times_s.size - kept.size
    # A beat that interpolation puts back where it was has not been corrected.
    stayed = detected & ~moved & np.isin(state.code, (_ECTOPIC, _LONG, _SHORT))
    return Beats(
        times_s=state.times_s,
        rr_s=_intervals(state),
        kind=np.array(KINDS)[np.where(stayed, _NORMAL, state.code)],
        n_corrected=n_removed + n_inserted + int(np.count_nonzero(moved)),
        raw_times_s=raw.raw_times_s,
        raw_index=state.raw_index,
    )


def plain_beats(
    peak_times_s: ArrayLike, *, gaps: ArrayLike | None = None, max_rr_s: float = 3.0
) -> Beats:
    """Make a beat series of peak times without correcting anything.

    Parameters
    ----------
    peak_times_s : array-like, shape (k0,)
        Beat times in s, strictly ascending.
    gaps : array-like, shape (g, 2), optional
        Start and end in s of stretches without signal.
    max_rr_s : float
        A longer interval in s counts as a gap.

    Returns
    -------
    Beats
        Every beat ``normal``; intervals across a gap are NaN.

    Raises
    ------
    SignalError
        If times are not finite and strictly ascending, or gaps are not (g, 2).

    Examples
    --------
    >>> from physio_hqc.signals.beats import plain_beats
    >>> plain_beats([1.0, 1.8, 2.6, 9.0]).rr_s.round(3)
    array([nan, 0.8, 0.8, nan])
    """
    times = as_signal(peak_times_s, "peak_times_s")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SignalError("peak_times_s must be finite and strictly ascending: beat times in s")
    rr = np.diff(times, prepend=np.nan)
    rr[rr > max_rr_s] = np.nan
    rr[_spans_gap(times, gaps)] = np.nan
    return Beats(
        times_s=times,
        rr_s=rr,
        kind=np.full(times.size, KINDS[_NORMAL], dtype="<U7"),
        n_corrected=0,
        raw_times_s=times.copy(),
        raw_index=np.arange(times.size, dtype=np.int64),
    )


class _Series(NamedTuple):
    """A beat series under correction; ``stretch`` numbers the gap-free stretches."""

    times_s: NDArray[np.float64]
    stretch: NDArray[np.int64]
    raw_index: NDArray[np.int64]
    code: NDArray[np.int64]


class _Verdict(NamedTuple):
    """Class of the interval that ends at each beat, and how many beats it lacks."""

    code: NDArray[np.int64]
    n_missed: NDArray[np.int64]


def _spans_gap(times: NDArray[np.float64], gaps: ArrayLike | None) -> NDArray[np.bool_]:
    """Tell for each beat whether a gap overlaps the interval that ends at it."""
    spans = np.zeros(times.size, dtype=bool)
    bounds = as_window_array(gaps, (0.0, 0.0), "gaps") if gaps is not None else np.empty((0, 2))
    if times.size < 2 or bounds.size == 0:
        return spans
    started = np.searchsorted(np.sort(bounds[:, 0]), times[1:], side="left")
    over = np.searchsorted(np.sort(bounds[:, 1]), times[:-1], side="right")
    spans[1:] = started > over
    return spans


def _intervals(series: _Series) -> NDArray[np.float64]:
    """Return the interval that ends at each beat; NaN at the first beat of each stretch."""
    rr = np.diff(series.times_s, prepend=np.nan)
    rr[1:][np.diff(series.stretch) != 0] = np.nan
    return rr


def _classify(rr: NDArray[np.float64]) -> _Verdict:
    """Class every interval after Lipponen and Tarvainen; NaN intervals separate stretches."""
    slot, padded = _pad_breaks(rr)
    drr = np.diff(padded, prepend=np.nan)
    median = _running(padded, _MEDIAN_BEATS).median().to_numpy()
    mrr = padded - median
    mrr = np.where(mrr < 0, 2 * mrr, mrr)
    floor = _threshold_floor(int(np.count_nonzero(np.isfinite(rr))))
    drr = drr / _threshold(drr, floor)
    limit = _threshold(mrr, floor)
    mrr = mrr / limit

    # A missing neighbor is no evidence: as 0 it satisfies none of the conditions below.
    d, m = np.nan_to_num(drr), np.nan_to_num(mrr)
    before, after, after2 = _shift(d, -1), _shift(d, 1), _shift(d, 2)
    s12 = np.where(d > 0, np.maximum(before, after), np.minimum(before, after))
    s22 = np.where(d >= 0, np.minimum(after, after2), np.maximum(after, after2))

    ectopic = (d > 1) & (s12 < -_SLOPE * d - _INTERCEPT)
    ectopic |= (d < -1) & (s12 > -_SLOPE * d + _INTERCEPT)
    candidate = (np.abs(d) > 1) & ~ectopic
    follower = _followers(candidate & (np.abs(after) < np.abs(after2)))
    ectopic &= ~follower
    candidate = (candidate | follower) & np.isfinite(padded)

    long, short = (d > 1) & (s22 < -1), (d < -1) & (s22 > 1)
    fold, lacks = _missed_fold(padded, median, limit)
    joined = np.abs(padded + _shift(padded, 1) - median)
    extra = candidate & short & (joined < limit) & (joined < np.abs(padded - median))
    missed = candidate & long & lacks & ~extra
    odd = candidate & (long | short | (np.abs(m) > 3)) & ~extra & ~missed

    code = np.select(
        [ectopic, extra, missed, odd & (m >= 0), odd],
        [_ECTOPIC, _EXTRA, _MISSED, _LONG, _SHORT],
        _NORMAL,
    )
    return _Verdict(code[slot], np.where(missed, fold - 1, 0)[slot].astype(np.int64))


def _pad_breaks(rr: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Widen each break to several NaN, so that no running window or neighbor reaches across.

    Returns the place of each interval in the widened series, and that series.
    """
    slot = np.arange(rr.size) + _PAD * np.cumsum(np.isnan(rr))
    padded = np.full((int(slot[-1]) if slot.size else 0) + 1 + _PAD, np.nan)
    padded[slot] = rr
    return slot, padded


def _running(x: NDArray[np.float64], width: int) -> pd.core.window.Rolling:
    """Return a centered running window that shrinks at the ends."""
    return pd.Series(x).rolling(width, center=True, min_periods=1)


def _threshold(x: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Return 5.2 quartile deviations of abs(x) in the 91 surrounding values, at least ``floor``."""
    present = np.isfinite(x)
    threshold = np.full(x.size, np.nan)
    threshold[present] = np.maximum(_SCALE * _quartile_range(np.abs(x[present])) / 2, floor)
    return threshold


def _quartile_range(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return q75 - q25 of the 91 values around each, of fewer at the ends."""
    width, half = _THRESHOLD_BEATS, _THRESHOLD_BEATS // 2
    if x.size <= 3 * width:
        window = _running(x, width)
        return np.asarray(window.quantile(0.75) - window.quantile(0.25))
    # A quartile of 91 lies midway between two ranks; ranks are an order of magnitude faster.
    below, above = int((width - 1) * 0.25), int((width - 1) * 0.75)
    low = ndimage.rank_filter(x, below, width) + ndimage.rank_filter(x, below + 1, width)
    high = ndimage.rank_filter(x, above, width) + ndimage.rank_filter(x, above + 1, width)
    spread = (high - low) / 2
    spread[:half] = _quartile_range(x[:width])[:half]
    spread[-half:] = _quartile_range(x[-width:])[-half:]
    return np.asarray(spread)


def _threshold_floor(n_intervals: int) -> float:
    """Return the smallest threshold in s that the number of intervals supports."""
    return _SMALLEST_THRESHOLD_FEW_S if n_intervals < _FEW_INTERVALS else _SMALLEST_THRESHOLD_S


def _shift(x: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """Return x[i + by] at i; the padding at the ends is never shifted into a real place."""
    return np.roll(x, -by)


def _followers(leads: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the intervals judged together with the one before them.

    An interval that leads takes the next with it, and that one then does not lead itself: in a
    chain of leaders every second is a follower.
    """
    index = np.arange(leads.size)
    chain_start = np.maximum.accumulate(np.where(leads & ~np.roll(leads, 1), index, 0))
    return np.roll(leads & ((index - chain_start) % 2 == 0), 1)


def _missed_fold(
    rr: NDArray[np.float64], median: NDArray[np.float64], limit: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return into how many intervals each would split, and whether the parts are usual ones."""
    fold = np.maximum(np.round(np.nan_to_num(rr / median)), 2)
    off = np.abs(rr / fold - median)
    return fold, (off < limit) & (off < np.abs(rr - median)) & (fold <= 4)


def _apply(series: _Series, verdict: _Verdict) -> _Series:
    """Remove, insert and move beats as the verdict on their intervals says."""
    targets = _moves(series, verdict)
    times = _move(series.times_s, targets > 0)
    code = np.where((series.code == _NORMAL) & (targets > 0), targets, series.code)

    extra = verdict.code == _EXTRA
    after_extra = np.roll(extra, 1) & ~extra
    code[after_extra & (code == _NORMAL)] = _EXTRA

    keep = ~extra
    copies = np.where(keep, verdict.n_missed + 1, 0)
    source = np.repeat(np.arange(times.size), copies)
    rank = np.arange(source.size) - np.repeat(np.cumsum(copies) - copies, copies)
    inserted = rank < verdict.n_missed[source]
    previous = times[np.maximum(source - 1, 0)]
    share = (rank + 1) / (verdict.n_missed[source] + 1)
    new_times = np.where(inserted, previous + share * (times[source] - previous), times[source])
    return _Series(
        new_times,
        series.stretch[source],
        np.where(inserted, -1, series.raw_index[source]),
        np.where(inserted, _MISSED, code[source]),
    )


def _moves(series: _Series, verdict: _Verdict) -> NDArray[np.int64]:
    """Return for each beat the class for which it is to be moved, 0 where it stays."""
    code = verdict.code
    # The ectopic beat lies between the two intervals of the pattern, before the one classed.
    targets = np.where((code == _LONG) | (code == _SHORT), code, _NORMAL)
    targets[np.roll(code == _ECTOPIC, -1)] = _ECTOPIC
    changed = (code == _EXTRA) | (code == _MISSED)
    beside = changed | np.roll(changed, 1) | np.roll(changed, -1)
    first = np.diff(series.stretch, prepend=-1) != 0
    edge = first | np.roll(first, -1)
    targets[beside | edge] = _NORMAL
    return targets


def _move(times: NDArray[np.float64], moving: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Spread moving beats evenly between the beats that stay."""
    if not moving.any():
        return times
    index = np.arange(times.size)
    moved = times.copy()
    moved[moving] = np.interp(index[moving], index[~moving], times[~moving])
    return moved
