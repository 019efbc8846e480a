"""What pre-flight says of streams and sources."""

from __future__ import annotations

from dataclasses import replace

import pytest

from physio_hqc.acquisition.preflight import (
    checked,
    preflight_problems,
    source_alerts,
    source_problems,
)
from physio_hqc.acquisition.view import SourceView, StreamView

ECG = StreamView(
    "ecg", "polar_h10", "ecg", "mV", 130.0, n_samples=2000, rate=130.3, alive=True,
    age_s=0.3, lag_s=0.1, quality=0.95,
)  # fmt: skip
CUFF = StreamView("cuff", "omron", "cuff", "mmHg,mmHg,mmHg,1/min", 0.0)
STRAP = SourceView("polar_h10", "connected", battery=80, contact=True)


def texts(problems, blocking=None):
    return [p.text for p in problems if blocking is None or p.blocking == blocking]


def test_all_is_well():
    assert preflight_problems(ECG, STRAP) == ()
    assert source_problems(STRAP) == ()
    assert source_alerts(STRAP) == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rate": 118.0}, "ecg: rate 118.0 Hz, expected 130 Hz"),
        ({"rate": 140.0}, "ecg: rate 140.0 Hz, expected 130 Hz"),
        ({"rate": None}, "ecg: its rate is being measured"),
        ({"lag_s": 2.34}, "ecg arrives 2.3 s late"),
        ({"alive": False, "age_s": 7.6}, "ecg has stopped 8 s ago"),
    ],
)
def test_what_blocks(change, text):
    assert texts(preflight_problems(replace(ECG, **change), STRAP), blocking=True) == [text]


@pytest.mark.parametrize("rate", [124.0, 130.27, 136.0])
def test_vendor_tolerance_of_five_percent_is_no_problem(rate):
    assert preflight_problems(replace(ECG, rate=rate), STRAP) == ()


def test_late_first_frame_of_a_polar_strap_is_explained():
    silent = StreamView("ecg", "polar_h10", "ecg", "mV", 130.0)
    assert texts(preflight_problems(silent, STRAP, waited_s=12.4)) == [
        "ecg has not arrived yet (12 s; a Polar H10 may need 30 s)"
    ]
    other = replace(silent, source="band", name="eda", modality="eda")
    assert texts(preflight_problems(other, waited_s=3)) == ["eda has not arrived yet (3 s)"]


def test_cuff_needs_its_connection_only():
    assert preflight_problems(CUFF, SourceView("omron", "connected"), awaited=False) == ()
    (problem,) = preflight_problems(CUFF, SourceView("omron", "lost"), awaited=False)
    # It was there once: it comes again with its next reading.
    assert (problem.text, problem.blocking) == ("omron (cuff) is not connected", False)
    (problem,) = preflight_problems(
        CUFF, SourceView("omron", "searching", "pair it"), awaited=False
    )
    assert (problem.text, problem.blocking) == ("omron (cuff) is not found yet: pair it", True)
    gone = replace(ECG, alive=False, age_s=9.0)
    (problem,) = preflight_problems(gone, SourceView("polar_h10", "lost"))
    assert (problem.text, problem.blocking) == ("polar_h10 is not connected", True)


def test_a_cuff_that_is_away_is_no_alert():
    away = SourceView("omron", "lost")
    assert source_alerts(away, awaited=False) == ()
    assert [alert.text for alert in source_alerts(away)] == ["omron: connection lost, reconnecting"]


def test_poor_signal_is_told_and_does_not_block():
    poor = replace(ECG, quality=0.1, quality_reason="100 % flat or saturated")
    (problem,) = preflight_problems(poor, STRAP)
    assert (problem.text, problem.blocking) == ("ecg: poor signal: 100 % flat or saturated", False)
    assert checked(poor, (problem,)).problems == ("ecg: poor signal: 100 % flat or saturated",)


def test_blocking_problems_come_first():
    bad = replace(ECG, quality=0.1, rate=100.0)
    assert [p.blocking for p in preflight_problems(bad, STRAP)] == [True, False]


@pytest.mark.parametrize(
    ("battery", "expected"), [(15, []), (14, [False]), (5, [False]), (4, [True]), (None, [])]
)
def test_battery(battery, expected):
    problems = source_problems(replace(STRAP, battery=battery))
    assert [p.blocking for p in problems] == expected
    assert all(p.text == f"polar_h10: battery {battery} %" for p in problems)


def test_no_skin_contact_blocks_and_alarms():
    loose = replace(STRAP, contact=False)
    assert texts(source_problems(loose), blocking=True) == ["polar_h10: no skin contact"]
    (alert,) = source_alerts(loose)
    assert (alert.text, alert.urgent) == ("POLAR_H10: NO SKIN CONTACT", True)


@pytest.mark.parametrize(
    ("modality", "seconds", "waits"),
    [("ecg", 4.0, True), ("eda", 4.0, True), ("ecg", 20.0, False), ("temp", 4.0, False)],
)
def test_the_quality_of_a_signal_is_waited_for_but_not_for_ever(modality, seconds, waits):
    view = StreamView(
        "s", "band", modality, "u", 100.0,
        n_samples=round(100 * seconds), rate=100.0, age_s=0.1, lag_s=0.0, alive=True,
    )  # fmt: skip
    problems = preflight_problems(view, SourceView("band", "connected"))
    assert [(p.text, p.blocking) for p in problems] == (
        [("s: its signal quality is being measured", True)] if waits else []
    )
