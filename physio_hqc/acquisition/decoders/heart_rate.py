"""Heart Rate Measurement (0x2A37): heart rate, contact and beat intervals on a beat clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders.results import (
    Facts,
    Floats,
    MalformedError,
    Reading,
    Result,
    Trouble,
)
from physio_hqc.session.format import BlockFlag

TICKS_PER_S: Final = 1024

_WIDE, _CONTACT, _CONTACT_KNOWN, _ENERGY, _INTERVALS = 1, 2, 4, 8, 16
_PLAUSIBLE_S: Final = (0.2, 3.0)  # 300 to 20 beats a minute


@dataclass(frozen=True, eq=False)
class HeartRate:
    """One Heart Rate Measurement.

    Attributes
    ----------
    hr : int
        Beats per minute as sent.
    contact : bool or None
        Skin contact; None where the device does not tell.
    energy_kj : int or None
        Energy expended since it was last set to 0.
    rr_ticks : ndarray of uint16, shape (n,)
        Beat intervals in 1/1024 s, oldest first.
    notes : tuple of Trouble
        What was odd and did not keep the rest from being decoded.
    """

    hr: int
    contact: bool | None
    energy_kj: int | None
    rr_ticks: NDArray[np.uint16]
    notes: tuple[Trouble, ...] = ()


def decode_heart_rate(data: bytes) -> HeartRate:
    """Decode a Heart Rate Measurement.

    Intervals stay in the device's ticks. An odd byte behind the last whole interval, and intervals
    that are announced but absent, become notes.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    HeartRate

    Raises
    ------
    MalformedError
        If a field that the flags announce is cut off.

    References
    ----------
    Bluetooth SIG, Heart Rate Service 1.0; GATT Specification Supplement.

    Examples
    --------
    >>> packet = decode_heart_rate(bytes.fromhex("16 48 42 03 4F 03"))
    >>> packet.hr, packet.contact, (packet.rr_ticks / 1024).tolist()
    (72, True, [0.814453125, 0.8271484375])
    """
    if not data:
        raise MalformedError("heart rate: an empty packet")
    flags = data[0]
    begin_energy = 3 if flags & _WIDE else 2
    begin_rr = begin_energy + (2 if flags & _ENERGY else 0)
    if len(data) < begin_rr:
        raise MalformedError(f"heart rate: {len(data)} bytes, at least {begin_rr} announced")
    tail = data[begin_rr:]
    notes: list[Trouble] = []
    ticks = np.zeros(0, dtype=np.uint16)
    if not flags & _INTERVALS:
        if tail:
            notes.append(Trouble("trailing", f"heart rate: {len(tail)} bytes not announced"))
    elif not tail:
        notes.append(Trouble("no_intervals", "heart rate: beat intervals announced, none sent"))
    else:
        ticks = np.frombuffer(tail, dtype="<u2", count=len(tail) // 2).astype(np.uint16)
        if len(tail) % 2:
            notes.append(Trouble("malformed", "heart rate: half a beat interval at the end"))
    return HeartRate(
        hr=int.from_bytes(data[1:begin_energy], "little"),
        contact=bool(flags & _CONTACT) if flags & _CONTACT_KNOWN else None,
        energy_kj=int.from_bytes(data[begin_energy:begin_rr], "little")
        if flags & _ENERGY
        else None,
        rr_ticks=ticks,
        notes=tuple(notes),
    )


class BeatClock:
    """Times of beats: the cumulative sum of their intervals, begun anew after a gap.

    Packets come about once a second and are dated by their arrival, which says nothing of the
    beats in them but that they are over. Within a run of beats the times are therefore the sum of
    the intervals, free of the radio's delays. A run begins with its last beat at the arrival of
    its first packet, so that all its beats are dated late by the same unknown delay, up to one
    packet. It ends where the arrivals have run away from the sum by more than a packet: intervals
    are missing. Packets that were held up together do not end it: the first of them comes late,
    and those right behind it make up for it.
    """

    _PACKET_S: Final = 1.0
    _JITTER_S: Final = 0.5
    _BURST_S: Final = 0.5
    _LONGEST_STALL_S: Final = 10.0
    """A link that is silent for longer is dead; what comes then was not held up."""

    def __init__(self) -> None:
        self._latest = -math.inf
        self.reset()

    def reset(self) -> None:
        """Begin a new run with the next beat."""
        self._last_beat = math.nan
        self._last_packet = math.nan
        self._late_since = math.nan

    def add(self, rr_s: Floats, t_received: float) -> tuple[Floats, bool]:
        """Times of the beats that end these intervals, and whether a gap precedes them."""
        silence = t_received - self._last_packet
        self._last_packet = t_received
        if not rr_s.size:
            return np.zeros(0), False
        elapsed = np.cumsum(rr_s)
        total = float(elapsed[-1])
        # The beat that is under way when a packet is sent comes with the next one.
        under_way = min(max(float(rr_s.max()), self._PACKET_S), _PLAUSIBLE_S[1])
        slack = under_way + self._JITTER_S
        first = math.isnan(self._last_beat)
        ahead = t_received - (self._last_beat + total)
        restart = first or ahead < -slack or self._has_gap(ahead, slack, silence, t_received)
        begin = t_received - total if restart else self._last_beat
        # An absurd interval in a new run would reach back behind beats already dated.
        times = np.maximum(begin + elapsed, self._latest)
        self._last_beat = begin + total
        self._latest = float(times[-1])
        return times, restart and not first

    def _has_gap(self, ahead: float, slack: float, silence: float, t_received: float) -> bool:
        """Whether intervals are missing, or packets were only held up."""
        if ahead <= slack:
            self._late_since = math.nan
            return False
        if math.isnan(self._late_since) and slack < silence < self._LONGEST_STALL_S:
            self._late_since = t_received
            return False
        if t_received - self._late_since < self._BURST_S:
            return False
        self._late_since = math.nan
        return True


class HeartRateDecoder:
    """Heart rate at its arrival, beat intervals on a beat clock, contact when it changes.

    Intervals are passed on as sent, in ticks: one of 0 or of a minute is told as trouble and left
    to the correction of beats, which sees its neighbors.

    Parameters
    ----------
    rr : str or None
        Stream of the beat intervals; None where they are not wanted.
    hr : str or None
        Stream of the heart rate.
    rr_dtype, hr_dtype : str
        Stored number types.
    """

    def __init__(
        self,
        rr: str | None = "rr",
        hr: str | None = "hr",
        rr_dtype: str = "uint16",
        hr_dtype: str = "uint16",
    ) -> None:
        self._rr, self._hr = rr, hr
        self._rr_dtype, self._hr_dtype = np.dtype(rr_dtype), np.dtype(hr_dtype)
        self._clock = BeatClock()
        self._contact: Any = _UNSEEN

    def feed(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one notification; never raises."""
        try:
            packet = decode_heart_rate(bytes(data))
        except MalformedError as error:
            return [Trouble("malformed", str(error))]
        found: list[Result] = list(packet.notes)
        if packet.contact is not self._contact:
            self._contact = packet.contact
            found.append(Facts({"contact": packet.contact}))
        if self._hr is not None:
            value = np.array([packet.hr]).astype(self._hr_dtype)
            found.append(Reading(self._hr, value, np.array([t_received], dtype=np.float64)))
        ticks = packet.rr_ticks
        times, gap = self._clock.add(ticks / TICKS_PER_S, t_received)
        if self._rr is not None and ticks.size:
            flags = int(BlockFlag.GAP_BEFORE) if gap else 0
            found.append(Reading(self._rr, ticks.astype(self._rr_dtype), times, flags))
            rr_s = ticks / TICKS_PER_S
            odd = (rr_s < _PLAUSIBLE_S[0]) | (rr_s > _PLAUSIBLE_S[1])
            if odd.any():
                text = f"beat interval of {rr_s[odd][0] * 1000:.0f} ms"
                found.append(Trouble("implausible", text))
        return found

    def reset(self) -> None:
        """Begin a new run of beats."""
        self._clock.reset()
        self._contact = _UNSEEN


_UNSEEN: Final = object()
