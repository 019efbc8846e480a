"""Lab Streaming Layer inlets: ``lsl:`` for every stream, or ``lsl:QUERY``.

QUERY is a predicate of LSL (``lsl:type='ECG'``, ``lsl:name='markers' and hostname='stim'``), or a
plain word, which stands for streams of that name or type. Needs the extra:
``pip install "physio-hqc[lsl]"``.

What becomes of an outlet
    Text streams, and irregular single numbers of type Markers, become events of kind marker.
    Numeric streams become streams, one per recognized column, named and scaled to the session's
    units by the rules of the XDF importer: type, labels and units decide, and what they do not
    settle is kept as ``other``. Outlets must exist when the recording begins; one that appears
    later is reported, not recorded, because a session file declares its streams first.

Times
    Nothing is dejittered or corrected: a packet carries the sender's stamp of its last sample as
    its device time, and its arrival; sample times are reconstructed on reading. Markers and
    irregular values, whose times are stored, get stamp plus clock offset. Offsets are measured
    before the first sample is taken and then every 5 s, as LabRecorder does, and kept: each round
    as a system event ``lsl_clock_offsets``, and thinned as the fact ``clock_offsets`` (a list of
    [session time, offset]; with several streams a dict of such lists). An offset is what must be
    added to a sender's stamp to get the time of this computer's LSL clock.

Losses
    An outlet that vanishes is searched for until it is back, also under a new identity after its
    program was started again; the first packet then carries the flag RECONNECT. Outlets without a
    ``source_id`` are taken up again by name, type, host and format; when such a one breaks off,
    liblsl drops what it had not handed over yet (at most 20 ms).

Which network
    LSL finds outlets by multicast on all interfaces. A lab restricts it by a file ``lsl_api.cfg``
    (in the working folder, ``~/lsl_api/`` or ``/etc/lsl_api/``, or where the environment variable
    ``LSLAPICFG`` says), the same on all computers. This one stays on this computer::

        [ports]
        IPv6 = disable
        PortRange = 100
        [multicast]
        ResolveScope = machine
        AddressesOverride = {127.0.0.1}
        [lab]
        KnownPeers = {127.0.0.1}

    ``KnownPeers = {stim-pc, 10.0.0.7}`` instead finds outlets on computers where multicast is
    blocked; a ``SessionID`` of its own in ``[lab]`` keeps two laboratories on one network apart.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.source import Sink, Source, SourceOptions, StreamInfo
from physio_hqc.acquisition.sources._lsl_streams import (
    Outlet,
    Part,
    describe,
    identity_of,
    marker_of,
    parts_of,
)
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError, RecordingError
from physio_hqc.importers.channels import free_name
from physio_hqc.session import BlockFlag

SEARCH_S: Final = 10.0
"""How long to look for a first outlet."""

_SETTLED_S: Final = 1.5
"""Outlets answer to one of the questions that liblsl asks every half second."""

_POLL_S: Final = 0.02
_ROUND_S: Final = 5.0
_LOOK_S: Final = 0.5
_FORGET_S: Final = 2.5
_QUIET_S: Final = 0.5
"""A reconnection of liblsl takes longer than this: after a shorter silence there was none."""

_RECOVERY_S: Final = 4.0
"""liblsl mostly takes up a restarted outlet within 2 s, but may need half a minute."""

_CONNECT_S: Final = 5.0
_OFFSET_S: Final = 3.0
_CHUNK: Final = 4096
_BUFFER_S: Final = (60, 600)
"""What liblsl buffers while the recorder is held up: seconds, or hundreds of irregular samples."""

_MOST_OFFSETS: Final = 240
_CLOCK_STEP_S: Final = 1.0
_STREAMS_PER_EVENT: Final = 40


def from_spec(text: str, options: SourceOptions) -> LslSource:
    """Make a source of all outlets that match a query.

    Raises
    ------
    RecordingError
        If pylsl is not installed.
    """
    _pylsl()
    return LslSource(text, streams=options.streams)


def _pylsl() -> Any:
    """The library, or how to get it."""
    try:
        import pylsl
    except ImportError as error:
        raise RecordingError(
            'LSL streams need pylsl: pip install "physio-hqc[lsl]"'
            if error.name == "pylsl"
            else f"pylsl is installed but cannot be loaded: {error}"
        ) from error
    except RuntimeError as error:  # the wheel carries no liblsl for this platform
        raise RecordingError(
            f"pylsl is installed but finds no liblsl: {str(error).splitlines()[0]}"
        ) from error
    _silence(pylsl)
    return pylsl


@functools.cache
def _silence(pylsl: Any) -> None:
    """Keep what liblsl logs off the experimenter's screen, unless a lab configured it itself."""
    places = [Path("lsl_api.cfg"), Path.home() / "lsl_api" / "lsl_api.cfg"]
    places += [Path("/etc/lsl_api/lsl_api.cfg")]
    if "LSLAPICFG" not in os.environ and not any(place.exists() for place in places):
        pylsl.set_config_content("[log]\nlevel = -3\n")


