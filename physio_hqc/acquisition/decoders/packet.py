"""Packets that a profile describes: fields of numbers, counters and clocks."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders.results import (
    Facts,
    MalformedError,
    Reading,
    Result,
    Samples,
    Trouble,
)
from physio_hqc.acquisition.decoders.sfloat import decode_sfloat
from physio_hqc.acquisition.profiles import Block, Field, Packet, StreamSpec
from physio_hqc.session.format import BlockFlag

_LATE_PACKETS: Final = 64
"""How many packets back a repeated or late one is recognized."""

_EARLY_S: Final = 5.0
"""A device clock that leads the earliest arrival by more than this was set anew, not slow radio."""

_LATEST_S: Final = 1e12
"""30,000 years: a clock beyond is not one."""

_AFTER_BREAK_S: Final = 1.0
_DRIFT: Final = 1e-3
"""After a break a clock leads by no more than this: some quartz is bad, none is worse."""

_BEHIND_S: Final = 10.0
"""A device clock that is behind by more than this after a break was set anew."""

_BACK_S: Final = 30.0
"""A device clock that goes back by more than this was set anew, not late."""

_MOST_MISSING: Final = 256
"""A counter that is further ahead than the time that passed allows, and this, was set anew."""


@dataclass(frozen=True)
class _Column:
    """Where a channel of a stream stands: block and field."""

    block: int
    field: int


class PacketDecoder:
    """Samples of packets in the layout of a profile.

    The clock field is unwrapped with the help of the arrivals, the counter with that of the clock
    (or of the arrivals where there is no clock), so that an outage longer than one round of either
    is counted right. A packet that was received before is dropped, a late one is delivered with
    its own time. Without a clock field a late packet can be dated by its arrival only: it and its
    successor are marked as beginning anew.

    Parameters
    ----------
    layout : Packet
    streams : list of StreamSpec
        The streams that come from it.
    """

    def __init__(self, layout: Packet, streams: list[StreamSpec]) -> None:
        self._layout = layout
        self._streams = streams
        self._dtypes = [_block_dtype(block) for block in layout.blocks]
        self._columns = {entry.name: _columns_of(layout, entry) for entry in streams}
        self._header = _offsets(layout.header)
        self._header_size = sum(entry.size for entry in layout.header)
        self._sequence = _with_role(self._header, "sequence")
        self._time = _with_role(self._header, "device_time")
        self._battery = _with_role(self._header, "battery")
        self._constants = [
            (at, entry, int(entry.value or 0))
            for at, entry in self._header
            if entry.role == "constant"
        ]
        self._battery_seen: int | None = None
        self._clock = _DeviceClock(self._time[1]) if self._time else None
        self.reset()

    def reset(self) -> None:
        """Forget the remainder and the counter; a clock goes on while nobody listens."""
        if self._clock is not None:
            self._clock.interrupted()
        self._rest = b""
        self._aligned = True
        self._counter = _Counter(self._sequence[1]) if self._sequence else None
        self._last_seconds = math.nan
        self._last_received = math.nan
        self._out_of_order = False

    def feed(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one notification; never raises."""
        if self._layout.framing == "notification":
            return self._packet(bytes(data), t_received)
        self._rest += bytes(data)
        size, at, skipped = self._layout.min_size, 0, 0
        found: list[Result] = []
        while len(self._rest) - at >= size:
            if self._wrong_constant(self._rest[at : at + size]):
                self._aligned = False
            elif not self._aligned:
                # A constant may stand anywhere by chance: the next packet has to agree.
                after = self._rest[at + size :]
                if len(after) < self._header_size:
                    break
                self._aligned = not self._wrong_constant(after)
            if not self._aligned:
                at, skipped = at + 1, skipped + 1
                continue
            found += self._packet(self._rest[at : at + size], t_received)
            at += size
        self._rest = self._rest[at:]
        if skipped:
            found.insert(0, Trouble("malformed", f"{skipped} bytes belong to no packet"))
        return found

    def _packet(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one whole packet."""
        try:
            blocks = self._blocks(data)
            seconds, flags = self._read_clock(data, t_received)
        except MalformedError as error:
            return [Trouble("malformed", str(error))]
        span = self._span(blocks)
        found, missing, flags = self._count(data, seconds, flags, span, t_received)
        if missing is None:
            return found
        found += self._battery_facts(data)
        for entry in self._streams:
            values = self._values(entry, blocks)
            if not len(values):
                continue
            if not entry.sfreq:
                times = np.full(len(values), t_received, dtype=np.float64)
                found.append(Reading(entry.name, values, times, flags))
                continue
            # Every stream's last sample (or first) is dated by the same clock reading.
            late = (len(values) - 1) / entry.sfreq if self._layout.time_of == "first" else 0.0
            found.append(Samples(entry.name, values, seconds + late, flags, missing * len(values)))
        return found

    def _blocks(self, data: bytes) -> list[NDArray[Any]]:
        """Records of every block."""
        layout = self._layout
        if layout.size is not None and len(data) != layout.size:
            raise MalformedError(f"packet: {len(data)} bytes, {layout.size} expected")
        if len(data) < layout.min_size:
            raise MalformedError(f"packet: {len(data)} bytes, at least {layout.min_size} expected")
        wrong = self._wrong_constant(data)
        if wrong:
            raise MalformedError(f"packet: {wrong}")
        found, at = [], self._header_size
        for block, dtype in zip(layout.blocks, self._dtypes, strict=True):
            count = block.samples
            if count is None:
                count, over = divmod(len(data) - at, dtype.itemsize)
                if over:
                    raise MalformedError(f"packet: {over} bytes too many for whole samples")
            found.append(np.frombuffer(data, dtype=dtype, count=count, offset=at))
            at += count * dtype.itemsize
        return found

    def _wrong_constant(self, data: bytes) -> str:
        """Which constant is not what it must be; "" if all are."""
        for at, entry, value in self._constants:
            number = _number(data, at, entry)
            if number != value:
                return f"byte {at} should hold {value}, not {number}"
        return ""

    def _values(self, entry: StreamSpec, blocks: list[NDArray[Any]]) -> NDArray[Any]:
        """Samples of one stream, (n,) or (n, C), in its stored number type."""
        columns = [
            _field_values(blocks[at.block][f"f{at.field}"], self._field(at))
            for at in self._columns[entry.name]
        ]
        dtype = np.dtype(entry.dtype)
        if not entry.channels:
            return columns[0].astype(dtype)
        return np.stack(columns, axis=1).astype(dtype)

    def _field(self, at: _Column) -> Field:
        return self._layout.blocks[at.block].fields[at.field]

    def _read_clock(self, data: bytes, t_received: float) -> tuple[float, int]:
        """Device time in seconds, unwrapped, and whether the clock began anew."""
        if self._clock is None or self._time is None:
            return math.nan, 0
        at, entry = self._time
        raw = _number(data, at, entry)
        if not abs(raw) * (entry.unit_s or 1.0) < _LATEST_S:
            raise MalformedError(f"packet: the device's clock says {raw:g}")
        return self._clock.read(raw, t_received)

    def _span(self, blocks: list[NDArray[Any]]) -> float:
        """Seconds that the samples of this packet last; NaN if no stream has a rate."""
        for entry in self._streams:
            if entry.sfreq:
                return len(blocks[self._columns[entry.name][0].block]) / entry.sfreq
        return math.nan

    def _count(
        self, data: bytes, seconds: float, flags: int, span: float, t_received: float
    ) -> tuple[list[Result], int | None, int]:
        """Place the packet by its counter: troubles, packets missing before it, flags.

        None instead of the number of missing packets if it was received before.
        """
        anew: list[Result] = [Trouble("clock", "the device's clock was set anew")] if flags else []
        if self._counter is None or self._sequence is None:
            return anew, 0, flags
        at, entry = self._sequence
        raw = int(_number(data, at, entry))
        passed = seconds - self._last_seconds
        if math.isnan(passed):
            passed = t_received - self._last_received
        kind, missing = self._counter.place(
            raw, data, passed / (span or math.nan), anew=bool(flags)
        )
        if kind == "duplicate":
            return [Trouble("duplicate", f"packet {raw} came again")], None, flags
        if kind == "late":
            marks = 0 if math.isfinite(seconds) else int(BlockFlag.GAP_BEFORE)
            self._out_of_order = bool(marks)
            return [Trouble("reordered", f"packet {raw} came late")], 0, flags | marks
        self._last_seconds, self._last_received = seconds, t_received
        if self._out_of_order or missing:
            flags |= BlockFlag.GAP_BEFORE
        self._out_of_order = False
        if kind == "restart":
            flags |= BlockFlag.GAP_BEFORE if self._clock is None else BlockFlag.CLOCK_RESET
            told = Trouble("clock", f"the counter starts again at {raw}")
            return anew or [told], 0, int(flags)
        return anew, missing, int(flags)

    def _battery_facts(self, data: bytes) -> list[Result]:
        """Charge, if it changed."""
        if self._battery is None:
            return []
        at, entry = self._battery
        percent = _number(data, at, entry)
        if percent == self._battery_seen:
            return []
        if not 0 <= percent <= 100:
            return [Trouble("implausible", f"battery of {percent} %")]
        self._battery_seen = int(percent)
        return [Facts({"battery": int(percent)})]


class _DeviceClock:
    """The clock field of a packet, continued where it starts again."""

    def __init__(self, field: Field) -> None:
        self._unit = field.unit_s or 1.0
        self._modulo = _round_of(field)
        self._newest: float | None = None
        self._received = 0.0
        self._lead = -math.inf
        self._was_away = False

    def interrupted(self) -> None:
        """Be ready for a device that was switched off meanwhile."""
        self._was_away = self._newest is not None

    def read(self, raw: float, t_received: float) -> tuple[float, int]:
        """Seconds on the device's clock, and CLOCK_RESET if it was set anew."""
        counts = raw
        if self._newest is not None and self._modulo:
            expected = self._newest + (t_received - self._received) / self._unit
            counts = raw + self._modulo * round((expected - raw) / self._modulo)
        seconds = counts * self._unit
        # Nothing can arrive earlier after its measurement than the quickest packet so far.
        lead = seconds - t_received - self._lead
        early = lead > (_EARLY_S if not self._was_away else self._drifted(t_received))
        anew = self._newest is not None and (early or seconds < self._newest * self._unit - _BACK_S)
        # The first packet after a break has not waited: a clock that is behind was stopped.
        behind = lead < -_BEHIND_S
        anew, self._was_away = anew or (self._was_away and behind), False
        if anew:
            counts, seconds, self._lead = raw, raw * self._unit, -math.inf
        self._lead = max(self._lead, seconds - t_received)
        if anew or self._newest is None or counts > self._newest:
            self._newest, self._received = counts, t_received
        return seconds, int(BlockFlag.CLOCK_RESET) if anew else 0

    def _drifted(self, t_received: float) -> float:
        """How far this clock may have come ahead of the arrivals in a break."""
        return _AFTER_BREAK_S + _DRIFT * (t_received - self._received)


class _Counter:
    """The counter field of packets: which are missing, late or repeated."""

    def __init__(self, field: Field) -> None:
        self._modulo = int(_round_of(field) or 2)
        self._newest: int | None = None
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    def place(self, raw: int, data: bytes, passed: float, *, anew: bool) -> tuple[str, int]:
        """Kind of packet (next, late, duplicate, restart) and how many are missing before it.

        `passed` is the time since the newest packet in packets; NaN if unknown.
        """
        if self._newest is None or anew:
            return self._begin(raw, data, "next" if self._newest is None else "restart")
        passed = passed if math.isfinite(passed) else 1.0
        step = (raw - self._newest) % self._modulo
        step += self._modulo * round((passed - step) / self._modulo)
        number = self._newest + step
        if step > 1.5 * max(passed, 0.0) + _MOST_MISSING:
            return self._begin(raw, data, "restart")
        if step > 0:
            self._newest = number
            self._keep(number, data)
            return "next", step - 1
        if self._recent.get(number) == data:
            return "duplicate", 0
        if number in self._recent or -step > min(_LATE_PACKETS, self._modulo // 2):
            return self._begin(raw, data, "restart")
        self._keep(number, data)
        return "late", 0

    def _begin(self, raw: int, data: bytes, kind: str) -> tuple[str, int]:
        self._newest = raw
        self._recent.clear()
        self._keep(raw, data)
        return kind, 0

    def _keep(self, number: int, data: bytes) -> None:
        self._recent[number] = data
        while len(self._recent) > _LATE_PACKETS:
            self._recent.popitem(last=False)


def _round_of(field: Field) -> int | None:
    """Where a counter or clock starts again; None for one of floating point."""
    if field.modulo is not None:
        return field.modulo
    return None if field.type in ("f32", "f64", "sfloat") else 2 ** (8 * field.size)


def _offsets(header: tuple[Field, ...]) -> list[tuple[int, Field]]:
    """Fields of the header with their place."""
    ends = np.cumsum([field.size for field in header]).tolist()
    return [(end - field.size, field) for end, field in zip(ends, header, strict=True)]


def _with_role(header: list[tuple[int, Field]], role: str) -> tuple[int, Field] | None:
    return next((place for place in header if place[1].role == role), None)


def _columns_of(layout: Packet, entry: StreamSpec) -> list[_Column]:
    """Where the channels of a stream stand, in their order."""
    places = {
        field.channel or "": _Column(row, column)
        for row, block in enumerate(layout.blocks)
        for column, field in enumerate(block.fields)
        if field.stream == entry.name
    }
    return [places[channel] for channel in entry.channels or ("",)]


def _block_dtype(block: Block) -> np.dtype[Any]:
    """Record of one repetition of a block; NumPy has no 24-bit number, so that stays bytes."""
    formats = []
    for field in block.fields:
        order = "<" if field.endian == "little" else ">"
        if field.size == 3:
            formats.append("(3,)u1")
        elif field.type == "sfloat":
            formats.append(f"{order}u2")
        else:
            formats.append(f"{order}{field.type[0]}{field.size}")
    return np.dtype([(f"f{index}", kind) for index, kind in enumerate(formats)])


def _field_values(column: NDArray[Any], field: Field) -> NDArray[Any]:
    """Numbers of one field from its part of the records."""
    if field.type == "sfloat":
        return decode_sfloat(column)[0]
    if field.size != 3:
        return column
    parts = column.astype(np.int32)
    low, middle, high = parts.T if field.endian == "little" else parts.T[::-1]
    whole: NDArray[Any] = low | middle << 8 | high << 16
    return (whole ^ 0x800000) - 0x800000 if field.type == "i24" else whole


def _number(data: bytes, at: int, field: Field) -> float:
    """One number of the header; whole numbers stay exact."""
    part = data[at : at + field.size]
    if field.type == "sfloat":
        return float(decode_sfloat(int.from_bytes(part, field.endian))[0][0])
    if field.type in ("f32", "f64"):
        order = "<" if field.endian == "little" else ">"
        value: float = struct.unpack(f"{order}{'f' if field.size == 4 else 'd'}", part)[0]
        return value
    return int.from_bytes(part, field.endian, signed=field.type[0] == "i")
