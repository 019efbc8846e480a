"""The narrow interface of every live source, and of what it delivers to.

A source is a wearable, an LSL outlet, a replayed file or the simulator. It says which streams it
has and then delivers packets until it is cancelled. All the rest (clock, queue, file, reconnection
flags in the file, screen, pre-flight) belongs to the recorder behind the sink.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from numpy.typing import ArrayLike

SourceState = Literal["searching", "connecting", "connected", "lost", "ended"]


@dataclass(frozen=True)
class StreamInfo:
    """A stream as its source announces it; physical value = stored value * scale + offset.

    Attributes
    ----------
    name : str
        Name in the session file; the recorder adds a number where two sources use the same.
    modality, units : str
        As in the session file.
    sfreq : float
        Nominal rate in Hz; 0 for values at irregular times.
    dtype : str
        Number type in which the source delivers.
    channels : tuple of str
        Names of the columns; empty for one column named as the stream.
    scale, offset : float or tuple of float
        One value, or one per channel.
    device : dict
        What is known of the device before it is connected.
    awaited : bool
        Whether pre-flight waits for its first sample; False for streams that are rightly silent
        at rest (cuff readings, markers), of which only the connection is awaited.
    """

    name: str
    modality: str
    units: str
    sfreq: float
    dtype: str = "float64"
    channels: tuple[str, ...] = ()
    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    device: dict[str, Any] = field(default_factory=dict)
    awaited: bool = True


class Sink(Protocol):
    """Where one source delivers. All methods return at once and are called on the event loop."""

    def now(self) -> float:
        """Seconds since the session's start, on the host's monotonic clock."""

    def packet(
        self,
        stream: str,
        samples: ArrayLike,
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> None:
        """Deliver a packet of a regular stream: samples as stored, oldest first.

        `t_received` is the arrival, `t_device` the device's own time of the last sample, both in
        seconds; `flags` are :class:`~physio_hqc.session.BlockFlag` values.
        """

    def readings(
        self,
        stream: str,
        times_s: ArrayLike,
        samples: ArrayLike,
        t_received: float,
        flags: int = 0,
    ) -> None:
        """Deliver values of an irregular stream with their session times."""

    def event(
        self,
        kind: str,
        label: str,
        onset: float,
        *,
        duration: float = 0.0,
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Deliver an event, at session time `onset`."""

    def state(self, state: SourceState, text: str = "") -> None:
        """Tell how the connection stands; changes are recorded as system events."""

    def facts(self, **facts: Any) -> None:
        """Tell what was learned of the device.

        Known keys: ``battery`` (percent), ``contact`` (True, False, or None for unknown),
        ``serial``, ``model``, ``firmware``, ``software``, ``manufacturer``, ``address``, ``mtu``,
        ``clock_offsets`` (list of [session time, offset]); others are kept as they are.
        """

    def trouble(self, kind: str, text: str) -> None:
        """Report something that went wrong and was survived; counted per `kind`, and logged."""

    async def room(self) -> None:
        """Wait until the recorder has room: for sources that can wait (files, simulations)."""


class Source(ABC):
    """A live source. Adding one: a module in ``acquisition/sources`` with ``from_spec``.

    Attributes
    ----------
    name : str
        Short name, shown on the screen and written as the source of its events.
    """

    name: str

    @abstractmethod
    async def streams(self) -> tuple[StreamInfo, ...]:
        """Find out which streams there are; called once, before `run`.

        Raises
        ------
        RecordingError
            If that cannot be found out.
        """

    @abstractmethod
    async def run(self, sink: Sink) -> None:
        """Deliver until cancelled, or until there is nothing more.

        Reconnects by itself. Cancellation is the normal end: the device is told to stop in a
        ``finally``. What can be survived is reported to the sink; what is raised is a
        :class:`~physio_hqc.errors.RecordingError` that says why this source cannot go on.
        """


@dataclass(frozen=True)
class SourceOptions:
    """What a session's setup says of a source, beside its specification.

    Attributes
    ----------
    serial : str
        Serial number, address or end of the advertised name that the device must have; "" for
        any, which is refused where several devices fit.
    user : int, optional
        User number of the participant in a cuff that two people share.
    streams : tuple of str
        Streams to record; empty for the profile's default ones.
    backend : BleBackend, optional
        Where Bluetooth comes from; the platform's own by default.
    """

    serial: str = ""
    user: int | None = None
    streams: tuple[str, ...] = ()
    backend: BleBackend | None = None


@dataclass(frozen=True)
class BleBackend:
    """Bleak backend classes to use instead of the platform's (`BleakClient(..., backend=...)`)."""

    client: type[Any]
    scanner: type[Any]
