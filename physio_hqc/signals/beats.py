"""Beat intervals: from peak times to a corrected beat series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
_PAD = 4
_DECIMALS = 6
_TOGETHER = 8
_NEAR = 3
_CHUNK = 2048
_LONGEST_RR_S = 60.0


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

    The classes are those of NeuroKit2's ``signal_fixpeaks(method="kubios", iterative=False)`` but
    for about 3 of 1000 errors. Where the two differ, or this differs from the publication:

    - No interval before the first beat is invented. NeuroKit2 gives the first beat the mean
      interval, which enters the thresholds of the next 46; the method is one for intervals, and
      the first beat ends none. NeuroKit2 leaves the last two intervals unjudged; here they are
      judged.
    - Nothing is judged or moved across a gap.
    - A threshold is exceeded, not met: a difference that equals it, as happens with times in whole
      ms, is normal. In NeuroKit2 rounding decides.
    - Thresholds are at least 10 ms, so that a perfectly even series is left alone (NeuroKit2 then
      judges nothing); with fewer than 30 intervals quartiles say little and the floor is 100 ms:
      only gross errors are then corrected.
    - An interval is split, or joined with the next, only if that brings it nearer to the median.
      The published sign of a missed beat is that half the interval lies within Th2 of the median;
      where breathing makes intervals swing by a third, Th2 is wider than that and single slow
      beats would pass as two. They are then long, not missed.
    - An interval near 3 or 4 times the median counts as 2 or 3 missed beats.
    - An ectopic pattern is a long and a short interval side by side, to be interpolated. What made
      the one long and the other short is the beat between them, so that this one is moved.
      NeuroKit2 moves the beat after it, which is not displaced.
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
        A longer interval in s counts as a gap; at most 60.
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
        If times are not finite and strictly ascending, gaps are not (g, 2), or ``max_rr_s`` or
        ``max_passes`` makes no sense.

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
    if not isinstance(max_passes, int | np.integer) or max_passes < 0:
        raise SignalError(f"max_passes is {max_passes!r}: pass a whole number from 0 on")
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
        A longer interval in s counts as a gap; at most 60.

    Returns
    -------
    Beats
        Every beat ``normal``; intervals across a gap are NaN.

    Raises
    ------
    SignalError
        If times are not finite and strictly ascending, gaps are not (g, 2), or ``max_rr_s`` makes
        no sense.

    Examples
    --------
    >>> from physio_hqc.signals.beats import plain_beats
    >>> plain_beats([1.0, 1.8, 2.6, 9.0]).rr_s.round(3)
    array([nan, 0.8, 0.8, nan])
    """
    times = as_signal(peak_times_s, "peak_times_s")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SignalError("peak_times_s must be finite and strictly ascending: beat times in s")
    with np.errstate(over="ignore"):
        rr = np.diff(times, prepend=np.nan)
    rr[rr > _checked_max_rr(max_rr_s)] = np.nan
    rr[_spans_gap(times, gaps)] = np.nan
    return Beats(
        times_s=times,
        rr_s=rr,
        kind=np.full(times.size, KINDS[_NORMAL], dtype="<U7"),
        n_corrected=0,
        raw_times_s=times.copy(),
        raw_index=np.arange(times.size, dtype=np.int64),
    )


def _checked_max_rr(max_rr_s: float) -> float:
    """Return the longest interval in s that is no gap, checked."""
    try:
        limit = float(max_rr_s)
    except (TypeError, ValueError):
        limit = np.nan
    if not 0 < limit <= _LONGEST_RR_S:
        raise SignalError(
            f"max_rr_s is {max_rr_s!r}: pass the longest beat interval in s, up to "
            f"{_LONGEST_RR_S:g}"
        )
    return limit


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
    median = _running_median(padded)
    mrr = padded - median
    mrr = np.where(mrr < 0, 2 * mrr, mrr)
    floor = _threshold_floor(int(np.count_nonzero(np.isfinite(rr))))
    d, _ = _normalized(drr, _worth_judging(drr, floor), floor)
    before, after, after2 = _shift(d, -1), _shift(d, 1), _shift(d, 2)
    s12 = np.where(d > 0, np.maximum(before, after), np.minimum(before, after))
    s22 = np.where(d >= 0, np.minimum(after, after2), np.maximum(after, after2))

    ectopic = (d > 1) & (s12 < -_SLOPE * d - _INTERCEPT)
    ectopic |= (d < -1) & (s12 > -_SLOPE * d + _INTERCEPT)
    candidate = (np.abs(d) > 1) & ~ectopic
    follower = _followers(candidate & (np.abs(after) < np.abs(after2)))
    ectopic &= ~follower
    candidate = (candidate | follower) & np.isfinite(padded)
    m, limit = _normalized(mrr, candidate, floor)

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


