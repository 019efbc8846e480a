"""When a cuff measured: by its own clock, whose offset is found out first."""

from __future__ import annotations

import datetime as dt
import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders import CuffReading
from physio_hqc.acquisition.source import Sink

_BURST_S = 3.0
_LIKELY_S = 600.0  # a clock that was ever set is not further off
_STAMP_S = 1.0  # stamps have whole seconds
_UNKNOWN_USER = 255
_COLUMNS = ("SBP", "DBP", "MAP", "HR")

How = Literal["clock", "live", "arrival", "wall"]


@dataclass(frozen=True)
class Anchor:
    """A reading of the cuff's clock and the session time at which it was made."""

    cuff: dt.datetime
    t: float
    how: How

    def at(self, stamp: dt.datetime) -> float:
        """Session time of a stamp of this clock."""
        return self.t + (stamp - self.cuff).total_seconds()


def wall_anchor(now: float) -> Anchor:
    """Anchor by this computer's local time, for a cuff whose clock was never compared."""
    return Anchor(dt.datetime.now(), now, "wall")


def offset_to_wall(anchor: Anchor, now: float) -> float:
    """Seconds by which the cuff's clock is ahead of this computer's local time."""
    wall = wall_anchor(now)
    return (anchor.cuff - wall.cuff).total_seconds() - (anchor.t - wall.t)


class CuffReadings:
    """Tells live readings from stored ones and finds out when each was taken."""

    def __init__(self, user: int | None, sink: Sink) -> None:
        self._user = user
        self._sink = sink
        self._anchor: Anchor | None = None
        self._since = math.inf
        self._connections = 0
        self._newest: dt.datetime | None = None
        self._waiting: list[tuple[CuffReading, float, int]] = []
        self._seen: set[tuple[object, ...]] = set()

    def reconnected(self, now: float) -> None:
        """Expect stored readings: a cuff sends them as soon as it is asked for any."""
        self._since = now
        self._connections += 1

    def compare(self, anchor: Anchor) -> None:
        """Take a comparison of the clocks: read beats inferred, and that beats assumed."""
        before = self._anchor
        if before is None or before.how == "wall" or anchor.how == "clock":
            self._anchor = anchor
        self._release()

    def arrived(self, item: CuffReading, t_received: float, *, live: bool, flags: int) -> None:
        """Deliver one reading, as data, as an event, or not at all."""
        if self._repeated(item) or self._of_another(item):
            return
        if item.cuff_time is None:
            self._deliver(item, t_received, t_received, "arrival", flags)
            return
        if self._anchor is None or self._anchor.how == "wall":
            self._infer(item.cuff_time, t_received, live=live)
        if self._anchor is None:
            # Stored or just taken, by a clock we know nothing of: keep its values safe at once.
            self._event("cuff reading, time not known yet", item, t_received, t_received)
            self._waiting.append((item, t_received, flags))
            return
        self._place(item, t_received, flags, self._anchor)

    def _infer(self, stamp: dt.datetime, t_received: float, *, live: bool) -> None:
        """Compare the clocks by a reading that was just taken, or take a likely stamp as right.

        A cuff that connects for every reading sends it at once; what it had stored came with the
        connection before.
        """
        newer = self._newest is not None and stamp > self._newest
        self._newest = stamp if self._newest is None else max(stamp, self._newest)
        alone = t_received - self._since > _BURST_S
        if live or alone or (newer and self._connections > 1):
            self.compare(Anchor(stamp, t_received, "live"))
            return
        wall = wall_anchor(t_received)
        if self._anchor is None and abs(wall.at(stamp) - t_received) <= _LIKELY_S:
            self._sink.trouble(
                "cuff_clock", "the cuff's clock cannot be read: its stamps are taken as right"
            )
            self.compare(wall)

    def finish(self, now: float) -> None:
        """Place what still waits by this computer's clock, unless that makes no sense."""
        if not self._waiting:
            return
        self._sink.trouble(
            "cuff_clock", "the cuff's clock could not be compared: its stamps are taken as right"
        )
        wall = wall_anchor(now)
        waiting, self._waiting = self._waiting, []
        for item, t_received, flags in waiting:
            # A stamp of the future is wrong; the event has the values.
            if item.cuff_time is not None and wall.at(item.cuff_time) <= t_received + _STAMP_S:
                self._place(item, t_received, flags, wall)

    def _release(self) -> None:
        """Deliver the readings that waited for the clock, oldest first."""
        waiting, self._waiting = self._waiting, []
        if self._anchor is not None:
            for item, t_received, flags in waiting:
                self._place(item, t_received, flags, self._anchor)

    def _place(self, item: CuffReading, t_received: float, flags: int, anchor: Anchor) -> None:
        """Deliver a reading at the time of its own stamp."""
        if item.cuff_time is None:
            return
        t = min(anchor.at(item.cuff_time), t_received)
        if t < -_STAMP_S:
            self._event("stored cuff reading from before the session", item, t_received, t)
            return
        self._deliver(item, max(t, 0.0), t_received, anchor.how, flags)

    def _deliver(
        self, item: CuffReading, t: float, t_received: float, how: str, flags: int
    ) -> None:
        """Deliver a reading of this session, and beside it what the cuff says about it."""
        values = np.asarray(item.values, dtype=np.float64)
        if not np.isfinite(values[:2]).any():
            reason = ", ".join(item.problems) or "no values"
            self._event(f"cuff measurement failed: {reason}", item, t, t, how=how)
            self._sink.trouble("cuff_failed", f"cuff measurement failed: {reason}")
            return
        if item.problems:
            label = f"cuff reading: {', '.join(item.problems)}"
            self._event(label, item, t, t, how=how)
        self._sink.readings(item.stream, [t], values[None, :], t_received, flags)

    def _event(
        self, label: str, item: CuffReading, onset: float, t: float, *, how: str = ""
    ) -> None:
        """Record a reading with all that came with it."""
        payload = cuff_payload(item) | {"session_time_s": round(t, 3)}
        if how:
            payload["time_from"] = how
        self._sink.event("system", label[:100], onset, payload=payload)

    def _repeated(self, item: CuffReading) -> bool:
        """Whether this very reading came before: a cuff sends its store at every connection."""
        if item.cuff_time is None:
            return False
        key = (item.cuff_time, item.user, np.asarray(item.values).tobytes())
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _of_another(self, item: CuffReading) -> bool:
        """Whether the reading belongs to the other user of the cuff; then it is dropped."""
        known = item.user is not None and item.user != _UNKNOWN_USER
        if self._user is None or not known or item.user == self._user:
            return False
        self._sink.trouble(
            "other_user", f"a reading of user {item.user} was dropped; this is user {self._user}"
        )
        return True


def cuff_payload(item: CuffReading) -> dict[str, Any]:
    """Everything a cuff reading says, for an event."""
    values: NDArray[np.float64] = np.asarray(item.values, dtype=np.float64)
    numbers: dict[str, Any] = {
        name: round(float(value), 2)
        for name, value in zip(_COLUMNS, values, strict=True)
        if math.isfinite(value)
    }
    return numbers | {
        "cuff_time": None if item.cuff_time is None else item.cuff_time.isoformat(),
        "user": item.user,
        "unit_reported": item.unit_reported,
        "problems": list(item.problems),
        "received_unix_s": round(time.time(), 3),
    }
