"""One participant going through a protocol: the truth, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from physio_hqc.errors import SignalError
from physio_hqc.protocol import Protocol, load_protocol
from physio_hqc.simulate._courses import FloatArray, Stretch
from physio_hqc.simulate._heart import Heart, beats_per_phase, breath_cycles, simulate_heart
from physio_hqc.simulate._skin import Skin, simulate_skin
from physio_hqc.simulate.breathing import breath_table
from physio_hqc.simulate.effects import ConditionEffect, effect_of
from physio_hqc.simulate.person import Person, draw_person
from physio_hqc.simulate.truth import PhaseTruth, SimulatedTruth

# A cuff averages over its inflation; the reading carries the time at which it was started.
CUFF_AVERAGING_S = 30.0
SHORTEST_SESSION_S = 10.0

_STREAM_OF = ("person", "breath", "heart", "skin", "cuff", "ratings", "identity", "noise")


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the generator for one purpose, so that no part disturbs another's numbers."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SignalError(f"seed must be a whole number not below 0, not {seed!r}.")
    key = (_STREAM_OF.index(purpose),)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=key))


def as_protocol(protocol: str | Path | Protocol, time_scale: float = 1.0) -> Protocol:
    """Return a protocol from its name, its file or itself, with its times scaled."""
    loaded = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    return loaded if time_scale == 1.0 else loaded.scaled(time_scale)


def stretches_of(protocol: Protocol) -> tuple[Stretch, ...]:
    """Lay the phases of a protocol end to end."""
    edges = np.concatenate([[0.0], np.cumsum([phase.duration_s for phase in protocol.phases])])
    return tuple(
        Stretch(phase.name, phase.role, phase.speech, float(onset), float(offset))
        for phase, onset, offset in zip(protocol.phases, edges[:-1], edges[1:], strict=True)
    )


def simulate_truth(
    *,
    seed: int = 0,
    protocol: str | Path | Protocol = "lepore_1993",
    condition: str = "support",
    participant_id: str = "P01",
    person: Person | None = None,
    effect: ConditionEffect | None = None,
    time_scale: float = 1.0,
    cuff_error_mmhg: float = 2.0,
) -> SimulatedTruth:
    """Simulate what happens in a participant's body, without rendering any signal.

    Beats follow each other directly: the interval that begins at beat k is the slow level plus
    the baroreflex gain times the systolic wave at that beat, plus a slow drift and a scatter of
    3 percent of the squared successive differences. The waves are breathing (faster while
    preparing, below 0.15 Hz with an overtone while speaking), 0.1 Hz and slower. Their amplitude
    is set phase by phase so that RMSSD meets ``person.rmssd`` times the condition's factor; it is
    at most 12 mmHg. Levels approach each phase's mean exponentially and return in recovery.

    Parameters
    ----------
    seed : int
        Same seed, same truth. How a session is rendered never changes its truth.
    protocol : str, Path or Protocol
        Shipped name, file, or protocol.
    condition : str
        One of the protocol's conditions; anything where the protocol has none.
    participant_id : str
    person : Person, optional
        Drawn from the seed by default.
    effect : ConditionEffect, optional
        The condition's default effect (:func:`effect_of`) if not given.
    time_scale : float
        Factor on all times of the protocol.
    cuff_error_mmhg : float
        Standard deviation of the error of a cuff reading.

    Returns
    -------
    SimulatedTruth
        Without artifacts: those belong to a rendered session.

    Raises
    ------
    ConfigError
        If the protocol or condition is unknown.
    SignalError
        If a parameter makes no sense.

    References
    ----------
    Baroreflex as a gain from systolic pressure to the interval: deBoer, Karemaker & Strackee
    (1987), doi 10.1152/ajpheart.1987.253.3.H680.

    Examples
    --------
    >>> truth = simulate_truth(seed=4, condition="alone", time_scale=0.1)
    >>> [phase.name for phase in truth.phases]
    ['baseline', 'preparation', 'speech', 'recovery']
    >>> truth.phase("speech").sbp > truth.phase("baseline").sbp
    True
    """
    design = as_protocol(protocol, time_scale)
    if design.conditions:
        design.condition(condition)
    if not (np.isfinite(cuff_error_mmhg) and cuff_error_mmhg >= 0):
        raise SignalError("cuff_error_mmhg must be finite and not below 0.")
    stretches = stretches_of(design)
    if stretches[-1].offset < SHORTEST_SESSION_S:
        raise SignalError(
            f"the protocol lasts {stretches[-1].offset:g} s; at least {SHORTEST_SESSION_S:g} s "
            f"are needed, so use a larger time_scale."
        )
    who = draw_person(generator(seed, "person")) if person is None else person
    what = effect_of(condition) if effect is None else effect
    grid = np.arange(0.0, np.ceil(stretches[-1].offset) + 6.0)
    cycles = breath_cycles(grid, stretches, who, generator(seed, "breath"))
    heart = simulate_heart(stretches, who, what, grid, cycles, generator(seed, "heart"))
    skin = simulate_skin(stretches, who, what, grid, generator(seed, "skin"))
    cuff_times, cuff, cuff_true = _read_cuff(
        design, stretches, heart, cuff_error_mmhg, generator(seed, "cuff")
    )
    return SimulatedTruth(
        participant_id=participant_id,
        condition=condition,
        seed=int(seed),
        person=who,
        effect=what,
        duration_s=stretches[-1].offset,
        phases=_phase_truths(stretches, heart, skin, grid, cycles),
        **vars(heart),
        **vars(skin),
        grid_s=grid,
        breath_cycles=cycles,
        cuff_times_s=cuff_times,
        cuff=cuff,
        cuff_true=cuff_true,
        artifact_onset_s=np.zeros(0),
        artifact_offset_s=np.zeros(0),
        artifact_stream=np.zeros(0, dtype="<U8"),
        artifact_kind=np.zeros(0, dtype="<U16"),
    )


def _mean_between(
    times: FloatArray, values: FloatArray, onsets: FloatArray, offsets: FloatArray
) -> FloatArray:
    """Return the mean of values in each [onset, offset), NaN where there is none."""
    first, last = np.searchsorted(times, onsets), np.searchsorted(times, offsets)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    counts = (last - first).astype(np.float64)
    counts[counts == 0] = np.nan
    means: FloatArray = (sums[last] - sums[first]) / counts
    return means


def _phase_truths(
    stretches: Sequence[Stretch], heart: Heart, skin: Skin, grid: FloatArray, cycles: FloatArray
) -> tuple[PhaseTruth, ...]:
    """Summarize what was true in each phase."""
    onsets = np.array([stretch.onset for stretch in stretches])
    offsets = np.array([stretch.offset for stretch in stretches])
    beats = heart.beat_times_s
    phase_of = beats_per_phase(beats, stretches)
    sbp, dbp, mean, brs = (
        _mean_between(beats, values, onsets, offsets)
        for values in (heart.sbp, heart.dbp, heart.map, heart.brs_gain)
    )
    scl = _mean_between(grid, skin.tonic_us, onsets, offsets)
    breaths = np.diff(np.interp(np.append(onsets, offsets[-1]), grid, cycles))
    swings = breath_table(grid, cycles, beats, heart.breath_rr_s)
    counts = np.diff(np.searchsorted(skin.scr_onset_s, np.append(onsets, offsets[-1])))
    return tuple(
        PhaseTruth(
            name=stretch.name,
            role=stretch.role,
            speech=stretch.speech,
            onset=stretch.onset,
            offset=stretch.offset,
            n_beats=int((phase_of == i).sum()),
            **_interval_summary(beats[phase_of == i]),
            sbp=float(sbp[i]),
            dbp=float(dbp[i]),
            map=float(mean[i]),
            brs=float(brs[i]),
            scl=float(scl[i]),
            scr_n=int(counts[i]),
            breathing_hz=float(breaths[i] / stretch.duration),
            rsa=_mean_swing(swings, stretch),
        )
        for i, stretch in enumerate(stretches)
    )


def _mean_swing(breaths: pd.DataFrame, stretch: Stretch) -> float:
    """Return the mean swing in ms of the breaths wholly inside a phase; NaN without one."""
    inside = (breaths["inhale_s"] >= stretch.onset) & (breaths["end_s"] <= stretch.offset)
    return float(breaths.loc[inside, "swing_ms"].mean())


def _interval_summary(beats: FloatArray) -> dict[str, float]:
    """Return heart rate, RMSSD and SDNN of the intervals between beats; NaN for too few."""
    rr = 1000.0 * np.diff(beats)
    if len(rr) < 2:
        return {"hr": np.nan, "rmssd": np.nan, "sdnn": np.nan}
    return {
        "hr": float(60000.0 / rr.mean()),
        "rmssd": float(np.sqrt(np.mean(np.diff(rr) ** 2))),
        "sdnn": float(rr.std(ddof=1)),
    }


def _read_cuff(
    design: Protocol,
    stretches: Sequence[Stretch],
    heart: Heart,
    error_mmhg: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take the cuff readings the protocol asks for: times, as read, as they were."""
    times = [
        (stretch.onset + due, min(stretch.onset + due + CUFF_AVERAGING_S, stretch.offset))
        for stretch, phase in zip(stretches, design.phases, strict=True)
        for due in phase.cuff_at_s
    ]
    spans = np.array(times, dtype=np.float64).reshape(-1, 2)
    beats = heart.beat_times_s
    rr = np.where(np.isnan(heart.rr_s), np.nanmean(heart.rr_s), heart.rr_s)
    columns = [
        _mean_between(beats, values, spans[:, 0], spans[:, 1])
        for values in (heart.sbp, heart.dbp, heart.map, rr)
    ]
    true = np.column_stack([*columns[:3], 60.0 / columns[3]])
    # One error moves the whole reading, a smaller one each value: the order SBP > MAP > DBP stays.
    common = rng.standard_normal((len(spans), 1))
    own = rng.standard_normal((len(spans), 3))
    read: FloatArray = true.copy()
    read[:, :3] += error_mmhg * (np.sqrt(0.75) * common + np.sqrt(0.25) * own)
    np.round(read, out=read)
    return spans[:, 0].copy(), read, true
