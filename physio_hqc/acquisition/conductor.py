"""The course of a protocol: when phases begin and end, and what is due in between.

A pure state machine. It has no clock: whoever runs it tells what time it is, as often as suits, and
carries out the actions that come back. A phase that ends by the clock ends at its planned time, to
the last digit, however late the tick that notices it; the next one begins at that same time.
"""

from __future__ import annotations

from dataclasses import dataclass

from physio_hqc.acquisition.view import PhaseView
from physio_hqc.protocol import Phase, Protocol


@dataclass(frozen=True)
class PhaseStarted:
    """A phase began at `t`."""

    t: float
    phase: Phase


@dataclass(frozen=True)
class PhaseEnded:
    """A phase ended at `t`; `early` when by hand and before its planned length was over."""

    t: float
    phase: Phase
    early: bool = False


@dataclass(frozen=True)
class CuffDue:
    """A cuff reading is to be started at `t`; `number` counts from 1 within the phase."""

    t: float
    phase: Phase
    number: int


@dataclass(frozen=True)
class RatingsDue:
    """Ratings are to be asked, by the names of their scales."""

    t: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class ProtocolEnded:
    """The last phase is over, or (`complete` False) the experimenter stopped before."""

    t: float
    complete: bool = True


Action = PhaseStarted | PhaseEnded | CuffDue | RatingsDue | ProtocolEnded


class Conductor:
    """Leads through the phases of a protocol.

    Phases with ``advance: clock`` follow each other at their planned times. A phase with
    ``advance: manual`` goes on until :meth:`next_phase`, beyond its planned length if need be.
    Times are seconds on any one clock; a time before the last one told counts as the last one.

    Parameters
    ----------
    protocol : Protocol

    Attributes
    ----------
    done : bool
        The protocol has ended or was stopped.

    Examples
    --------
    >>> from physio_hqc.protocol import load_protocol
    >>> conductor = Conductor(load_protocol("lepore_1993"))
    >>> [type(action).__name__ for action in conductor.start(5.0)]
    ['PhaseStarted']
    >>> late = conductor.tick(607.3)
    >>> [(type(action).__name__, action.t) for action in late][-2:]
    [('PhaseEnded', 605.0), ('PhaseStarted', 605.0)]
    >>> conductor.view(607.3).label
    'Preparation'
    """

    def __init__(self, protocol: Protocol) -> None:
        self._phases = protocol.phases
        self._index = -1
        self._onset = 0.0
        self._cuffs_told = 0
        self._cuff_due = False
        self._last = float("-inf")
        self.done = False

    @property
    def started(self) -> bool:
        """Whether the first phase has begun."""
        return self._index >= 0

    @property
    def onset(self) -> float:
        """When the phase that runs began."""
        return self._onset

    @property
    def phase(self) -> Phase | None:
        """The phase that runs; None before the start and after the end."""
        return self._phases[self._index] if self.started and not self.done else None

    def start(self, now: float) -> list[Action]:
        """Begin the first phase; nothing happens when it has begun already."""
        if self.started or self.done:
            return []
        self._last = now
        return self._begin(0, now)

    def tick(self, now: float) -> list[Action]:
        """Tell what time it is; several phases may have ended since the last tick."""
        now = self._last = max(now, self._last)
        actions: list[Action] = []
        while (phase := self.phase) is not None:
            end = self._onset + phase.duration_s
            actions += self._cuffs(phase, now)
            if phase.advance == "manual" or now < end:
                break
            actions += self._advance(phase, end, early=False)
        return actions

    def next_phase(self, now: float) -> list[Action]:
        """End the phase that runs at `now` and begin the next one, whatever the clock says.

        `now` may lie before the last tick, as that of a key does, but not before the phase.
        """
        actions = self.tick(now)
        phase = self.phase
        if phase is None:
            return actions
        t = max(now, self._onset)
        return actions + self._advance(phase, t, early=self._is_early(phase, t))

    def cuff_arrived(self, now: float) -> None:
        """Tell that a cuff reading arrived: none is due any more."""
        self._last = max(now, self._last)
        self._cuff_due = False

    def stop(self, now: float) -> list[Action]:
        """End the phase that runs, and the protocol."""
        actions = self.tick(now)
        phase = self.phase
        self.done = True
        if phase is None:
            return actions
        t = self._last
        ended = PhaseEnded(t, phase, early=self._is_early(phase, t))
        return [*actions, ended, ProtocolEnded(t, complete=False)]

    def view(self, now: float) -> PhaseView | None:
        """Where the protocol stands; None before the start and after the end."""
        phase = self.phase
        if phase is None:
            return None
        elapsed = max(now - self._onset, 0.0)
        left = phase.duration_s - elapsed
        manual = phase.advance == "manual"
        following = self._phases[self._index + 1 :]
        cuff = next((due - elapsed for due in phase.cuff_at_s if due > elapsed), None)
        return PhaseView(
            name=phase.name,
            label=phase.label,
            number=self._index + 1,
            of=len(self._phases),
            elapsed_s=elapsed,
            left_s=left if manual else max(left, 0.0),
            manual=manual,
            instructions=phase.instructions,
            next_label=following[0].label if following else "",
            cuff_in_s=cuff,
            cuff_due=self._cuff_due,
        )

    def _is_early(self, phase: Phase, t: float) -> bool:
        """Whether the phase that runs would be cut short if it ended at `t`."""
        return t < self._onset + phase.duration_s

    def _begin(self, index: int, t: float) -> list[Action]:
        """Begin a phase."""
        self._index, self._onset = index, t
        self._cuffs_told, self._cuff_due = 0, False
        return [PhaseStarted(t, self._phases[index])]

    def _advance(self, phase: Phase, t: float, *, early: bool) -> list[Action]:
        """End the phase that runs and begin the next one, or end the protocol."""
        actions: list[Action] = [PhaseEnded(t, phase, early)]
        if phase.ratings:
            actions.append(RatingsDue(t, phase.ratings))
        if self._index + 1 < len(self._phases):
            return actions + self._begin(self._index + 1, t)
        self.done = True
        return [*actions, ProtocolEnded(t)]

    def _cuffs(self, phase: Phase, now: float) -> list[Action]:
        """Announce the readings of this phase that have become due, each once."""
        actions: list[Action] = []
        for due in phase.cuff_at_s[self._cuffs_told :]:
            if self._onset + due > now:
                break
            self._cuffs_told += 1
            self._cuff_due = True
            actions.append(CuffDue(self._onset + due, phase, self._cuffs_told))
        return actions
