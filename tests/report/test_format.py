"""Numbers and verdicts as a reader sees them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physio_hqc.report._features import FAMILIES, HEADLINES, family, needs_speech_caution
from physio_hqc.report._format import clock, esc, number, percent, plural, position, signed
from physio_hqc.report._verdict import verdict, worst


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (45.3995, "ms", "45.4"),
        (823.6, "ms²", "824"),
        (5.2983, "ln(ms²)", "5.30"),
        (120.0, "mmHg", "120.0"),
        (-0.04, "mmHg", "0.0"),
        (-3.25, "mmHg", "−3.2"),
        (0.012, "µS", "0.012"),
        (12.0, "1", "12"),
        (0.105361, "1", "0.105"),
        (math.nan, "ms", "–"),
        (math.inf, "ms", "–"),
    ],
)
def test_number(value, unit, said):
    assert number(value, unit) == said


def test_signed_zero_has_no_sign():
    assert signed(0.001, "mmHg") == "0.0"
    assert signed(2.0, "mmHg") == "+2.0"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["", "ms", "µS", "1", "?"]))
def test_number_never_fails(value, unit):
    assert number(value, unit)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (359.6, "6 min"), (3600, "1 h"), (86_400, "24 h")],
)
def test_clock(seconds, said):
    assert clock(seconds) == said


def test_position_percent_plural():
    assert (position(61.2), position(3725), position(-5)) == ("1:01", "1:02:05", "−0:05")
    assert (percent(0.9999), percent(1.0), percent(0.017), percent(0.93)) == (
        "99.9 %", "100 %", "1.7 %", "93 %",
    )  # fmt: skip
    assert (plural(1, "gap"), plural(2425, "beat")) == ("1 gap", "2 425 beats")


def test_esc_takes_the_sting_out():
    assert esc("<b>\"'&\x00\n") == "&lt;b&gt;&quot;&#x27;&amp;  "


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ((0.95, 0.8, 0.05), "good"),
        ((0.94, 1.0, 0.0), "fair"),
        ((1.0, 0.79, 0.0), "fair"),
        ((1.0, 1.0, 0.051), "fair"),
        ((1.0, 1.0, 0.201), "poor"),
        ((0.79, 1.0, 0.0), "poor"),
        ((math.nan, 1.0, math.nan), "good"),
        ((math.nan, math.nan, 0.0), "not checked"),
    ],
)
def test_verdict(figures, word):
    assert verdict(*figures) == word


def test_worst():
    assert worst(["good", "not checked", "fair"]) == "fair"
    assert worst([]) == "not checked"


def test_headlines_and_families_fit_the_catalog():
    from physio_hqc.features.catalog import FEATURES

    assert {headline.feature for headline in HEADLINES} <= set(FEATURES)
    assert {family(name) for name in FEATURES} <= {name for _, name in FAMILIES}


def test_every_feature_of_the_hf_band_is_cautioned():
    from physio_hqc.features.catalog import FEATURES

    cautioned = {name for name in FEATURES if needs_speech_caution(name, True)}
    assert {"HRV_HF", "HRV_LnHF", "HRV_HFn", "HRV_HFnu", "HRV_LFHF", "HRV_LFnu"} <= cautioned
    assert not cautioned & {"HRV_RMSSD", "HRV_SDNN", "ECG_Rate_Mean", "BP_SBP_Mean"}
    assert not any(needs_speech_caution(name, False) for name in FEATURES)
