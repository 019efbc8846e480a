"""What one stream looks like while it is recorded: rate, delay, gaps, last value, quality."""

from __future__ import annotations

import itertools
import math
from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.acquisition import _vitals
from physio_hqc.acquisition._pace import Pace
from physio_hqc.acquisition._ring import Ring
from physio_hqc.acquisition.source import StreamInfo
from physio_hqc.acquisition.view import Alert, StreamView
from physio_hqc.session.format import BlockFlag

RING_S = 20.0
_RING_MAX = 200_000
_STRIP_SFREQ = 100.0
_KEPT_READINGS = 200
_KEPT_PACKETS = 16
_VALUE_EVERY_S = 1.0
_QUALITY_EVERY_S = 2.0
_IRREGULAR_QUIET_S = 5.0
_FEW_S = 10.0
_POOR = 0.5
_POOR_S = 5.0
_LOST_S = 5.0
_LAG_RISING_S = 1.0
_LAG_MAX_S = 5.0


# Monitors take turns, so that their computations do not all hold the event loop in one view.
_TURN_S = 0.25
_TURNS = itertools.count()


class StreamMonitor:
    """Follows one stream while it is recorded, in bounded memory and at little cost.

    Packets are only counted and put into a ring; values and quality are computed in :meth:`view`,
    at most once a second and once every two seconds, from the last ten seconds.

    Parameters
    ----------
    info : StreamInfo
        The stream as its source announced it; samples come as stored and are scaled here.
    source : str
        Name of its source.

    Examples
    --------
    >>> info = StreamInfo(name="eda", modality="eda", units="µS", sfreq=4.0, scale=0.001)
    >>> monitor = StreamMonitor(info, "wristband")
    >>> for k in range(20):
    ...     monitor.packet([4310, 4310, 4310, 4310], t_received=float(k))
    >>> view = monitor.view(19.5)
    >>> view.value, round(view.rate, 2), view.n_samples, view.alive
    ('4.31 µS', 4.0, 80, True)
    """

    def __init__(self, info: StreamInfo, source: str) -> None:
        self.info = info
        self.source = source
        self._pace = Pace(info.sfreq) if info.sfreq > 0 else None
        watched = self._pace is not None and info.modality in _vitals.WATCHED
        self._ring = Ring(int(min(RING_S * info.sfreq, _RING_MAX))) if watched else None
        self._readings: deque[tuple[float, tuple[float, ...]]] = deque(maxlen=_KEPT_READINGS)
        self._arrivals: deque[float] = deque(maxlen=_KEPT_READINGS)
        self._recent: deque[tuple[float, int]] = deque(maxlen=_KEPT_PACKETS)
        self._last = math.nan
        self._n_readings = self._n_breaks = 0
        self._break_s = 0.0
        self._row: tuple[float, ...] = ()
        self._value = ""
        self._value_at = self._quality_at = math.nan
        self._turn = next(_TURNS)
        self._quality: float | None = None
        self._reason = ""
        self._poor_since = math.nan
        self._late_since = math.nan

    def packet(
        self, values: ArrayLike, t_received: float, t_device: float = math.nan, flags: int = 0
    ) -> None:
        """Take note of a packet of a regular stream, samples as stored, (n,) or (n, C).

        A packet with the same device time and the same samples as one of the last ones is a
        repetition and not counted again.
        """
        samples = np.asarray(values)
        if self._pace is None or not samples.ndim or not len(samples):
            return
        if math.isfinite(t_device):
            mark = (t_device, hash(samples.tobytes()))
            if mark in self._recent:
                return
            self._recent.append(mark)
        missing, back = self._pace.packet(
            len(samples), float(t_received), float(t_device), int(flags)
        )
        self._last = self._pace.last
        if self._ring is None:
            self._row = self._physical(samples[-1])
            return
        signal = self._first_channel(samples)
        if back:
            self._ring.put_back(signal, back)
            return
        if missing:
            self._ring.skip(missing)
        self._ring.append(signal)

    def readings(
        self, times_s: ArrayLike, values: ArrayLike, t_received: float, flags: int = 0
    ) -> None:
        """Take note of values of an irregular stream and their session times."""
        times = np.atleast_1d(np.asarray(times_s, dtype=float))
        rows = np.asarray(values)
        rows = rows.reshape(times.size, -1) if times.size else rows
        for time, row in zip(times, rows, strict=False):
            self._row = self._physical(row)
            self._readings.append((float(time), self._row))
            self._arrivals.append(t_received)
            self._n_readings += 1
        if flags & (BlockFlag.GAP_BEFORE | BlockFlag.RECONNECT) and math.isfinite(self._last):
            self._n_breaks += 1
            self._break_s += max(t_received - self._last, 0.0)
        if times.size:
            self._last = t_received
            self._value_at = math.nan

    def view(self, now: float) -> StreamView:
        """The stream at session time `now`."""
        pace, age = self._pace, self._age(now)
        quiet = self._is_quiet(now)
        self._update(now, quiet)
        gap = age if pace is not None and quiet and age is not None else 0.0
        lag = pace.lag_s if pace else None
        return StreamView(
            name=self.info.name,
            source=self.source,
            modality=self.info.modality,
            units=self.info.units,
            sfreq=self.info.sfreq,
            n_samples=pace.n_samples if pace else self._n_readings,
            rate=pace.rate(now) if pace else self._readings_a_minute(now),
            value=self._value,
            age_s=age,
            lag_s=lag,
            quality=self._quality,
            quality_reason=self._reason,
            n_gaps=(pace.n_gaps if pace else self._n_breaks) + (gap > 0),
            gap_s=(pace.gap_s if pace else self._break_s) + gap,
            alive=self._is_alive(now),
        )

    def alerts(self, now: float) -> tuple[Alert, ...]:
        """What the experimenter should know now; call it after :meth:`view`."""
        name, age = self.info.name.upper(), self._age(now)
        if age is None:
            return ()
        if self.info.awaited and age >= _LOST_S and self._is_quiet(now):
            return (Alert(f"{name} LOST {_short(age)}", urgent=True, since_s=self._last),)
        alerts = []
        if self.is_late(now):
            lag = self._pace.lag_s if self._pace else None
            text = f"{name} ARRIVES {_short(lag or 0.0)} LATE"
            alerts.append(Alert(text, urgent=True, since_s=self._late_since))
        if math.isfinite(self._poor_since) and now - self._poor_since >= _POOR_S:
            what = self._reason or "poor signal"
            urgent = (self._quality or 0.0) < 0.2
            alerts.append(Alert(f"{name} POOR: {what}", urgent=urgent, since_s=self._poor_since))
        return tuple(alerts)

    def is_late(self, now: float) -> bool:
        """Whether samples arrive ever later (and more than 1 s late), or more than 5 s late."""
        lag = self._pace.lag_s if self._pace else None
        late = (
            lag is not None
            and self._pace is not None
            and (lag > _LAG_MAX_S or (lag > _LAG_RISING_S and self._pace.lag_rises))
        )
        if not late:
            self._late_since = math.nan
        elif math.isnan(self._late_since):
            self._late_since = now
        return late

    def strip(self, seconds: float, now: float | None = None) -> tuple[NDArray[np.float64], float]:
        """The last seconds as a curve to draw, NaN where samples are missing.

        Of every few samples the one that stands out most is kept, so that R peaks keep their
        height.

        Parameters
        ----------
        seconds : float
        now : float, optional
            Session time at the right edge: a silence then shows as a gap that grows.

        Returns
        -------
        values : ndarray, shape (n,)
            Physical units; as long as asked for, whatever has arrived.
        sfreq : float
            At most 100 Hz; 0 for streams that have no curve.
        """
        sfreq = self.info.sfreq
        if self._ring is None:
            return np.empty(0), 0.0
        size = round(seconds * sfreq)
        silent = 0
        if now is not None and self._is_quiet(now):
            silent = min(round((now - self._last) * sfreq), size)
        kept = self._ring.tail(size - silent)
        signal = np.full(size, np.nan)
        signal[size - silent - kept.size : size - silent] = kept
        step = math.ceil(sfreq / _STRIP_SFREQ)
        return _thinned(signal, step), sfreq / step

    def _age(self, now: float) -> float | None:
        """Seconds since the newest sample arrived."""
        return max(now - self._last, 0.0) if math.isfinite(self._last) else None

    def _is_quiet(self, now: float) -> bool:
        """Whether a stream that should flow has stopped."""
        age = self._age(now)
        if age is None:
            return False
        if self._pace is not None:
            return age > self._pace.quiet_after_s()
        return self.info.awaited and age > _IRREGULAR_QUIET_S

    def _is_alive(self, now: float) -> bool:
        """Whether data comes, or has come where it comes but now and then."""
        return math.isfinite(self._last) and not self._is_quiet(now)

    def _readings_a_minute(self, now: float) -> float | None:
        """Values in the last minute, extrapolated when the recording is younger."""
        if not self._arrivals:
            return None
        n = sum(1 for t in self._arrivals if t > now - 60.0)
        if not self.info.awaited:
            return float(n)
        # Readings come at most once a second: from a few, nothing follows for a minute.
        watched = now - self._arrivals[0]
        return n * 60.0 / min(60.0, watched) if watched >= _FEW_S else None

    def _update(self, now: float, quiet: bool) -> None:
        """Compute value and quality when they are due."""
        if quiet and self._ring is not None:
            self._quality, self._reason = 0.0, "nothing arrives"
            self._value_at = self._quality_at = math.nan
            self._value = ""
            self._poor_since = math.nan
            return
        if self._ring is not None and not now - self._quality_at < _QUALITY_EVERY_S:
            self._quality_at = self._done_at(now, self._quality_at, _QUALITY_EVERY_S)
            self._judge(now)
        if not now - self._value_at < _VALUE_EVERY_S:
            self._value_at = self._done_at(now, self._value_at, _VALUE_EVERY_S)
            self._value = self._text()

    def _done_at(self, now: float, before: float, every: float) -> float:
        """When something was computed; put back the first time, to get this monitor's turn."""
        return now - (self._turn * _TURN_S) % every if math.isnan(before) else now

    def _judge(self, now: float) -> None:
        """Compute the quality of the last seconds."""
        if self._ring is None:
            return
        tail = self._ring.tail(int(_vitals.WINDOW_S * self.info.sfreq))
        self._quality, self._reason = _vitals.quality(self.info.modality, tail, self.info.sfreq)
        if self._quality is None or self._quality >= _POOR:
            self._poor_since = math.nan
        elif math.isnan(self._poor_since):
            self._poor_since = now

    def _text(self) -> str:
        """The last value as people read it."""
        if self._ring is not None:
            return self._signal_text(self._ring)
        if not self._row:
            return ""
        if self.info.modality == "rr":
            intervals = [row[0] for _, row in list(self._readings)[-6:]]
            rate = _vitals.beats_per_minute(intervals) if self._readings else None
            return "" if rate is None else f"{rate:.0f} /min"
        return reading_text(self.info.modality, self.info.units, self._row)

    def _signal_text(self, ring: Ring) -> str:
        """The value of a signal whose waveform is watched."""
        sfreq = self.info.sfreq
        tail = ring.tail(int(_vitals.WINDOW_S * sfreq))
        if self.info.modality == "ecg":
            rate = _vitals.heart_rate(tail, sfreq)
            is_poor = self._quality is not None and self._quality < 0.2
            return "" if rate is None or is_poor else f"{rate:.0f} /min"
        if self.info.modality == "bp":
            found = _vitals.pressure(tail, sfreq)
            return "" if found is None else f"{found[0]:.0f}/{found[1]:.0f}"
        mean = _vitals.level(tail[-max(int(sfreq), 1) :])
        return "" if mean is None else f"{mean:.2f} {self.info.units}"

    def _first_channel(self, samples: NDArray[np.generic]) -> NDArray[np.float64]:
        """Physical values of the first channel."""
        raw = samples if samples.ndim == 1 else samples.reshape(len(samples), -1)[:, 0]
        return raw.astype(float) * _of_channel(self.info.scale, 0) + _of_channel(
            self.info.offset, 0
        )

    def _physical(self, row: NDArray[np.generic]) -> tuple[float, ...]:
        """Physical values of one row of stored samples."""
        stored = np.atleast_1d(row).ravel()[:16].tolist()
        return tuple(
            value * _of_channel(self.info.scale, k) + _of_channel(self.info.offset, k)
            for k, value in enumerate(stored)
            if isinstance(value, int | float)
        )


