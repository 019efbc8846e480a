"""When a cuff measured: by its own clock, whose offset is found out first."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders import CuffReading
from physio_hqc.acquisition.source import Sink

_BURST_S = 3.0  # readings closer than this come in one run
_QUIET_S = 30.0  # what comes alone after this long was not in the store
_AGREE_S = 15.0  # how much longer one reading may have been on its way than another
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


@dataclass
class _Run:
    """Readings that came one right after the other, as a store does.

    Attributes
    ----------
    quiet_s : float
        How long nothing had come before the first, on a link that listened.
    """

    quiet_s: float
    stamps: list[tuple[dt.datetime, float]] = field(default_factory=list)
    """Stamp and arrival of each."""

    def freshest(self) -> tuple[dt.datetime, float]:
        """The reading that was the shortest time on its way: its stamp leads its arrival most."""
        zero = self.stamps[0][0]
        return max(self.stamps, key=lambda each: (each[0] - zero).total_seconds() - each[1])

    def newest(self) -> dt.datetime:
        return max(stamp for stamp, _ in self.stamps)


class CuffReadings:
    """Tells live readings from stored ones and finds out when each was taken.

    A clock that can be read settles all. Without it a stamp is taken as right where this computer's
    clock makes it likely. Any other reading waits, its values kept in an event, until one is known
    to be live: it came while the cuff was pumping; or alone, long after the cuff had been asked for
    its store; or alone after that store, and newer; or as much later than one before it as its
    stamp says. Whatever waited then has its time too.
    """

    def __init__(
        self, user: int | None, sink: Sink, wall: Callable[[float], Anchor] = wall_anchor
    ) -> None:
        self._user = user
        self._sink = sink
        self._wall = wall
        self._anchor: Anchor | None = None
        self._listens = False
        self._heard = 0.0
        self._at_connect = True
        self._run: _Run | None = None
        self._runs: list[_Run] = []
        self._here = 0
        self._waiting: list[tuple[CuffReading, float, int]] = []
        self._seen: set[tuple[object, ...]] = set()
        self._of_before: set[tuple[object, ...]] = set()
        self._stampless: set[tuple[object, ...]] = set()

    def reconnected(self, now: float) -> None:
        """Expect stored readings: a cuff sends them as soon as it is asked for any."""
        self._end_run()
        self._listens = False
        self._heard = now
        self._at_connect = True
        self._here = len(self._runs)
        self._of_before |= self._stampless

    def gone(self) -> None:
        """Note the end of the link: of what came over it no more comes."""
        self._end_run()

    def listening(self, now: float) -> None:
        """Note that all is subscribed: from now on a silence says that the store is empty."""
        self._listens = True
        self._heard = max(self._heard, now)

    def tick(self, now: float) -> None:
        """Notice that a run of readings has ended."""
        if self._run is not None and now - self._heard > _BURST_S:
            self._end_run()

    def compare(self, anchor: Anchor) -> None:
        """Take a comparison of the clocks: read beats inferred, and that beats assumed."""
        before = self._anchor
        if before is None or before.how == "wall" or anchor.how == "clock":
            self._anchor = anchor
        self._release()

    def arrived(self, item: CuffReading, t_received: float, *, live: bool, flags: int) -> None:
        """Deliver one reading, as data, as an event, or not at all."""
        quiet_s = t_received - self._heard if self._listens else 0.0
        self._heard = max(self._heard, t_received)
        if quiet_s > _BURST_S:
            self._end_run()
            self._at_connect = False
        if self._repeated(item, t_received, live=live) or self._of_another(item):
            return
        if item.cuff_time is None:
            self._deliver(item, t_received, t_received, "arrival", flags)
            return
        if self._anchor is None or self._anchor.how == "wall":
            self._join_run(item.cuff_time, t_received, quiet_s)
            self._infer(item.cuff_time, t_received, quiet_s, live=live)
        if self._anchor is None or self._awaits_end(quiet_s, live=live):
            # Stored or just taken, by a clock we know nothing of: keep its values safe at once.
            self._event("cuff reading, time not known yet", item, t_received, t_received)
            self._waiting.append((item, t_received, flags))
            return
        self._place(item, t_received, flags, self._anchor)

    def finish(self, now: float) -> None:
        """Place what still waits by this computer's clock, unless that makes no sense."""
        self._end_run()
        if not self._waiting:
            return
        self._sink.trouble(
            "cuff_clock", "the cuff's clock could not be compared: its stamps are taken as right"
        )
        wall = self._wall(now)
        waiting, self._waiting = self._waiting, []
        for item, t_received, flags in waiting:
            # A stamp of the future is wrong; the event has the values.
            if item.cuff_time is not None and wall.at(item.cuff_time) <= t_received + _STAMP_S:
                self._place(item, t_received, flags, wall)

    # -- which reading is live -------------------------------------------------------------------

    def _join_run(self, stamp: dt.datetime, t_received: float, quiet_s: float) -> None:
        """Count a reading into the run that it came in."""
        if self._run is None:
            self._run = _Run(quiet_s)
        self._run.stamps.append((stamp, t_received))

    def _awaits_end(self, quiet_s: float, *, live: bool) -> bool:
        """Whether a better comparison than this computer's clock is a moment away."""
        assumed = self._anchor is not None and self._anchor.how == "wall"
        return assumed and not live and quiet_s > _QUIET_S

    def _infer(self, stamp: dt.datetime, t_received: float, quiet_s: float, *, live: bool) -> None:
        """Compare the clocks by a reading that was just taken, or take a likely stamp as right."""
        if live:
            self.compare(Anchor(stamp, t_received, "live"))
            return
        wall = self._wall(t_received)
        likely = abs(wall.at(stamp) - t_received) <= _LIKELY_S
        if self._anchor is None and likely and quiet_s <= _QUIET_S:
            self._take_as_right(wall)

    def _take_as_right(self, wall: Anchor) -> None:
        """Believe the cuff's clock."""
        self._sink.trouble(
            "cuff_clock", "the cuff's clock cannot be read: its stamps are taken as right"
        )
        self.compare(wall)

    def _end_run(self) -> None:
        """Look whether a run that has ended holds a live reading."""
        run, self._run = self._run, None
        if run is None:
            return
        before = [(index >= self._here, each) for index, each in enumerate(self._runs)]
        self._runs.append(run)
        stamp, t_received = run.freshest()
        if self._anchor is not None and self._anchor.how != "wall":
            return
        if _is_live(run, before):
            self.compare(Anchor(stamp, t_received, "live"))
            return
        wall = self._wall(self._sink.now())
        if self._anchor is None and abs(wall.at(stamp) - t_received) <= _LIKELY_S:
            self._take_as_right(wall)
        elif self._anchor is not None:
            self._release()

    # -- what becomes of it ----------------------------------------------------------------------

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
        t, how = anchor.at(item.cuff_time), anchor.how
        if t > t_received + 2 * _STAMP_S:
            # Nothing is measured after it has arrived: this clock was set anew, or wrongly read.
            how = "arrival"
            if anchor is self._anchor and anchor.how != "clock":
                self._anchor = Anchor(item.cuff_time, t_received, "live")
        t = min(t, t_received)
        if t < -_STAMP_S:
            self._event("stored cuff reading from before the session", item, t_received, t, how=how)
            return
        self._deliver(item, max(t, 0.0), t_received, how, flags)

    def _deliver(
        self, item: CuffReading, t: float, t_received: float, how: str, flags: int
    ) -> None:
        """Deliver a reading of this session, and beside it what the cuff says about it."""
        values = np.asarray(item.values, dtype=np.float64)
        reason = ", ".join(item.problems)
        if not np.isfinite(values[:2]).any():
            reason = reason or "no values"
            self._event(f"cuff measurement failed: {reason}", item, t, t, how=how)
            self._sink.trouble("cuff_failed", f"cuff measurement failed: {reason}")
            return
        label = f"cuff reading: {reason}" if reason else "cuff reading"
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

    def _repeated(self, item: CuffReading, t_received: float, *, live: bool) -> bool:
        """Whether this very reading came before: a cuff sends its store at every connection."""
        key = (item.cuff_time, item.user, np.asarray(item.values).tobytes())
        if item.cuff_time is not None:
            known = key in self._seen
            self._seen.add(key)
            return known
        self._stampless.add(key)
        if live or not self._at_connect or key not in self._of_before:
            return False
        label = "cuff reading without a time, as one before: taken as sent again"
        self._event(label, item, t_received, t_received)
        return True

    def _of_another(self, item: CuffReading) -> bool:
        """Whether the reading belongs to the other user of the cuff; then it is dropped."""
        known = item.user is not None and item.user != _UNKNOWN_USER
        if self._user is None or not known or item.user == self._user:
            return False
        self._sink.trouble(
            "other_user", f"a reading of user {item.user} was dropped; this is user {self._user}"
        )
        return True


def _is_live(run: _Run, before: list[tuple[bool, _Run]]) -> bool:
    """Whether the freshest reading of a run was taken when it arrived.

    Parameters
    ----------
    run : _Run
        Has ended.
    before : list of tuple
        Runs before it, and whether each came over the same link.
    """
    alone = len(run.stamps) == 1
    if alone and run.quiet_s > _QUIET_S:
        return True
    newer = all(run.newest() > each.newest() for _, each in before)
    stored_came = any(here and len(each.stamps) > 1 for here, each in before)
    if alone and newer and stored_came and run.quiet_s > _BURST_S:
        return True
    return newer and any(_agree(each.freshest(), run.freshest()) for _, each in before)


def _agree(early: tuple[dt.datetime, float], late: tuple[dt.datetime, float]) -> bool:
    """Whether two readings are as far apart by their stamps as by their arrivals."""
    by_stamp = (late[0] - early[0]).total_seconds()
    return abs(by_stamp - (late[1] - early[1])) <= _AGREE_S


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
