"""How the packets of one stream come in: rate, delay, gaps.

Only counts and times are looked at, a few sums per packet, so that it can run beside the recorder.
What is found here serves the eyes of the experimenter; the file's times are reconstructed from all
packets when it is read.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from physio_hqc.session.format import BlockFlag

RATE_WINDOW_S = 10.0
_RATE_NEEDS_S = 2.5
_JUMP_S = 1.0
_SILENCE_S = 1.0
_CATCH_UP_S = 3.0
_FLOOR_DRIFT = 100e-6  # what a device's crystal may drift against the host's is not a delay
_LAG_NOW_S = 3.0
_LAG_STEP_S = 2.0
_RISE_S = 0.2
_HOLES = 8
_MAX_ROWS = 2048


@dataclass
class _Hole:
    """Samples that are missing so far; late packets may still fill it. Times as on its clock."""

    start: float
    stop: float
    missing_s: float


@dataclass(slots=True)
class _Row:
    """Packets that arrived together."""

    t: float
    t_device: float
    n: int
    total: int


@dataclass
class Pace:
    """Follows one regular stream.

    Attributes
    ----------
    sfreq : float
        Nominal rate in Hz.
    n_samples, n_gaps : int
    gap_s : float
        Time without samples, gaps that are over.
    last : float
        Arrival of the newest packet; NaN before the first.
    """

    sfreq: float
    n_samples: int = 0
    n_gaps: int = 0
    gap_s: float = 0.0
    last: float = math.nan
    _device: float = math.nan
    _offset: float = math.nan
    _floor: float = math.nan
    _rows: deque[_Row] = field(default_factory=lambda: deque(maxlen=_MAX_ROWS))
    _lags: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=64))
    _steps: deque[list[float]] = field(default_factory=lambda: deque(maxlen=20))
    _holes: deque[_Hole] = field(default_factory=lambda: deque(maxlen=_HOLES))

    def packet(self, n: int, t: float, t_device: float, flags: int) -> tuple[int, int]:
        """Take note of a packet of `n` samples.

        Returns
        -------
        missing : int
            Samples that are missing before it.
        back : int
            By how many samples it comes too late for its place; 0 for the usual packet.
        """
        expected = n / self.sfreq
        step = 0.0 if math.isnan(self.last) else max(t - self.last, 0.0)
        first = not self.n_samples
        missing, back = 0.0, 0.0
        if not math.isfinite(t_device):
            missing = 0.0 if first else self._by_arrival(t, step, expected)
        elif self._is_late(t_device, expected):
            back = self._device - t_device
        elif math.isnan(self._device) or self._jumped(t, t_device, expected):
            missing = 0.0 if first else self._new_epoch(step, expected)
            self._device = t_device
        else:
            missing = self._by_device(t_device, expected)
        if missing:
            self._count_gap(missing)
        elif flags & (BlockFlag.GAP_BEFORE | BlockFlag.RECONNECT) and not first:
            self.n_gaps += 1
        if flags & (BlockFlag.RECONNECT | BlockFlag.CLOCK_RESET):
            # The rate of the time before says nothing about the device as it is now.
            self._rows.clear()
        self._follow_lag(t, t_device)
        self.n_samples += n
        self.last = t if first else max(t, self.last)
        self._add_row(t, t_device, n, expected)
        return round(missing * self.sfreq), round(back * self.sfreq)

    def _jumped(self, t: float, t_device: float, expected: float) -> bool:
        """Whether the device's clock jumped against the host's.

        A stalled radio also moves the arrivals against the device's clock, but the device's own
        time then goes on as it should; lost packets move both clocks alike.
        """
        moved = abs(t - t_device - self._offset)
        return moved > _JUMP_S and abs(t_device - self._device - expected) > _JUMP_S

    def _new_epoch(self, step: float, expected: float) -> float:
        """Forget what the old clock said; seconds missing by the host's clock."""
        self._floor = math.nan
        self._lags.clear()
        self._steps.clear()
        self._holes.clear()
        self._rows.clear()
        missing = step - expected
        return missing if missing > _SILENCE_S else 0.0

    def _by_arrival(self, t: float, step: float, expected: float) -> float:
        """Seconds missing where packets carry no time; a burst afterwards takes them back."""
        if self._holes and step < 0.5 * expected and t - self._holes[-1].stop < _CATCH_UP_S:
            self._fill(self._holes[-1], expected - step)
            return 0.0
        missing = step - expected
        if missing <= max(_SILENCE_S, 3 * expected):
            return 0.0
        self._holes.append(_Hole(self.last, t, missing))
        return missing

    def _is_late(self, t_device: float, expected: float) -> bool:
        """Whether a packet belongs where samples were missing; it takes that gap back."""
        tolerance = self._tolerance(expected)
        begin = t_device - expected
        for hole in self._holes:
            if hole.start - tolerance <= begin and t_device <= hole.stop + tolerance:
                self._fill(hole, expected)
                return True
        return False

    def _by_device(self, t_device: float, expected: float) -> float:
        """Seconds missing before a packet, by the device's clock."""
        missing = t_device - self._device - expected
        if missing > self._tolerance(expected):
            self._holes.append(_Hole(self._device, t_device - expected, missing))
        else:
            missing = 0.0
        self._device = max(t_device, self._device)
        return missing

    def _tolerance(self, expected: float) -> float:
        """By how much the distance of two packets may differ from their length, in s."""
        return max(0.75 / self.sfreq, 0.1 * expected, 0.005)

    def _count_gap(self, seconds: float) -> None:
        """Count a gap."""
        self.n_gaps += 1
        self.gap_s += seconds

    def _fill(self, hole: _Hole, seconds: float) -> None:
        """Take back, as far as late samples go, what was counted as missing."""
        filled = min(seconds, hole.missing_s)
        hole.missing_s -= filled
        self.gap_s = max(self.gap_s - filled, 0.0)
        if hole.missing_s <= max(1.5 / self.sfreq, 0.1 * seconds):
            self.gap_s = max(self.gap_s - hole.missing_s, 0.0)
            self.n_gaps -= 1
            self._holes.remove(hole)

    def _follow_lag(self, t: float, t_device: float) -> None:
        """Keep the smallest delay of the last seconds, and of every two seconds before."""
        if not math.isfinite(t_device):
            return
        self._offset = t - t_device
        if math.isnan(self._floor):
            self._floor = self._offset
        else:
            risen = self._floor + _FLOOR_DRIFT * max(t - self.last, 0.0)
            self._floor = min(self._offset, risen)
        lag = self._offset - self._floor
        while self._lags and (self._lags[-1][1] >= lag or len(self._lags) == self._lags.maxlen):
            # Only what can still become the minimum is kept.
            self._lags.pop()
        self._lags.append((t, lag))
        while self._lags[0][0] < t - _LAG_NOW_S:
            self._lags.popleft()
        index = math.floor(t / _LAG_STEP_S)
        if not self._steps or self._steps[-1][0] < index:
            self._steps.append([index, lag])
        else:
            self._steps[-1][1] = min(self._steps[-1][1], lag)

    def _add_row(self, t: float, t_device: float, n: int, expected: float) -> None:
        """Keep what the rate is computed from; packets that arrive in a burst are one row."""
        rows = self._rows
        if rows and math.isnan(t_device) and t - rows[-1].t < 0.5 * expected:
            rows[-1].n += n
            rows[-1].total = self.n_samples
            return
        rows.append(_Row(t, t_device, n, self.n_samples))
        while rows[0].t < t - RATE_WINDOW_S:
            rows.popleft()

    @property
    def lag_s(self) -> float | None:
        """Delay of the freshest packet of the last 3 s, above the fastest of this clock."""
        return self._lags[0][1] if self._lags else None

    @property
    def lag_rises(self) -> bool:
        """Whether the delay is greater than half a minute ago."""
        if len(self._steps) < 6:
            return False
        now = self._steps[-1][0]
        recent = [lag for index, lag in self._steps if index >= now - 2]
        before = [lag for index, lag in self._steps if now - 15 <= index <= now - 5]
        return bool(before) and min(recent) > min(before) + _RISE_S

    def quiet_after_s(self) -> float:
        """How long a silence may last before something is wrong, in s."""
        if len(self._rows) < 2:
            return 3.0
        interval = (self._rows[-1].t - self._rows[0].t) / (len(self._rows) - 1)
        return min(max(2.0, 4 * interval), 6.0)

    def rate(self, now: float) -> float | None:
        """Samples per second over the last 10 s; None when it is too early to tell."""
        rows = self._rows
        if not rows:
            return None
        if now - rows[-1].t > self.quiet_after_s():
            return sum(row.n for row in rows if row.t > now - RATE_WINDOW_S) / RATE_WINDOW_S
        if len(rows) < 2:
            return None
        return self._device_rate() or self._arrival_rate()

    def _device_rate(self) -> float | None:
        """Rate by the device's clock, in whatever order the packets came."""
        timed = [row for row in self._rows if not math.isnan(row.t_device)]
        if len(timed) < max(2, 0.9 * len(self._rows)):
            return None
        begin = min(timed, key=lambda row: row.t_device)
        span = max(row.t_device for row in timed) - begin.t_device
        if span < _RATE_NEEDS_S:
            return None
        return (sum(row.n for row in timed) - begin.n) / span

    def _arrival_rate(self) -> float | None:
        """Rate by the host's clock: slope of the count of samples over arrival times."""
        t = np.array([row.t for row in self._rows])
        total = np.array([row.total for row in self._rows], dtype=float)
        if t[-1] - t[0] < _RATE_NEEDS_S:
            return None
        t -= t.mean()
        return float(t @ (total - total.mean()) / (t @ t))
