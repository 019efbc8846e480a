"""Which of a device's time stamps to believe, and where its clock began again.

Within one run of the clock, the stamps less the time that the samples counted so far take are
level; lost samples raise that level for good and nothing lowers it. Packets between which the
level stays are a *run*. A late packet fits into the hole that it left. Of the remaining runs the
heaviest series of rising levels is believed, a fall within it costing as much as `_RESET_COST`
packets: few packets beside the level have wrong stamps, many are a clock that was set anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.session.format import BlockFlag

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LATE_PACKETS: Final = 64
"""How many packets back a late (reordered) packet may belong."""

MAX_RATE_ERROR: Final = 0.05
"""Vendor tolerance of a wearable's sampling rate over its temperature range (Polar: 5 %)."""

_RESET_COST: Final = 8
_FALL_SAMPLES: Final = 1.5
_RESET_TOLERANCE_S: Final = 1.0
_SMALLEST_JUMP_S: Final = 0.15
_NEARBY_S: Final = 10.0
_LATEST_STAMP_S: Final = 1e12


@dataclass(frozen=True)
class Judged:
    """Packets in the order of their samples, with the stamps that are believed.

    Attributes
    ----------
    order : ndarray of int, shape (b,)
        Stored rows in the order in which they are presented.
    stamp : ndarray, shape (b,)
        Device time of each presented row in s; NaN where it is unknown or not believed.
    epoch : ndarray of int, shape (b,)
        Number of the clock's setting.
    broken : ndarray of bool, shape (b,)
        Rows before which samples are missing, as far as the stamps tell.
    n_reordered : int
        Rows put back into their place.
    rate : float
        Samples per second of device time.
    """

    order: Ints
    stamp: Floats
    epoch: Ints
    broken: Bools
    n_reordered: int
    rate: float


def believable(stamp: Floats) -> Bools:
    """Whether stamps are times at all: finite, and small enough to keep a millisecond."""
    return np.asarray(np.abs(stamp) < _LATEST_STAMP_S)


def judge_stamps(rows: NDArray[np.void], sfreq: float) -> Judged:
    """Put packets into order and tell believable stamps from wrong ones.

    Parameters
    ----------
    rows : structured ndarray, shape (b,)
        Rows of ``blocks`` that hold samples, in order of arrival.
    sfreq : float
        Nominal rate in Hz.

    Returns
    -------
    Judged
    """
    stamp = rows["t_device"].astype(np.float64)
    stamp[~believable(stamp)] = np.nan
    n = rows["n_samples"].astype(np.int64)
    section = np.cumsum((rows["flags"] & int(BlockFlag.CLOCK_RESET | BlockFlag.RECONNECT)) != 0)
    rate = _typical_rate(n, stamp, section, sfreq)
    exact = rows["t_received"] == stamp
    levels = _Levels.of(n, stamp, section, rate, exact)
    order, n_reordered = _put_back(levels, len(rows))
    if n_reordered:
        rows, section = rows[order], section[order]
        levels = _Levels.of(n[order], stamp[order], section, rate, exact[order])
    arrival = rows["t_received"].astype(np.float64)[levels.known]
    forced = (rows["flags"] & int(BlockFlag.CLOCK_RESET)) != 0
    forced_section = np.zeros(int(section.max()) + 1, dtype=bool)
    forced_section[section[forced]] = True
    slack = _FALL_SAMPLES / rate
    believed, reset = _believe(levels, arrival - levels.stamp, forced_section, slack)
    return _judged(levels, believed, reset, order, n_reordered, len(rows), rate, section)


