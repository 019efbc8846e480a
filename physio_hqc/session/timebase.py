"""Sample times from packets: measured times stay as measured, corrected time exists on reading.

A packet tells when it arrived and, with some devices, what the device's clock said at its last
sample. Arrival is late by a transport delay that varies and is never negative, so the true line
through (sample, arrival) is the one that *supports the points from below*; a least-squares line
would be late by the mean delay. Device times have no such delay, but their clock drifts against
the host's, may restart, and may stamp a packet wrongly. Hence two steps:

1. packets -> device time: a robust line per gap-free segment (the nominal rate stands in for the
   device's clock where packets carry no time);
2. device time -> host time: the supporting line of the arrivals of one clock epoch, its slope held
   within what a clock can drift.

The delay that even the fastest packet has cannot be seen from one side and remains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.session._stamps import MAX_RATE_ERROR, Judged, believable, judge_stamps
from physio_hqc.session._supporting_line import supporting_line, supporting_lines
from physio_hqc.session.format import BlockFlag

__all__ = ["MAX_DRIFT", "MAX_RATE_ERROR", "TimeBase", "reconstruct", "supporting_line"]

_BREAKS: Final = BlockFlag.GAP_BEFORE | BlockFlag.CLOCK_RESET | BlockFlag.RECONNECT

MAX_DRIFT: Final = 500e-6
"""Crystals of wearables drift by tens of ppm against a computer; ten times that is generous."""

TYPICAL_DRIFT: Final = 100e-6
"""Crystals are within this (20 ppm by their makers, 21 ppm measured), with room for heat."""

_SILENCE_S: Final = 1.0
_MOVED_S: Final = 0.05
_AGREEING: Final = 3
_NEARBY_S: Final = 30.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEGMENT_DTYPE: Final = np.dtype(
    [("start", "<i8"), ("stop", "<i8"), ("t_start", "<f8"), ("period", "<f8"), ("reason", "U16")]
)


@dataclass(frozen=True)
class TimeBase:
    """Times of the samples of one regular stream.

    Attributes
    ----------
    segments : structured ndarray
        One row per gap-free segment: ``start``, ``stop`` (sample indices as presented),
        ``t_start`` (s), ``period`` (s), ``reason`` why it begins.
    pieces : ndarray, shape (p, 2), or None
        Stored sample ranges in the order in which they are presented; None where that is the
        order in which they are stored.
    n_samples : int
        Presented samples.
    n_duplicates, n_reordered, n_resets : int
        Rows left out because they name the same stored samples again, packets put back into
        their place, restarts (or new settings) of the device's clock.
    drift_ppm : float
        Rate of the device's clock against the host's; NaN where packets carry no device time.
    delay_p95_s : float
        95th percentile of the transport delay above the fastest packet's.
    """

    segments: NDArray[np.void]
    pieces: Ints | None
    n_samples: int
    n_duplicates: int = 0
    n_reordered: int = 0
    n_resets: int = 0
    drift_ppm: float = float("nan")
    delay_p95_s: float = 0.0

    def times(self, start: int, stop: int) -> Floats:
        """Times in seconds of the presented samples [start, stop)."""
        index = np.arange(start, stop)
        if not index.size:
            return np.empty(0)
        first, last = np.searchsorted(self.segments["start"], [start, stop - 1], side="right") - 1
        rows = self.segments[first : last + 1]
        if len(rows) == 1:
            result: Floats = rows["t_start"][0] + (index - rows["start"][0]) * rows["period"][0]
            return result
        held = np.diff(np.append(np.maximum(rows["start"], start), stop))
        t_start, begin, period = (
            np.repeat(rows[name], held) for name in ("t_start", "start", "period")
        )
        return np.asarray(t_start + (index - begin) * period)

    def first_at_or_after(self, t: float) -> int:
        """Index of the first presented sample at or after `t` seconds (n_samples if none)."""
        segments = self.segments
        k = int(np.searchsorted(segments["t_start"], t, side="right")) - 1
        if k < 0:
            return 0
        row = segments[k]
        # A nanosecond of slack keeps t = k * period on its own sample whatever the rounding.
        steps = int(np.ceil((t - row["t_start"]) / row["period"] - 1e-9 / row["period"]))
        return int(min(row["start"] + max(steps, 0), row["stop"]))

    @property
    def measured_sfreq(self) -> float:
        """Rate over all segments in Hz, weighted by their length; NaN without samples."""
        if not self.n_samples:
            return float("nan")
        n = self.segments["stop"] - self.segments["start"]
        return float(n.sum() / (n * self.segments["period"]).sum())


def reconstruct(blocks: NDArray[np.void], sfreq: float) -> TimeBase:
    """Reconstruct the times of all samples of a regular stream.

    Parameters
    ----------
    blocks : structured ndarray, shape (b,)
        Rows of the stream's ``blocks`` data set, in order of arrival.
    sfreq : float
        Nominal rate in Hz.

    Returns
    -------
    TimeBase
        Gap-free segments, each with its first time and its period.

    Examples
    --------
    >>> from physio_hqc.session.format import BLOCK_DTYPE
    >>> blocks = np.array([(0, 1, 2.0, 2.0, 0), (1, 9, 2.9, 2.9, 0)], dtype=BLOCK_DTYPE)
    >>> base = reconstruct(blocks, 10.0)
    >>> base.times(0, 3)
    array([2. , 2.1, 2.2])
    """
    rows = blocks[blocks["n_samples"] > 0]
    if not len(rows):
        return TimeBase(np.zeros(0, dtype=SEGMENT_DTYPE), None, 0)
    rows, n_duplicates = _once(rows)
    if believable(rows["t_device"]).mean() > 0.5:
        base = _with_device_clock(rows, sfreq)
    else:
        base = _with_arrivals_only(rows, sfreq)
    return replace(base, n_duplicates=n_duplicates)


def _once(rows: NDArray[np.void]) -> tuple[NDArray[np.void], int]:
    """Rows without those that present the same stored samples again; how many those are."""
    first = rows["first_sample"]
    if np.all(np.diff(first) > 0):
        return rows, 0
    same = np.lexsort((np.arange(len(rows)), rows["n_samples"], first))
    again = np.zeros(len(rows), dtype=bool)
    again[same[1:]] = (np.diff(first[same]) == 0) & (np.diff(rows["n_samples"][same]) == 0)
    return rows[~again], int(again.sum())


def _with_arrivals_only(rows: NDArray[np.void], sfreq: float) -> TimeBase:
    n = rows["n_samples"].astype(np.int64)
    last = np.cumsum(n) - 1
    arrival = rows["t_received"].astype(np.float64)
    broken = (rows["flags"] & int(_BREAKS)) != 0
    broken |= _arrival_gaps(last / sfreq, arrival, n / sfreq, broken)
    broken[0] = True
    clock = last / sfreq
    starts, slope, offset = _arrival_lines(clock, arrival, np.flatnonzero(broken), rows["flags"])
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    segments = np.zeros(len(starts), dtype=SEGMENT_DTYPE)
    segments["start"] = last[starts] - n[starts] + 1
    segments["stop"] = np.append(segments["start"][1:], last[-1] + 1)
    segments["period"] = slope / sfreq
    segments["t_start"] = offset + slope * segments["start"] / sfreq
    segments["reason"] = _reasons(rows["flags"][starts])
    delay = arrival - (offset[group] + slope * clock)
    return TimeBase(
        _in_order(segments),
        _stored_pieces(rows),
        int(last[-1] + 1),
        delay_p95_s=float(np.quantile(delay, 0.95)),
    )


def _with_device_clock(rows: NDArray[np.void], sfreq: float) -> TimeBase:
    judged = judge_stamps(rows, sfreq)
    rows = rows[judged.order] if judged.n_reordered else rows
    epoch = judged.epoch
    exact = rows["t_received"] == rows["t_device"]
    n = rows["n_samples"].astype(np.int64)
    last = np.cumsum(n) - 1
    starts = np.flatnonzero(_broken(rows["flags"], judged, last, exact))
    segments, clock = _on_device_clock(starts, n, last, judged)
    segments["reason"] = _reasons(rows["flags"][starts])
    segment_epoch = epoch[starts]
    for k in np.flatnonzero(np.diff(segment_epoch)) + 1:
        if not (rows["flags"][starts[k]] & int(BlockFlag.CLOCK_RESET | BlockFlag.RECONNECT)):
            segments["reason"][k] = "clock reset"
    arrival = rows["t_received"].astype(np.float64)
    lag = arrival - clock
    origin = clock[np.searchsorted(epoch, np.arange(int(epoch[-1]) + 1))]
    since = clock - origin[epoch]
    parts = _trusted(since, lag, epoch, _steady(judged.stamp, starts))
    drift, offsets = supporting_lines(parts, MAX_DRIFT, TYPICAL_DRIFT)
    offset = np.array(offsets)
    t_device = segments["t_start"].copy()
    segments["t_start"] += offset[segment_epoch] + drift * (t_device - origin[segment_epoch])
    segments["period"] *= 1 + drift
    return TimeBase(
        _in_order(segments),
        _stored_pieces(rows),
        int(last[-1] + 1),
        n_reordered=judged.n_reordered,
        n_resets=int(epoch[-1]),
        drift_ppm=drift * 1e6,
        delay_p95_s=float(np.nanquantile(lag - offset[epoch] - drift * since, 0.95)),
    )


def _steady(stamp: Floats, starts: Ints) -> NDArray[np.bool_]:
    """Rows with a stamp that others of their segment agree with."""
    known = np.isfinite(stamp)
    number = np.add.reduceat(known.astype(np.int64), starts)
    return known & np.repeat(number >= _AGREEING, np.diff(np.append(starts, len(stamp))))


def _trusted(
    since: Floats, lag: Floats, epoch: Ints, steady: NDArray[np.bool_]
) -> list[tuple[Floats, Floats]]:
    """Points of each epoch that stand in a steady segment; all where none does."""
    edges = np.searchsorted(epoch, np.arange(int(epoch[-1]) + 2))
    parts = []
    for a, b in pairwise(edges):
        use = steady[a:b] if steady[a:b].any() else np.ones(b - a, dtype=bool)
        parts.append((since[a:b][use], lag[a:b][use]))
    return parts


def _broken(
    flags: NDArray[np.uint32], judged: Judged, last: Ints, exact: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Rows that begin a segment: told by flags, seen from the stamps, or a clock set anew.

    Where the times are `exact`, those of a file, nothing came late that could fill a gap.
    """
    told = (flags & int(_BREAKS)) != 0
    broken: NDArray[np.bool_] = judged.broken | told
    known = np.flatnonzero(np.isfinite(judged.stamp))
    row, before = known[1:], known[:-1]
    # Between two stamps one break is enough: the packets without a stamp stay with those it tells.
    count = np.cumsum(told)
    within = count[row - 1] > count[before]
    broken[row[within & ~told[row]]] = False
    # A counter tells of a gap at once; a late packet may have filled it since.
    missing = np.diff(judged.stamp[known]) - (last[row] - last[before]) / judged.rate
    other = (flags & int(_BREAKS & ~BlockFlag.GAP_BEFORE)) != 0
    filled = (row == before + 1) & ~other[row] & (np.abs(missing) < 0.5 / judged.rate)
    filled &= ~exact[row]
    broken[row[filled]] = False
    broken[1:] |= np.diff(judged.epoch) != 0
    broken[0] = True
    return broken


