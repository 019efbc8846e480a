"""Beats and pressures of one participant, tied by a known baroreflex gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from physio_hqc.simulate._courses import (
    WAVE_SFREQ,
    FloatArray,
    Stretch,
    approach,
    band_noise,
    stepped,
)
from physio_hqc.simulate.effects import ConditionEffect
from physio_hqc.simulate.person import Person
from physio_hqc.simulate.waveforms import RISE_S, pressure_means

MAYER_HZ = 0.1
SHORTEST_RR_S, LONGEST_RR_S = 0.35, 2.2

TAU_RISE_S = 12.0
_LARGEST_WAVE_MMHG = 12.0
_SMALLEST_PULSE_MMHG = 15.0
# Share of the squared successive differences that is beat-to-beat scatter from no wave.
_SCATTER_SHARE = 0.03
_VLF_MMHG = 0.8
_VLF_RR_PER_RMSSD = 0.3
_DBP_PER_SBP_WAVE = 0.5
_ARRIVAL_PER_MMHG = -0.004
_CALIBRATIONS = 7
# No recording begins or ends inside a QRS complex whose R peak is counted as a beat.
_WHOLE_QRS_S = 0.2


@dataclass(frozen=True, eq=False)
class Heart:
    """Beats, pressures and slow courses; the names are those of SimulatedTruth."""

    beat_times_s: FloatArray
    rr_s: FloatArray
    foot_s: FloatArray
    systole_s: FloatArray
    sbp: FloatArray
    dbp: FloatArray
    map: FloatArray
    brs_gain: FloatArray
    hr_level: FloatArray
    sbp_level: FloatArray
    dbp_level: FloatArray
    breath_rr_s: FloatArray


@dataclass(frozen=True, eq=False)
class _Waves:
    """Everything beats are computed from, on the wave grid; what may be scaled is apart."""

    times: FloatArray
    base_rr: FloatArray
    gain: FloatArray
    unit: FloatArray
    breath: FloatArray
    vlf: FloatArray
    own_rr: FloatArray
    sbp_level: FloatArray
    dbp_level: FloatArray
    hr_level: FloatArray
    first_beat_s: float


def breathing_rates(stretches: Sequence[Stretch], person: Person) -> list[float]:
    """Return breaths per second by phase: faster while preparing, below 0.15 Hz in speech."""
    silent = {"preparation": 1.1, "task": 1.15}
    return [
        person.speech_breathing_hz
        if stretch.speech
        else person.breathing_hz * silent.get(stretch.role, 1.0)
        for stretch in stretches
    ]


def breath_cycles(
    grid_s: FloatArray, stretches: Sequence[Stretch], person: Person, rng: np.random.Generator
) -> FloatArray:
    """Return how many breaths were taken by each second, rate wandering by a few percent."""
    rate = stepped(grid_s, stretches, breathing_rates(stretches, person), ramp_s=3.0)
    jitter = np.clip(band_noise(rng, len(grid_s), 1.0, 0.005, 0.08), -2.5, 2.5)
    steps = (rate * (1.0 + 0.05 * jitter))[:-1] * np.diff(grid_s)
    return np.concatenate([[rng.uniform()], steps]).cumsum()


def simulate_heart(
    stretches: Sequence[Stretch],
    person: Person,
    effect: ConditionEffect,
    grid_s: FloatArray,
    cycles: FloatArray,
    rng: np.random.Generator,
) -> Heart:
    """Simulate beats and pressures over all phases.

    The interval that begins at beat k lasts ``60 / HR level + G (SBP_k - level) + own``: the
    systolic waves (breathing, 0.1 Hz, slower) drive it through the gain G, own slow drift and a
    little scatter come on top. The amplitude of the waves is set, phase by phase, so that RMSSD
    meets the person's value times the condition's factor.
    """
    duration = stretches[-1].offset
    changes = [effect.change(stretch.role, person) for stretch in stretches]
    target = np.array([person.rmssd * change.rmssd_ratio for change in changes])
    gains = np.array([person.brs * change.brs_ratio for change in changes])
    waves = _draw_waves(stretches, person, effect, grid_s, cycles, target, gains, rng)
    onsets = np.array([stretch.onset for stretch in stretches])
    amplitude = np.minimum(target / gains, _LARGEST_WAVE_MMHG)
    for _ in range(_CALIBRATIONS):
        size = stepped(waves.times, stretches, amplitude.tolist(), 4.0)
        wave = waves.unit * size + waves.vlf
        beats, rr = _recurse(waves, wave, duration)
        found = _rmssd_by_phase(beats, rr, onsets)
        ratio = np.where(found > 0, target / np.maximum(found, 1e-9), 1.0)
        amplitude = np.clip(amplitude * np.clip(ratio, 0.5, 2.0), 0.02, _LARGEST_WAVE_MMHG)
    by_breath = np.interp(beats, waves.times, waves.gain * waves.breath * size)
    return replace(_pressures(waves, wave, beats, rr, person, grid_s), breath_rr_s=by_breath)


def _draw_waves(
    stretches: Sequence[Stretch],
    person: Person,
    effect: ConditionEffect,
    grid_s: FloatArray,
    cycles: FloatArray,
    rmssd: FloatArray,
    gains: FloatArray,
    rng: np.random.Generator,
) -> _Waves:
    """Draw every random course once, so that rescaling the waves changes nothing else."""
    duration = stretches[-1].offset
    times = np.arange(0.0, duration + 5.0, 1.0 / WAVE_SFREQ)
    n = len(times)
    angle = 2 * np.pi * np.interp(times, grid_s, cycles)
    # Who speaks breathes in quickly and out slowly: an overtone, and a weaker 0.1 Hz wave.
    speaking = stepped(times, stretches, [float(stretch.speech) for stretch in stretches], 4.0)
    breath = -np.sin(angle) - 0.45 * speaking * np.sin(2 * angle)
    breath *= 1.0 + 0.2 * np.clip(band_noise(rng, n, WAVE_SFREQ, 0.005, 0.05), -2.5, 2.5)
    mayer_rate = MAYER_HZ * (1.0 + 0.06 * band_noise(rng, n, WAVE_SFREQ, 0.005, 0.03))
    mayer = np.sin(2 * np.pi * (rng.uniform() + np.cumsum(mayer_rate) / WAVE_SFREQ))
    mayer *= (1.0 - 0.4 * speaking) * (
        1.0 + 0.25 * np.clip(band_noise(rng, n, WAVE_SFREQ, 0.005, 0.03), -2.5, 2.5)
    )
    levels = _levels(times, stretches, person, effect)
    slow_rr = band_noise(rng, n, WAVE_SFREQ, 0.004, 0.03, exponent=1.0)
    # White noise between grid points loses a third of its variance to linear interpolation.
    scatter = np.sqrt(_SCATTER_SHARE / 2.0 * 1.5) * rng.standard_normal(n)
    rmssd_course = stepped(times, stretches, rmssd.tolist(), 4.0) / 1000.0
    base_rr = 60.0 / levels["hr"]
    return _Waves(
        times=times,
        base_rr=base_rr,
        gain=stepped(times, stretches, gains.tolist(), 4.0) / 1000.0,
        unit=breath + mayer,
        breath=breath,
        vlf=_VLF_MMHG * band_noise(rng, n, WAVE_SFREQ, 0.004, 0.04, exponent=1.0),
        own_rr=rmssd_course * (_VLF_RR_PER_RMSSD * slow_rr + scatter),
        sbp_level=levels["sbp"],
        dbp_level=levels["dbp"],
        hr_level=levels["hr"],
        first_beat_s=_WHOLE_QRS_S + float(rng.uniform(0.0, 0.8) * base_rr[0]),
    )


def _levels(
    times: FloatArray, stretches: Sequence[Stretch], person: Person, effect: ConditionEffect
) -> dict[str, FloatArray]:
    """Return the slow courses of HR, SBP and DBP."""
    changes = [effect.change(stretch.role, person) for stretch in stretches]
    taus = [
        effect.recovery_s if stretch.role == "recovery" else TAU_RISE_S for stretch in stretches
    ]
    return {
        name: approach(
            times,
            stretches,
            [getattr(person, name) + getattr(change, name) for change in changes],
            taus,
            getattr(person, name),
        )
        for name in ("hr", "sbp", "dbp")
    }


def _recurse(waves: _Waves, wave: FloatArray, duration: float) -> tuple[FloatArray, FloatArray]:
    """Let beat follow beat: each interval depends on the pressure at the beat that begins it."""
    course = np.clip(
        waves.base_rr + waves.gain * wave + waves.own_rr, SHORTEST_RR_S, LONGEST_RR_S
    ).tolist()
    beats, intervals = [waves.first_beat_s], [np.nan]
    # Beats are sequential by nature; plain floats keep an hour at a few milliseconds.
    while True:
        position = beats[-1] * WAVE_SFREQ
        index = int(position)
        rr = course[index] + (course[index + 1] - course[index]) * (position - index)
        if beats[-1] + rr >= duration - _WHOLE_QRS_S:
            break
        beats.append(beats[-1] + rr)
        intervals.append(rr)
    return np.array(beats), np.array(intervals)


def _rmssd_by_phase(beats: FloatArray, rr: FloatArray, onsets: FloatArray) -> FloatArray:
    """Return RMSSD in ms of the intervals between beats of each phase; 0 where there is none."""
    phase = np.searchsorted(onsets, beats, side="right") - 1
    squares = (1000.0 * np.diff(rr[1:])) ** 2
    inside = phase[2:] == phase[:-2]
    counts = np.bincount(phase[2:][inside], minlength=len(onsets))
    sums = np.bincount(phase[2:][inside], squares[inside], minlength=len(onsets))
    return np.sqrt(sums / np.maximum(counts, 1))


def _pressures(
    waves: _Waves,
    wave: FloatArray,
    beats: FloatArray,
    rr: FloatArray,
    person: Person,
    grid_s: FloatArray,
) -> Heart:
    """Give every beat its pulse."""
    at_beat = np.interp(beats, waves.times, wave)
    sbp = np.interp(beats, waves.times, waves.sbp_level) + at_beat
    dbp = np.interp(beats, waves.times, waves.dbp_level) + _DBP_PER_SBP_WAVE * at_beat
    before = np.concatenate([sbp[:1], sbp[:-1]])
    dbp = np.minimum(dbp, np.minimum(sbp, before) - _SMALLEST_PULSE_MMHG)
    arrival = person.pulse_arrival_s * (1.0 + _ARRIVAL_PER_MMHG * (sbp - person.sbp))
    foot = beats + np.clip(arrival, 0.05, 0.4)
    heart = Heart(
        beat_times_s=beats,
        rr_s=rr,
        foot_s=foot,
        systole_s=foot + RISE_S,
        sbp=sbp,
        dbp=dbp,
        map=np.zeros_like(sbp),
        brs_gain=1000.0 * np.interp(beats, waves.times, waves.gain),
        hr_level=np.interp(grid_s, waves.times, waves.hr_level),
        sbp_level=np.interp(grid_s, waves.times, waves.sbp_level),
        dbp_level=np.interp(grid_s, waves.times, waves.dbp_level),
        breath_rr_s=np.zeros_like(sbp),
    )
    return replace(heart, map=pressure_means(foot, heart.systole_s, sbp, dbp))


def beats_per_phase(beats: FloatArray, stretches: Sequence[Stretch]) -> NDArray[np.intp]:
    """Return the phase number of every beat."""
    onsets = np.array([stretch.onset for stretch in stretches])
    return np.searchsorted(onsets, beats, side="right") - 1
