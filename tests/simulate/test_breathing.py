"""What is true of simulated breathing."""

import numpy as np
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.simulate import (
    Person,
    breathing_waveform,
    load_truth,
    render_respiration,
    save_truth,
    simulate_truth,
    true_breaths,
)


def test_true_breaths_are_those_of_the_rendered_chest() -> None:
    truth = simulate_truth(seed=3, time_scale=0.2)
    breaths = true_breaths(truth)
    chest = render_respiration(truth, 100.0)
    times = np.arange(chest.size) / 100
    lowest = times[1:-1][(chest[1:-1] < chest[:-2]) & (chest[1:-1] <= chest[2:])]
    highest = times[1:-1][(chest[1:-1] > chest[:-2]) & (chest[1:-1] >= chest[2:])]
    for name, turns in (("inhale_s", lowest), ("exhale_s", highest), ("end_s", lowest)):
        away = np.abs(np.subtract.outer(breaths[name].to_numpy(), turns)).min(axis=1)
        assert away.max() < 0.02
    np.testing.assert_array_equal(breaths["end_s"][:-1], breaths["inhale_s"][1:])


@pytest.mark.parametrize("seed", range(3))
def test_breathing_part_explains_the_intervals_at_the_rate_of_breathing(seed: int) -> None:
    truth = simulate_truth(seed=seed)
    phase = truth.phase("baseline")
    inside = (truth.beat_times_s >= phase.onset) & (truth.beat_times_s < phase.offset)
    starts = np.flatnonzero(inside)[:-1]
    begun = np.append(truth.rr_s[1:], np.nan)[starts]
    angle = 2 * np.pi * np.interp(truth.beat_times_s[starts], truth.grid_s, truth.breath_cycles)
    waves = np.column_stack([np.ones(angle.size), np.sin(angle), np.cos(angle)])
    whole = np.linalg.lstsq(waves, begun, rcond=None)[0]
    part = np.linalg.lstsq(waves, truth.breath_rr_s[starts], rcond=None)[0]
    np.testing.assert_allclose(np.hypot(*whole[1:]), np.hypot(*part[1:]), rtol=0.12)
    # From longest to shortest is twice the amplitude; a few beats a breath miss part of it.
    swing = 2000 * np.hypot(*part[1:])
    missed = np.cos(np.pi * phase.breathing_hz * 60 / phase.hr)
    assert 0.95 * missed * swing < phase.rsa < 1.05 * swing


def test_more_rmssd_means_more_swing() -> None:
    little, much = (
        simulate_truth(seed=5, person=Person(rmssd=rmssd), time_scale=0.3).phase("baseline").rsa
        for rmssd in (15.0, 60.0)
    )
    assert much > 3 * little


def test_truths_saved_before_it_was_kept_can_be_read(tmp_path) -> None:
    truth = simulate_truth(seed=1, time_scale=0.05)
    path = save_truth(tmp_path / "new_truth.npz", truth)
    np.testing.assert_array_equal(load_truth(path).breath_rr_s, truth.breath_rr_s)
    with np.load(path) as stored:
        older = {name: stored[name] for name in stored.files if name != "breath_rr_s"}
    np.savez(tmp_path / "old_truth.npz", **older)
    read = load_truth(tmp_path / "old_truth.npz")
    assert np.isnan(read.breath_rr_s).all()
    assert read.breath_rr_s.shape == truth.beat_times_s.shape


def test_waveform_passes_through_its_breaths() -> None:
    inhale, exhale, rest = [1.0, 6.0, 20.0], [2.5, 8.0, 21.0], [5.0, 10.0, 24.0]
    depth = [1.0, 2.5, 0.7]
    turns = breathing_waveform([*inhale, *exhale, *rest], inhale, exhale, rest, depth)
    np.testing.assert_allclose(turns, [0, 0, 0, *depth, 0, 0, 0], atol=1e-12)
    pause = breathing_waveform(np.arange(10, 20, 0.1), inhale, exhale, rest, depth)
    np.testing.assert_allclose(pause, 0, atol=1e-12)
    before = breathing_waveform(np.arange(0, 1, 0.1), inhale, exhale, rest, depth)
    np.testing.assert_array_equal(before, 0)


def test_waveform_arguments_are_checked() -> None:
    with pytest.raises(SignalError, match="must ascend"):
        breathing_waveform([0.0], [1.0, 2.0], [1.5, 2.5], [2.2, 3.0])
    with pytest.raises(SignalError, match="one value per breath"):
        breathing_waveform([0.0], [1.0, 2.0], [1.5], [1.8])
    np.testing.assert_array_equal(breathing_waveform([0.0, 1.0], [], [], []), 0)
