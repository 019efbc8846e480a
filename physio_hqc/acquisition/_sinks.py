"""What a source delivers to: it checks, feeds monitor and recorder, and keeps what was told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.acquisition.monitor import StreamMonitor
from physio_hqc.acquisition.recorder import EventHandle, Recorder
from physio_hqc.acquisition.source import Sink, SourceState
from physio_hqc.acquisition.view import SourceView

if TYPE_CHECKING:
    from physio_hqc.acquisition.recording import Recording

_ROOM: Final = 0.5
_LOGGED_TROUBLES: Final = 5
"""Of one kind; further ones are only counted, so that a broken device does not fill the events."""

_PASSING: Final = frozenset({"measuring", "clock_offsets"})
"""Facts that change all the time, or are events of their own."""


class SourceSink(Sink):
    """The sink of one source of a recording.

    Attributes
    ----------
    name : str
        Name of the source, no other's.
    names : dict of str to str
        Name in the file for every name the source uses.
    known : dict
        Facts told of the device.
    troubles : dict of str to int
    """

    def __init__(
        self,
        name: str,
        names: dict[str, str],
        monitors: dict[str, StreamMonitor],
        recording: Recording,
        state: SourceState = "searching",
    ) -> None:
        self.name = name
        self.names = names
        self.known: dict[str, Any] = {}
        self.troubles: dict[str, int] = {}
        self.recorder: Recorder | None = None
        self._monitors = monitors
        self._recording = recording
        self._state: SourceState = state
        self._text = ""

    def view(self) -> SourceView:
        """The source at this moment."""
        battery = self.known.get("battery")
        contact = self.known.get("contact")
        return SourceView(
            self.name,
            self._state,
            self._text,
            int(battery) if isinstance(battery, int | float) else None,
            contact if isinstance(contact, bool) else None,
            str(self.known.get("serial", "")),
            dict(self.troubles),
        )

    def now(self) -> float:
        """Seconds since the session's start."""
        return self._recording.now()

    def packet(
        self,
        stream: str,
        samples: ArrayLike,
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> None:
        """Take a packet of a regular stream."""
        values = self._checked(stream, samples)
        if values is None or self.recorder is None or not math.isfinite(t_received):
            return
        # The file first: what the screen makes of a packet cannot cost a sample.
        if not self.recorder.packet(self.names[stream], values, t_received, t_device, int(flags)):
            self.trouble("queue full", f"{stream}: the disk does not keep up, a packet is lost")
        self._monitors[stream].packet(values, t_received, t_device, int(flags))

    def readings(
        self,
        stream: str,
        times_s: ArrayLike,
        samples: ArrayLike,
        t_received: float,
        flags: int = 0,
    ) -> None:
        """Take values of an irregular stream."""
        values = self._checked(stream, samples)
        times = np.atleast_1d(np.array(times_s, dtype=np.float64))
        if values is None or self.recorder is None:
            return
        if times.shape != (len(values),) or not np.isfinite(times).all():
            self.trouble("malformed", f"{stream}: values without their times")
            return
        if not self.recorder.readings(self.names[stream], times, values, t_received, int(flags)):
            self.trouble("queue full", f"{stream}: the disk does not keep up, values are lost")
        monitor = self._monitors[stream]
        monitor.readings(times, values, t_received)
        if monitor.info.modality == "cuff":
            self._recording.cuff_arrived(t_received)
            self._recording.say(f"cuff {monitor.view(self.now()).value}", t_received)

    def event(
        self,
        kind: str,
        label: str,
        onset: float,
        *,
        duration: float = 0.0,
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Take an event."""
        if self.recorder is not None:
            handle = EventHandle(onset, kind, label, duration, self.name, payload or {})
            self.recorder.event(handle)
            self._recording.say(f"{self.name}: {label}", onset)

    def state(self, state: SourceState, text: str = "") -> None:
        """Take how the connection stands; a change is an event."""
        changed, self._state, self._text = state != self._state, state, text
        if changed:
            self._system(state, {"text": text} if text else {})

    def facts(self, **facts: Any) -> None:
        """Take what was learned of the device; what is new is an event."""
        new = {key: value for key, value in facts.items() if self.known.get(key) != value}
        self.known |= new
        new = {key: value for key, value in new.items() if key not in _PASSING}
        if new:
            self._system("device", new)

    def trouble(self, kind: str, text: str) -> None:
        """Count a trouble; the first ones of a kind are events."""
        self.troubles[kind] = self.troubles.get(kind, 0) + 1
        if self.troubles[kind] <= _LOGGED_TROUBLES:
            self._system(kind, {"text": text[:500]})

    async def room(self) -> None:
        """Wait until the queue is less than half full."""
        while self.recorder is not None and self.recorder.fill > _ROOM:
            await asyncio.sleep(0.01)

    def _system(self, label: str, payload: dict[str, Any]) -> None:
        t = self.now()
        if self.recorder is not None:
            self.recorder.event(EventHandle(t, "system", label, 0.0, self.name, payload))
        detail = ", ".join(f"{key} {value}" for key, value in payload.items())
        self._recording.say(f"{self.name}: {label}{f' ({detail})' if detail else ''}", t)

    def _checked(self, stream: str, samples: ArrayLike) -> NDArray[Any] | None:
        """A copy of the samples in the shape that the stream has; None if they cannot be."""
        monitor = self._monitors.get(stream)
        if monitor is None:
            self.trouble("malformed", f"there is no stream {stream!r}")
            return None
        values = np.array(samples)
        width = max(1, len(monitor.info.channels))
        if width > 1 and values.ndim == 1:
            values = values[np.newaxis]
        if width == 1 and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        values = np.atleast_1d(values)
        shape_fits = values.shape[1:] == (() if width == 1 else (width,))
        if values.dtype.kind not in "iuf" or not shape_fits:
            self.trouble("malformed", f"{stream}: samples of shape {values.shape} do not fit")
            return None
        return values if len(values) else None
