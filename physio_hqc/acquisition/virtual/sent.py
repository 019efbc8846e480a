"""What a virtual peripheral sent: the yardstick for what was recorded."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(eq=False)
class SentPacket:
    """One packet as it was made.

    Attributes
    ----------
    index : int
        0, 1, 2, ... over the life of the stream.
    samples : ndarray, shape (n,) or (n, c)
        As on the wire: integers of the stream's stored unit.
    t_host : float
        When its last sample was taken, in s of ``time.monotonic()``; the truth.
    t_device : float
        The stamp it carries, in s of the device's clock; NaN where packets carry none.
    data : bytes
        The value of the characteristic.
    t_sent : float
        When it was handed to the link, in s of ``time.monotonic()``; NaN if it never was.
    n_handed : int
        How often it was handed to a link with a subscriber.
    n_delivered : int
        How often the other side's link layer took it.
    extra : dict
        Whatever else it says: ``hr`` of a heart-rate packet, ``temp`` of an EDA packet, ...
    """

    index: int
    samples: NDArray[Any]
    t_host: float
    t_device: float
    data: bytes
    t_sent: float = math.nan
    n_handed: int = 0
    n_delivered: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def delivered(self) -> bool:
        """Whether it arrived at least once."""
        return self.n_delivered > 0


class SentLog:
    """The packets of one stream, in the order in which they were made.

    Parameters
    ----------
    limit : int, optional
        How many packets are kept, the newest ones; all by default.

    Examples
    --------
    >>> log = SentLog()
    >>> log.add(SentPacket(0, np.array([5, 6]), 1.0, 2.0, b"", n_delivered=1))
    >>> log.add(SentPacket(1, np.array([7, 8]), 3.0, 4.0, b""))
    >>> log.samples().tolist(), log.samples(delivered=True).tolist()
    ([5, 6, 7, 8], [5, 6])
    """

    def __init__(self, limit: int | None = None) -> None:
        self._packets: deque[SentPacket] = deque(maxlen=limit)
        self.n_made = 0

    def add(self, packet: SentPacket) -> None:
        """Append a packet."""
        self._packets.append(packet)
        self.n_made += 1

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[SentPacket]:
        return iter(self._packets)

    def __getitem__(self, index: int) -> SentPacket:
        return self._packets[index]

    def packets(self, delivered: bool | None = None) -> list[SentPacket]:
        """Packets, or only those that were delivered or were not."""
        return [p for p in self._packets if delivered is None or p.delivered == delivered]

    def samples(self, delivered: bool | None = None) -> NDArray[Any]:
        """Samples of :meth:`packets` end to end, shape (n,) or (n, c)."""
        parts = [packet.samples for packet in self.packets(delivered)]
        return np.concatenate(parts) if parts else np.empty(0)
