"""A sink that keeps everything in memory: for ten seconds of a device, and for tests."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.acquisition.clock import SessionClock
from physio_hqc.acquisition.source import Sink, SourceState


@dataclass(frozen=True, eq=False)
class CollectedPacket:
    """A packet of a regular stream, or values of an irregular one with their times."""

    values: NDArray[Any]
    t_received: float
    t_device: float = math.nan
    flags: int = 0
    times_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class CollectedEvent:
    """An event."""

    kind: str
    label: str
    onset: float
    duration: float
    payload: dict[str, Any]


class Collector(Sink):
    """Keeps what a source delivers.

    Parameters
    ----------
    clock : SessionClock, optional
        A session that starts now by default.

    Attributes
    ----------
    packets : dict of str to list of CollectedPacket
        By stream, in the order of arrival; readings of irregular streams too.
    events : list of CollectedEvent
    states : list of tuple
        Time, state and text.
    known : dict
        Facts as they stand.
    told : list of dict
        Facts in the order in which they were told.
    troubles : Counter
        How many of each kind.
    trouble_texts : list of tuple
        Kind and text.

    Examples
    --------
    >>> sink = Collector()
    >>> sink.packet("ecg", [1, 2], t_received=0.5)
    >>> sink.packet("ecg", [3], t_received=0.6)
    >>> sink.values("ecg").tolist()
    [1, 2, 3]
    """

    def __init__(self, clock: SessionClock | None = None) -> None:
        self.clock = clock or SessionClock.start()
        self.packets: dict[str, list[CollectedPacket]] = {}
        self.events: list[CollectedEvent] = []
        self.states: list[tuple[float, SourceState, str]] = []
        self.known: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []
        self.troubles: Counter[str] = Counter()
        self.trouble_texts: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    @property
    def state_now(self) -> str:
        """How the connection stands."""
        return self.states[-1][1] if self.states else ""

    def values(self, stream: str) -> NDArray[Any]:
        """All values of a stream end to end."""
        parts = [packet.values for packet in self.packets.get(stream, [])]
        return np.concatenate(parts) if parts else np.empty(0)

    def times(self, stream: str) -> NDArray[np.float64]:
        """Session times of an irregular stream."""
        parts = [packet.times_s for packet in self.packets.get(stream, [])]
        return np.concatenate(parts) if parts else np.empty(0)

    async def until(self, reached: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until something is true, looked at again whenever something is delivered.

        Raises
        ------
        TimeoutError
            If it does not become true in time.
        """
        async with asyncio.timeout(timeout_s):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def now(self) -> float:
        """Seconds since the session's start."""
        return self.clock.now()

    def packet(
        self,
        stream: str,
        samples: ArrayLike,
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> None:
        """Keep a packet."""
        packet = CollectedPacket(np.array(samples), t_received, t_device, int(flags))
        self.packets.setdefault(stream, []).append(packet)
        self._changed.set()

    def readings(
        self,
        stream: str,
        times_s: ArrayLike,
        samples: ArrayLike,
        t_received: float,
        flags: int = 0,
    ) -> None:
        """Keep values with their times."""
        times = np.atleast_1d(np.array(times_s, dtype=np.float64))
        packet = CollectedPacket(np.array(samples), t_received, flags=int(flags), times_s=times)
        self.packets.setdefault(stream, []).append(packet)
        self._changed.set()

    def event(
        self,
        kind: str,
        label: str,
        onset: float,
        *,
        duration: float = 0.0,
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Keep an event."""
        self.events.append(CollectedEvent(kind, label, onset, duration, dict(payload or {})))
        self._changed.set()

    def state(self, state: SourceState, text: str = "") -> None:
        """Keep a change of the connection."""
        self.states.append((self.now(), state, text))
        self._changed.set()

    def facts(self, **facts: Any) -> None:
        """Keep facts."""
        self.known.update(facts)
        self.told.append(facts)
        self._changed.set()

    def trouble(self, kind: str, text: str) -> None:
        """Count a trouble."""
        self.troubles[kind] += 1
        self.trouble_texts.append((kind, text))
        self._changed.set()

    async def room(self) -> None:
        """There is always room."""
        await asyncio.sleep(0)