def predicate(text: str) -> str:
    """Return the LSL predicate that a query stands for.

    In parentheses, because liblsl puts its own condition and an "and" before it.

    Examples
    --------
    >>> predicate("ECG")
    "(name='ECG' or type='ECG')"
    >>> predicate(" type='EEG' ")
    "(type='EEG')"
    """
    query = text.strip()
    if query and not any(sign in query for sign in "='\"()<>"):
        query = f"name='{query}' or type='{query}'"
    return f"({query})" if query else ""


@dataclass(eq=False)
class _Feed:
    """One inlet and what is known of it."""

    key: str
    """Name of its first stream, or of the outlet: for messages and clock offsets."""
    outlet: Outlet
    inlet: Any
    parts: tuple[Part, ...]
    offset: float = math.nan
    """What is added to the sender's stamps; NaN before it was measured."""
    t_arrival: float = math.nan
    lag: float = math.nan
    lost: bool = False
    broken: bool = False
    """liblsl gave this inlet up; it needs a new one."""
    pending: int = 0
    """Flags of the next packet."""
    remeasure: bool = False
    absent_since: float = math.nan
    """Session time since when another outlet stands in its place, unless the inlet has it."""
    shadow: set[float] | None = None
    """Stamps taken while a successor of the inlet is being opened."""
    twice: set[float] = field(default_factory=set)
    """Stamps that the successor may deliver once more."""
    history: list[list[float]] = field(default_factory=list)

    @property
    def times_are_stored(self) -> bool:
        """Whether samples get their session time now, by the offset."""
        return self.outlet.is_marker or self.outlet.sfreq == 0


