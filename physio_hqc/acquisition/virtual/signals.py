"""Signals of a body that goes through no protocol: enough for tests and tries.

A signal is a function of times of the host's monotonic clock in s; beats are asked for by an
interval of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Signal = Callable[[FloatArray], FloatArray]
"""``signal(times_s)``, shape (n,) to (n,) or (n, c)."""


class Beats(Protocol):
    """Where heart beats come from."""

    def __call__(self, after_s: float, until_s: float) -> FloatArray:
        """Times of the R peaks in (after_s, until_s], ascending."""


def flutter(times: FloatArray, size: int) -> FloatArray:
    """Whole numbers from -size to size that look random and depend on the time alone.

    They make every sample differ from its likeness one beat later, so that what was recorded can
    be told from what was not.

    Examples
    --------
    >>> flutter(np.array([1.0, 2.0, 1.0]), 4).tolist()
    [-3.0, -1.0, -3.0]
    """
    steps = np.floor(np.asarray(times) * 1e4).astype(np.int64).astype(np.uint64)
    mixed = (steps * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return (mixed % np.uint64(2 * size + 1)).astype(np.float64) - size


@dataclass(frozen=True)
class SteadyHeart:
    """A heart that beats evenly, with a breathing arrhythmia.

    Attributes
    ----------
    rate : float
        Beats per minute.
    swing_s : float
        How far breathing shifts beats, s.
    breaths : float
        Breaths per minute.
    """

    rate: float = 66.0
    swing_s: float = 0.06
    breaths: float = 15.0

    def __call__(self, after_s: float, until_s: float) -> FloatArray:
        """Times of the R peaks in (after_s, until_s]."""
        period = 60.0 / self.rate
        number = np.arange(np.floor(after_s / period) - 1, np.ceil(until_s / period) + 2)
        even = number * period
        times: FloatArray = even + self.swing_s * np.sin(2 * np.pi * even * self.breaths / 60)
        return times[(times > after_s) & (times <= until_s)]

    def ecg(self, times: FloatArray) -> FloatArray:
        """ECG in µV."""
        if len(times) == 0:
            return np.empty(0)
        beats = self(float(times[0]) - 1.0, float(times[-1]) + 1.0)
        return beat_shapes(times, beats) + flutter(times, 6)


_WAVES = np.array(  # delay to the R peak in s, width in s, height in µV: P, Q, R, S, T
    [
        [-0.17, 0.022, 110.0],
        [-0.028, 0.009, -120.0],
        [0.0, 0.010, 1150.0],
        [0.030, 0.011, -240.0],
        [0.26, 0.045, 280.0],
    ]
)


def beat_shapes(times: FloatArray, beats: FloatArray) -> FloatArray:
    """Plain P-QRS-T complexes in µV at the given R peaks."""
    ecg = np.zeros(len(times))
    for beat in beats:
        delay = times - beat
        for at, width, height in _WAVES:
            ecg += height * np.exp(-0.5 * ((delay - at) / width) ** 2)
    return ecg


def still_chest(times: FloatArray) -> FloatArray:
    """Acceleration of an upright chest that breathes, in mg, shape (n, 3)."""
    breath = np.sin(2 * np.pi * times / 4.0)
    noise = [flutter(times + shift, 3) for shift in (0.0, 0.3, 0.7)]
    return np.column_stack(
        [-40 + 6 * breath + noise[0], -985 + 3 * breath + noise[1], 120 + 14 * breath + noise[2]]
    )


def calm_skin(times: FloatArray) -> FloatArray:
    """Skin conductance in µS: a slow tide and a response every 20 s."""
    since = np.mod(times, 20.0)
    response = 0.25 * (np.exp(-since / 4.0) - np.exp(-since / 0.7))
    level: FloatArray = 4.0 + 0.4 * np.sin(2 * np.pi * times / 120.0) + response
    return level


def warm_skin(times: FloatArray) -> FloatArray:
    """Skin temperature in °C."""
    temperature: FloatArray = 32.5 + 0.3 * np.sin(2 * np.pi * times / 300.0)
    return temperature
