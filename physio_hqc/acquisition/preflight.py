"""What stands against starting a protocol: what blocks it, and what should only be known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from physio_hqc.acquisition._vitals import WATCHED
from physio_hqc.acquisition.view import Alert, SourceView, StreamView

RATE_TOLERANCE = 0.05
LAG_MAX_S = 1.0
BATTERY_LOW = 15
BATTERY_EMPTY = 5
QUALITY_MIN = 0.5
_JUDGED_S = 10.0
"""A signal that is not judged after so many seconds of it cannot be."""

_STATES = {
    "searching": "is not found yet",
    "connecting": "is connecting",
    "lost": "is not connected",
    "ended": "has ended",
}


@dataclass(frozen=True)
class Problem:
    """Something that pre-flight has found; while a blocking one stands, only an override starts."""

    text: str
    blocking: bool = True


def preflight_problems(
    stream: StreamView,
    source: SourceView | None = None,
    *,
    awaited: bool = True,
    waited_s: float = 0.0,
) -> tuple[Problem, ...]:
    """Check one stream before the protocol starts.

    Parameters
    ----------
    stream : StreamView
    source : SourceView, optional
        The source it comes from.
    awaited : bool
        Whether its first sample is waited for (:class:`StreamInfo`); cuff readings and markers
        need the connection only, and only once: one that is lost does not block.
    waited_s : float
        How long pre-flight has lasted, in s.

    Returns
    -------
    tuple of Problem
        Blocking ones first; empty when all is well.

    Examples
    --------
    >>> ecg = StreamView("ecg", "polar_h10", "ecg", "mV", sfreq=130.0)
    >>> [problem.text for problem in preflight_problems(ecg, waited_s=12.0)]
    ['ecg has not arrived yet (12 s; a Polar H10 may need 30 s)']
    """
    problems = [*_connection(stream, source, awaited)]
    if not problems and awaited:
        problems += _flow(stream, waited_s)
    if stream.n_samples and stream.alive:
        problems += _signal(stream)
    return tuple(sorted(problems, key=lambda problem: not problem.blocking))


def source_problems(source: SourceView) -> tuple[Problem, ...]:
    """Check one source: battery, and contact with the skin.

    Examples
    --------
    >>> [problem.text for problem in source_problems(SourceView("polar_h10", battery=9))]
    ['polar_h10: battery 9 %']
    """
    problems = []
    if source.contact is False:
        problems.append(Problem(f"{source.name}: no skin contact"))
    if source.battery is not None and source.battery < BATTERY_LOW:
        text = f"{source.name}: battery {source.battery} %"
        problems.append(Problem(text, blocking=source.battery < BATTERY_EMPTY))
    return tuple(problems)


def source_alerts(source: SourceView, *, awaited: bool = True) -> tuple[Alert, ...]:
    """What the experimenter should know of a source while the protocol runs.

    One that is not awaited, such as a cuff that comes for each reading, may be away.
    """
    alerts = []
    if source.state == "lost" and awaited:
        alerts.append(Alert(f"{source.name}: connection lost, reconnecting"))
    if source.contact is False:
        alerts.append(Alert(f"{source.name.upper()}: NO SKIN CONTACT", urgent=True))
    if source.battery is not None and source.battery < BATTERY_LOW:
        alerts.append(Alert(f"{source.name}: battery {source.battery} %"))
    return tuple(alerts)


def checked(stream: StreamView, problems: tuple[Problem, ...]) -> StreamView:
    """Copy a stream's view with the problems written in."""
    return replace(stream, problems=tuple(problem.text for problem in problems))


def _connection(
    stream: StreamView, source: SourceView | None, awaited: bool
) -> tuple[Problem, ...]:
    """Whether the device is there at all."""
    if source is None or source.state == "connected" or (awaited and stream.alive):
        return ()
    what = source.name if awaited else f"{source.name} ({stream.name})"
    why = f": {source.text}" if source.text else ""
    # A cuff may come for each reading only; that it does come is known once it was there.
    blocking = awaited or source.state != "lost"
    return (Problem(f"{what} {_STATES[source.state]}{why}", blocking=blocking),)


def _flow(stream: StreamView, waited_s: float) -> list[Problem]:
    """Whether samples come, at the rate that they should come at, and in time."""
    if not stream.n_samples:
        hint = "; a Polar H10 may need 30 s" if _is_slow_starter(stream) else ""
        return [Problem(f"{stream.name} has not arrived yet ({waited_s:.0f} s{hint})")]
    if not stream.alive:
        age = "" if stream.age_s is None else f" {stream.age_s:.0f} s ago"
        return [Problem(f"{stream.name} has stopped{age}")]
    problems = []
    if stream.sfreq > 0 and stream.rate is None:
        problems.append(Problem(f"{stream.name}: its rate is being measured"))
    elif stream.rate is not None and _is_off(stream.rate, stream.sfreq):
        text = f"{stream.name}: rate {stream.rate:.1f} Hz, expected {stream.sfreq:g} Hz"
        problems.append(Problem(text))
    if stream.lag_s is not None and stream.lag_s > LAG_MAX_S:
        problems.append(Problem(f"{stream.name} arrives {stream.lag_s:.1f} s late"))
    return problems


def _signal(stream: StreamView) -> list[Problem]:
    """Whether the signal can be used. It is waited for; the experimenter decides what it means."""
    if stream.quality is None:
        soon = stream.modality in WATCHED and stream.n_samples < _JUDGED_S * stream.sfreq
        return [Problem(f"{stream.name}: its signal quality is being measured")] if soon else []
    if stream.quality >= QUALITY_MIN:
        return []
    why = f": {stream.quality_reason}" if stream.quality_reason else ""
    return [Problem(f"{stream.name}: poor signal{why}", blocking=False)]


def _is_off(rate: float, nominal: float) -> bool:
    """Whether a rate is not the nominal one; irregular streams have none."""
    return nominal > 0 and abs(rate / nominal - 1) > RATE_TOLERANCE


def _is_slow_starter(stream: StreamView) -> bool:
    """Whether this is a stream that a Polar strap is known to begin late with."""
    return "polar" in stream.source.lower() and stream.modality in ("ecg", "acc")