def _running_median(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the 11 values around each, of those present near a break or an end."""
    half = _MEDIAN_BEATS // 2
    present = np.isfinite(x)
    median = ndimage.rank_filter(np.where(present, x, 0.0), half, _MEDIAN_BEATS, mode="constant")
    median[~present] = np.nan
    absent = np.cumsum(np.pad(~present, (half + 1, half), constant_values=True))
    around = np.flatnonzero(present & (absent[_MEDIAN_BEATS:] > absent[:-_MEDIAN_BEATS]))
    ends = np.concatenate([np.full(half, np.nan), x, np.full(half, np.nan)])
    near = np.sort(ends[around[:, None] + np.arange(_MEDIAN_BEATS)], axis=1)
    n = np.isfinite(near).sum(axis=1)
    row = np.arange(n.size)
    median[around] = (near[row, (n - 1) // 2] + near[row, n // 2]) / 2
    return np.asarray(median)


def _normalized(
    x: NDArray[np.float64], wanted: NDArray[np.bool_], floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return wanted values as multiples of their thresholds (others: 0), and these (others: NaN).

    A missing neighbor is no evidence: 0 satisfies none of the conditions. Times in whole ms make
    exact ties, which must not hang on where the clock started: hence the rounding.
    """
    at = np.flatnonzero(wanted & np.isfinite(x))
    multiple, limit = np.zeros(x.size), np.full(x.size, np.nan)
    limit[at] = _thresholds(x, at, floor)
    multiple[at] = (x[at] / limit[at]).round(_DECIMALS)
    return multiple, limit


def _thresholds(x: NDArray[np.float64], at: NDArray[np.int64], floor: float) -> NDArray[np.float64]:
    """Return 5.2 quartile deviations of abs(x) in the 91 values around each place, or ``floor``.

    Of fewer values at the ends; missing ones are passed over.
    """
    if at.size == 0:
        return np.empty(0)
    present = np.isfinite(x)
    size = np.abs(x[present])
    half = _THRESHOLD_BEATS // 2
    windows = sliding_window_view(np.pad(size, half, constant_values=np.inf), _THRESHOLD_BEATS)
    place = (np.cumsum(present) - 1)[at]
    n = np.minimum(place + half + 1, size.size) - np.maximum(place - half, 0)
    spread = np.empty(at.size)
    for begin in range(0, at.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        around = windows[place[part]]
        around.sort(axis=1)
        spread[part] = _quantile(around, n[part], 0.75) - _quantile(around, n[part], 0.25)
    return np.maximum(_SCALE * spread / 2, floor)


def _quantile(
    ordered: NDArray[np.float64], n: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """Return a quantile of the first n values of each sorted row, by linear interpolation."""
    place = share * (n - 1)
    below = place.astype(np.int64)
    row = np.arange(n.size)
    low, high = ordered[row, below], ordered[row, np.minimum(below + 1, n - 1)]
    return np.asarray(low + (place - below) * (high - low))


def _worth_judging(x: NDArray[np.float64], floor: float) -> NDArray[np.bool_]:
    """Tell which values may exceed their threshold, or stand near one that may.

    The windows of 8 values in a row share 84 of their 91. Ordered once, these bound the quartiles
    of all 8: whatever the other 7 are, they move a rank by 7 at most.
    """
    present = np.isfinite(x)
    size = np.abs(x[present])
    shared = _THRESHOLD_BEATS - _TOGETHER + 1
    rows = (size.size - _THRESHOLD_BEATS + 1) // _TOGETHER
    worth = np.ones(size.size, dtype=bool)
    if rows > 0:
        block = np.arange(rows) * _TOGETHER
        ordered = np.sort(sliding_window_view(size, shared)[block + _TOGETHER - 1], axis=1)
        rank = int((_THRESHOLD_BEATS - 1) * 0.75) - _TOGETHER + 1
        upper = ordered[:, rank] + ordered[:, rank + 1]
        rank = int((_THRESHOLD_BEATS - 1) * 0.25)
        least = _SCALE * (upper - ordered[:, rank] - ordered[:, rank + 1]) / 4
        least = np.repeat(np.maximum(least, floor), _TOGETHER)
        judged = slice(_THRESHOLD_BEATS // 2, _THRESHOLD_BEATS // 2 + least.size)
        worth[judged] = size[judged] >= least * (1 - 1e-6)
    near = np.zeros(x.size, dtype=bool)
    near[present] = worth
    return np.asarray(ndimage.binary_dilation(near, iterations=_NEAR))


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
