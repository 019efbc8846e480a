"""Slow courses: levels that follow the phases, and noise with a known spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Waves up to 0.5 Hz are made on this grid; linear interpolation between its points is then
# right to 0.4 percent at 0.3 Hz, and what is interpolated is the truth in any case.
WAVE_SFREQ = 10.0

_CYCLES_AT_LEAST = 4


@dataclass(frozen=True)
class Stretch:
    """One phase on the session's clock, [onset, offset) in s."""

    name: str
    role: str
    speech: bool
    onset: float
    offset: float

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.offset - self.onset


def band_noise(
    rng: np.random.Generator,
    n: int,
    sfreq: float,
    low: float,
    high: float,
    exponent: float = 0.0,
) -> FloatArray:
    """Draw Gaussian noise of expected unit variance, power ~ 1/f**exponent from low to high Hz."""
    needed = max(n, int(_CYCLES_AT_LEAST * sfreq / low), 2)
    length = 1 << (needed - 1).bit_length()
    freqs = np.fft.rfftfreq(length, 1.0 / sfreq)
    inside = (freqs >= low) & (freqs <= high)
    weights = np.zeros(len(freqs))
    weights[inside] = freqs[inside] ** (-0.5 * exponent)
    spectrum = weights * (rng.standard_normal(len(freqs)) + 1j * rng.standard_normal(len(freqs)))
    scale = length / (2.0 * np.sqrt(np.sum(weights**2)))
    return np.fft.irfft(spectrum * scale, length)[:n]


def approach(
    times: FloatArray,
    stretches: Sequence[Stretch],
    values: Sequence[float],
    taus: Sequence[float],
    start: float,
) -> FloatArray:
    """Return a course that approaches each phase's value exponentially.

    The value is the mean over the phase, so that a planted change is exactly the change of the
    phase mean; in recovery it is the level that the course settles at. A time constant is at most
    a quarter (recovery: a third) of the phase.
    """
    course = np.full(len(times), start)
    level = start
    for stretch, value, tau in zip(stretches, values, taus, strict=True):
        settles = stretch.role == "recovery"
        tau = min(tau, stretch.duration / (3.0 if settles else 4.0))
        decay = np.exp(-stretch.duration / tau)
        carried = tau / stretch.duration * (1.0 - decay)
        target = value if settles else (value - level * carried) / (1.0 - carried)
        first, last = np.searchsorted(times, [stretch.onset, stretch.offset])
        elapsed = times[first:last] - stretch.onset
        course[first:last] = target + (level - target) * np.exp(-elapsed / tau)
        level = target + (level - target) * decay
        course[last:] = level
    return course


def stepped(
    times: FloatArray, stretches: Sequence[Stretch], values: Sequence[float], ramp_s: float
) -> FloatArray:
    """Return a course with one value per phase and straight ramps where phases meet."""
    knots_t: list[float] = []
    knots_v: list[float] = []
    for stretch, value in zip(stretches, values, strict=True):
        half = min(ramp_s, 0.25 * stretch.duration) / 2.0
        knots_t += [stretch.onset + half, stretch.offset - half]
        knots_v += [value, value]
    return np.interp(times, knots_t, knots_v)
