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

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.session.format import BlockFlag

_BREAKS: Final = BlockFlag.GAP_BEFORE | BlockFlag.CLOCK_RESET | BlockFlag.RECONNECT

MAX_DRIFT: Final = 500e-6
"""Crystals of wearables drift by tens of ppm against a computer; ten times that is generous."""

MAX_RATE_ERROR: Final = 0.05
"""Vendor tolerance of a wearable's sampling rate over its temperature range (Polar: 5 %)."""

_LATE_PACKETS: Final = 64
"""How many packets back a late (reordered) packet may belong."""

_MAX_BINS: Final = 2000
_RESET_TOLERANCE_S: Final = 1.0
_SILENCE_S: Final = 1.0
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
        Packets left out as repetitions, packets put back into their place, restarts of the
        device's clock.
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
    if np.isfinite(rows["t_device"]).mean() > 0.5:
        return _with_device_clock(rows, sfreq)
    return _with_arrivals_only(rows, sfreq)


def _with_arrivals_only(rows: NDArray[np.void], sfreq: float) -> TimeBase:
    n = rows["n_samples"].astype(np.int64)
    last = np.cumsum(n) - 1
    arrival = rows["t_received"].astype(np.float64)
    broken = (rows["flags"] & int(_BREAKS)) != 0
    broken |= _arrival_gaps(last / sfreq, arrival, n / sfreq, broken)
    broken[0] = True
    group = np.cumsum(broken) - 1
    starts = np.flatnonzero(broken)
    clock = last / sfreq
    slope = 1.0 + _common_drift(clock, arrival, group, len(starts), MAX_RATE_ERROR)
    segments = np.zeros(len(starts), dtype=SEGMENT_DTYPE)
    segments["start"] = last[starts] - n[starts] + 1
    segments["stop"] = np.append(segments["start"][1:], last[-1] + 1)
    segments["period"] = slope / sfreq
    # One rate for the whole stream, one offset per segment: a short segment cannot tell its rate.
    offset = np.array([_edge(part) for part in np.split(arrival - slope * clock, starts[1:])])
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
    rows, epoch, n_duplicates = _epochs(rows, sfreq)
    order = np.lexsort((np.arange(len(rows)), _sortable_stamps(rows, sfreq), epoch))
    n_reordered = int(np.count_nonzero(np.diff(order) < 0))
    rows, epoch = rows[order], epoch[order]
    n = rows["n_samples"].astype(np.int64)
    last = np.cumsum(n) - 1
    stamp = rows["t_device"].astype(np.float64)
    told = (rows["flags"] & int(BlockFlag.GAP_BEFORE)) != 0
    broken = (rows["flags"] & int(_BREAKS)) != 0
    broken[0] = True
    broken[1:] |= np.diff(epoch) != 0
    rate = _typical_rate(last, stamp, broken, sfreq)
    with np.errstate(invalid="ignore"):
        missing = np.diff(stamp) - n[1:] / rate
        longest = np.minimum(n[1:], n[:-1]) / rate
        broken[1:] |= missing > 0.5 * np.maximum(longest, 1.5 / rate)
        # A counter tells of a gap at once; a late packet may have filled it since.
        other = (rows["flags"][1:] & int(_BREAKS & ~BlockFlag.GAP_BEFORE)) != 0
        filled = told[1:] & ~other & (np.diff(epoch) == 0) & (np.abs(missing) < 0.5 / rate)
        broken[1:] &= ~filled
    starts = np.flatnonzero(broken)
    stops = np.append(starts[1:], len(rows))
    segments = np.zeros(len(starts), dtype=SEGMENT_DTYPE)
    clock = np.empty(len(rows))
    for k, (a, b) in enumerate(zip(starts, stops, strict=True)):
        offset, period = _device_line(last[a:b], stamp[a:b], rate)
        first = last[a] - n[a] + 1
        segments[k] = (first, last[b - 1] + 1, offset + period * first, period, "")
        clock[a:b] = offset + period * last[a:b]
    segments["reason"] = _reasons(rows["flags"][starts])
    arrival = rows["t_received"].astype(np.float64)
    drifts, delays = [], []
    for e in range(int(epoch[-1]) + 1):
        mine = epoch == e
        origin = clock[mine][0]
        drift, offset = supporting_line(
            clock[mine] - origin, arrival[mine] - clock[mine], MAX_DRIFT
        )
        members = epoch[starts] == e
        t_device = segments["t_start"][members]
        segments["t_start"][members] = t_device + offset + drift * (t_device - origin)
        segments["period"][members] *= 1 + drift
        drifts.append((np.ptp(clock[mine]), drift))
        delays.append(arrival[mine] - clock[mine] - offset - drift * (clock[mine] - origin))
        if e and not segments["reason"][members][0]:
            segments["reason"][np.flatnonzero(members)[0]] = "clock reset"
    return TimeBase(
        _in_order(segments),
        _stored_pieces(rows),
        int(last[-1] + 1),
        n_duplicates,
        n_reordered,
        int(epoch[-1]),
        max(drifts)[1] * 1e6,
        float(np.quantile(np.concatenate(delays), 0.95)),
    )


