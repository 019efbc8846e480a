"""Zero-phase filters for the ECG, and the blocks they are applied in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import check_sfreq

_BAND_HZ = (0.5, 40.0)
_MAINS_HZ = (50.0, 60.0)
_MIN_SFREQ = 80.0
_BLOCK_S = 3600.0
_OVERLAP_S = 20.0


class Block(NamedTuple):
    """A piece of a run: what is filtered, and the inner part that is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


def check_ecg_rate(sfreq: float) -> float:
    """Return the sampling rate, refusing rates that cannot hold the QRS band."""
    rate = check_sfreq(sfreq)
    if rate < _MIN_SFREQ:
        raise SignalError(f"sfreq is {rate:g} Hz: an ECG needs at least {_MIN_SFREQ:g} Hz")
    return rate


def blocks(start: int, stop: int, sfreq: float) -> Iterator[Block]:
    """Cut a run into blocks of an hour that overlap, so that memory does not grow with length."""
    size, overlap = int(_BLOCK_S * sfreq), int(_OVERLAP_S * sfreq)
    n_blocks = max(1, round((stop - start) / size))
    edges = np.linspace(start, stop, n_blocks + 1).astype(int).tolist()
    for core_start, core_stop in pairwise(edges):
        yield Block(
            max(start, core_start - overlap), min(stop, core_stop + overlap), core_start, core_stop
        )


def clean_butterworth(x: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    """Band-pass and notch one run, zero-phase."""
    # The median is taken off first so that a converter's offset leaves no transient, and the run
    # is mirrored for 2 s at either end, four time constants of the high-pass.
    pad = min(x.size - 1, int(2 * sfreq))
    cleaned: NDArray[np.float64] = signal.sosfiltfilt(
        _sections(sfreq), x - np.median(x), padlen=pad
    )
    return cleaned


@lru_cache(maxsize=32)
def _sections(sfreq: float) -> NDArray[np.float64]:
    """Second-order sections of the band-pass and the notches."""
    band = (_BAND_HZ[0], min(_BAND_HZ[1], 0.45 * sfreq))
    sections = [signal.butter(2, band, "bandpass", fs=sfreq, output="sos")]
    sections += [
        signal.tf2sos(*signal.iirnotch(mains, 30, fs=sfreq))
        for mains in _MAINS_HZ
        if mains < 0.45 * sfreq
    ]
    return np.concatenate(sections)
