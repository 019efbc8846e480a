"""Every setting changes what it names, and nothing else."""

import re

import numpy as np
import pytest
from pydantic import BaseModel

from physio_hqc.pipeline import PipelineConfig, process_session
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import simulate_session

FREQUENCY = "HRV_(VLF|LF|HF|TP|LFHF|LFn|HFn|LFnu|HFnu|LnHF)"
NONLINEAR = "HRV_(SD1|SD2|SD1SD2|S|SampEn|ApEn|DFA_alpha1|DFA_alpha2)"
HEART = "ECG_Rate_Mean|HRV_\\w+|RSA_PorgesBohrer"
# Setting, another value, features of which a value changes, features of which only the reason does.
OF_INTERVALS = [
    ("hrv.domains", ["time"], f"{FREQUENCY}|{NONLINEAR}", ""),
    ("hrv.frequency_method", "lomb", FREQUENCY, ""),
    ("hrv.frequency_method", "ar", FREQUENCY, ""),
    ("hrv.vlf_hz", [0.01, 0.04], "HRV_(VLF|TP|LFn|HFn)", ""),
    ("hrv.lf_hz", [0.05, 0.14], "HRV_(LF|TP|LFHF|LFn|HFn|LFnu|HFnu)", ""),
    ("hrv.hf_hz", [0.2, 0.3], "HRV_(HF|LnHF|TP|LFHF|LFn|HFn|LFnu|HFnu)", ""),
    ("correction.flag_above", 0.15, "", HEART),
    ("correction.withhold_above", 0.06, HEART, ""),
]
OF_SIGNALS = [
    ("pressure.sbp_mmhg", [60, 118], "CUFF_\\w+", None),
    ("pressure.dbp_mmhg", [30, 72], "CUFF_\\w+", None),
    ("pressure.waveform_sbp_mmhg", [60, 105], "(BP|BRS)_\\w+", None),
    ("pressure.waveform_dbp_mmhg", [30, 72], "(BP|BRS)_\\w+", None),
    ("pressure.pulse_pressure_min_mmhg", 45, "(BP|CUFF|BRS)_\\w+", None),
    ("pressure.cuff_min_readings", 9, "", "CUFF_\\w+_Mean"),
    ("pressure.baroreflex", False, "BRS_\\w+", ""),
    ("pressure.brs_sbp_step_mmhg", 2, "BRS_\\w+", None),
    ("pressure.brs_rr_step_ms", 12, "BRS_\\w+", None),
    ("pressure.brs_min_beats", 4, "BRS_\\w+", None),
    ("pressure.brs_min_r", 0.99, "BRS_\\w+", None),
    ("pressure.brs_lag_beats", 1, "BRS_\\w+", None),
    ("pressure.xbrs_min", 500, "BRS_xBRS\\w*", None),
    ("eda.method", "highpass", "(EDA|SCR)_\\w+", None),
    ("eda.scr_amplitude_min_us", 0.2, "SCR_\\w+", None),
    ("quality.min_quality", 1, "", "\\w+"),
    ("quality.min_usable_share", 1, "\\w+", None),
]
# In test_process.py, here below, and in the tests of the report.
ELSEWHERE = {
    "protocol",
    "windows",
    "reactivity.baseline_window",
    "reactivity.kinds",
    "reactivity.min_task_readings",
    "ecg.leave_out_artifacts",
    "hrv.min_breathing_in_hf",
    "pressure.brs_min_coherence",
    "eda.scr_latency_s",
    "eda.latency_of",
    "report.ecg_strip_s",
    "report.ecg_strips",
    "report.max_points",
}


