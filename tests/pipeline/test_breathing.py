"""Breathing from a belt and from the heart, and what it says of HF power."""

import numpy as np
import pandas as pd
import pytest

from physio_hqc.pipeline import PipelineConfig, process_session
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import simulate_session
from physio_hqc.simulate.waveforms import ecg_waveform

CAUTION = "not interpretable as vagal"


@pytest.fixture(scope="module", params=["belt", "heart"])
def breathed(request, tmp_path_factory):
    """A session with or without a belt, and what processing it gave."""
    path = tmp_path_factory.mktemp(request.param) / "p01.h5"
    streams = ["ecg", "resp"] if request.param == "belt" else ["ecg"]
    session = simulate_session(path, seed=3, streams=streams)
    return request.param, session, process_session(path)


def values(result, feature):
    table = result.tables["features"]
    return table[table["feature"] == feature].set_index("window")


def test_rate_and_arrhythmia_are_the_simulated_ones(breathed):
    source, session, result = breathed
    rates = values(result, "RSP_Rate")["value"]
    for phase in session.truth.phases:
        if not phase.speech:
            assert rates[phase.name] == pytest.approx(60 * phase.breathing_hz, rel=0.08)
    assert values(result, "RSA_PorgesBohrer")["value"].notna().any()
    assert ("RSA_P2T_Mean" in set(result.tables["features"]["feature"])) == (source == "belt")
    facts = result.provenance["stages"]["resp" if source == "belt" else "respiration"]
    assert facts["source"] == ("resp" if source == "belt" else "ecg")


def test_breaths_are_a_table_where_they_were_recorded(breathed):
    source, _, result = breathed
    breaths = result.tables["breaths"]
    assert (len(breaths) > 0) == (source == "belt")
    assert ("resp" in set(result.tables["quality"]["stream"])) == (source == "belt")
    assert breaths.loc[breaths["valid"], "inhale_s"].is_monotonic_increasing


def test_the_caution_on_speech_falls_only_where_breathing_stays_in_the_band(breathed):
    _, _, result = breathed
    share = values(result, "RSP_HF_Share")["value"]
    windows = result.windows.set_index("window")
    known = (share >= 0.8).reindex(windows.index)
    assert (windows["breathing_in_hf"] == known).all()
    cautioned = values(result, "HRV_HF")["reason"].str.contains(CAUTION)
    expected = windows["speech"] & ~windows["breathing_in_hf"]
    assert (cautioned == expected[cautioned.index]).all()


def spoken(path, breathing_hz, belt=True):
    """Five minutes of rest and five of speech, breathing as told in the latter."""
    rng = np.random.default_rng(4)
    hz = np.where(np.arange(0, 600, 0.04) < 300, 0.25, breathing_hz)
    phase = 2 * np.pi * np.cumsum(hz) * 0.04
    beats = [0.5]
    while beats[-1] < 599:
        swing = 0.04 * np.sin(phase[min(int(beats[-1] / 0.04), phase.size - 1)])
        beats.append(beats[-1] + 0.85 + swing + 0.005 * rng.standard_normal())
    with SessionWriter(path) as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0)
        if belt:
            writer.add_stream("resp", modality="resp", units="V", sfreq=25.0)
        ecg = ecg_waveform(np.arange(0, 600, 1 / 250), np.array(beats))
        writer.append_segment("ecg", ecg, t_start=0.0)
        if belt:
            writer.append_segment("resp", -np.cos(phase), t_start=0.0)
        writer.add_event(0.0, "phase", "baseline", duration=300.0)
        writer.add_event(300.0, "phase", "speech", duration=300.0, payload={"speech": True})
    return process_session(path, PipelineConfig(protocol="lepore_1993"))


@pytest.mark.parametrize(("hz", "lifted"), [(0.25, True), (0.1, False)])
def test_speech_at_ordinary_and_at_slow_breathing(tmp_path, hz, lifted):
    result = spoken(tmp_path / "p.h5", hz)
    rows = values(result, "HRV_HF")["reason"]
    assert (CAUTION in rows["speech"]) != lifted
    assert ("of breathing inside the HF band" in rows["speech"]) != lifted
    assert rows["baseline"] == ""
    in_hf = result.windows.set_index("window")["breathing_in_hf"]
    assert in_hf[["baseline", "speech"]].tolist() == [True, lifted]
    other = PipelineConfig.model_validate(
        {"hrv": {"min_breathing_in_hf": 0.0}, "protocol": "lepore_1993"}
    )
    rows = values(process_session(tmp_path / "p.h5", other), "HRV_HF")["reason"]
    assert CAUTION not in rows["speech"]


def test_intervals_alone_tell_breathing_too(tmp_path):
    times = [0.5]
    while times[-1] < 300:
        times.append(times[-1] + 0.8 + 0.04 * np.sin(2 * np.pi * 0.25 * times[-1]))
    times = np.array(times)
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_irregular("rr", times[1:], np.diff(times))
        writer.add_event(0.0, "phase", "baseline", duration=300.0)
    result = process_session(tmp_path / "p.h5")
    assert values(result, "RSP_Rate")["value"].iloc[0] == pytest.approx(15, abs=0.5)
    assert result.provenance["stages"]["respiration"]["source"] == "rr"


def test_a_belt_at_the_rate_of_a_laboratory(tmp_path):
    times = np.arange(0, 120, 1 / 1000)
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("resp", modality="resp", units="V", sfreq=1000.0)
        writer.append_segment("resp", -np.cos(2 * np.pi * 0.25 * times), t_start=7.0)
        writer.add_event(7.0, "phase", "baseline", duration=120.0)
    result = process_session(tmp_path / "p.h5")
    breaths = result.tables["breaths"]
    found = breaths.loc[breaths["valid"], "inhale_s"].to_numpy()
    assert np.abs((found - 7) / 4 - np.round((found - 7) / 4)).max() * 4 < 0.02
    assert isinstance(breaths, pd.DataFrame)
    assert values(result, "RSP_N_Breaths")["value"].iloc[0] >= 28