def supporting_line(x: Floats, y: Floats, max_slope: float) -> tuple[float, float]:
    """Slope and intercept of the line from which all points are late by a positive delay.

    Among the lines below the points the closest is an edge of their lower convex hull, but with
    few packets that edge is a matter of luck. With `s` the spacing that the shortest delays have,
    every line below the points has the likelihood exp(height / s), height being that of the line
    over the mean of `x`; the line returned is the mean over all of them, with the slope's prior a
    normal density of `max_slope` / 3 cut at `max_slope`.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Device time and arrival minus device time, in seconds.
    max_slope : float
        Largest believable slope.

    Returns
    -------
    slope, intercept : float

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> late = np.where(np.arange(100) % 7 == 0, 0.0, 0.2)
    >>> slope, intercept = supporting_line(x, 3.0 + 1e-4 * x + late, 5e-4)
    >>> round(slope, 7), round(intercept, 4)
    (0.0001, 3.0)
    """
    usable = np.isfinite(x) & np.isfinite(y)
    x, y = x[usable], y[usable]
    if x.size < 2 or np.ptp(x) == 0:
        return 0.0, _edge(y) if y.size else 0.0
    centre = float(x.mean())
    low_x, low_y = _lowest_per_bin(x - centre, y)
    hull = _lower_hull(low_x, low_y)
    hx, hy = low_x[hull], low_y[hull]
    edge = int(np.clip(np.searchsorted(hx, 0.0, side="right") - 1, 0, len(hx) - 2))
    best = (hy[edge + 1] - hy[edge]) / (hx[edge + 1] - hx[edge])
    best = float(np.clip(best, -max_slope, max_slope))
    spacing = _mean_spacing_at_edge(y - best * (x - centre))
    slope = _mean_slope(hx, hy, best, spacing, max_slope) if spacing else best
    return slope, _edge(y - slope * (x - centre)) - slope * centre


def _mean_slope(hx: Floats, hy: Floats, best: float, spacing: float, max_slope: float) -> float:
    """Mean of the slopes of all lines below the hull, by likelihood and prior."""

    def log_density(slopes: Floats) -> Floats:
        heights = (hy[:, None] - hx[:, None] * slopes).min(axis=0)
        return np.asarray(heights / spacing - 0.5 * (3 * slopes / max_slope) ** 2)

    reach = max_slope
    slopes = np.array([best])
    weights = np.ones(1)
    # Long recordings know their slope to a fraction of a ppm: narrow the grid around the mass.
    for _ in range(6):
        low, high = max(best - reach, -max_slope), min(best + reach, max_slope)
        slopes = np.linspace(low, high, 201)
        density = log_density(slopes)
        weights = np.exp(density - density.max())
        best = float(np.average(slopes, weights=weights))
        held = slopes[weights > 1e-6]
        narrower = max(held[-1] - best, best - held[0]) * 1.1
        if held.size > 40 or narrower >= reach:
            break
        reach = max(narrower, 2 * (slopes[1] - slopes[0]))
    return best


def _edge(delays: Floats) -> float:
    """The delay that the fastest possible packet would have."""
    return float(delays.min() - _mean_spacing_at_edge(delays))


