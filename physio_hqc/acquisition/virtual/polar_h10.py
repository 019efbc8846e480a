"""Virtual Polar H10: Polar Measurement Data (ECG, acceleration) beside the Heart Rate service."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
from bumble import att
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service
from numpy.typing import NDArray

from physio_hqc.acquisition.virtual.heart_rate import VirtualHeartRate
from physio_hqc.acquisition.virtual.peripheral import Properties
from physio_hqc.acquisition.virtual.signals import Signal, SteadyHeart, still_chest
from physio_hqc.acquisition.virtual.stream import Made, PacketStream

PMD_SERVICE = "FB005C80-02E7-F387-1CAD-8ACD2D8DF0C8"
PMD_CONTROL = "FB005C81-02E7-F387-1CAD-8ACD2D8DF0C8"
PMD_DATA = "FB005C82-02E7-F387-1CAD-8ACD2D8DF0C8"

SINCE_2000_S = 599616000.0
"""2019-01-01 in s since 2000: where the strap's clock starts again."""

_ECG, _ACC = 0, 2
_SETTINGS, _START, _STOP = 1, 2, 3
_RATE, _RESOLUTION, _RANGE = 0, 1, 2
_OK, _BAD_OP, _BAD_TYPE, _NOT_SUPPORTED, _BAD_LENGTH, _BAD_PARAMETER = 0, 1, 2, 3, 4, 5
_ALREADY, _BAD_RESOLUTION, _BAD_RATE, _BAD_RANGE, _BAD_MTU = 6, 7, 8, 9, 10
_KNOWN_TYPES = (0, 1, 2, 3, 5, 6, 7)
_MTU_MIN = 232
_NOMINAL_HZ = 130
_ECG_SAMPLES, _ACC_SAMPLES = 73, 36
_WRONG_VALUE = {_RATE: _BAD_RATE, _RESOLUTION: _BAD_RESOLUTION, _RANGE: _BAD_RANGE}
_OFFERED: dict[int, dict[int, tuple[int, ...]]] = {
    _ECG: {_RATE: (130,), _RESOLUTION: (14,)},
    _ACC: {_RATE: (25, 50, 100, 200), _RESOLUTION: (16,), _RANGE: (2, 4, 8)},
}


def _int24(values: NDArray[Any]) -> bytes:
    """Three bytes a number, little-endian."""
    wide = np.ascontiguousarray(values, dtype="<i4").view(np.uint8).reshape(-1, 4)
    return wide[:, :3].tobytes()


def ecg_frame(stamp_ns: int, microvolts: NDArray[Any]) -> bytes:
    """Encode an ECG frame of type 0.

    Examples
    --------
    >>> ecg_frame(2_000_000_000, np.array([-32766, 32770])).hex(" ")
    '00 00 94 35 77 00 00 00 00 00 02 80 ff 02 80 00'
    """
    return struct.pack("<BQB", _ECG, stamp_ns, 0) + _int24(microvolts)


def acc_frame(stamp_ns: int, milli_g: NDArray[Any]) -> bytes:
    """Encode an acceleration frame of type 1.

    Examples
    --------
    >>> acc_frame(2_000_000_000, np.array([[-9, -1, 999]])).hex(" ")
    '02 00 94 35 77 00 00 00 00 01 f7 ff ff ff e7 03'
    """
    return struct.pack("<BQB", _ACC, stamp_ns, 1) + np.asarray(milli_g).astype("<i2").tobytes()