def _on_device_clock(
    starts: Ints, n: Ints, last: Ints, judged: Judged
) -> tuple[NDArray[np.void], Floats]:
    """Segments in device time, and the device time of every row's last sample."""
    stops = np.append(starts[1:], len(last))
    segments = np.zeros(len(starts), dtype=SEGMENT_DTYPE)
    segments["start"] = last[starts] - n[starts] + 1
    segments["stop"] = last[stops - 1] + 1
    offset, period = np.full(len(starts), np.nan), np.full(len(starts), 1 / judged.rate)
    for k, (a, b) in enumerate(zip(starts, stops, strict=True)):
        if np.isfinite(judged.stamp[a:b]).any():
            offset[k], period[k] = _device_line(last[a:b], judged.stamp[a:b], judged.rate)
    offset = _continued(offset, period, segments["start"], judged.epoch[starts])
    segments["t_start"] = offset + period * segments["start"]
    segments["period"] = period
    rows = stops - starts
    return segments, np.repeat(offset, rows) + np.repeat(period, rows) * last


def _continued(offset: Floats, period: Floats, start: Ints, epoch: Ints) -> Floats:
    """Offsets with those of segments without any stamp taken from their neighbor."""
    known = np.flatnonzero(np.isfinite(offset))
    result = offset.copy()
    for k in np.flatnonzero(~np.isfinite(offset)):
        at = int(np.searchsorted(known, k))
        near = [
            j for j in (*known[max(0, at - 1) : at], *known[at : at + 1]) if epoch[j] == epoch[k]
        ]
        border = start[max(near[0], k)] if near else 0
        result[k] = offset[near[0]] + (period[near[0]] - period[k]) * border if near else 0.0
    return result


