"""Skin conductance of one participant: tonic course and responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physio_hqc.errors import SignalError
from physio_hqc.simulate._courses import FloatArray, Stretch, approach, band_noise
from physio_hqc.simulate.effects import ConditionEffect
from physio_hqc.simulate.person import Person
from physio_hqc.simulate.waveforms import SCR_TIME_TO_PEAK_S

# Two responses are at least this far apart, s: closer ones merge and nobody could tell.
SCR_SPACING_S = 2.5
SCR_SMALLEST_US, SCR_LARGEST_US = 0.03, 2.5

_FASTEST_PER_MIN = 0.8 * 60.0 / SCR_SPACING_S
_AMPLITUDE_SD_LOG = 0.5
TAU_TONIC_S = 25.0
_LOWEST_TONIC_US = 0.3


@dataclass(frozen=True, eq=False)
class Skin:
    """Tonic course and responses; the names are those of SimulatedTruth."""

    tonic_us: FloatArray
    scr_onset_s: FloatArray
    scr_peak_s: FloatArray
    scr_amplitude: FloatArray


def simulate_skin(
    stretches: Sequence[Stretch],
    person: Person,
    effect: ConditionEffect,
    grid_s: FloatArray,
    rng: np.random.Generator,
) -> Skin:
    """Simulate the tonic course (1 Hz) and the responses over all phases."""
    changes = [effect.change(stretch.role, person) for stretch in stretches]
    taus = [
        effect.recovery_s if stretch.role == "recovery" else TAU_TONIC_S for stretch in stretches
    ]
    levels = [person.scl + change.scl for change in changes]
    tonic = approach(grid_s, stretches, levels, taus, person.scl)
    tonic = tonic + 0.02 * person.scl * band_noise(rng, len(grid_s), 1.0, 0.002, 0.012)
    onsets = _draw_onsets(stretches, [person.scr_rate + change.scr_rate for change in changes], rng)
    drawn = person.scr_amplitude * np.exp(_AMPLITUDE_SD_LOG * rng.standard_normal(len(onsets)))
    return Skin(
        tonic_us=np.maximum(tonic, _LOWEST_TONIC_US),
        scr_onset_s=onsets,
        scr_peak_s=onsets + SCR_TIME_TO_PEAK_S,
        scr_amplitude=np.clip(drawn, SCR_SMALLEST_US, SCR_LARGEST_US),
    )


def _draw_onsets(
    stretches: Sequence[Stretch], per_minute: Sequence[float], rng: np.random.Generator
) -> FloatArray:
    """Draw onsets: a dead time, then exponential waiting, so that the mean rate is as asked."""
    found: list[FloatArray] = []
    previous = -np.inf
    for stretch, rate in zip(stretches, per_minute, strict=True):
        if rate > _FASTEST_PER_MIN:
            raise SignalError(
                f"{rate:g} responses per minute do not fit; at most {_FASTEST_PER_MIN:g} do."
            )
        n_most = int(stretch.duration / SCR_SPACING_S) + 2
        waits = rng.exponential(size=n_most)
        if rate <= 0:
            continue
        waits *= 60.0 / rate - SCR_SPACING_S
        # The first wait has no dead time of its own, only what the last response left over.
        start = max(stretch.onset, previous + SCR_SPACING_S)
        onsets = start + np.cumsum(waits) + SCR_SPACING_S * np.arange(n_most)
        onsets = onsets[onsets < stretch.offset]
        if len(onsets):
            previous = float(onsets[-1])
        found.append(onsets)
    return np.concatenate(found) if found else np.zeros(0)