class VirtualPolarH10(VirtualHeartRate):
    """A Polar H10 as it is, with its habits as parameters.

    Its streams run on when the link is lost, as an H10's do that was not stopped: a start after a
    reconnection is answered with status 6 unless it is stopped first.

    Parameters
    ----------
    serial : str
        Eight digits; the advertised name ends with them.
    ecg : callable, optional
        µV at times of the monotonic clock.
    acc : callable, optional
        mg at such times, shape (n, 3).
    sfreq : float
        Rate of the ECG by its own clock, Hz; acceleration is off by the same factor.
    first_ecg_delay_s, first_acc_delay_s : float
        How long after the start the first sample is taken.
    already_streaming : tuple of str
        What it streams from the beginning: ``"ecg"``, ``"acc"``.
    **kwargs
        See :class:`VirtualHeartRate`.

    Notes
    -----
    ``sent["ecg"]``: µV; ``sent["acc"]``: mg, shape (n, 3); ``sent["rr"]``: ticks of 1/1024 s.
    """

    model = "H10"
    maker = "Polar Electro Oy"
    advertised = ("180D", "FEEE")
    clock_start_s = SINCE_2000_S

    def __init__(
        self,
        serial: str = "A1B2C3D4",
        *,
        ecg: Signal | None = None,
        acc: Signal | None = None,
        sfreq: float = 130.273,
        first_ecg_delay_s: float = 0.0,
        first_acc_delay_s: float = 0.0,
        already_streaming: tuple[str, ...] = (),
        contact: bool | None = None,
        mtu: int = 232,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", f"Polar H10 {serial}")
        super().__init__(serial=serial, contact=contact, mtu=mtu, **kwargs)
        heart = SteadyHeart()
        self.sfreq = sfreq
        self._ecg: Signal = heart.ecg if ecg is None else ecg
        self._acc: Signal = still_chest if acc is None else acc
        self._delays = {_ECG: first_ecg_delay_s, _ACC: first_acc_delay_s}
        self._already = already_streaming
        self._running: dict[int, PacketStream] = {}
        self._acc_hz = 200
        self._data = self.notifying(PMD_DATA)
        self._control = self.indicating(PMD_CONTROL)

    def versions(self) -> dict[str, str]:
        """As an H10 with software 3.2.0 tells."""
        return {"2A27": "00760690.03", "2A26": "5.0.0", "2A28": "3.2.0"}

    def services(self) -> list[Service]:
        """PMD and Heart Rate."""
        self._data = self.notifying(PMD_DATA)
        self._control = Characteristic(
            UUID(PMD_CONTROL),
            Properties.READ | Properties.WRITE | Properties.INDICATE,
            Characteristic.READABLE | Characteristic.WRITEABLE,
            CharacteristicValue(read=self._features, write=self._command),
        )
        return [Service(UUID(PMD_SERVICE), [self._control, self._data]), *super().services()]

    def began(self, t: float) -> None:
        """Send beat intervals, and what is streaming already."""
        super().began(t)
        # One stream of each kind for life: indexes go on over stops and starts.
        self._streams = {
            _ECG: self.stream(
                "ecg", _ECG_SAMPLES / self.sfreq, lambda: self._data, self._ecg_packet
            ),
            _ACC: self.stream("acc", 1.0, lambda: self._data, self._acc_packet),
        }
        for kind, name in ((_ECG, "ecg"), (_ACC, "acc")):
            if name in self._already:
                self._begin(kind, t)

    def is_streaming(self, name: str) -> bool:
        """Whether ``"ecg"`` or ``"acc"`` is on."""
        return {"ecg": _ECG, "acc": _ACC}[name] in self._running

    # --- control point ----------------------------------------------------------------------

    def _features(self, connection: Connection) -> bytes:
        """ECG and acceleration."""
        self.check_paired(connection)
        return bytes([0x0F, 1 << _ECG | 1 << _ACC]) + bytes(15)

    def _command(self, connection: Connection, value: bytes) -> None:
        """Take a command; its answer is an indication."""
        self.check_paired(connection)
        command = bytes(value)
        self.writes.append((time.monotonic(), "control", command))
        if len(command) == 0:
            raise att.ATT_Error(error_code=att.ErrorCode.INVALID_ATTRIBUTE_LENGTH)
        answer = self._answer(command)

        async def reply() -> None:
            await self.indicate(self._control, answer)

        self._spawn(reply())

    def _answer(self, command: bytes) -> bytes:
        """Do what a command says and return the answer."""
        op = command[0]
        kind = command[1] & 0x3F if len(command) > 1 else 0
        echo = bytes([0xF0, op, command[1] if len(command) > 1 else 0])
        if op not in (_SETTINGS, _START, _STOP):
            return echo + bytes([_BAD_OP])
        if len(command) < 2:
            return echo + bytes([_BAD_LENGTH])
        if kind not in _OFFERED:
            return echo + bytes([_NOT_SUPPORTED if kind in _KNOWN_TYPES else _BAD_TYPE])
        if op == _SETTINGS:
            return echo + bytes([_OK, 0]) + _settings(kind)
        if op == _STOP:
            status = self._end(kind)
            return echo + bytes([status] if status else [_OK, 0])
        status = self._try_start(kind, command[2:])
        if status != _OK:
            return echo + bytes([status])
        return echo + bytes([_OK, 0] + ([1] if kind == _ACC else []))

    def _try_start(self, kind: int, parameters: bytes) -> int:
        """Start a measurement if nothing speaks against it; return the status."""
        chosen = _parse_settings(parameters)
        if chosen is None:
            return _BAD_LENGTH
        if set(chosen) != set(_OFFERED[kind]):
            return _BAD_PARAMETER
        for setting, value in chosen.items():
            if value not in _OFFERED[kind][setting]:
                return _WRONG_VALUE[setting]
        if kind in self._running:
            return _ALREADY
        if self.mtu < _MTU_MIN:
            return _BAD_MTU
        if kind == _ACC:
            self._acc_hz = chosen[_RATE]
        self._begin(kind, time.monotonic())
        return _OK

    def _begin(self, kind: int, t: float) -> None:
        """Start a stream."""
        stream = self._running[kind] = self._streams[kind]
        if kind == _ACC:
            stream.period_s = _ACC_SAMPLES / self._acc_sfreq
        stream.start(t + self._delays[kind])

    def _end(self, kind: int) -> int:
        """Stop a stream; return the status."""
        stream = self._running.pop(kind, None)
        if stream is None:
            return _ALREADY
        stream.stop()
        return _OK

    # --- frames -----------------------------------------------------------------------------

    @property
    def _acc_sfreq(self) -> float:
        """One crystal drives both."""
        return self._acc_hz * self.sfreq / _NOMINAL_HZ

    def _ecg_packet(self, _index: int, t: float, stamp: int) -> Made:
        times = self._times(t, _ECG_SAMPLES, self.sfreq)
        values = np.clip(np.rint(self._ecg(times)), -(2**23), 2**23 - 1).astype(np.int32)
        return values, ecg_frame(stamp, values), {}

    def _acc_packet(self, _index: int, t: float, stamp: int) -> Made:
        times = self._times(t, _ACC_SAMPLES, self._acc_sfreq)
        values = np.clip(np.rint(self._acc(times)), -8000, 8000).astype(np.int16)
        return values, acc_frame(stamp, values), {}

    def _times(self, t_last: float, n: int, sfreq: float) -> NDArray[np.float64]:
        """Host times of the samples of a frame."""
        steps = np.arange(1 - n, 1, dtype=np.float64)
        return t_last + steps * self.clock.host_span(1.0 / sfreq)


def _settings(kind: int) -> bytes:
    """Encode what a measurement offers."""
    return b"".join(
        struct.pack(f"<BB{len(values)}H", setting, len(values), *values)
        for setting, values in _OFFERED[kind].items()
    )


def _parse_settings(data: bytes) -> dict[int, int] | None:
    """Read the settings of a start command, one value each; None if they are cut off or odd."""
    chosen: dict[int, int] = {}
    for at in range(0, len(data), 4):
        if len(data) < at + 4 or data[at + 1] != 1 or data[at] not in _WRONG_VALUE:
            return None
        chosen[data[at]] = int.from_bytes(data[at + 2 : at + 4], "little")
    return chosen