def _arrival_lines(
    clock: Floats, arrival: Floats, starts: Ints, flags: NDArray[np.uint32]
) -> tuple[Ints, float, Floats]:
    """Starts of the segments, their rate and their offsets.

    One rate for the whole stream, one offset per segment: a short segment cannot tell its rate.
    Lost samples only add to the offset: a silence that looked like a loss was none where later
    packets came in time after all, and its segment is joined to the one before.
    """
    while True:
        held = np.diff(np.append(starts, len(clock)))
        group = np.repeat(np.arange(len(starts)), held)
        slope = 1.0 + _common_drift(clock, arrival, group, len(starts), MAX_RATE_ERROR)
        late = arrival - slope * clock
        parts = [(np.zeros(part.size), part) for part in np.split(late, starts[1:])]
        offset = np.array(supporting_lines(parts, 0.0)[1])
        told = (flags[starts] & int(_BREAKS)) != 0
        refuted = np.append(False, np.diff(offset) < 0.25 * _SILENCE_S) & ~told
        if not refuted.any():
            return starts, slope, offset
        starts = starts[~refuted]


def _common_drift(
    clock: Floats, arrival: Floats, group: Ints, n_groups: int, max_slope: float
) -> float:
    """Slope shared by all segments: each segment's own, weighted by its length squared."""
    total = weight = 0.0
    edges = np.searchsorted(group, np.arange(n_groups + 1))
    for begin, end in pairwise(edges.tolist()):
        mine = slice(begin, end)
        span = float(np.ptp(clock[mine]))
        if end - begin < 8 or span == 0:
            continue
        slope, _ = supporting_line(
            clock[mine] - clock[mine][0], arrival[mine] - clock[mine], max_slope
        )
        total += slope * span**2
        weight += span**2
    return total / weight if weight else 0.0


