"""Some seconds of one source, and what came of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.acquisition._collect import CollectedPacket, Collector
from physio_hqc.acquisition.monitor import StreamMonitor
from physio_hqc.acquisition.source import Source, StreamInfo
from physio_hqc.acquisition.view import StreamView
from physio_hqc.errors import RecordingError

_SEARCH_S = 30.0
_FLOW_S = 60.0  # a Polar H10's first ECG can take half of that
_EVERY_S = 1.0


@dataclass(frozen=True)
class TrialStream:
    """What came of one stream; unknown numbers are None.

    Attributes
    ----------
    view : StreamView
    n_samples : int
    rate : float or None
        Measured rate in Hz, by the device's own clock where it has one.
    lag_s : float or None
        How much later than its quickest packet the slowest one came.
    low, high : float or None
        Range of the values in physical units.
    """

    view: StreamView
    n_samples: int
    rate: float | None
    lag_s: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Trial:
    """What came of the trial.

    Attributes
    ----------
    seconds : float
        How long it was listened to.
    streams : tuple of TrialStream
    facts : dict
        What the device said of itself.
    troubles : dict of str to int
    texts : tuple of str
        What the troubles said, each once.
    events : tuple of str
        Labels of the events.
    missing : tuple of str
        Streams that should have flowed and did not.
    """

    seconds: float
    streams: tuple[TrialStream, ...]
    facts: dict[str, Any]
    troubles: dict[str, int]
    texts: tuple[str, ...]
    events: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialView:
    """The trial at one moment."""

    t: float
    state: str
    text: str
    streams: tuple[StreamView, ...]
    facts: dict[str, Any] = field(default_factory=dict)


async def try_source(
    source: Source, seconds: float, show: Callable[[TrialView], None] | None = None
) -> Trial:
    """Listen to a source for some seconds, counted from the moment at which everything flows.

    Parameters
    ----------
    source : Source
    seconds : float
    show : callable, optional
        Called once a second.

    Returns
    -------
    Trial

    Raises
    ------
    RecordingError
        If the device is not found, or the source cannot go on.
    """
    sink = _Watched(await source.streams(), source.name)
    running = asyncio.create_task(source.run(sink))
    try:
        await _during(running, sink, lambda: sink.state_now == "connected", _SEARCH_S, show)
        if sink.state_now != "connected":
            raise RecordingError(_not_found(source, sink))
        await _during(running, sink, lambda: not sink.missing(), _FLOW_S, show)
        began = sink.now()
        await _during(running, sink, lambda: False, seconds, show)
        lasted = sink.now() - began
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return sink.result(lasted)


async def _during(
    running: asyncio.Task[None],
    sink: _Watched,
    enough: Callable[[], bool],
    limit_s: float,
    show: Callable[[TrialView], None] | None,
) -> None:
    """Wait until it is enough or the time is over, showing how it stands."""
    end = sink.now() + limit_s
    while not enough() and (left := end - sink.now()) > 0:
        await sink.change(running, enough, min(_EVERY_S, left))
        if running.done():
            running.result()
            return
        if show is not None:
            show(sink.view())


class _Watched(Collector):
    """A collector that knows the streams."""

    def __init__(self, streams: tuple[StreamInfo, ...], source: str) -> None:
        super().__init__()
        self._streams = streams
        self._monitors = {info.name: StreamMonitor(info, source) for info in streams}

    def packet(
        self,
        stream: str,
        samples: ArrayLike,
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> None:
        """Keep a packet."""
        super().packet(stream, samples, t_received, t_device, flags)
        self._monitors[stream].packet(samples, t_received, t_device, int(flags))

    def readings(
        self,
        stream: str,
        times_s: ArrayLike,
        samples: ArrayLike,
        t_received: float,
        flags: int = 0,
    ) -> None:
        """Keep values with their times."""
        super().readings(stream, times_s, samples, t_received, flags)
        self._monitors[stream].readings(times_s, samples, t_received)

    async def change(
        self, running: asyncio.Task[None], enough: Callable[[], bool], limit_s: float
    ) -> None:
        """Wait until it is enough, the source has ended, or the time is over."""
        waiting = asyncio.create_task(self.until(enough, limit_s))
        try:
            await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def missing(self) -> list[str]:
        """Streams that should flow and have not begun."""
        return [i.name for i in self._streams if i.awaited and not self.packets.get(i.name)]

    def view(self) -> TrialView:
        """How it stands."""
        now = self.now()
        _, state, text = self.states[-1] if self.states else (now, "searching", "")
        views = tuple(monitor.view(now) for monitor in self._monitors.values())
        return TrialView(now, state, text, views, dict(self.known))

    def result(self, seconds: float) -> Trial:
        """What came of it."""
        now = self.now()
        texts = dict.fromkeys(f"{kind}: {text}" for kind, text in self.trouble_texts)
        return Trial(
            seconds=seconds,
            streams=tuple(self._result(info, now) for info in self._streams),
            facts=dict(self.known),
            troubles=dict(self.troubles),
            texts=tuple(texts),
            events=tuple(event.label for event in self.events),
            missing=tuple(self.missing()),
        )

    def _result(self, info: StreamInfo, now: float) -> TrialStream:
        """What came of one stream."""
        packets = self.packets.get(info.name, [])
        values = self.values(info.name)
        physical = values * np.asarray(info.scale) + np.asarray(info.offset)
        finite = physical[np.isfinite(physical)] if len(values) else physical
        return TrialStream(
            view=self._monitors[info.name].view(now),
            n_samples=len(values),
            rate=measured_rate(packets) if info.sfreq > 0 else None,
            lag_s=_lag(packets),
            low=float(finite.min()) if finite.size else None,
            high=float(finite.max()) if finite.size else None,
        )


def measured_rate(packets: list[CollectedPacket]) -> float | None:
    """Rate in Hz by the device's clock, else by a line through the arrivals; None if too few.

    Examples
    --------
    >>> packets = [CollectedPacket(np.zeros(10), t, t) for t in (1.0, 1.1, 1.2)]
    >>> round(measured_rate(packets), 6)
    100.0
    """
    if len(packets) < 3:
        return None
    counts = np.cumsum([len(packet.values) for packet in packets])
    stamps: NDArray[np.float64] = np.array([packet.t_device for packet in packets])
    if not np.isfinite(stamps).all() or not (np.diff(stamps) > 0).all():
        stamps = np.array([packet.t_received for packet in packets])
    if np.ptp(stamps) <= 0:
        return None
    return float(np.polyfit(stamps - stamps[0], counts, 1)[0])


def _lag(packets: list[CollectedPacket]) -> float | None:
    """How much later than the quickest packet the slowest one came."""
    late = [p.t_received - p.t_device for p in packets if math.isfinite(p.t_device)]
    return max(late) - min(late) if late else None


def _not_found(source: Source, sink: Collector) -> str:
    """Why there is no device."""
    reasons = [text for kind, text in sink.trouble_texts if kind in ("connect", "bluetooth")]
    if reasons:
        return f"{source.name}: cannot connect: {reasons[-1]}"
    return (
        f"{source.name}: nothing found within {_SEARCH_S:g} s: is it worn, charged, near, and not"
        " connected to a phone? 'physio-hqc devices scan' shows what is in the air"
    )
