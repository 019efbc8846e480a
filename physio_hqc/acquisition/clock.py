"""The one clock of a recording: the host's monotonic clock, counted from the session's start."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class SessionClock:
    """Seconds since the session's start, and their tie to the wall clock.

    Attributes
    ----------
    origin_ns : int
        Reading of the monotonic clock at second 0.
    t0_unix_ns : int
        Wall-clock time of second 0. The wall clock is read once; that it is set afterwards does
        not move the session.

    Examples
    --------
    >>> clock = SessionClock(origin_ns=5_000_000_000, t0_unix_ns=1_700_000_000_000_000_000)
    >>> clock.at(6_500_000_000)
    1.5
    >>> clock.from_unix_ns(1_700_000_002_000_000_000)
    2.0
    """

    origin_ns: int
    t0_unix_ns: int

    @classmethod
    def start(cls) -> SessionClock:
        """Begin a session now."""
        return cls(time.monotonic_ns(), time.time_ns())

    def now(self) -> float:
        """Seconds since the session's start."""
        return self.at(time.monotonic_ns())

    def at(self, monotonic_ns: int) -> float:
        """Session time of a reading of the monotonic clock."""
        return (monotonic_ns - self.origin_ns) / 1e9

    def from_unix_ns(self, unix_ns: int) -> float:
        """Session time of a moment of the wall clock."""
        return (unix_ns - self.t0_unix_ns) / 1e9