def _arrival_gaps(
    clock: Floats, arrival: Floats, length: Floats, broken: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Packets before which samples were lost, seen from arrivals alone.

    After a silence either the backlog follows, and the lowest delay returns to what it was, or
    samples are missing, and it stays up.
    """
    found = np.zeros(len(clock), dtype=bool)
    silence = np.append(False, np.diff(arrival) > length[1:] + _SILENCE_S)
    if not silence.any():
        return found
    delay = arrival - clock * _rough_slope(clock, arrival)
    near = max(5, int(_NEARBY_S / float(np.median(length))))
    for i in np.flatnonzero(silence & ~broken):
        before = delay[max(0, i - near) : i].min()
        found[i] = delay[i : i + near].min() - before > 0.5 * _SILENCE_S
    return found


def _rough_slope(clock: Floats, arrival: Floats) -> float:
    """Median slope over pairs a minute apart: a few losses do not move it."""
    apart = int(np.clip(np.searchsorted(clock, clock[0] + 60.0), 1, max(1, len(clock) // 2)))
    if apart >= len(clock):
        return 1.0
    slopes = (arrival[apart:] - arrival[:-apart]) / (clock[apart:] - clock[:-apart])
    return float(np.clip(np.median(slopes), 1 - MAX_RATE_ERROR, 1 + MAX_RATE_ERROR))


def _device_line(last: Ints, stamp: Floats, rate: float) -> tuple[float, float]:
    """Offset and period of device time over sample index, wrong stamps left out."""
    known = np.isfinite(stamp)
    x, y = last[known].astype(np.float64), stamp[known]
    if x.size == 0:
        return 0.0, 1 / rate
    if x.size == 1 or x[-1] == x[0]:
        return float(y[0] - x[0] / rate), 1 / rate
    x0 = x.mean()
    for _ in range(3):
        period, level = np.polyfit(x - x0, y, 1) if x.size > 2 else _through_two(x - x0, y)
        error = np.abs(y - level - period * (x - x0))
        good = error <= max(5 * float(np.median(error)), 0.25 / rate)
        if good.all() or np.count_nonzero(good) < 2:
            break
        x, y = x[good], y[good]
    if abs(period * rate - 1) > 2 * MAX_RATE_ERROR:
        return float(np.median(y - x / rate)), 1 / rate
    return float(level - period * x0), float(period)


def _through_two(x: Floats, y: Floats) -> tuple[float, float]:
    slope = (y[1] - y[0]) / (x[1] - x[0])
    return slope, y[0] - slope * x[0]


def _reasons(flags: NDArray[np.uint32]) -> list[str]:
    names = []
    for k, flag in enumerate(flags):
        if k == 0:
            names.append("")
        elif flag & BlockFlag.CLOCK_RESET:
            names.append("clock reset")
        elif flag & BlockFlag.RECONNECT:
            names.append("reconnect")
        else:
            names.append("gap")
    return names


def _in_order(segments: NDArray[np.void]) -> NDArray[np.void]:
    """Let no segment begin before the previous one ended.

    Estimates overlap by a little: such a segment is moved. More samples than there is time for
    are squeezed into it at twice the rate, so that those behind them keep their times.
    """
    result: list[NDArray[np.void]] = []
    end = -np.inf
    for row in segments.copy():
        n, overlap = int(row["stop"] - row["start"]), end - row["t_start"]
        if overlap > 0:
            row["t_start"] = end
        squeezed = int(np.ceil(2 * overlap / row["period"])) if overlap > _MOVED_S else 0
        if squeezed:
            head = row.copy()
            squeezed = min(squeezed, n)
            head["stop"], head["period"] = head["start"] + squeezed, row["period"] / 2
            result.append(head)
            row["start"], row["t_start"] = head["stop"], end + squeezed * head["period"]
            row["reason"] = "overlap"
        end = row["t_start"] + (row["stop"] - row["start"]) * row["period"]
        if row["stop"] > row["start"]:
            result.append(row)
    return np.array(result, dtype=SEGMENT_DTYPE)


def _stored_pieces(rows: NDArray[np.void]) -> Ints | None:
    """Stored ranges in presented order, joined where they follow each other; None if all do."""
    first = rows["first_sample"].astype(np.int64)
    stop = first + rows["n_samples"]
    cut = np.flatnonzero(np.append(True, first[1:] != stop[:-1]))
    pieces = np.stack([first[cut], stop[np.append(cut[1:] - 1, len(rows) - 1)]], axis=1)
    if len(pieces) == 1 and pieces[0, 0] == 0:
        return None
    return pieces.astype(np.int64)
