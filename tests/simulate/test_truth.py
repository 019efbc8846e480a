"""The truth: what the body does, checked by other means than the simulator's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import signal

from physio_hqc.errors import ConfigError, SessionFileError, SignalError
from physio_hqc.protocol import load_protocol
from physio_hqc.simulate import (
    EFFECTS,
    ConditionEffect,
    Person,
    PhaseChange,
    SimulatedTruth,
    draw_person,
    load_truth,
    save_truth,
    simulate_truth,
    truth_path_for,
)

CONDITIONS = ("support", "alone", "nonsupport")


@pytest.fixture(scope="module")
def truth() -> SimulatedTruth:
    return simulate_truth(seed=11, condition="alone")


def _inside(truth: SimulatedTruth, name: str) -> np.ndarray:
    phase = truth.phase(name)
    return (truth.beat_times_s >= phase.onset) & (truth.beat_times_s < phase.offset)


def _rmssd_ms(beats: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(beats, 2) ** 2)) * 1000)


def test_intervals_are_the_differences_of_beat_times(truth: SimulatedTruth) -> None:
    assert np.isnan(truth.rr_s[0])
    np.testing.assert_allclose(truth.rr_s[1:], np.diff(truth.beat_times_s), atol=1e-9)
    assert 0 < truth.beat_times_s[0] < 1.5
    assert truth.duration_s - 1.5 < truth.beat_times_s[-1] < truth.duration_s


def test_every_beat_has_its_pulse(truth: SimulatedTruth) -> None:
    delay = truth.foot_s - truth.beat_times_s
    assert (delay > 0.1).all()
    assert (delay < 0.3).all()
    assert (truth.foot_s < truth.systole_s).all()
    assert (truth.systole_s[:-1] < truth.foot_s[1:]).all()
    assert (truth.dbp < truth.map).all()
    assert (truth.map < truth.sbp).all()


@pytest.mark.parametrize("rmssd", [10.0, 20.0, 40.0, 70.0])
@pytest.mark.parametrize("condition", ["support", "nonsupport"])
def test_rmssd_meets_the_target_in_every_phase(rmssd: float, condition: str) -> None:
    person = Person(rmssd=rmssd, brs=6.0 + rmssd / 5.0)
    truth = simulate_truth(seed=5, condition=condition, person=person)
    effect = EFFECTS[condition]
    for phase in truth.phases:
        ratio = {
            "baseline": 1.0,
            "preparation": effect.preparation.rmssd_ratio,
            "task": effect.task.rmssd_ratio,
            "recovery": effect.recovery.rmssd_ratio,
        }[phase.role]
        found = _rmssd_ms(truth.beat_times_s[_inside(truth, phase.name)])
        assert found == pytest.approx(phase.rmssd)
        assert found == pytest.approx(rmssd * ratio, rel=0.03)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_levels_have_the_planted_means(condition: str) -> None:
    person = Person()
    truth = simulate_truth(seed=2, condition=condition, person=person)
    for name, change in (
        ("baseline", PhaseChange()),
        ("preparation", EFFECTS[condition].preparation),
        ("speech", EFFECTS[condition].task),
    ):
        phase = truth.phase(name)
        inside = (truth.grid_s >= phase.onset) & (truth.grid_s < phase.offset)
        assert truth.sbp_level[inside].mean() == pytest.approx(person.sbp + change.sbp, abs=0.15)
        assert truth.dbp_level[inside].mean() == pytest.approx(person.dbp + change.dbp, abs=0.15)
        assert truth.hr_level[inside].mean() == pytest.approx(person.hr + change.hr, abs=0.2)
        # Waves add at most their own sampling error to the means over beats.
        assert phase.sbp == pytest.approx(person.sbp + change.sbp, abs=1.2)
        assert phase.hr == pytest.approx(person.hr + change.hr, abs=1.2)


def test_recovery_returns_faster_with_support() -> None:
    level = {}
    for condition in CONDITIONS:
        truth = simulate_truth(seed=2, condition=condition, person=Person())
        start = truth.phase("recovery").onset
        at_start, after = np.interp([start, start + 90.0], truth.grid_s, truth.sbp_level)
        level[condition] = (after - 116.0) / (at_start - 116.0)
    assert level["support"] < level["alone"] < level["nonsupport"] < 0.6


def test_conditions_have_the_order_of_the_experiment() -> None:
    change = {name: np.zeros(7) for name in CONDITIONS}
    for name in CONDITIONS:
        for seed in range(8):
            truth = simulate_truth(seed=seed, condition=name, time_scale=0.3)
            rest = truth.phase("baseline")
            for phase in ("preparation", "speech"):
                task = truth.phase(phase)
                change[name] += [
                    task.sbp - rest.sbp,
                    task.dbp - rest.dbp,
                    task.hr - rest.hr,
                    -task.rmssd / rest.rmssd,
                    task.scl - rest.scl,
                    task.scr_n / (task.offset - task.onset),
                    task.map - rest.map,
                ]
    assert (change["support"] < change["alone"]).all()
    assert (change["alone"] < change["nonsupport"]).all()


def _spectrum(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grid = np.arange(times[0], times[-1], 0.25)
    even = np.interp(grid, times, values)
    return signal.welch(signal.detrend(even), 4.0, nperseg=512)


def _peak(freqs: np.ndarray, power: np.ndarray, low: float, high: float) -> float:
    band = (freqs >= low) & (freqs <= high)
    return float(freqs[band][np.argmax(power[band])])


def test_rest_has_a_breathing_and_a_tenth_hertz_peak(truth: SimulatedTruth) -> None:
    inside = _inside(truth, "baseline")
    for values in (truth.rr_s, truth.sbp, truth.dbp):
        freqs, power = _spectrum(truth.beat_times_s[inside][1:], values[inside][1:])
        assert _peak(freqs, power, 0.04, 0.15) == pytest.approx(0.1, abs=0.02)
        breathing = truth.phase("baseline").breathing_hz
        assert _peak(freqs, power, 0.15, 0.4) == pytest.approx(breathing, abs=0.03)


def test_breathing_is_slow_in_speech(truth: SimulatedTruth) -> None:
    assert truth.phase("speech").breathing_hz < 0.15
    assert truth.phase("baseline").breathing_hz > 0.18
    assert truth.phase("preparation").breathing_hz > truth.phase("baseline").breathing_hz
    assert (np.diff(truth.breath_cycles) > 0).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("brs", [6.0, 14.0, 25.0])
def test_baroreflex_gain_by_transfer_function(seed: int, brs: float) -> None:
    truth = simulate_truth(seed=seed, person=Person(brs=brs, rmssd=2.5 * brs + 5.0))
    inside = np.flatnonzero(_inside(truth, "baseline"))[:-1]
    times = truth.beat_times_s
    grid = np.arange(5.0, 590.0, 0.25)
    sbp = signal.detrend(np.interp(grid, times[inside], truth.sbp[inside]))
    # The interval that begins at the beat answers the pressure of that beat.
    rr = signal.detrend(np.interp(grid, times[inside], 1000 * truth.rr_s[inside + 1]))
    freqs, cross = signal.csd(sbp, rr, 4.0, nperseg=256)
    _, auto = signal.welch(sbp, 4.0, nperseg=256)
    _, coherence = signal.coherence(sbp, rr, 4.0, nperseg=256)
    band = (freqs >= 0.06) & (freqs <= 0.15) & (coherence > 0.5)
    assert band.sum() >= 4
    assert np.mean(np.abs(cross[band]) / auto[band]) == pytest.approx(brs, rel=0.1)


def _sequence_slopes(sbp: np.ndarray, rr: np.ndarray) -> list[float]:
    """Slow reference: three or more beats, 1 mmHg and 4 ms per step, r > 0.85, lag 0."""
    slopes = []
    for sign in (1.0, -1.0):
        start = 0
        while start < len(sbp) - 2:
            stop = start
            while (
                stop + 1 < len(sbp)
                and sign * (sbp[stop + 1] - sbp[stop]) >= 1.0
                and sign * (rr[stop + 1] - rr[stop]) >= 4.0
            ):
                stop += 1
            run = slice(start, stop + 1)
            if stop - start >= 2 and np.corrcoef(sbp[run], rr[run])[0, 1] > 0.85:
                slopes.append(float(np.polyfit(sbp[run], rr[run], 1)[0]))
            start = max(stop, start + 1)
    return slopes


@pytest.mark.parametrize("seed", range(4))
def test_baroreflex_gain_by_sequences(seed: int) -> None:
    truth = simulate_truth(seed=seed, condition="nonsupport", person=Person())
    for name in ("baseline", "speech"):
        inside = np.flatnonzero(_inside(truth, name))[:-1]
        slopes = _sequence_slopes(truth.sbp[inside], 1000 * truth.rr_s[inside + 1])
        assert len(slopes) >= 10
        assert np.mean(slopes) == pytest.approx(truth.phase(name).brs, rel=0.1)


def test_phase_summaries_follow_from_the_arrays(truth: SimulatedTruth) -> None:
    for phase in truth.phases:
        inside = _inside(truth, phase.name)
        beats = truth.beat_times_s[inside]
        assert phase.n_beats == len(beats)
        assert phase.hr == pytest.approx(60 / np.diff(beats).mean())
        assert phase.sdnn == pytest.approx(1000 * np.diff(beats).std(ddof=1))
        assert phase.sbp == pytest.approx(truth.sbp[inside].mean())
        assert phase.brs == pytest.approx(truth.brs_gain[inside].mean())
        onsets = truth.scr_onset_s
        assert phase.scr_n == np.sum((onsets >= phase.onset) & (onsets < phase.offset))


def test_responses_keep_their_distance_and_rate() -> None:
    counts = dict.fromkeys(("baseline", "speech"), 0)
    for seed in range(12):
        truth = simulate_truth(seed=seed, condition="alone", person=Person(scr_rate=3.0))
        assert (np.diff(truth.scr_onset_s) >= 2.5).all()
        assert truth.scr_amplitude.min() >= 0.03
        np.testing.assert_allclose(truth.scr_peak_s - truth.scr_onset_s, 1.1305, atol=1e-3)
        for name in counts:
            counts[name] += truth.phase(name).scr_n
    assert counts["baseline"] / (12 * 10) == pytest.approx(3.0, rel=0.15)
    assert counts["speech"] / (12 * 6) == pytest.approx(8.0, rel=0.15)


def test_cuff_readings_are_near_the_pressure() -> None:
    errors = []
    for seed in range(20):
        truth = simulate_truth(seed=seed, time_scale=0.5)
        due = [
            phase.onset + offset
            for phase, planned in zip(
                truth.phases, load_protocol("lepore_1993").scaled(0.5).phases, strict=True
            )
            for offset in planned.cuff_at_s
        ]
        np.testing.assert_allclose(truth.cuff_times_s, due)
        for start, true in zip(truth.cuff_times_s, truth.cuff_true, strict=True):
            inside = (truth.beat_times_s >= start) & (truth.beat_times_s < start + 30)
            phase = next(p for p in truth.phases if p.onset <= start < p.offset)
            inside &= truth.beat_times_s < phase.offset
            assert true[0] == pytest.approx(truth.sbp[inside].mean())
        np.testing.assert_array_equal(truth.cuff, np.round(truth.cuff))
        errors.append(truth.cuff[:, :3] - truth.cuff_true[:, :3])
    sd = np.concatenate(errors).std()
    assert sd == pytest.approx(np.hypot(2.0, np.sqrt(1 / 12)), rel=0.15)


def test_same_seed_same_truth_other_seed_other_truth() -> None:
    first, again, other = (simulate_truth(seed=s, time_scale=0.1) for s in (3, 3, 4))
    for field in dataclasses.fields(SimulatedTruth):
        left, right = getattr(first, field.name), getattr(again, field.name)
        if isinstance(left, np.ndarray):
            assert left.tobytes() == right.tobytes()
        else:
            assert left == right
    assert first.person != other.person
    assert first.beat_times_s[0] != other.beat_times_s[0]


def test_truth_survives_the_disk(tmp_path, truth: SimulatedTruth) -> None:
    path = save_truth(truth_path_for(tmp_path / "p07.h5"), truth)
    assert path.name == "p07_truth.npz"
    for source in (path, tmp_path / "p07.h5"):
        read = load_truth(source)
        for field in dataclasses.fields(SimulatedTruth):
            left, right = getattr(truth, field.name), getattr(read, field.name)
            if isinstance(left, np.ndarray):
                np.testing.assert_array_equal(left, right)
            else:
                assert left == right
    again = save_truth(tmp_path / "again.npz", truth)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.npz", "p07_truth.npz"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 broken"])
def test_a_wrong_truth_file_is_one_clear_error(tmp_path, content: bytes) -> None:
    path = tmp_path / "x_truth.npz"
    path.write_bytes(content)
    with pytest.raises(SessionFileError, match="no truth file"):
        load_truth(path)


def test_other_npz_files_and_missing_ones_are_refused(tmp_path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(SessionFileError, match="no truth file"):
        load_truth(tmp_path / "other.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(SessionFileError, match="no truth file"):
        load_truth(tmp_path / "array.npz")
    with pytest.raises(SessionFileError, match="no truth lies here"):
        load_truth(tmp_path / "missing.h5")


def test_pickles_are_not_opened(tmp_path, truth: SimulatedTruth) -> None:
    path = tmp_path / "evil_truth.npz"
    np.savez(path, head=np.array([{"format": 1}], dtype=object))
    with pytest.raises(SessionFileError, match="no truth file"):
        load_truth(path)


@pytest.mark.parametrize("name", ["tsst", "dyad_conversation"])
def test_other_protocols_run(name: str) -> None:
    design = load_protocol(name)
    truth = simulate_truth(
        seed=1, protocol=design, condition=design.conditions[0].label, time_scale=0.2
    )
    assert [phase.name for phase in truth.phases] == [phase.name for phase in design.phases]
    assert truth.phases[-1].offset == pytest.approx(0.2 * design.duration_s)


def test_own_effect_is_used() -> None:
    still = ConditionEffect()
    truth = simulate_truth(seed=1, condition="nonsupport", effect=still, person=Person())
    assert truth.phase("speech").sbp == pytest.approx(truth.phase("baseline").sbp, abs=2.0)
    assert truth.effect == still


def test_person_draws_follow_what_is_fixed() -> None:
    people = [draw_person(seed) for seed in range(300)]
    men = [p.sbp for p in people if p.sex == "male"]
    women = [p.sbp for p in people if p.sex == "female"]
    assert 110 < len(men) < 190
    assert np.mean(men) - np.mean(women) == pytest.approx(8.0, abs=2.0)
    fixed = draw_person(5, fixed={"sbp": 140.0, "scl": 3.0})
    assert (fixed.sbp, fixed.scl) == (140.0, 3.0)
    assert fixed.hr == draw_person(5).hr


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sex": "x"}, "sex"), ({"hr": 400.0}, "hr"), ({"dbp": 110.0}, "20 mmHg"),
     ({"rmssd": float("nan")}, "rmssd")],
)  # fmt: skip
def test_impossible_people_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SignalError, match=message):
        Person(**change)


def test_wrong_arguments_are_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="supprt"):
        simulate_truth(condition="supprt")
    with pytest.raises(ConfigError):
        simulate_truth(protocol="no_such_protocol")
    with pytest.raises(SignalError, match="seed"):
        simulate_truth(seed=-1)
    with pytest.raises(SignalError, match="at least 10 s"):
        simulate_truth(time_scale=0.002)
    with pytest.raises(SignalError, match="no field"):
        draw_person(1, fixed={"height": 3})
    with pytest.raises(SignalError, match="above 0"):
        PhaseChange(rmssd_ratio=0.0)
    with pytest.raises(SignalError, match="responses per minute"):
        simulate_truth(effect=ConditionEffect(task=PhaseChange(scr_rate=60.0)))
