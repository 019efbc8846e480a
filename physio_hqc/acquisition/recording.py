"""A whole session while it is recorded: sources, pre-flight, protocol, tags, and the file."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import physio_hqc
from physio_hqc.acquisition._diary import Diary
from physio_hqc.acquisition._sinks import SourceSink
from physio_hqc.acquisition.alerts import disk_alerts
from physio_hqc.acquisition.clock import SessionClock
from physio_hqc.acquisition.conductor import (
    Conductor,
    CuffDue,
    PhaseEnded,
    PhaseStarted,
    ProtocolEnded,
    RatingsDue,
)
from physio_hqc.acquisition.control import Command, ControlServer
from physio_hqc.acquisition.monitor import StreamMonitor
from physio_hqc.acquisition.plan import RecordingPlan, RecordingResult
from physio_hqc.acquisition.preflight import (
    Problem,
    checked,
    preflight_problems,
    source_alerts,
    source_problems,
)
from physio_hqc.acquisition.recorder import Recorder
from physio_hqc.acquisition.source import Source, SourceState, StreamInfo
from physio_hqc.acquisition.view import Alert, RecordingState, RecordingView, SourceView, StreamView
from physio_hqc.errors import OutputError, PhysioError, RecordingError
from physio_hqc.files import new_file
from physio_hqc.session import SessionWriter

_TICK_S: Final = 0.02
_LOOK_S: Final = 0.5
_STOP_S: Final = 10.0
_REMIND_S: Final = 10.0
_SLIP_S: Final = 1.0
_FIND_S: Final = 60.0
_STRIP_S: Final = 8.0
_MANUAL: Final = "by hand"
_NOT_YET: Final = "the recording has not begun yet"

CUFF: Final = StreamInfo(
    "cuff",
    "cuff",
    "mmHg,mmHg,mmHg,1/min",
    0.0,
    dtype="float32",
    channels=("SBP", "DBP", "MAP", "HR"),
    device={"name": _MANUAL},
    awaited=False,
)


class Recording(Diary):
    """A session while it is recorded; made and run by :func:`record_session`.

    The methods that an experimenter's key or another program triggers return "" when done, else
    why not. Their `at` is the session time at which it happened; now by default.

    Examples
    --------
    >>> from physio_hqc.acquisition import Recording, RecordingPlan, make_source
    >>> from physio_hqc.protocol import load_protocol
    >>> plan = RecordingPlan(
    ...     out="p01.h5",
    ...     protocol=load_protocol("lepore_1993"),
    ...     sources=(make_source("simulator:seed=1"),),
    ...     condition="support",
    ... )
    >>> recording = Recording(plan)
    >>> recording.state, recording.finished
    ('preflight', False)
    """

    def __init__(
        self,
        plan: RecordingPlan,
        *,
        on_log: Callable[[str], None] | None = None,
        on_begin: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(plan.protocol, plan.condition, on_log)
        self.plan = plan
        self.state: RecordingState = "preflight"
        self.session_id = ""
        self._conductor = Conductor(plan.protocol)
        self._on_begin = on_begin
        self._monitors: dict[str, StreamMonitor] = {}
        self._sinks: list[SourceSink] = []
        self._ended_phase = ""
        self._stop = asyncio.Event()
        self._complete = False
        self._reason = ""
        self._problem = ""
        self._failure: PhysioError | None = None
        self._begun_at: float | None = None
        self._ready = False
        self._waiting_for: tuple[str, ...] = ()
        self._said_missing_at = 0.0
        self._free_bytes: int | None = None

    # What the experimenter sees and does

    @property
    def finished(self) -> bool:
        """Whether the recording is over."""
        return self.state == "finished"

    def view(self) -> RecordingView:
        """The recording at this moment."""
        now = self.now()
        sources = tuple(sink.view() for sink in self._sinks)
        streams = tuple(
            checked(view, problems) for view, problems in self._checked_streams(now, sources)
        )
        alerts = (
            [
                *disk_alerts(self._free_bytes, recorder.fill, recorder.n_dropped),
                *([Alert(self._problem)] if self._problem else []),
                *(alert for source in sources for alert in self._source_alerts(source)),
                *(alert for monitor in self._monitors.values() for alert in monitor.alerts(now)),
            ]
            if (recorder := self._recorder) is not None
            else []
        )
        strip, strip_sfreq = self._strip()
        phase = self._conductor.view(now)
        return RecordingView(
            state=self.state,
            t=now,
            file=str(self.plan.out),
            participant_id=self.plan.participant_id,
            condition=self.plan.condition,
            protocol=self.plan.protocol.name,
            phase=phase,
            streams=streams,
            sources=sources,
            alerts=tuple(sorted(alerts, key=lambda alert: not alert.urgent)),
            armed_s=now if self._begun_at is None else self._begun_at,
            ready=self._ready,
            waiting_for=self._waiting_for,
            open_windows=tuple((label, handle.onset) for label, handle in self._windows.items()),
            interactions=tuple(entry.label for entry in self.plan.protocol.interactions),
            ratings_due=tuple(name for name, _ in self._ratings_due),
            log=tuple(self._log),
            strip=strip,
            strip_sfreq=strip_sfreq,
            file_bytes=_size(self.plan.out),
            free_bytes=self._free_bytes,
        )

    def _source_alerts(self, source: SourceView) -> tuple[Alert, ...]:
        """Alerts of a source; one that is rightly silent may also be away between readings."""
        mine = [monitor for monitor in self._monitors.values() if monitor.source == source.name]
        return source_alerts(source, awaited=any(monitor.info.awaited for monitor in mine))

    def begin(self, *, override: bool = False) -> str:
        """Start the protocol; with `override` although something is missing, which is recorded."""
        if self._recorder is None:
            return _NOT_YET
        if self.state != "preflight":
            return "the protocol runs already"
        self._look()
        if not self._ready and not override:
            return "not yet: " + "; ".join(self._waiting_for)
        now = self.now()
        payload: dict[str, Any] = {"armed_s": round(now, 3)}
        if not self._ready:
            payload |= {"overridden": list(self._waiting_for)}
        self._system("protocol started", now, payload)
        self.state = "running"
        self._begun_at = now
        self._act(self._conductor.start(now))
        if self._on_begin is not None:
            self._on_begin()
        return ""

    def next_phase(self, *, at: float | None = None) -> str:
        """End the running phase and start the next one."""
        if self.state != "running" or self._conductor.done:
            return "no phase is running"
        t = self._time(at)
        if t < self._conductor.onset:
            return "the phase ended by the clock in the same moment"
        self._act(self._conductor.next_phase(t))
        return ""

    def stop(self, reason: str = "stopped by the experimenter") -> None:
        """End the recording; the file is closed cleanly."""
        self._reason = self._reason or reason
        self._stop.set()

    # The recording itself

    async def run(self) -> RecordingResult:
        """Record until the protocol is over, or until `stop`."""
        await self._open()
        try:
            async with self._control_server() as server:
                if server.problem:
                    self._problem = server.problem
                    self._system("no tags from outside", self.now(), {"reason": server.problem})
                await self._record()
        finally:
            self._close()
        return self._result()

    async def _open(self) -> None:
        """Learn which streams there are, and make the file for them."""
        new_file(self.plan.out, overwrite=True)
        if self.plan.out.exists():
            raise OutputError(f"{self.plan.out} exists already: a recording never overwrites one")
        try:
            async with asyncio.timeout(_FIND_S):
                found = await asyncio.gather(*(source.streams() for source in self.plan.sources))
        except TimeoutError:
            raise RecordingError(
                f"some source did not say within {_FIND_S:g} s which streams it has"
            ) from None
        self.clock = SessionClock.start()
        taken: set[str] = set()
        infos: list[StreamInfo] = []
        for source, streams in zip(self.plan.sources, found, strict=True):
            self._add_sink(source.name, streams, taken, infos)
        if not any(info.modality == "cuff" for info in infos):
            self._add_sink(_MANUAL, (CUFF,), taken, infos)
        self._store_cuff = self._first_cuff()
        self._recorder = self._start_recorder(infos)
        for sink in self._sinks:
            sink.recorder = self._recorder
        self._system("recording started", self.now(), {"software": physio_hqc.__version__})

    def _start_recorder(self, infos: list[StreamInfo]) -> Recorder:
        """Make the file with all its streams, and start writing."""
        writer = SessionWriter(
            self.plan.out,
            participant_id=self.plan.participant_id,
            condition=self.plan.condition,
            dyad_id=self.plan.dyad_id,
            role=self.plan.role,
            protocol=self.plan.protocol.to_yaml(),
            t0_unix_ns=self.clock.t0_unix_ns,
        )
        try:
            for info in infos:
                _declare(writer, info)
            # From here on a kill leaves a session with all its streams.
            writer.flush()
        except (OSError, PhysioError):
            writer.abandon()
            self.plan.out.unlink(missing_ok=True)
            raise
        self.session_id = writer.session_id
        loop = asyncio.get_running_loop()
        recorder = Recorder(
            writer,
            on_trouble=lambda stream, text: _from_thread(loop, self._unstorable, stream, text),
            on_failure=lambda error: _from_thread(loop, self._fail, error),
        )
        recorder.start()
        return recorder

    def _add_sink(
        self,
        name: str,
        streams: tuple[StreamInfo, ...],
        taken: set[str],
        infos: list[StreamInfo],
    ) -> None:
        """Give the streams of a source names that no other has, and a monitor each."""
        names = {}
        unique = _free_name(name, {sink.name for sink in self._sinks})
        for info in streams:
            names[info.name] = _free_name(info.name, taken)
            taken.add(names[info.name])
            renamed = replace(info, name=names[info.name])
            infos.append(renamed)
            self._monitors[renamed.name] = StreamMonitor(renamed, unique)
        monitors = {local: self._monitors[name] for local, name in names.items()}
        state: SourceState = "connected" if name == _MANUAL else "searching"
        self._sinks.append(SourceSink(unique, names, monitors, self, state))

    def _first_cuff(self) -> Callable[[float, list[float]], None]:
        """Where cuff readings taken by hand go: into the first cuff stream there is."""
        local, sink = next(
            (local, sink)
            for sink in self._sinks
            for local, name in sink.names.items()
            if self._monitors[name].info.modality == "cuff"
        )
        return lambda t, values: sink.readings(local, [t], [values], t)

    def _control_server(self) -> ControlServer:
        return ControlServer(
            self._obey,
            file=self.plan.out,
            session_id=self.session_id,
            participant_id=self.plan.participant_id,
        )

    async def _record(self) -> None:
        tasks = [
            asyncio.create_task(self._deliver(source, sink))
            for source, sink in zip(self.plan.sources, self._sinks, strict=False)
        ]
        try:
            await self._conduct(tasks)
        finally:
            await cancel(tasks, _STOP_S)

    async def _deliver(self, source: Source, sink: SourceSink) -> None:
        """Run a source; one that cannot go on is reported and does not stop the others."""
        try:
            await source.run(sink)
            sink.state("ended", "nothing more to deliver")
            if self.state == "preflight" and self._cannot_begin():
                self._fail(RecordingError(f"{sink.name} ended before the protocol could start"))
        except PhysioError as error:
            sink.state("ended", str(error))
            if self.state == "preflight" and self._cannot_begin():
                self._fail(error)

    def _cannot_begin(self) -> bool:
        """Whether a source that ended leaves nothing to record, or nobody who could override."""
        unattended = self.plan.begin == "auto" and self.plan.override_after_s is None
        return unattended or not any(self._n_samples().values())

    async def _conduct(self, tasks: list[asyncio.Task[None]]) -> None:
        """Advance the protocol until it is over or the recording is stopped."""
        next_look = 0.0
        while not self._stop.is_set():
            now = self.now()
            if now >= next_look:
                next_look = now + _LOOK_S
                self._look()
                self._notice_bugs(tasks)
                self._begin_if_due(now)
            if self.state == "running":
                self._act(self._conductor.tick(now))
                self._stop_if_over(tasks)
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._stop.wait()
            except TimeoutError:
                continue

    def _notice_bugs(self, tasks: list[asyncio.Task[None]]) -> None:
        """Show a source that broke; the others go on, and its error is raised at the end."""
        for task, sink in zip(tasks, self._sinks, strict=False):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                sink.state("ended", f"internal error: {error!r}")

    def _look(self) -> None:
        """Judge whether the protocol may start, and how much room the disk has."""
        self._free_bytes = _free(self.plan.out)
        if self.state != "preflight":
            return
        sources = tuple(sink.view() for sink in self._sinks)
        found = [*(p for source in sources for p in source_problems(source))]
        for _, problems in self._checked_streams(self.now(), sources):
            found += problems
        blocking = dict.fromkeys(problem.text for problem in found if problem.blocking)
        self._waiting_for = tuple(blocking)
        self._ready = not blocking
        self._say_what_is_missing()

    def _say_what_is_missing(self) -> None:
        """Log now and then why the protocol has not started, for sessions without a screen."""
        now = self.now()
        if self._waiting_for and now - self._said_missing_at >= _REMIND_S:
            self._said_missing_at = now
            self.say("waiting: " + "; ".join(self._waiting_for), now)

    def _checked_streams(
        self, now: float, sources: tuple[SourceView, ...]
    ) -> Iterator[tuple[StreamView, tuple[Problem, ...]]]:
        """Every stream with what pre-flight has against it; streams filled by hand have nothing."""
        by_name = {source.name: source for source in sources}
        for monitor in self._monitors.values():
            view = monitor.view(now)
            if self.state != "preflight" or monitor.source == _MANUAL:
                yield view, ()
                continue
            source = by_name.get(monitor.source)
            yield (
                view,
                preflight_problems(view, source, awaited=monitor.info.awaited, waited_s=now),
            )

    def _begin_if_due(self, now: float) -> None:
        if self.state != "preflight":
            return
        if self.plan.begin == "auto" and self._ready:
            self.begin()
        elif self.plan.override_after_s is not None and now >= self.plan.override_after_s:
            self.begin(override=True)

    def _stop_if_over(self, tasks: list[asyncio.Task[None]]) -> None:
        if self._conductor.done and not (self.plan.wait_for_ratings and self._ratings_due):
            self.stop("the protocol is over")
        elif tasks and all(task.done() for task in tasks):
            self.stop("no source has anything more to deliver")

    def _act(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case PhaseStarted(t=t, phase=phase):
                    payload = {"role": phase.role, "speech": phase.speech}
                    self._phase = self._event("phase", phase.name, t, math.nan, "protocol", payload)
                    self.say(f"phase {phase.label} started", t)
                case PhaseEnded(t=t, phase=phase, early=early):
                    if self._phase is not None:
                        self._end(self._phase, t)
                        self._phase = None
                    self._ended_phase = phase.name
                    if early:
                        self._system("phase ended early", t, {"phase": phase.name})
                    self.say(f"phase {phase.label} ended", t)
                case CuffDue(t=t, number=number):
                    self.say(f"cuff reading {number} is due", t)
                case RatingsDue(t=t, names=names):
                    self._ratings_due += [(name, self._ended_phase) for name in names]
                    self.say("ratings are due: " + ", ".join(names), t)
                case ProtocolEnded(t=t, complete=complete):
                    self._complete = complete
                    self._system("protocol ended", t, {"complete": complete})

    async def _obey(self, command: Command) -> dict[str, Any]:
        """Do what another program asks for."""
        at = max(0.0, self.clock.at(command.monotonic_ns))
        refusal = self._do(command, at)
        if refusal:
            return {"ok": False, "error": refusal}
        if command.action == "status":
            return {"ok": True, **self._status()}
        return {"ok": True, "onset": at, "state": self.state, "t": self.now()}

    def _do(self, command: Command, at: float) -> str:
        match command.action:
            case "start":
                return self.start_window(command.label, command.payload, at=at, source="tag")
            case "stop":
                return self.stop_window(command.label, command.payload, at=at, source="tag")
            case "mark":
                return self.mark(command.label, command.payload, at=at, source="tag")
            case "note":
                return self.note(command.label, at=at, source="tag")
            case "next":
                return self._next_by_tag(at)
            case "end":
                self.stop("stopped by 'tag end'")
                return ""
            case "status":
                return ""
        return f"unknown action {command.action!r}"

    def _next_by_tag(self, at: float) -> str:
        """Start the protocol or its next phase; not twice within a second, which is a slip."""
        if self.state != "running":
            return self.begin()
        since = at - self._conductor.onset
        if since < _SLIP_S:
            return f"the phase {self._phase_name()} began only {max(since, 0.0):.1f} s ago"
        return self.next_phase(at=at)

    def _status(self) -> dict[str, Any]:
        """What a program may want to know before it tags."""
        view = self.view()
        phase = view.phase
        return {
            "file": view.file,
            "participant": view.participant_id,
            "condition": view.condition,
            "state": view.state,
            "t": view.t,
            "phase": phase.name if phase else "",
            "phase_left_s": phase.left_s if phase else None,
            "next_phase": phase.next_label if phase else "",
            "open_windows": [label for label, _ in view.open_windows],
            "waiting_for": list(view.waiting_for),
            "alerts": [alert.text for alert in view.alerts],
        }

    def _close(self) -> None:
        """End what is open, write everything, and close the file."""
        now = self.now()
        if self.state == "running" and not self._conductor.done:
            self._act(self._conductor.stop(now))
        for handle in self._windows.values():
            self._end(handle, now)
        self._windows.clear()
        for sink in self._sinks:
            if sink.known.get("battery") is not None:
                self._system("battery", now, {"percent": sink.known["battery"]}, source=sink.name)
        self._system("recording ended", now, {"reason": self._reason or "an error"})
        self.state = "finished"
        if self._recorder is not None:
            facts = {
                name: {**sink.known, "troubles": sink.troubles}
                for sink in self._sinks
                for name in sink.names.values()
                if sink.known or sink.troubles
            }
            self._recorder.close(facts)

    def _result(self) -> RecordingResult:
        if self._failure is not None:
            self._discard_if_empty()
            raise self._failure
        if self._begun_at is None:
            self._discard_if_empty()
        troubles: dict[str, int] = {}
        for sink in self._sinks:
            for kind, count in sink.troubles.items():
                troubles[kind] = troubles.get(kind, 0) + count
        return RecordingResult(
            self.plan.out,
            self._complete,
            self._reason,
            self.now(),
            self._n_samples(),
            troubles,
        )

    def _discard_if_empty(self) -> None:
        """A recording that never got a sample leaves no file in the way of the next attempt."""
        if not any(self._n_samples().values()):
            self.plan.out.unlink(missing_ok=True)

    def _fail(self, error: PhysioError) -> None:
        self._failure = self._failure or error
        self.stop(str(error))

    def _n_samples(self) -> dict[str, int]:
        now = self.now()
        return {name: monitor.view(now).n_samples for name, monitor in self._monitors.items()}

    def _unstorable(self, stream: str, text: str) -> None:
        for sink in self._sinks:
            if stream in sink.names.values():
                sink.trouble("unstorable", text)

    def cuff_arrived(self, t: float) -> None:
        """Tell the protocol that a cuff reading is there."""
        self._conductor.cuff_arrived(t)

    def _strip(self) -> tuple[Any, float]:
        for monitor in self._monitors.values():
            if monitor.info.modality == "ecg":
                return monitor.strip(_STRIP_S, self.now())
        return RecordingView("preflight", 0.0, "").strip, 0.0


def _declare(writer: SessionWriter, info: StreamInfo) -> None:
    writer.add_stream(
        info.name,
        modality=info.modality,
        units=info.units,
        sfreq=info.sfreq,
        dtype=info.dtype,
        channels=info.channels or None,
        scale=info.scale,
        offset=info.offset,
        device=info.device,
    )


async def cancel(tasks: list[asyncio.Task[None]], limit_s: float) -> None:
    """Cancel tasks and wait until they ended, but not for ever; raise what failed of ours."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    done, _ = await asyncio.wait(tasks, timeout=limit_s)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def _from_thread(
    loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, *arguments)


def _free_name(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(path: Path) -> int | None:
    try:
        return shutil.disk_usage(os.fspath(path.absolute().parent)).free
    except OSError:
        return None