def names_of(model, prefix=""):
    """Dotted name of every setting."""
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from names_of(nested, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def features_with(path, setting="", value=None):
    section, _, key = setting.partition(".")
    config = PipelineConfig.model_validate({section: {key: value}} if setting else {})
    table = process_session(path, config).tables["features"]
    return table.set_index(["window", "feature"])[["value", "reason"]]


@pytest.fixture(scope="module")
def intervals(tmp_path_factory):
    """Half an hour of intervals with a few that correction moves, and its features."""
    path = tmp_path_factory.mktemp("intervals") / "p.h5"
    rng = np.random.default_rng(3)
    times = [0.5]
    while times[-1] < 1900:
        t = times[-1]
        rr = 0.8 + 0.03 * np.sin(0.63 * t) + 0.02 * np.sin(1.57 * t) + 0.02 * np.sin(0.1 * t)
        times.append(t + rr + 0.004 * rng.standard_normal())
    times = np.array(times)
    # One beat in twelve comes early; the correction moves it.
    times[20::12] -= 0.25
    with SessionWriter(path) as writer:
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_irregular("rr", times[1:], np.diff(times))
        writer.add_event(0.0, "phase", "baseline", duration=1500.0)
        writer.add_event(1500.0, "phase", "speech", duration=400.0)
    return path, features_with(path)


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    """A short session with all signals, and its features."""
    path = tmp_path_factory.mktemp("signals") / "p.h5"
    simulate_session(path, seed=2, time_scale=0.1)
    return path, features_with(path)


def changed(before, after):
    """Names of the features of which a value changed, and of which only a reason did."""
    assert not len(after.index.difference(before.index))
    gone = before.index.difference(after.index)
    after = after.reindex(before.index)
    same_value = (before["value"] == after["value"]) | (
        before["value"].isna() & after["value"].isna()
    )
    same_reason = before["reason"] == after["reason"]
    of_value = set(before.index[~same_value].union(gone).get_level_values("feature"))
    of_reason = set(before.index[~same_reason].get_level_values("feature"))
    return of_value, of_reason - of_value


@pytest.mark.parametrize(("setting", "value", "values", "reasons"), OF_INTERVALS)
def test_settings_of_the_heart(intervals, setting, value, values, reasons):
    path, before = intervals
    of_value, of_reason = changed(before, features_with(path, setting, value))
    names = set(before.index.get_level_values("feature"))
    assert of_value == {name for name in names if re.fullmatch(values, name)}
    assert of_reason == {name for name in names if re.fullmatch(reasons, name)}


@pytest.mark.parametrize(("setting", "value", "values", "reasons"), OF_SIGNALS)
def test_settings_of_signals_and_quality(signals, setting, value, values, reasons):
    path, before = signals
    of_value, of_reason = changed(before, features_with(path, setting, value))
    assert bool(of_value) == bool(values)
    assert all(re.fullmatch(values, name) for name in of_value)
    # Where values change, so may the cautions of their like.
    assert of_reason or values
    assert all(re.fullmatch(values if reasons is None else reasons, name) for name in of_reason)


def test_kinds_of_windows_that_get_scores(signals):
    config = PipelineConfig.model_validate({"reactivity": {"kinds": ["interaction"]}})
    scores = process_session(signals[0], config).tables["reactivity"]
    baseline = set(scores["baseline_window"])
    assert set(scores.loc[~scores["window"].isin(baseline), "kind"]) == {"interaction"}


def test_readings_that_a_task_needs(signals):
    """The cuff is read twice in preparation and four times in the speech."""
    config = PipelineConfig.model_validate({"reactivity": {"min_task_readings": 3}})
    scores = process_session(signals[0], config).tables["reactivity"]
    cuff = scores[(scores["feature"] == "CUFF_SBP_Mean") & (scores["kind"] == "phase")]
    cuff = cuff.set_index("window")
    assert cuff["readings"].loc[["preparation", "speech"]].tolist() == [2, 4]
    assert cuff["delta"].isna().loc[["preparation", "speech"]].tolist() == [True, False]
    assert "needs 3" in cuff.loc["preparation", "reason"]


def test_no_setting_is_left_out():
    tested = {row[0] for row in (*OF_INTERVALS, *OF_SIGNALS)}
    assert tested | ELSEWHERE == set(names_of(PipelineConfig))
    assert not tested & ELSEWHERE