def _typical_rate(n: Ints, stamp: Floats, section: Ints, sfreq: float) -> float:
    """Median rate from packet to packet; the nominal one where that is implausible."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rates = n[1:] / np.diff(stamp)
    rates = rates[np.isfinite(rates) & (np.diff(section) == 0)]
    rates = rates[np.abs(rates / sfreq - 1) < MAX_RATE_ERROR]
    return float(np.median(rates)) if rates.size else sfreq


@dataclass(frozen=True)
class _Levels:
    """Packets with a stamp: their level above the sample count, and the runs of equal level."""

    known: Ints
    stamp: Floats
    length: Floats
    section: Ints
    level: Floats
    tolerance: Floats
    starts: Ints

    @classmethod
    def of(cls, n: Ints, stamp: Floats, section: Ints, rate: float, exact: Bools) -> _Levels:
        known = np.flatnonzero(np.isfinite(stamp))
        size, stamp, section = n[known], stamp[known], section[known]
        jump = np.diff(stamp) - np.diff(np.cumsum(n)[known]) / rate
        tolerance = _tolerance(size, jump, rate)
        # Stretches of a file have rates of their own, and their gaps are flagged.
        own_rate = np.where(exact[known], MAX_RATE_ERROR * size / rate, 0.0)
        tolerance = np.maximum(tolerance, own_rate)
        stays = np.abs(jump) <= tolerance[1:]
        # The sum of the jumps alone: a rate that wanders over hours must not look like one.
        level = np.append(0.0, np.cumsum(np.where(stays, 0.0, jump)))[: len(known)]
        begins = np.append(True, ~stays | (np.diff(section) != 0))[: len(known)]
        starts = np.flatnonzero(begins)
        return cls(known, stamp, size / rate, section, level, tolerance, starts)

    @property
    def stops(self) -> Ints:
        return np.append(self.starts[1:], len(self.known))


def _tolerance(size: Ints, jump: Floats, rate: float) -> Floats:
    """Jumps below this are scatter: 1.5 samples, or what the stamps scatter themselves."""
    smaller = np.minimum(size, np.append(size[:1], size[:-1]))
    # A lone sample among longer packets is the rest of one: a program that stamps what it sends
    # has given both the same time.
    usual = min(float(np.median(size)), 3.0) if size.size else 1.0
    floor = np.clip(0.5 * np.maximum(smaller, usual), 0.75, 1.5) / rate
    if jump.size < 8:
        return np.asarray(floor)
    scatter = 1.4826 * float(np.median(np.abs(jump)))
    # Half a packet is a loss, whatever the scatter.
    return np.maximum(floor, min(6 * scatter, 0.5 * float(np.median(size)) / rate))


def _put_back(levels: _Levels, n_rows: int) -> tuple[Ints, int]:
    """Order of all rows with late packets put behind those that they follow; how many."""
    place = np.arange(n_rows, dtype=np.int64)
    starts, stops = levels.starts, levels.stops
    if len(starts) < 3:
        return place, 0
    within = np.full(n_rows, -np.inf)
    fell = np.append(False, levels.stamp[starts[1:]] < levels.stamp[starts[1:] - 1])
    short = stops - starts <= LATE_PACKETS
    section_start = np.searchsorted(levels.section, levels.section[starts], side="left")
    late = np.zeros(len(levels.known), dtype=bool)
    for k in np.flatnonzero(short & _after_a_fall(fell, starts)):
        for i in range(starts[k], stops[k]):
            before = _hole_of(levels, late, i, max(int(section_start[k]), i - LATE_PACKETS))
            if before is None:
                break
            row, behind = levels.known[i], levels.known[before]
            place[row], within[row] = place[behind], levels.stamp[i]
            late[i] = True
    return np.lexsort((within, place)).astype(np.int64), int(late.sum())


def _after_a_fall(fell: Bools, starts: Ints) -> Bools:
    """Runs that begin within `LATE_PACKETS` packets after a fall of the stamps, or with it."""
    falls = starts[fell]
    if not falls.size:
        return np.zeros(len(starts), dtype=bool)
    latest = np.searchsorted(falls, starts, side="right") - 1
    return (latest >= 0) & (starts - falls[np.maximum(latest, 0)] <= LATE_PACKETS)


def _hole_of(levels: _Levels, late: Bools, i: int, begin: int) -> int | None:
    """Packet behind which packet `i` fits exactly, though it came later; None if nowhere."""
    stop, tol = levels.stamp[i], levels.tolerance[i]
    start = stop - levels.length[i]
    stops = levels.stamp[begin:i]
    earlier = stops <= start + tol
    if earlier.all() or not earlier.any():
        return None
    starts = stops - levels.length[begin:i]
    later = starts >= stop - tol
    if not (earlier | later).all():
        return None
    before = begin + int(np.argmax(np.where(earlier, stops, -np.inf)))
    after = begin + int(np.argmin(np.where(later, starts, np.inf)))
    touches = levels.stamp[before] >= start - tol or levels.stamp[after] <= (
        stop + levels.length[after] + tol
    )
    level = levels.level
    # Behind a true hole the level is up; behind one that a wrong stamp left it is as before.
    since = slice(before, after)
    put_back = float(levels.length[since][late[since]].sum()) - late[before] * levels.length[before]
    missed = level[after] - level[before] + put_back >= levels.length[i] - tol
    # On the level of the one before it stands where it belongs: those ahead of it are wrong.
    displaced = abs(level[i] - level[before]) > tol
    return before if touches and missed and displaced else None


def _believe(levels: _Levels, lag: Floats, forced: Bools, slack: float) -> tuple[Bools, Bools]:
    """Packets whose stamps are believed, and those that begin a new setting of the clock.

    A program that stamps what it sends counts whole samples: its stamps fall by one of them now
    and then. So a fall is one only beyond `slack` seconds.
    """
    n = len(levels.known)
    believed, reset = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    run_section = levels.section[levels.starts]
    borders = np.flatnonzero(np.append(True, np.diff(run_section) != 0))
    for a, b in zip(borders, np.append(borders[1:], len(run_section)), strict=True):
        runs, falls = _heaviest_series(
            levels.level[levels.starts[a:b]],
            (levels.stops - levels.starts)[a:b],
            np.maximum(levels.tolerance[levels.starts[a:b]], slack),
        )
        mine = np.repeat(runs, (levels.stops - levels.starts)[a:b])
        first = levels.starts[a]
        believed[first : first + len(mine)] = mine
        reset[levels.starts[a:b][falls]] = True
    _judge_jumps(levels, lag, believed, reset)
    _judge_sections(levels, lag, believed, reset, forced)
    return believed, reset


def _heaviest_series(level: Floats, weight: Ints, tol: Floats) -> tuple[Bools, Ints]:
    """Runs of the heaviest series of rising levels; runs before which the level fell for good.

    Of series with as many packets the one with fewer rises is the likelier.
    """
    if np.all(np.diff(level) >= -tol[1:]):
        return np.ones(len(level), dtype=bool), np.zeros(0, dtype=np.int64)
    ladder = np.unique(level)
    here = np.searchsorted(ladder, level) + 1
    reach = np.searchsorted(ladder, level + tol, side="right")
    tree: list[tuple[int, int]] = [(0, -1)] * (len(ladder) + 1)
    parents, fell = [], []
    best_of_all = (0, -1)
    # A tree of prefix maxima (Fenwick, 1994): the heaviest series that ends at or below a level.
    for j, (k, top, w) in enumerate(
        zip(here.tolist(), reach.tolist(), (2 * weight - 1).tolist(), strict=True)
    ):
        best = (0, -1)
        while top > 0:
            best = max(best, tree[top])
            top &= top - 1
        fall = best_of_all[0] - 2 * _RESET_COST > best[0]
        total, parent = (best_of_all[0] - 2 * _RESET_COST, best_of_all[1]) if fall else best
        parents.append(parent)
        fell.append(fall)
        entry = (total + w, j)
        best_of_all = max(best_of_all, entry)
        while k < len(tree):
            tree[k] = max(tree[k], entry)
            k += k & -k
    chosen = np.zeros(len(level), dtype=bool)
    falls = []
    j = best_of_all[1]
    while j >= 0:
        chosen[j] = True
        if fell[j]:
            falls.append(j)
        j = parents[j]
    return chosen, np.array(falls, dtype=np.int64)


def _judge_jumps(levels: _Levels, lag: Floats, believed: Bools, reset: Bools) -> None:
    """Where the level changes: lost or surplus samples, a clock set anew, a few wrong stamps.

    Lost samples delay the arrivals by what the stamps rise; a clock set ahead does not. Surplus
    samples let the lag as it is where the stamps fall; a clock set back does not.
    """
    index = np.flatnonzero(believed)
    rise = np.append(0.0, np.diff(levels.level[index]))
    same = np.append(False, np.diff(levels.section[index]) == 0)
    jumps = np.abs(rise) > levels.tolerance[index]
    edges = np.flatnonzero(same & jumps & (np.abs(rise) > _SMALLEST_JUMP_S))
    if not edges.size:
        return
    border = np.flatnonzero(np.append(True, ~same[1:]) | reset[index])
    changes = np.append(np.flatnonzero(jumps | ~same), len(index))
    near = _nearby(levels)
    since = 0
    for p in edges:
        at = int(np.searchsorted(changes, p))
        end = int(changes[at + 1])
        begin = max(since, int(border[np.searchsorted(border, p) - 1]), p - near)
        before = _low(lag[index[begin:p]])
        bound = min(0.65 * abs(rise[p]), _RESET_TOLERANCE_S)
        if rise[p] > 0 and end - p < _RESET_COST:
            if np.min(lag[index[p:end]]) - before < -bound:
                believed[index[p:end]] = False
            continue
        change = _low(lag[index[p : min(end, p + near)]]) - before
        if rise[p] < 0:
            reset[index[p]] = not change < -0.35 * rise[p]
        elif change < -bound and p - changes[at - 1] < _RESET_COST:
            believed[index[changes[at - 1] : p]] = False
        else:
            reset[index[p]] = change < -bound or change > _most_delay(rise[p])
        if reset[index[p]]:
            since = int(p)


def _most_delay(lost_s: float) -> float:
    """How much the delay may grow while packets are lost: in a long silence it hardly can."""
    return _RESET_TOLERANCE_S if lost_s > 2 * _RESET_TOLERANCE_S else 5 * _RESET_TOLERANCE_S


def _judge_sections(
    levels: _Levels, lag: Floats, believed: Bools, reset: Bools, forced: Bools
) -> None:
    """At a connection made anew: whether the clock went on meanwhile."""
    index = np.flatnonzero(believed)
    near = _nearby(levels)
    for p in np.flatnonzero(np.diff(levels.section[index])) + 1:
        before, after = index[max(0, p - near) : p], index[p : p + near]
        before = before[levels.section[before] == levels.section[before[-1]]]
        after = after[levels.section[after] == levels.section[after[0]]]
        passed = levels.section[index[p - 1]] + 1, levels.section[index[p]] + 1
        changed = abs(_low(lag[after]) - _low(lag[before])) > _RESET_TOLERANCE_S
        backward = levels.stamp[after[0]] < levels.stamp[before[-1]]
        reset[index[p]] = forced[passed[0] : passed[1]].any() or changed or backward


def _nearby(levels: _Levels) -> int:
    """How many packets are looked at on either side of a jump."""
    return int(np.clip(_NEARBY_S / float(np.median(levels.length)), 12, 400))


def _low(lag: Floats) -> float:
    """Lag of the fastest packets; a single one that is wrongly stamped does not set it."""
    lag = lag[np.isfinite(lag)]
    if not lag.size:
        return float("nan")
    k = 2 if lag.size >= 8 else 0
    return float(np.partition(lag, k)[k])


def _judged(
    levels: _Levels,
    believed: Bools,
    reset: Bools,
    order: Ints,
    n_reordered: int,
    n_rows: int,
    rate: float,
    section: Ints,
) -> Judged:
    """Spread what is known of the believed packets over all rows."""
    index = np.flatnonzero(believed)
    rows = levels.known[index]
    stamp = np.full(n_rows, np.nan)
    stamp[rows] = levels.stamp[index]
    jumps = np.append(False, np.abs(np.diff(levels.level[index])) > levels.tolerance[index][1:])
    jumps = jumps[: len(index)]
    starts = np.zeros(n_rows, dtype=np.int64)
    anew = np.append(False, np.diff(section[rows]) != 0)[: len(index)]
    # A connection begins with its first packet, be its stamp believed or not.
    begins = np.where(anew, np.searchsorted(section, section[rows]), rows)
    starts[begins[reset[index]]] = 1
    broken = np.zeros(n_rows, dtype=bool)
    broken[rows[jumps | reset[index]]] = True
    return Judged(order, stamp, np.cumsum(starts), broken, n_reordered, rate)
