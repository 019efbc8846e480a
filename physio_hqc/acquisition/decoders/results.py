"""What decoders give: plain data, and the protocol that all of them follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class MalformedError(ValueError):
    """Bytes that are not what their characteristic promises; the message is one clear line."""


class UnsupportedError(MalformedError):
    """A kind of packet that exists and is not decoded; the message names it."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a regular stream, oldest first.

    Attributes
    ----------
    stream : str
        Name of the stream in the profile.
    values : ndarray, shape (n,) or (n, C)
        Values in the stream's stored number type; the profile's scale and offset come later.
    t_device : float
        Time of the last sample on the device's own clock, unwrapped, in seconds; NaN if unknown.
    flags : int
        :class:`~physio_hqc.session.BlockFlag` values.
    n_lost : int
        Samples that are known to be lost just before these, from a sequence counter.
    """

    stream: str
    values: NDArray[Any]
    t_device: float = math.nan
    flags: int = 0
    n_lost: int = 0


@dataclass(frozen=True, eq=False)
class Reading:
    """Values of an irregular stream.

    Attributes
    ----------
    stream : str
        Name of the stream in the profile.
    values : ndarray, shape (n,) or (n, C)
        Values in the stream's stored number type.
    times_s : ndarray, shape (n,)
        Session times in seconds, ascending.
    flags : int
        :class:`~physio_hqc.session.BlockFlag` values.
    """

    stream: str
    values: NDArray[Any]
    times_s: Floats
    flags: int = 0


@dataclass(frozen=True, eq=False)
class CuffReading:
    """One finished measurement of a blood-pressure cuff.

    Attributes
    ----------
    stream : str
        Name of the stream in the profile.
    values : ndarray, shape (4,)
        SBP, DBP and MAP in mmHg and HR in 1/min; NaN where the cuff gave none.
    status : dict
        ``movement``, ``loose``, ``irregular_pulse``, ``position`` (True, False), ``pulse_range``
        ("in range", "above", "below", "reserved"); None where the cuff does not detect it; empty
        where it sends no status.
    cuff_time : datetime or None
        When it was measured by the cuff's own clock: local time without a zone; None if unknown.
    user : int or None
        Number of the user; None if unknown.
    unit_reported : str
        ``"mmHg"`` or ``"kPa"``, as sent.
    missing : dict
        Why a value is NaN, by its name: ``{"MAP": "not a number"}``.
    problems : tuple of str
        What speaks against the reading, one phrase each; empty for a good one.
    """

    stream: str
    values: Floats
    status: dict[str, bool | str | None]
    cuff_time: datetime | None
    user: int | None
    unit_reported: str
    missing: dict[str, str]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What was learned of the device: ``battery`` in percent, ``contact`` True, False or None."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """Something that was survived.

    Kinds: ``malformed`` (nothing, or only the whole part, was delivered), ``unsupported`` (a kind
    of packet that is not decoded), ``duplicate`` (dropped), ``reordered`` (delivered late),
    ``clock`` (a device clock or counter that stood still, went back or started again),
    ``trailing`` (bytes beyond the announced fields, ignored), ``no_intervals`` (beat intervals
    announced and not sent), ``implausible`` (delivered as it is). Lost packets are not trouble
    but `Samples.n_lost`.
    """

    kind: str
    text: str


Result: TypeAlias = Samples | Reading | CuffReading | Facts | Trouble


class Decoder(Protocol):
    """Turns the notifications of one characteristic into results."""

    def feed(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one notification that arrived at session time `t_received`; never raises."""

    def reset(self) -> None:
        """Forget remainders, counters and clocks: the device was connected anew."""
