import re

import numpy as np
import pandas as pd
import pytest

from physio_hqc.features import FEATURES
from physio_hqc.pipeline.config import QualitySettings
from physio_hqc.pipeline.tidy import (
    SPEECH_HF_CAUTION,
    SPEECH_LF_CAUTION,
    Breathing,
    Wide,
    tidy_features,
)

WHO = {"session": "p01", "participant": "P1", "condition": "support"}
WINDOWS = pd.DataFrame(
    {
        "window": ["baseline", "speech", "recovery"],
        "kind": "phase",
        "onset": [0.0, 300.0, 660.0],
        "duration": [300.0, 360.0, 300.0],
        "speech": [False, True, False],
    }
)


def wide(values, reasons=None, quality=1.0, usable=1.0):
    table = pd.DataFrame(values, dtype=float)
    table.attrs["reasons"] = reasons or {name: [""] * 3 for name in values}
    return Wide(table, np.broadcast_to(quality, 3), np.broadcast_to(usable, 3))


def tidied(*wides, breathing=None):
    table = tidy_features(wides, WINDOWS, QualitySettings(), WHO, breathing)
    return table.set_index(["window", "feature"])


def test_rows_stand_in_the_order_of_windows_and_of_the_catalog():
    names = ["EDA_Tonic_Mean", "HRV_RMSSD", "BP_SBP_Mean"]
    blocks = [wide({name: [1, 2, 3]}) for name in names]
    table = tidy_features(blocks, WINDOWS, QualitySettings(), WHO)
    order = sorted(names, key=list(FEATURES).index)
    assert table["feature"].tolist() == order * 3
    assert table["window"].tolist() == np.repeat(WINDOWS["window"], 3).tolist()
    assert table["unit"].tolist() == [FEATURES[name].unit for name in order] * 3
    assert table["value"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_poor_windows_are_flagged_and_those_without_signal_withheld():
    table = tidied(wide({"HRV_RMSSD": [30, 31, 32]}, None, [0.9, 0.4, 0.2], [0.9, 0.8, 0.3]))
    baseline, speech, recovery = (table.loc[(window, "HRV_RMSSD")] for window in WINDOWS["window"])
    assert (baseline["value"], baseline["reason"]) == (30, "")
    said = "flag: quality 0.40 is below 0.5; 80 % of the window usable"
    assert (speech["value"], speech["reason"]) == (31, said)
    assert np.isnan(recovery["value"])
    assert recovery["reason"] == "30 % usable signal, needs 50 %"
    assert table["quality"].tolist() == [0.9, 0.4, 0.2]


def test_variability_carries_a_caution_where_a_tenth_of_the_window_is_missing():
    names = ["ECG_Rate_Mean", "HRV_RMSSD"]
    table = tidied(wide({name: [1, 2, 3] for name in names}, None, 0.9, [0.95, 0.85, 0.6]))
    assert table.xs("HRV_RMSSD", level="feature")["reason"].tolist() == [
        "",
        "flag: 85 % of the window usable",
        "flag: 60 % of the window usable",
    ]
    assert table.xs("ECG_Rate_Mean", level="feature")["reason"].tolist() == ["", "", ""]


def test_unknown_quality_passes():
    table = tidied(wide({"CUFF_SBP_Mean": [1, 2, 3]}, None, np.nan, np.nan))
    assert table["value"].tolist() == [1, 2, 3]
    assert table["reason"].tolist() == ["", "", ""]


def test_a_value_that_is_missing_keeps_its_own_reason():
    reasons = {"HRV_RMSSD": ["", "", "9 intervals, needs 30"]}
    table = tidied(wide({"HRV_RMSSD": [1, 2, np.nan]}, reasons, 0.2, 0.2))
    assert table.loc[("recovery", "HRV_RMSSD"), "reason"] == "9 intervals, needs 30"


@pytest.mark.parametrize(
    ("feature", "caution"),
    [
        *((name, SPEECH_HF_CAUTION) for name in ("HRV_HF", "HRV_HFn", "HRV_HFnu", "HRV_LnHF")),
        *((name, SPEECH_HF_CAUTION) for name in ("HRV_LFHF", "HRV_LFn", "HRV_LFnu")),
        ("HRV_LF", SPEECH_LF_CAUTION),
        *((name, "") for name in ("HRV_RMSSD", "HRV_VLF", "HRV_SDNN", "BP_SBP_Mean")),
    ],
)
def test_speech_cautions(feature, caution):
    reasons = {feature: ["", "flag: 70 s, 120 s recommended", ""]}
    table = tidied(wide({feature: [1, 2, 3]}, reasons))
    expected = f"flag: 70 s, 120 s recommended; {caution}".rstrip("; ")
    assert table["reason"].tolist() == ["", expected, ""]


def test_every_feature_that_rests_on_hf_carries_the_caution_in_speech():
    normalized = {"HRV_LFn", "HRV_LFnu", "HRV_HFn", "HRV_HFnu", "HRV_LFHF"}
    hf = normalized | {"HRV_HF", "HRV_LnHF"}
    arrhythmia = {"RSA_PorgesBohrer", "RSA_P2T_Mean", "RSA_P2T_SD"}
    # The catalog says what is defined by HF or as a share of the total that holds it. The total
    # itself keeps what breathing moves within it.
    by_hf = re.compile("HRV_(HF|TP)")
    defined = {name for name, info in FEATURES.items() if by_hf.search(info.description)}
    assert {name for name in FEATURES if re.search("^RSA_.*(?<!_N)(?<!NoRSA)$", name)} == arrhythmia
    assert hf == (defined | {"HRV_HF"}) - {"HRV_TP"}
    table = tidied(wide({name: [1, 2, 3] for name in FEATURES}))
    for name in FEATURES:
        caution = SPEECH_HF_CAUTION if name in hf | arrhythmia else ""
        caution = SPEECH_LF_CAUTION if name == "HRV_LF" else caution
        expected = ["", f"flag: {caution}" if caution else "", ""]
        found = [table.loc[(window, name), "reason"] for window in WINDOWS["window"]]
        assert found == expected, name


def test_breathing_inside_the_band_lifts_the_caution_and_outside_adds_one():
    values = {"HRV_HF": [1, 2, 3], "HRV_LF": [1, 2, 3], "HRV_RMSSD": [1, 2, 3]}
    known = Breathing(np.array([0.4, 0.9, np.nan]), recorded=True, least=0.8)
    table = tidied(wide(values), breathing=known)["reason"].unstack("feature")
    assert table.loc["baseline"].tolist() == ["flag: 40 % of breathing inside the HF band", "", ""]
    assert (table.loc["speech"] == "").all()
    assert (table.loc["recovery"] == "").all()
    little = Breathing(np.array([0.4, 0.3, np.nan]), recorded=True, least=0.8)
    hf = tidied(wide(values), breathing=little)["reason"].unstack("feature")["HRV_HF"]
    both = f"flag: {SPEECH_HF_CAUTION}; 30 % of breathing inside the HF band"
    assert hf["speech"] == both
    # What the heart alone shows lifts the caution, but adds none.
    estimated = Breathing(np.array([0.4, 0.9, 0.1]), recorded=False, least=0.8)
    table = tidied(wide(values), breathing=estimated)
    assert (table["reason"] == "").all()
    unknown = Breathing(np.full(3, np.nan), recorded=True, least=0.8)
    pd.testing.assert_frame_equal(tidied(wide(values), breathing=unknown), tidied(wide(values)))
