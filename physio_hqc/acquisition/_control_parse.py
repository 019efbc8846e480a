"""Reading commands as they arrive, from anyone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from physio_hqc.acquisition._control_wire import LABELED, Action, check_command, parse_object

_MAX_AGE_NS = 10_000_000_000


@dataclass(frozen=True)
class Command:
    """One command to a running recording.

    Attributes
    ----------
    action : str
        ``start``, ``stop`` an interaction window, ``mark``, ``note``, ``next`` phase, ``end`` of
        the recording, ``status``.
    label : str
        Label of the window or marker, text of the note; "" for the other actions.
    payload : dict
        Anything that belongs to the event. The key ``stamp`` is set where the sender's stamp was
        not used.
    monotonic_ns : int
        When it happened, on the machine's monotonic clock: stamped by the sender, or the arrival
        where that stamp made no sense.
    """

    action: Action
    label: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    monotonic_ns: int = 0


def parse_command(line: bytes, arrival_ns: int) -> Command:
    """Read and check one request.

    Parameters
    ----------
    line : bytes
        As it arrived, from anyone.
    arrival_ns : int
        When it arrived. A sender's stamp is used unless it lies after that or more than ten
        seconds before; then the arrival is used and the payload says so.

    Raises
    ------
    RecordingError
        If it is no command.
    """
    request = parse_object(line)
    label, payload = request.get("label", ""), request.get("payload")
    payload = {} if payload is None else payload
    action = request.get("action")
    check_command(action, label, payload)
    label = label.strip() if action in LABELED else ""
    stamp, remark = _judge_stamp(request.get("monotonic_ns"), arrival_ns)
    payload = {**payload, "stamp": remark} if remark else payload
    return Command(cast(Action, action), label, payload, stamp)


def _judge_stamp(stamp: Any, arrival_ns: int) -> tuple[int, str]:
    """Return the moment to use, and a remark where it is not the sender's."""
    if not isinstance(stamp, int) or isinstance(stamp, bool):
        return arrival_ns, "arrival: the sender gave no time"
    age = arrival_ns - stamp
    if age < 0:
        return arrival_ns, "arrival: the sender's time lay in the future"
    if age > _MAX_AGE_NS:
        return arrival_ns, "arrival: the sender's time lay more than 10 s back"
    return stamp, ""