def reading_text(modality: str, units: str, row: tuple[float, ...]) -> str:
    """One row of values as people read it.

    Examples
    --------
    >>> reading_text("cuff", "mmHg,mmHg,mmHg,1/min", (128.0, 82.0, 97.0, 71.0))
    '128/82 71'
    >>> reading_text("acc", "g", (0.6, 0.0, 0.8))
    '1.00 g'
    """
    if modality == "cuff" and len(row) >= 2:
        pulse = f" {row[3]:.0f}" if len(row) > 3 and math.isfinite(row[3]) else ""
        return f"{_number(row[0])}/{_number(row[1])}{pulse}"
    unit = units.split(",")[0].strip()
    if modality == "acc" and len(row) > 1:
        return f"{math.hypot(*row):.2f} {unit}"
    if unit in ("1/min", "bpm"):
        return f"{_number(row[0])} /min"
    if modality == "temp":
        return f"{row[0]:.1f} {unit}"
    return f"{row[0]:.4g} {unit}".strip()


def _number(value: float) -> str:
    """Whole number, or a dash where it is missing."""
    return f"{value:.0f}" if math.isfinite(value) else "–"


def _of_channel(value: float | tuple[float, ...], channel: int) -> float:
    """Scale or offset of one channel."""
    if not isinstance(value, tuple):
        return value
    return value[min(channel, len(value) - 1)] if value else 1.0


def _thinned(signal: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Of every `step` samples the one farthest from the middle of the signal."""
    if step <= 1 or signal.size < step:
        return signal
    rows = signal[signal.size % step :].reshape(-1, step)
    present = np.isfinite(signal)
    if not present.any():
        return rows[:, 0].copy()
    away = np.abs(rows - np.median(signal[present]))
    chosen = np.argmax(np.where(np.isfinite(away), away, -1.0), axis=1)
    result: NDArray[np.float64] = rows[np.arange(len(rows)), chosen]
    return result


def _short(seconds: float) -> str:
    """A length of time in few characters."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
