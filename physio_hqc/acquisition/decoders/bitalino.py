"""BITalino frames: found in a stream of bytes by their length and their 4-bit checksum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders.results import Result, Samples, Trouble
from physio_hqc.session.format import BlockFlag

_SIZES: Final = {1: 3, 2: 4, 3: 6, 4: 7, 5: 8, 6: 8}
_MODULO: Final = 16
_TABLE: Final = np.array(
    [0x0, 0x3, 0x6, 0x5, 0xC, 0xF, 0xA, 0x9, 0xB, 0x8, 0xD, 0xE, 0x7, 0x4, 0x1, 0x2],
    dtype=np.uint8,
)
"""Four steps of division by x^4 + x + 1."""

_LOCK: Final = 3
"""Frames in a row with good checksum and counter that prove the alignment: by chance 1 in 10^6."""


@dataclass(frozen=True, eq=False)
class BitalinoFrames:
    """Frames of one length.

    Attributes
    ----------
    values : ndarray of uint16, shape (f, n)
        Channels in the order of the frame; the first four have 10 bit, the fifth and sixth 6.
    sequence : ndarray of uint8, shape (f,)
        Counter, 0 to 15.
    digital : ndarray of uint8, shape (f, 4)
        I1, I2, O1, O2.
    """

    values: NDArray[np.uint16]
    sequence: NDArray[np.uint8]
    digital: NDArray[np.uint8]


def frame_size(channels: int) -> int:
    """Bytes of a frame of 1 to 6 channels.

    Examples
    --------
    >>> [frame_size(n) for n in range(1, 7)]
    [3, 4, 6, 7, 8, 8]
    """
    return _SIZES[channels]


def bitalino_crc(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Checksums of frames, with the nibble that holds them taken as 0.

    Parameters
    ----------
    frames : ndarray of uint8, shape (f, size)

    Returns
    -------
    ndarray of uint8, shape (f,)

    References
    ----------
    BITalinoWorld/revolution-python-api.

    Examples
    --------
    >>> bitalino_crc(np.array([[0x2C, 0x01, 0x98, 0x55]], dtype=np.uint8))
    array([5], dtype=uint8)
    """
    crc: NDArray[np.uint8] = np.zeros(len(frames), dtype=np.uint8)
    for column in range(frames.shape[1]):
        crc = _TABLE[crc] ^ _high(frames[:, column])
        crc = _TABLE[crc]
        if column + 1 < frames.shape[1]:
            crc = crc ^ (frames[:, column] & np.uint8(0x0F))
    return crc


def decode_bitalino(frames: NDArray[np.uint8], channels: int) -> BitalinoFrames:
    """Decode aligned frames; the checksum is not looked at.

    Parameters
    ----------
    frames : ndarray of uint8, shape (f, size)
    channels : int
        1 to 6.

    Returns
    -------
    BitalinoFrames

    Examples
    --------
    >>> frame = np.frombuffer(bytes.fromhex("2C 01 98 55"), dtype=np.uint8)[np.newaxis]
    >>> decode_bitalino(frame, 2).values
    array([[512, 300]], dtype=uint16)
    """
    byte = [frames[:, -1 - k].astype(np.uint16) for k in range(frames.shape[1])]
    byte += [np.zeros(len(frames), dtype=np.uint16)] * (9 - len(byte))
    columns = (
        (byte[1] & 0x0F) << 6 | byte[2] >> 2,
        (byte[2] & 0x03) << 8 | byte[3],
        byte[4] << 2 | byte[5] >> 6,
        (byte[5] & 0x3F) << 4 | byte[6] >> 4,
        (byte[6] & 0x0F) << 2 | byte[7] >> 6,
        byte[7] & 0x3F,
    )
    digital = frames[:, -2, np.newaxis] >> np.array([7, 6, 5, 4], dtype=np.uint8) & 1
    return BitalinoFrames(
        np.stack(columns[:channels], axis=1), _high(frames[:, -1]), digital.astype(np.uint8)
    )