def _mean_spacing_at_edge(above: Floats) -> float:
    """How far the lowest of n delays is expected to lie above the true edge.

    The spacings of the lowest order statistics next to an edge are alike, so their mean is the
    expected distance of the first from the edge itself (the correction of a sample minimum).
    """
    n = min(20, above.size // 3)
    if n < 5:
        return 0.0
    lowest = np.sort(np.partition(above, n)[: n + 1])
    # Two points lie on the line by construction and tell nothing. The median over three depths
    # holds where a mass of packets has no delay at all and where the first two were lucky.
    depths = np.array([max(4, n // 4), max(4, n // 2), n])
    return float(np.median((lowest[depths] - lowest[0]) / (depths - 1)))


def _lowest_per_bin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if x.size > _MAX_BINS:
        edges = np.linspace(0, x.size, _MAX_BINS + 1).astype(int)
        bins = np.repeat(np.arange(_MAX_BINS), np.diff(edges))
        order = np.lexsort((y, bins))
        first = order[edges[:-1]]
        x, y = x[first], y[first]
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    distinct = np.append(True, np.diff(x) > 0)
    lowest = np.minimum.reduceat(y, np.flatnonzero(distinct))
    return x[distinct], lowest


def _lower_hull(x: Floats, y: Floats) -> list[int]:
    """Indices of the lower convex hull of points with ascending x (Andrew's monotone chain)."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull


def _common_drift(
    clock: Floats, arrival: Floats, group: Ints, n_groups: int, max_slope: float
) -> float:
    """Slope shared by all segments: each segment's own, weighted by its length squared."""
    total = weight = 0.0
    for g in range(n_groups):
        mine = group == g
        span = float(np.ptp(clock[mine]))
        if np.count_nonzero(mine) < 8 or span == 0:
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


def _epochs(rows: NDArray[np.void], sfreq: float) -> tuple[NDArray[np.void], Ints, int]:
    """Number the epochs of the device's clock; leave out repetitions, unset wrong stamps."""
    rows = rows.copy()
    stamp = rows["t_device"]
    arrival = rows["t_received"]
    length = rows["n_samples"] / sfreq
    reset = (rows["flags"] & int(BlockFlag.CLOCK_RESET)) != 0
    repeated = np.zeros(len(rows), dtype=bool)
    with np.errstate(invalid="ignore"):
        step = np.append(np.nan, np.diff(stamp))
        ahead = step - np.append(np.nan, np.diff(arrival)) > _RESET_TOLERANCE_S
        backward = step < 0.5 * length
    for i in np.flatnonzero((ahead | backward) & ~reset):
        begin = int(np.flatnonzero(np.append(True, reset[1:i]))[-1])
        recent = slice(max(begin, i - _LATE_PACKETS), i)
        if ahead[i]:
            # Delay cannot fall below the lowest seen: an earlier arrival means another clock.
            delay = arrival[begin:i] - stamp[begin:i]
            reset[i] = arrival[i] - stamp[i] < np.nanmin(delay) - _RESET_TOLERANCE_S
        elif not _fits_a_hole(stamp[recent], length[recent], stamp[i], length[i]):
            goes_on = i + 1 < len(rows) and abs(stamp[i + 1] - stamp[i] - length[i + 1]) < (
                0.5 * length[i + 1]
            )
            if abs(step[i]) < 0.5 / sfreq and rows["n_samples"][i] == rows["n_samples"][i - 1]:
                repeated[i] = goes_on
                stamp[i] = stamp[i] if goes_on else np.nan
            elif goes_on:
                reset[i] = True
            else:
                stamp[i] = np.nan
    reset[0] = False
    epoch = np.cumsum(reset)
    keep = ~repeated
    return rows[keep], epoch[keep].astype(np.int64), int(repeated.sum())


def _fits_a_hole(stamps: Floats, lengths: Floats, stamp: float, length: float) -> bool:
    """Whether a late packet's time span is still free among the recent packets'."""
    if not np.isfinite(stamp) or not np.nanmin(stamps) < stamp:
        return False
    free = (stamps <= stamp - 0.5 * length) | (stamps - lengths >= stamp - 0.5 * length)
    return bool(free[np.isfinite(stamps)].all())


def _sortable_stamps(rows: NDArray[np.void], sfreq: float) -> Floats:
    """Stamps with the missing ones continued from the packet before."""
    stamp = rows["t_device"].astype(np.float64)
    known = np.isfinite(stamp)
    if known.all():
        return stamp
    length = np.cumsum(rows["n_samples"] / sfreq)
    before = np.maximum.accumulate(np.where(known, np.arange(len(stamp)), 0))
    filled = stamp[before] + length - length[before]
    if not np.isfinite(filled).all():
        first = int(np.flatnonzero(known)[0])
        filled[:first] = stamp[first] + length[:first] - length[first]
    result: Floats = np.where(known, stamp, filled)
    return result


def _typical_rate(last: Ints, stamp: Floats, broken: NDArray[np.bool_], sfreq: float) -> float:
    """Median rate from packet to packet; the nominal one where that is implausible."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rates = np.diff(last) / np.diff(stamp)
    rates = rates[~broken[1:] & np.isfinite(rates)]
    rates = rates[np.abs(rates / sfreq - 1) < MAX_RATE_ERROR]
    return float(np.median(rates)) if rates.size else sfreq


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
    """Push a segment that would begin before the previous one ended (estimates overlap)."""
    for k in range(1, len(segments)):
        before = segments[k - 1]
        end = before["t_start"] + (before["stop"] - before["start"]) * before["period"]
        segments["t_start"][k] = max(segments["t_start"][k], end)
    return segments


def _stored_pieces(rows: NDArray[np.void]) -> Ints | None:
    """Stored ranges in presented order, joined where they follow each other; None if all do."""
    first = rows["first_sample"].astype(np.int64)
    stop = first + rows["n_samples"]
    cut = np.flatnonzero(np.append(True, first[1:] != stop[:-1]))
    pieces = np.stack([first[cut], stop[np.append(cut[1:] - 1, len(rows) - 1)]], axis=1)
    if len(pieces) == 1 and pieces[0, 0] == 0:
        return None
    return pieces.astype(np.int64)
