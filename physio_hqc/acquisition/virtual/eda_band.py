"""Virtual EDA band: the packets of the profile ``nordic_uart_eda`` over the Nordic UART service."""

from __future__ import annotations

import struct
import time
from typing import Any

import numpy as np
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Service

from physio_hqc.acquisition.virtual.peripheral import Properties, VirtualPeripheral
from physio_hqc.acquisition.virtual.signals import Signal, calm_skin, warm_skin
from physio_hqc.acquisition.virtual.stream import Made, PacketStream

UART_SERVICE = "6E400001-B5A3-F393-E0A9-E50E24DCCA9E"
UART_RX = "6E400002-B5A3-F393-E0A9-E50E24DCCA9E"
UART_TX = "6E400003-B5A3-F393-E0A9-E50E24DCCA9E"

_SAMPLES = 4
_MS = 1_000_000  # ns
_GO, _HALT = b"\x01", b"\x00"


def eda_packet(counter: int, clock_ms: int, temperature: int, conductance: Any) -> bytes:
    """Encode a packet: counter, clock, temperature in 0.01 °C, conductance in nS.

    Examples
    --------
    >>> eda_packet(258, 1000, 3250, [4000, 4001, 4002, 4003]).hex(" ")
    '02 e8 03 00 00 b2 0c a0 0f a1 0f a2 0f a3 0f'
    """
    return struct.pack(
        f"<BIh{_SAMPLES}H",
        counter % 256,
        clock_ms % 2**32,
        temperature,
        *(int(value) for value in conductance),
    )


class VirtualEdaBand(VirtualPeripheral):
    """A band that measures skin conductance at 16 Hz and skin temperature at 4 Hz.

    It starts when 01 is written and stops when 00 is; losing the link does not stop it.

    Parameters
    ----------
    serial : str
        The advertised name ends with it.
    eda : callable, optional
        µS at times of the monotonic clock.
    temperature : callable, optional
        °C at such times.
    sfreq : float
        Of the conductance by its own clock, Hz.
    already_streaming : bool
    **kwargs
        See :class:`VirtualPeripheral`.

    Notes
    -----
    ``sent["eda"]``: nS; ``extra["temp"]``: 0.01 °C.
    """

    model = "EDA band"
    advertised = (UART_SERVICE,)

    def __init__(
        self,
        serial: str = "01",
        *,
        eda: Signal | None = None,
        temperature: Signal | None = None,
        sfreq: float = 16.0,
        already_streaming: bool = False,
        mtu: int = 23,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", f"EDA Band {serial}")
        super().__init__(serial=serial, mtu=mtu, **kwargs)
        self.sfreq = sfreq
        self._eda: Signal = calm_skin if eda is None else eda
        self._temperature: Signal = warm_skin if temperature is None else temperature
        self._already = already_streaming
        self._tx = self.notifying(UART_TX)
        self._stream: PacketStream | None = None

    @property
    def is_streaming(self) -> bool:
        """Whether it measures."""
        return self._stream is not None and self._stream.on

    def services(self) -> list[Service]:
        """Nordic UART."""
        self._tx = self.notifying(UART_TX)
        both = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
        rx = self.writable(UART_RX, self._command, both)
        return [Service(UUID(UART_SERVICE), [rx, self._tx])]

    def began(self, t: float) -> None:
        """Measure if it is to be found measuring."""
        period = _SAMPLES / self.sfreq
        self._stream = self.stream("eda", period, lambda: self._tx, self._packet, tick_ns=_MS)
        if self._already:
            self._stream.start(t)

    def _command(self, _connection: Connection, value: bytes) -> None:
        now = time.monotonic()
        self.writes.append((now, "rx", bytes(value)))
        if self._stream is None:
            return
        if value == _GO and not self._stream.on:
            self._stream.start(now)
        elif value == _HALT:
            self._stream.stop()

    def _packet(self, index: int, t: float, stamp: int) -> Made:
        steps = np.arange(1 - _SAMPLES, 1, dtype=np.float64)
        times = t + steps * self.clock.host_span(1.0 / self.sfreq)
        values = np.clip(np.rint(self._eda(times) * 1e3), 0, 65535).astype(np.uint16)
        temperature = int(np.rint(self._temperature(times[-1:])[0] * 100))
        return values, eda_packet(index, stamp // _MS, temperature, values), {"temp": temperature}