class LslSource(Source):
    """All LSL outlets that match a query.

    Parameters
    ----------
    query : str
        A predicate, a plain word, or "" for every outlet on the network.
    streams : sequence of str
        Streams to record, by the names they get here; all by default. Markers always come.
    search_s : float
        How long to look for a first outlet.
    """

    def __init__(
        self, query: str = "", *, streams: tuple[str, ...] = (), search_s: float = SEARCH_S
    ) -> None:
        self.name = "lsl"
        self.query = predicate(query)
        self._wanted = streams
        self._search_s = search_s
        self._feeds: list[_Feed] = []
        self._resolver: Any = None
        self._strangers: set[str] = set()
        self._told_lost: set[str] = set()
        self._clock_shift = 0.0

    async def streams(self) -> tuple[StreamInfo, ...]:
        """Look for outlets, until no new one has answered for 1.5 s.

        Raises
        ------
        RecordingError
            If there is none, or none can be reached.
        ConfigError
            If a stream is asked for that no outlet has.
        """
        pylsl = _pylsl()
        try:
            self._resolver = pylsl.ContinuousResolver(
                pred=self.query or None, forget_after=_FORGET_S
            )
        except RuntimeError as error:
            raise ConfigError(
                f"{self.query} is no LSL query: write it like name='markers' or type='ECG'"
            ) from error
        found = await self._search()
        taken: set[str] = set()
        for info in sorted(found.values(), key=_order):
            inlet = self._inlet(info)
            try:
                full = await asyncio.to_thread(inlet.info, _CONNECT_S)
            except RuntimeError:  # of which pylsl's own errors are kinds
                continue  # it went away again, or its computer cannot be reached
            outlet = describe(full)
            parts = () if outlet.is_marker else parts_of(outlet, taken)
            wanted = parts[0].info.name if parts else outlet.name
            key = free_name(wanted, {feed.key for feed in self._feeds})
            self._feeds.append(_Feed(key, outlet, inlet, parts))
        if not self._feeds:
            raise RecordingError(
                f"LSL streams{self._matching} were seen but none can be reached: "
                f"does a firewall block ports 16572 to 16604?"
            )
        self._choose()
        return tuple(part.info for feed in self._feeds for part in feed.parts)

    async def run(self, sink: Sink) -> None:
        """Take samples until cancelled."""
        if not self._feeds:
            await self.streams()
        rounds: asyncio.Task[None] | None = None
        try:
            await asyncio.gather(*(self._open(feed, sink) for feed in self._feeds))
            await self._measure(sink)
            sink.state("connected", f"{len(self._feeds)} LSL streams{self._matching}")
            rounds = asyncio.create_task(self._rounds(sink))
            await self._poll(sink)
        finally:
            if rounds is not None:
                rounds.cancel()
            self._close()

    # ---- finding

    @property
    def _matching(self) -> str:
        return f" that match {self.query}" if self.query else ""

    async def _search(self) -> dict[str, Any]:
        """Outlets by uid, once no new one has appeared for a while."""
        found: dict[str, Any] = {}
        begun = changed = time.monotonic()
        while True:
            now = time.monotonic()
            seen = {info.uid(): info for info in self._resolver.results()}
            if seen.keys() - found.keys():
                changed = now
            found.update(seen)
            if found and now - changed >= _SETTLED_S:
                return found
            if not found and now - begun >= self._search_s:
                raise RecordingError(
                    f"no LSL stream{self._matching} within {self._search_s:g} s: is its program "
                    f"running, on this network, and allowed by the firewall?"
                )
            await asyncio.sleep(0.05)

    def _inlet(self, info: Any) -> Any:
        seconds = _BUFFER_S[0] if info.nominal_srate() > 0 else _BUFFER_S[1]
        return _pylsl().StreamInlet(info, max_buflen=seconds, recover=True, as_numpy=True)

    def _choose(self) -> None:
        """Keep the streams that were asked for, and all markers."""
        names = [part.info.name for feed in self._feeds for part in feed.parts]
        for name in self._wanted:
            if name not in names:
                raise ConfigError(f"no LSL stream becomes {name!r}; {nearest(name, names)}")
        if not self._wanted:
            return
        for feed in self._feeds:
            feed.parts = tuple(part for part in feed.parts if part.info.name in self._wanted)
        self._feeds = [feed for feed in self._feeds if feed.parts or feed.outlet.is_marker]

    async def _open(self, feed: _Feed, sink: Sink) -> None:
        """Let samples flow into liblsl's buffer."""
        try:
            await asyncio.to_thread(feed.inlet.open_stream, _CONNECT_S)
        except _pylsl().util.LostError:
            feed.broken = True
        except RuntimeError as error:
            sink.trouble("connect", f"LSL stream {feed.outlet.name!r} does not answer: {error}")

    def _close(self) -> None:
        for feed in self._feeds:
            feed.inlet.close_stream()
        self._feeds, self._resolver = [], None

    # ---- clocks

    async def _rounds(self, sink: Sink) -> None:
        """Measure all offsets every few seconds."""
        due = time.monotonic()
        while True:
            due = max(due + _ROUND_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self._measure(sink)

    async def _measure(self, sink: Sink) -> None:
        """Measure the offset of every sender's clock, and of liblsl's clock here."""
        self._clock_shift = _shift(sink.now, _pylsl().local_clock)
        # Only the first measurement of an inlet takes time (three quarters of a second).
        await asyncio.gather(*(self._offset(feed, sink) for feed in self._feeds))
        t = sink.now()
        known = {feed.key: feed.offset for feed in self._feeds if math.isfinite(feed.offset)}
        for feed in self._feeds:
            if feed.key in known and not feed.lost:
                feed.history.append([round(t, 3), known[feed.key]])
            if len(feed.history) > _MOST_OFFSETS:
                # Every other one, the last kept: the whole session stays covered.
                feed.history = feed.history[::-2][::-1]
        _tell_offsets(sink, t, known)
        kept = {feed.key: feed.history for feed in self._feeds if feed.history}
        if len(kept) == 1:
            sink.facts(clock_offsets=[list(pair) for pair in next(iter(kept.values()))])
        elif kept:
            sink.facts(clock_offsets={key: [list(p) for p in pairs] for key, pairs in kept.items()})

    async def _offset(self, feed: _Feed, sink: Sink) -> None:
        if feed.broken:
            return
        try:
            feed.offset = await asyncio.to_thread(feed.inlet.time_correction, _OFFSET_S)
        except _pylsl().util.LostError:
            feed.broken = True
        except RuntimeError:
            if math.isnan(feed.offset):
                sink.trouble(
                    "clock_offset",
                    f"the clock of LSL stream {feed.outlet.name!r} cannot be measured; its "
                    f"stamps are taken as this computer's",
                )
        finally:
            feed.remeasure = False

    # ---- taking samples

    async def _poll(self, sink: Sink) -> None:
        """Empty all inlets fifty times a second."""
        due = look = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()

        def start(step: Callable[[_Feed, Sink], Any], feed: _Feed) -> None:
            task = asyncio.create_task(step(feed, sink))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            while True:
                now = time.monotonic()
                for feed in self._feeds:
                    if feed.broken or feed.remeasure:
                        continue
                    # A lost inlet tells so only when it is asked for samples.
                    if feed.inlet.samples_available() or now >= look:
                        self._receive(feed, sink)
                        if feed.remeasure:
                            start(self._offset, feed)
                if now >= look:
                    look = now + _LOOK_S
                    for feed in self._look_around(sink):
                        start(self._take_up, feed)
                due = max(due + _POLL_S, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
        finally:
            for task in tasks:
                task.cancel()

    def _receive(self, feed: _Feed, sink: Sink) -> None:
        """Hand over what an inlet holds."""
        quiet = not sink.now() - feed.t_arrival < _QUIET_S
        if (quiet or feed.lost) and feed.inlet.samples_available():
            self._check_identity(feed)
            if feed.remeasure and feed.times_are_stored:
                return  # the new sender may have another clock: first its offset, then its stamps
        self._drain(feed, sink)

    def _drain(self, feed: _Feed, sink: Sink) -> None:
        pylsl = _pylsl()
        while True:
            try:
                values, stamps = feed.inlet.pull_chunk(timeout=0.0, max_samples=_CHUNK)
            except pylsl.util.LostError:
                feed.broken = True
                return
            if not len(stamps):
                return
            more = len(stamps) == _CHUNK
            if feed.shadow is not None:
                feed.shadow.update(stamps.tolist())
            if feed.twice:
                new = ~np.isin(stamps, list(feed.twice))
                values, stamps = values[new], stamps[new]
                feed.twice = set() if new.all() else feed.twice
            if len(stamps):
                self._chunk(feed, values, stamps, sink)
            if not more:
                return

    def _chunk(
        self, feed: _Feed, values: NDArray[Any], stamps: NDArray[np.float64], sink: Sink
    ) -> None:
        now = sink.now()
        lag = now - self._clock_shift - float(stamps[-1])
        if feed.pending and abs(lag - feed.lag) > _CLOCK_STEP_S:
            feed.pending |= BlockFlag.CLOCK_RESET
        feed.lag, feed.t_arrival = lag, now
        if feed.outlet.is_marker:
            self._markers(feed, values, stamps, sink)
            return
        if feed.outlet.sfreq == 0:
            times = self._session_times(feed, stamps)
            for part in feed.parts:
                sink.readings(part.info.name, times, _columns(values, part), now, feed.pending)
            feed.pending = 0
            return
        for low, high in _stretches(stamps, feed.outlet.sfreq):
            for part in feed.parts:
                samples = _columns(values[low:high], part)
                sink.packet(part.info.name, samples, now, float(stamps[high - 1]), feed.pending)
            feed.pending = 0

    def _session_times(self, feed: _Feed, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        offset = feed.offset if math.isfinite(feed.offset) else 0.0
        return stamps + (offset + self._clock_shift)

    def _markers(
        self, feed: _Feed, values: NDArray[Any], stamps: NDArray[np.float64], sink: Sink
    ) -> None:
        feed.pending = 0
        times = self._session_times(feed, stamps).tolist()
        for onset, row in zip(times, values, strict=True):
            label, payload = marker_of(feed.outlet, row)
            if math.isfinite(onset):
                sink.event("marker", label, onset, payload=payload)
            else:
                sink.trouble("time", f"marker {label!r} of {feed.outlet.name!r} has no time")

    # ---- losing and finding again

    def _candidates(self, feed: _Feed) -> list[Any]:
        """Outlets that are there now and can be the one of this feed."""
        taken = {other.outlet.uid for other in self._feeds if other is not feed}
        return [
            info
            for info in self._resolver.results()
            if identity_of(info) == feed.outlet.identity and info.uid() not in taken
        ]

    def _check_identity(self, feed: _Feed) -> None:
        """Notice that the inlet has reconnected, to the same outlet or to its successor."""
        uids = [info.uid() for info in self._candidates(feed)]
        if uids and feed.outlet.uid not in uids:
            feed.outlet = replace(feed.outlet, uid=uids[0])
            feed.remeasure, feed.absent_since = True, math.nan
            feed.pending |= BlockFlag.RECONNECT
        elif feed.lost:
            feed.pending |= BlockFlag.RECONNECT
        feed.lost = False

    def _look_around(self, sink: Sink) -> list[_Feed]:
        """Tell who is lost and who is back; return the feeds that need a new inlet."""
        there = {info.uid() for info in self._resolver.results()}
        for feed in self._feeds:
            flows = sink.now() - feed.t_arrival < _FORGET_S
            feed.lost = feed.broken or not (feed.outlet.uid in there or flows)
        before, lost = self._told_lost, {feed.key for feed in self._feeds if feed.lost}
        self._told_lost = lost
        if lost - before:
            sink.state("lost", f"LSL: {', '.join(sorted(lost))}")
        elif before - lost:
            rest = f"; still lost: {', '.join(sorted(lost))}" if lost else ""
            back = f"LSL: {', '.join(sorted(before - lost))} is back{rest}"
            sink.state("lost" if lost else "connected", back)
        self._report_strangers(sink)
        return [feed for feed in self._feeds if self._needs_inlet(feed, sink.now())]

    def _needs_inlet(self, feed: _Feed, now: float) -> bool:
        """Whether an outlet is there again and liblsl has had time enough to take it up."""
        uids = [info.uid() for info in self._candidates(feed)]
        if not uids or feed.shadow is not None or feed.remeasure:
            return False
        if feed.broken:
            return True
        if math.isnan(feed.absent_since):
            feed.absent_since = now
        if feed.outlet.uid not in uids and feed.t_arrival > feed.absent_since + _LOOK_S:
            # Samples came before the resolver told of the new outlet: the inlet has it already.
            feed.outlet = replace(feed.outlet, uid=uids[0])
        if feed.outlet.uid in uids:
            feed.absent_since = math.nan
            return False
        return now - feed.absent_since > _RECOVERY_S

    def _report_strangers(self, sink: Sink) -> None:
        known = {feed.outlet.identity for feed in self._feeds}
        for info in self._resolver.results():
            if identity_of(info) not in known and info.uid() not in self._strangers:
                self._strangers.add(info.uid())
                sink.trouble(
                    "late_stream",
                    f"LSL stream {info.name()!r} appeared after the recording had begun and "
                    f"is not recorded",
                )

    async def _take_up(self, feed: _Feed, sink: Sink) -> None:
        """Put an inlet of our own in the place of one that liblsl does not bring back."""
        found = self._candidates(feed)
        if not found:
            return
        info = found[0]
        feed.shadow = set()
        successor = self._inlet(info)
        try:
            await asyncio.to_thread(successor.open_stream, _CONNECT_S)
        except RuntimeError:
            feed.shadow, feed.absent_since = None, math.nan
            return  # it went away again; the next look around tries anew
        if feed.outlet.uid == info.uid():
            feed.shadow = None
            return  # liblsl was quicker after all
        if not feed.broken:
            # It may have been without telling: then both inlets hold what was sent just now.
            self._drain(feed, sink)
        feed.twice, feed.shadow = feed.shadow, None
        feed.inlet, feed.broken, feed.absent_since = successor, False, math.nan
        feed.outlet = replace(feed.outlet, uid=info.uid())
        feed.pending |= BlockFlag.RECONNECT
        feed.remeasure = True  # nothing is taken before its clock is known
        await self._offset(feed, sink)


def _order(info: Any) -> tuple[str, ...]:
    """The same outlets, the same names, whatever the order in which they answer."""
    return info.hostname(), info.name(), info.type(), info.source_id(), info.uid()


def _columns(values: NDArray[Any], part: Part) -> NDArray[Any]:
    """Columns of a stream; one column as a plain row of numbers."""
    if len(part.columns) == values.shape[1]:
        return values[:, 0] if values.shape[1] == 1 else values
    return values[:, part.columns[0]] if len(part.columns) == 1 else values[:, list(part.columns)]


def _stretches(stamps: NDArray[np.float64], sfreq: float) -> list[tuple[int, int]]:
    """Where a chunk must be cut, because the sender paused in it or its clock was set."""
    steps = np.diff(stamps)
    cuts = np.flatnonzero((steps > 0.2 + 4 / sfreq) | (steps < -1 / sfreq)) + 1
    edges = [0, *cuts.tolist(), len(stamps)]
    return list(pairwise(edges))


def _shift(now: Callable[[], float], local_clock: Callable[[], float]) -> float:
    """Session time minus liblsl's clock, from the reading that took least time."""
    best, shift = math.inf, 0.0
    for _ in range(5):
        before, theirs, after = now(), local_clock(), now()
        if after - before < best:
            best, shift = after - before, (before + after) / 2 - theirs
    return shift


def _tell_offsets(sink: Sink, t: float, known: dict[str, float]) -> None:
    """One system event for a round of offsets, or a few where there are very many streams."""
    items = list(known.items())
    for first in range(0, len(items), _STREAMS_PER_EVENT):
        offsets = {key: round(value, 7) for key, value in items[first : first + _STREAMS_PER_EVENT]}
        sink.event("system", "lsl_clock_offsets", t, payload={"offsets_s": offsets})
