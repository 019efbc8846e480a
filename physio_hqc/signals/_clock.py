"""Times of samples as lines between a few knots, instead of one number per sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Rounding must not put a window that begins on a sample behind it.
_SLACK_SAMPLES = 1e-6


@dataclass(frozen=True)
class Clock:
    """When the samples of a signal were taken.

    Attributes
    ----------
    n : int
        Samples.
    rate : float
        Hz; before the first and after the last knot the clock runs on at this rate.
    index, times_s : ndarray, shape (k,)
        Knots: places in samples and their times in s, both strictly ascending.
    """

    n: int
    rate: float
    index: FloatArray
    times_s: FloatArray

    @classmethod
    def even(cls, n: int, rate: float) -> Clock:
        """Clock of n samples, the first at 0 s."""
        return cls(n, rate, np.zeros(1), np.zeros(1))

    @classmethod
    def of_samples(cls, times_s: FloatArray, rate: float) -> Clock:
        """Clock that was read at every sample."""
        if not times_s.size:
            return cls.even(0, rate)
        return cls(times_s.size, rate, np.arange(times_s.size, dtype=np.float64), times_s)

    @property
    def span(self) -> tuple[float, float]:
        """From the first sample to the end of the last, in s; (0, 0) without samples."""
        if not self.n:
            return 0.0, 0.0
        first, last = self.times_of(np.array([0.0, self.n - 1.0])).tolist()
        return first, last + 1 / self.rate

    def times_of(self, places: FloatArray) -> FloatArray:
        """Times in s of places in samples, fractions included."""
        inside = np.interp(places, self.index, self.times_s)
        beyond = places - np.clip(places, self.index[0], self.index[-1])
        result: FloatArray = inside + beyond / self.rate
        return result

    def places_of(self, times_s: FloatArray) -> FloatArray:
        """Places in samples, fractions included, of times in s."""
        inside = np.interp(times_s, self.times_s, self.index)
        beyond = times_s - np.clip(times_s, self.times_s[0], self.times_s[-1])
        result: FloatArray = inside + beyond * self.rate
        return result

    def first_at_or_after(self, times_s: FloatArray) -> IntArray:
        """Index of the first sample at or after each time; n where there is none."""
        places = np.ceil(self.places_of(times_s) - _SLACK_SAMPLES)
        return np.clip(places, 0, self.n).astype(np.int64)