def _high(column: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Upper nibbles."""
    return (column >> 4).astype(np.uint8)


class BitalinoDecoder:
    """Samples from a stream of bytes that is cut anywhere.

    Frames are believed when three in a row have a good checksum and count on. A frame with a bad
    checksum, or one whose counter jumps, makes it look for the next three; what is between is
    counted as lost by the counter, and beyond its 15 by the time that passed.

    Parameters
    ----------
    streams : sequence of (str, int, str)
        Name, number of channels and stored number type, in the order of the frame.
    sfreq : float
        Nominal rate.
    """

    def __init__(self, streams: Sequence[tuple[str, int, str]], sfreq: float) -> None:
        self._streams = [(name, count, np.dtype(kind)) for name, count, kind in streams]
        self._channels = sum(count for _, count, _ in self._streams)
        self._size = frame_size(self._channels)
        self._sfreq = sfreq
        self.reset()

    def reset(self) -> None:
        """Forget the remainder and the counter."""
        self._rest = b""
        self._locked = False
        self._next: int | None = None
        self._skipped = 0
        self._last_received = math.nan

    def feed(self, data: bytes, t_received: float) -> list[Result]:
        """Decode one notification; never raises."""
        self._rest += bytes(data)
        found: list[Result] = []
        windows = self._windows()
        good = (windows[:, -1] & 0x0F) == bitalino_crc(windows)
        sequence = _high(windows[:, -1])
        at = 0
        while True:
            lost = 0
            if not self._locked:
                begin = self._search(good, sequence, at)
                if begin is None:
                    # The last places cannot be judged before more bytes are there.
                    judged = max(at, len(self._rest) - _LOCK * self._size + 1)
                    self._skipped += judged - at
                    at = judged
                    break
                self._skipped += begin - at
                at = begin
                lost = self._lost(int(sequence[at]), t_received)
                self._next = int(sequence[at])
                self._locked = True
            count = self._run(good[at :: self._size], sequence[at :: self._size])
            if count:
                found += self._deliver(windows[at :: self._size][:count], lost, t_received)
                at += count * self._size
            if at >= len(good):
                break
            self._locked = False
        self._rest = self._rest[at:]
        return found

    def _windows(self) -> NDArray[np.uint8]:
        """Every place at which a frame could begin, shape (places, size)."""
        held = np.frombuffer(self._rest, dtype=np.uint8)
        if held.size < self._size:
            return np.zeros((0, self._size), dtype=np.uint8)
        return np.lib.stride_tricks.sliding_window_view(held, self._size)

    def _search(self, good: NDArray[np.bool_], sequence: NDArray[np.uint8], at: int) -> int | None:
        """First place from which enough frames follow each other."""
        reach = (_LOCK - 1) * self._size
        places = len(good) - reach - at
        if places <= 0:
            return None
        fits = np.ones(places, dtype=bool)
        for k in range(_LOCK):
            part = slice(at + k * self._size, at + k * self._size + places)
            fits &= good[part] & (sequence[part] == (sequence[at : at + places] + k) % _MODULO)
        first = int(np.argmax(fits))
        return at + first if fits[first] else None

    def _run(self, good: NDArray[np.bool_], sequence: NDArray[np.uint8]) -> int:
        """How many of the frames that follow are good and count on."""
        expected = ((self._next or 0) + np.arange(len(good))) % _MODULO
        fits = good & (sequence == expected)
        return len(fits) if fits.all() else int(np.argmin(fits))

    def _lost(self, sequence: int, t_received: float) -> int:
        """Frames that are missing before the one with this counter."""
        if self._next is None:
            return 0
        step = (sequence - self._next) % _MODULO
        if not step and not self._skipped:
            return 0
        passed = (t_received - self._last_received) * self._sfreq
        return step + _MODULO * max(0, round((passed - 1 - step) / _MODULO))

    def _deliver(self, frames: NDArray[np.uint8], lost: int, t_received: float) -> list[Result]:
        """Samples of a run of frames, per stream."""
        found: list[Result] = []
        if self._skipped:
            found.append(Trouble("malformed", f"{self._skipped} bytes belong to no frame"))
        flags = int(BlockFlag.GAP_BEFORE) if lost else 0
        decoded = decode_bitalino(frames, self._channels)
        at = 0
        for name, count, dtype in self._streams:
            values: NDArray[Any] = decoded.values[:, at : at + count].astype(dtype)
            at += count
            found.append(
                Samples(name, values[:, 0] if count == 1 else values, flags=flags, n_lost=lost)
            )
        self._next = (int(decoded.sequence[-1]) + 1) % _MODULO
        self._last_received = t_received
        self._skipped = 0
        return found
