"""What an experimenter or another program writes into a running recording.

Interaction windows, markers, notes, ratings and cuff readings taken by hand. Each command returns
"" when done, else why not; `at` is the session time at which it happened, now by default.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from physio_hqc.acquisition.clock import SessionClock
from physio_hqc.acquisition.recorder import EventHandle, Recorder
from physio_hqc.protocol import Protocol

_NOT_YET: Final = "the recording has not begun yet"
_LOGGED: Final = 50


class Diary:
    """Events of a recording: what is open, what is due, and the last things that happened.

    Parameters
    ----------
    protocol : Protocol
        For its rating scales.
    condition : str
        Written into every interaction window.
    on_log : callable, optional
        Called with one line for everything that happens.
    """

    def __init__(
        self, protocol: Protocol, condition: str, on_log: Callable[[str], None] | None = None
    ) -> None:
        self.clock = SessionClock.start()
        self._design = protocol
        self._condition = condition
        self._on_log = on_log
        self._log: deque[str] = deque(maxlen=_LOGGED)
        self._recorder: Recorder | None = None
        self._phase: EventHandle | None = None
        self._windows: dict[str, EventHandle] = {}
        self._ratings_due: list[tuple[str, str]] = []
        self._store_cuff: Callable[[float, list[float]], None] | None = None

    def now(self) -> float:
        """Seconds since the session's start."""
        return self.clock.now()

    def toggle_window(self, label: str, *, at: float | None = None) -> str:
        """Start an interaction window, or stop it if it is open."""
        if label in self._windows:
            return self.stop_window(label, at=at)
        return self.start_window(label, at=at)

    def start_window(
        self,
        label: str,
        payload: dict[str, Any] | None = None,
        *,
        at: float | None = None,
        source: str = "keyboard",
    ) -> str:
        """Start an interaction window."""
        if self._recorder is None:
            return _NOT_YET
        if not label.strip():
            return "an interaction window needs a label"
        if label in self._windows:
            return f"window {label!r} is open already"
        content = {"condition": self._condition} if self._condition else {}
        handle = self._event(
            "interaction", label, self._time(at), math.nan, source, content | (payload or {})
        )
        self._windows[label] = handle
        self.say(f"window {label} started", handle.onset)
        return ""

    def stop_window(
        self,
        label: str,
        payload: dict[str, Any] | None = None,
        *,
        at: float | None = None,
        source: str = "keyboard",
    ) -> str:
        """Stop an open interaction window; what is told at its end becomes a marker there."""
        handle = self._windows.pop(label, None)
        if handle is None:
            known = ", ".join(self._windows) or "none"
            return f"no window {label!r} is open (open: {known})"
        t_end = self._time(at)
        self._end(handle, t_end)
        if payload:
            self._event("marker", f"end of {label}", t_end, 0.0, source, payload)
        self.say(f"window {label} stopped after {t_end - handle.onset:.1f} s", t_end)
        return ""

    def mark(
        self,
        label: str,
        payload: dict[str, Any] | None = None,
        *,
        at: float | None = None,
        source: str = "keyboard",
    ) -> str:
        """Set a marker."""
        if self._recorder is None:
            return _NOT_YET
        t = self._time(at)
        self._event("marker", label or "marker", t, 0.0, source, payload)
        self.say(f"marker {label or 'marker'}", t)
        return ""

    def note(self, text: str, *, at: float | None = None, source: str = "keyboard") -> str:
        """Write a note."""
        if self._recorder is None:
            return _NOT_YET
        if not text.strip():
            return "the note is empty"
        t = self._time(at)
        self._event("note", text, t, 0.0, source, None)
        self.say(f"note: {text}", t)
        return ""

    def cuff_reading(
        self,
        sbp: float,
        dbp: float,
        hr: float | None = None,
        map_: float | None = None,
        *,
        at: float | None = None,
        source: str = "keyboard",
    ) -> str:
        """Enter a cuff reading that was taken by hand (mmHg and 1/min)."""
        if self._recorder is None or self._store_cuff is None:
            return _NOT_YET
        if not (40 <= dbp < sbp <= 300):
            return f"{sbp:g}/{dbp:g} is no blood pressure"
        if hr is not None and not 20 <= hr <= 250:
            return f"{hr:g} /min is no heart rate"
        if map_ is not None and not dbp <= map_ <= sbp:
            return f"a mean of {map_:g} does not lie between {dbp:g} and {sbp:g}"
        t = self._time(at)
        values = [sbp, dbp, *(math.nan if v is None else v for v in (map_, hr))]
        self._store_cuff(t, values)
        self._system(
            "cuff reading entered by hand",
            t,
            {"SBP": sbp, "DBP": dbp, "MAP": map_, "HR": hr},
            source=source,
        )
        return ""

    def rate(
        self, name: str, value: float, *, at: float | None = None, source: str = "keyboard"
    ) -> str:
        """Enter a rating."""
        if self._recorder is None:
            return _NOT_YET
        scale = next((s for s in self._design.ratings if s.name == name), None)
        if scale is None:
            known = ", ".join(s.name for s in self._design.ratings) or "none"
            return f"the protocol has no rating {name!r} (known: {known})"
        if not scale.min <= value <= scale.max:
            return f"{name} goes from {scale.min:g} to {scale.max:g}"
        due = next((entry for entry in self._ratings_due if entry[0] == name), None)
        if due is not None:
            self._ratings_due.remove(due)
        phase = due[1] if due else self._phase_name()
        payload = {"value": value, "phase": phase, "min": scale.min, "max": scale.max}
        t = self._time(at)
        self._event("rating", name, t, 0.0, source, payload)
        self.say(f"rating {name}: {value:g}", t)
        return ""

    def _time(self, at: float | None) -> float:
        return self.now() if at is None else at

    def _phase_name(self) -> str:
        return self._phase.label if self._phase is not None else ""

    def _event(
        self,
        kind: str,
        label: str,
        onset: float,
        duration: float,
        source: str,
        payload: dict[str, Any] | None,
    ) -> EventHandle:
        handle = EventHandle(onset, kind, label, duration, source, payload or {})
        return self._recorder.event(handle) if self._recorder is not None else handle

    def _end(self, handle: EventHandle, t_end: float) -> None:
        if self._recorder is not None:
            self._recorder.end_event(handle, t_end)

    def _system(
        self, label: str, t: float, payload: dict[str, Any], source: str = "recorder"
    ) -> None:
        self._event("system", label, t, 0.0, source, payload)
        detail = ", ".join(f"{key} {value}" for key, value in payload.items() if value)
        who = "" if source == "recorder" else f"{source}: "
        self.say(f"{who}{label}{f' ({detail})' if detail else ''}", t)

    def say(self, text: str, t: float) -> None:
        """Log one line."""
        minutes, seconds = divmod(max(0.0, t), 60)
        line = f"{int(minutes):3d}:{seconds:04.1f} {text}"
        self._log.append(line)
        if self._on_log is not None:
            self._on_log(line)
