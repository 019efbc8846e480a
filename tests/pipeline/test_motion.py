"""Movement: what it spoils is left out and said, and what is left is right."""

import numpy as np
import pytest

from physio_hqc.features import hrv
from physio_hqc.pipeline import PipelineConfig, process_session
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import Noise, simulate_session
from physio_hqc.simulate.waveforms import ecg_waveform


@pytest.fixture(scope="module")
def restless(tmp_path_factory):
    """Half an hour with three movements a minute, and what processing it gave."""
    path = tmp_path_factory.mktemp("motion") / "p01.h5"
    noise = Noise(motion_per_min=3)
    session = simulate_session(path, seed=11, noise=noise, streams=["ecg"])
    return session, process_session(path)


def errors(session, result):
    """Relative error of RMSSD in every window of a minute and more, and the window's quality."""
    windows = result.windows[result.windows["duration"] >= 60]
    bounds = np.column_stack([windows["onset"], windows["onset"] + windows["duration"]])
    truth = hrv(session.truth.beat_times_s, bounds, domains=("time",))["HRV_RMSSD"].to_numpy()
    table = result.tables["features"]
    found = table[table["feature"] == "HRV_RMSSD"].set_index("window")["value"]
    quality = result.tables["quality"].set_index("window")["quality"]
    away = found[windows["window"]].to_numpy() / truth - 1
    return away, quality[windows["window"]].to_numpy()


def test_heart_rate_variability_survives_movement_and_quality_says_how_far(restless):
    session, result = restless
    away, quality = errors(session, result)
    for least, most in ((0.9, 0.05), (0.8, 0.15), (0.6, 0.3)):
        assert np.nanquantile(np.abs(away[quality >= least]), 0.9) < most
    assert np.nanmedian(np.abs(away[quality >= 0.6])) < 0.06
    assert (quality < 0.95).mean() > 0.5


def test_detections_in_artefact_stand_in_the_table_and_are_used_for_nothing(restless):
    _, result = restless
    beats = result.tables["beats"]
    left_out = beats["kind"] == "artifact"
    facts = result.provenance["stages"]["heart"]
    assert left_out.sum() == facts["n_in_artifacts"] > 20
    assert beats.loc[left_out, "rr_s"].isna().all()
    assert beats["time_s"].is_monotonic_increasing
    assert len(beats) - left_out.sum() == facts["n_beats"]
    # No interval reaches over them.
    after = beats["kind"].shift(1, fill_value="normal") == "artifact"
    assert beats.loc[after & ~left_out, "rr_s"].isna().all()
    quality = result.tables["quality"]
    assert quality["movement_share"].between(0, 1).all()
    assert quality["reason"].str.contains("artefact").sum() > 10


def test_left_in_they_spoil_it(restless):
    session, result = restless
    config = PipelineConfig.model_validate({"ecg": {"leave_out_artifacts": False}})
    kept = process_session(session.path, config)
    assert "artifact" not in set(kept.tables["beats"]["kind"])
    assert kept.provenance["stages"]["heart"]["n_in_artifacts"] == 0
    without, quality = errors(session, result)
    with_them, _ = errors(session, kept)
    good = quality >= 0.6
    assert np.nanmedian(np.abs(with_them[good])) > 2 * np.nanmedian(np.abs(without[good]))


def test_a_poor_window_is_kept_marked_and_left_out_of_reactivity_with_a_reason(tmp_path):
    rng = np.random.default_rng(2)
    beats = np.cumsum(0.8 + 0.03 * np.sin(0.5 * np.arange(1500)) + 0.01 * rng.standard_normal(1500))
    times = np.arange(0, 900, 1 / 250)
    ecg = ecg_waveform(times, beats[beats < 900])
    noisy = (times >= 300) & (times < 600)
    ecg[noisy] += 0.36 * rng.standard_normal(noisy.sum())
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0)
        writer.append_segment("ecg", ecg, t_start=0.0)
        for onset, name in ((0.0, "baseline"), (300.0, "speech"), (600.0, "recovery")):
            writer.add_event(onset, "phase", name, duration=300.0)
    plain = process_session(tmp_path / "p.h5")
    quality = plain.tables["quality"].set_index("window")["quality"]
    assert quality["speech"] < quality[["baseline", "recovery"]].min() - 0.05
    limit = round(float(quality["speech"]) + 0.02, 3)
    settings = {"quality": {"min_quality": limit, "min_usable_share": 0.0}}
    result = process_session(tmp_path / "p.h5", PipelineConfig.model_validate(settings))

    assert "speech" in set(result.windows["window"])
    table = result.tables["features"]
    rows = table[(table["window"] == "speech") & table["value"].notna()]
    assert "HRV_RMSSD" in set(rows["feature"])
    said = rows["reason"].str.contains(f"quality {quality['speech']:.2f} is below {limit:g}")
    assert said.all()
    others = table[table["window"] != "speech"]
    assert not others["reason"].str.contains("is below").any()
    scores = result.tables["reactivity"].set_index(["window", "feature"])
    poor, good = scores.loc[("speech", "HRV_RMSSD")], scores.loc[("recovery", "HRV_RMSSD")]
    assert np.isnan(poor["delta"])
    assert "quality" in poor["reason"]
    assert np.isfinite(good["delta"])
