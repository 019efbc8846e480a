"""The methods section of a study: its numbers, what it leaves out, and that it stays Markdown."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from physio_hqc import process_session
from physio_hqc.reactivity import combine_windows, reactivity_scores
from physio_hqc.report import study_methods
from physio_hqc.report._checklist import AUTHORS
from physio_hqc.simulate import simulate_study
from physio_hqc.study import StudyResult

SCALE = 0.35
PEOPLE = pd.DataFrame(
    {
        "id": ["P001", "P002", "P003", "P004", "P005"],
        "sex": ["female", "male", "female", "female", ""],
        "age": [20.0, 23.0, 31.0, 22.0, np.nan],
        "condition": ["alone", "support", "nonsupport", "alone", "support"],
        "bmi": [21.0, 24.0, 23.0, 22.0, 26.0],
    }
)
FLOW = pd.DataFrame(
    {
        "participant": ["P001", "P002", "P003", "P004", "P005", ""],
        "session": ["P001", "P002", "P003", "", "P005x", "pilot"],
        "condition": ["alone", "support", "nonsupport", "alone", "support", "alone"],
        "status": [*["analysed"] * 3, "no session", "excluded", "not in the table"],
        "reason": ["", "", "", "", "fell ill", ""],
    }
)
WITH_SESSION = ("windows", "features", "cuff", "quality", "reactivity")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three processed sessions: their tables below each other, and their run records."""
    folder = tmp_path_factory.mktemp("study")
    made = simulate_study(folder, 1, seed=5, time_scale=SCALE)
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in WITH_SESSION}
    records = {}
    for session in made.sessions:
        result = process_session(session.path, out_dir=folder / "derivatives")
        records[result.name] = json.loads(json.dumps(result.provenance))
        for name in WITH_SESSION:
            table = result.tables[name]
            table = table[table["kind"] != "sliding"] if "kind" in table else table
            if "session" not in table:
                table = table.assign(session=result.name)
            tables[name].append(table)
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    return {"tables": joined, "records": records, "folder": str(folder)}


def statistics() -> pd.DataFrame:
    """Statistics of one outcome in one window, in the columns of the table."""
    same = {
        "outcome": "CUFF_SBP_Mean",
        "unit": "mmHg",
        "window": "speech",
        "analysis": "ANCOVA",
        "n": 3,
        "model": "ols('value ~ C(condition) + baseline + C(sex)').fit(cov_type='HC2'), "
        "Satterthwaite df of Bell & McCaffrey",
        "p": 0.03,
        "p_holm": 0.06,
        "hedges_g": 0.5,
        "partial_eta2": np.nan,
    }
    rows = [
        {**same, "errors": errors, "primary": errors == "robust", "kind": "contrast", "term": term}
        for errors in ("classical", "robust")
        for term in ("support - nonsupport", "support - alone")
    ]
    rows.append({**rows[-1], "kind": "omnibus", "term": "condition", "partial_eta2": 0.2})
    return pd.DataFrame(rows)


@pytest.fixture
def study(sessions: dict[str, Any]) -> StudyResult:
    """A study of the three sessions, with statistics, proxy and ratings made by hand."""
    tables = {name: table.copy() for name, table in sessions["tables"].items()}
    tables["features_long"] = tables.pop("features")
    tables |= {"participants": PEOPLE.copy(), "flow": FLOW.copy(), "statistics": statistics()}
    return StudyResult(
        out_dir=None,
        tables=tables,
        config={"title": "A test", "quality_min": 0.5, "alpha": 0.05, "conditions": []},
        provenance={
            "sessions": copy.deepcopy(sessions["records"]),
            "package": {"name": "physio-hqc", "version": "9.9"},
            "python": "3.11.7",
            "libraries": {"statsmodels": "0.15.0"},
            "inputs": {"participants.csv": "ab12"},
        },
        notices=["something to know"],
    )


Change = Callable[[dict[str, Any]], None]


def changed(study: StudyResult, change: Change, names: tuple[str, ...] = ()) -> StudyResult:
    """The study with the run records of some sessions (default: all) changed."""
    provenance = copy.deepcopy(study.provenance)
    for name in names or provenance["sessions"]:
        change(provenance["sessions"][name])
    return replace(study, provenance=provenance)


def section(text: str, heading: str) -> str:
    """Text below a heading of third order."""
    found = re.search(rf"^### {re.escape(heading)}$\n(.*?)(?=^##)", text, re.S | re.M)
    return "" if found is None else found[1].strip()


def rows_of(text: str, head: str) -> list[list[str]]:
    """Cells of the Markdown table whose first column has that head."""
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"| {head} |"))
    body = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return body


# ------------------------------------------------------------------------------- numbers


def test_participants_and_their_flow(study: StudyResult) -> None:
    said = section(study_methods(study), "Participants")
    assert "In all, 5 participants were enrolled (alone 2, support 2, nonsupport 1)." in said
    assert "3 women, 1 man and 1 of unstated sex" in said
    # By hand: 20 23 31 22, M 24, SD sqrt((16 + 1 + 49 + 4) / 3).
    assert f"age M = 24.0, SD = {np.sqrt(70 / 3):.1f} years (range 20–31; known of 4)" in said
    assert "Of these, 3 were analysed; 1 had no session and 1 was excluded (fell ill)." in said
    assert "1 processed session of persons who are not in the participants table" in said
    table = rows_of(said, "Condition")
    assert table[0][:5] == ["alone", "2", "1", "1", "0"]
    assert table[1][:5] == ["support", "2", "1", "0", "1"]


def test_corrected_beats_per_phase(study: StudyResult) -> None:
    share = study.tables["quality"]["corrected_share"].copy()
    rows = study.tables["quality"]
    speech = (rows["kind"] == "phase") & (rows["window"] == "speech") & rows["stream"].eq("ecg")
    share[speech] = [0.01, 0.07, 0.25]
    study.tables["quality"] = rows.assign(corrected_share=share)
    table = rows_of(study_methods(study), "Phase")
    assert [row[0] for row in table] == ["`baseline`", "`preparation`", "`speech`", "`recovery`"]
    assert table[2] == ["`speech`", "3", "7.00", "1.00–25.00", "1", "1"]


def test_counts_of_beats_pulses_responses(study: StudyResult, sessions: dict[str, Any]) -> None:
    text = study_methods(study)
    stages = [record["stages"] for record in sessions["records"].values()]
    n_beats = sum(stage["heart"]["n_beats"] for stage in stages)
    n_corrected = sum(stage["heart"]["n_corrected"] for stage in stages)
    heart = section(text, "Heart beats and heart rate variability")
    if n_corrected:
        percent = 100 * n_corrected / n_beats
        assert f"{n_corrected} of {n_beats:,} beats ({percent:.2f} %" in heart
    else:
        assert "no beat had to be corrected" in heart
    pulses = sum(stage["bp"]["n_beats"] for stage in stages)
    valid = sum(stage["bp"]["n_valid"] for stage in stages)
    assert f"of {pulses:,} pulses {valid:,} were valid" in section(text, "Blood pressure")
    responses = sum(stage["eda"]["n_scr"] for stage in stages)
    assert f"In all, {responses:,} responses were found" in section(text, "Electrodermal activity")


def test_cuff_readings_per_phase(study: StudyResult) -> None:
    cuff = study.tables["cuff"]
    lost = (cuff["session"] == "P002") & (cuff["window"] == "baseline")
    study.tables["cuff"] = cuff.assign(
        valid=cuff["valid"] & ~lost,
        reason=np.where(lost, "SBP outside 60-260 mmHg", cuff["reason"]),
    )
    said = section(study_methods(study), "Blood pressure")
    assert f"4 of {len(cuff)} readings were not valid: SBP outside 60-260 mmHg (4)." in said
    assert f"In all, {len(cuff)} cuff readings were taken in 3 sessions." in said
    table = rows_of(said, "Phase")
    # Four planned and taken; valid 4, 0, 4; two are required, so one session falls short.
    assert table[0] == ["`baseline`", "4", "4", "4 (0–4)", "2", "1 of 3"]
    assert table[2][:4] == ["`speech`", "4", "4", "4"]


def test_mean_arterial_pressure_as_sent_or_computed(study: StudyResult) -> None:
    assert "(MAP) is that of the monitor." in study_methods(study)
    rows = study.tables["features_long"]
    n = rows.loc[rows["feature"].eq("CUFF_N") & rows["kind"].eq("phase"), "value"].sum()
    first = rows.index[rows["feature"].eq("CUFF_MAP_Computed_N") & rows["kind"].eq("phase")][0]
    rows.loc[first, "value"] = 3.0
    assert f"for 3 of {n:.0f} readings without one, (SBP + 2 × DBP) / 3" in study_methods(study)


def test_measured_rates_span_the_sessions(study: StudyResult) -> None:
    def polar(record: dict[str, Any]) -> None:
        ecg = record["streams"]["ecg"]
        ecg["device"] = {
            "title": "Polar H10 chest strap",
            "maker": "Polar",
            "firmware": "3.1.1",
            "address": "A0:9E:1A:00:00:01",
            "serial": "12345678",
        }
        ecg |= {"nominal_sfreq_hz": 130.0, "estimated_sfreq_hz": 129.98}

    def other(record: dict[str, Any]) -> None:
        polar(record)
        record["streams"]["ecg"]["estimated_sfreq_hz"] = 130.03

    text = study_methods(changed(changed(study, polar, ("P001",)), other, ("P002",)))
    said = section(text, "Recording")
    assert (
        "with the device “Polar H10 chest strap” (firmware 3.1.1) at a nominal 130 Hz (measured "
        "129.98–130.03 Hz) in 2 of 3 sessions and by the simulator at a nominal 250 Hz" in said
    )
    assert "A0:9E" not in text
    assert "12345678" not in text


def test_quality_and_missing_scores(study: StudyResult) -> None:
    rows = study.tables["quality"]
    poor = rows["kind"].eq("phase") & rows["stream"].eq("ecg") & rows["window"].eq("speech")
    rows.loc[poor, "quality"] = [0.4, 0.9, 0.45]
    rows.loc[poor, "usable_share"] = [0.4, 0.9, 0.9]
    scores = study.tables["reactivity"]
    hit = scores["feature"].eq("CUFF_SBP_Mean") & scores["window"].eq("speech")
    study.tables["reactivity"] = scores.assign(
        delta=scores["delta"].mask(hit & scores["session"].eq("P001"))
    )
    said = section(study_methods(study), "Signal quality")
    assert "`ecg` 2 of 12 below the limit of quality, 1 with too little usable signal" in said
    assert "Of the 3 change scores of the tested outcomes in the tested windows, 1 was" in said


def test_statistics_say_what_was_computed(study: StudyResult) -> None:
    said = section(study_methods(study), "Statistical analysis")
    assert "with `baseline` and `sex` as covariates" in said
    assert "`value ~ C(condition) + baseline + C(sex)`" in said
    assert "HC2 with Satterthwaite degrees of freedom" in said
    assert "support − nonsupport; support − alone" in said
    assert "over the 2 contrasts" in said
    assert "confidence intervals 95 %" in said
    assert "mixed model" not in said
    assert "Change scores were also compared" not in said
    study.tables["statistics"]["model"] = "ols('value ~ C(condition) + baseline').fit()"
    study.tables["statistics"]["primary"] = study.tables["statistics"]["errors"] == "classical"
    said = section(study_methods(replace(study, config={"alpha": 0.01})), "Statistical analysis")
    assert "with `baseline` as covariate (" in said
    assert "Standard errors were classical" in said
    assert "α = 0.01, confidence intervals 99 %" in said


REFUSED = "a coefficient rests on a single participant: no robust error"


def refused(rows: pd.DataFrame, hit: pd.Series) -> pd.DataFrame:
    """Statistics of which some rows say why they hold no test."""
    numbers = ["p", "p_holm", "hedges_g", "partial_eta2"]
    rows = rows.assign(note="", estimate=1.0)
    rows.loc[hit, [*numbers, "estimate"]] = np.nan
    rows.loc[hit, ["model", "note"]] = ["", f"not tested: {REFUSED}; left out: 2"]
    return rows


def test_planned_errors_that_were_not_available_are_said(study: StudyResult) -> None:
    rows = statistics()
    study.tables["statistics"] = refused(rows, rows["errors"] == "robust")
    said = section(study_methods(study), "Statistical analysis")
    assert (
        f"The planned robust standard errors were not available ({REFUSED}); classical ones (equal "
        "variances) are shown." in said
    )
    assert "Standard errors were robust" not in said
    assert "robust; " not in study_methods(study)
    assert "classical; the planned ones were not available" in study_methods(study)
    both = pd.concat([rows, rows.assign(window="preparation")], ignore_index=True)
    hit = (both["errors"] == "robust") & (both["window"] == "preparation")
    study.tables["statistics"] = refused(both, hit)
    said = section(study_methods(study), "Statistical analysis")
    assert "Standard errors were robust to unequal variances (HC2" in said
    assert (
        f"not available for 1 pair of outcome and window ({REFUSED}); there the classical" in said
    )
    study.tables["statistics"] = rows
    assert "not available" not in section(study_methods(study), "Statistical analysis")


def test_a_contrast_that_was_nowhere_tested_is_named(study: StudyResult) -> None:
    rows = statistics()
    study.tables["statistics"] = refused(rows, rows["term"] == "support - alone")
    said = section(study_methods(study), "Statistical analysis")
    assert f"Nowhere could support − alone be tested ({REFUSED})." in said


def test_an_analysis_that_could_not_be_made_is_not_described(study: StudyResult) -> None:
    rows = pd.concat([statistics(), statistics().assign(analysis="delta")], ignore_index=True)
    study.tables["statistics"] = refused(rows, rows["analysis"] == "ANCOVA")
    said = section(study_methods(study), "Statistical analysis")
    assert f"An analysis of covariance was planned but could not be made ({REFUSED})." in said
    assert "Adjusted means" not in said
    assert "Change scores were also compared" in said


def test_nothing_is_described_where_nothing_could_be_fitted(tmp_path: Path) -> None:
    from physio_hqc.study import StudyConfig, process_study

    people = [("p1", "alone"), ("p2", "support"), ("p3", "alone"), ("p4", "support")]
    rows = [
        (who, condition, window, "CUFF_SBP_Mean", np.nan, "cuff lost")
        for who, condition in people
        for window in ("baseline", "speech")
    ]
    names = ["participant", "condition", "window", "feature", "value", "reason"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "features.csv", index=False)
    table = pd.DataFrame(people, columns=["id", "condition"])
    table.to_csv(tmp_path / "participants.csv", index=False)
    study = process_study(
        tmp_path / "features.csv",
        tmp_path / "participants.csv",
        config=StudyConfig(n_boot=50, outcomes=("CUFF_SBP_Mean",)),
    )
    text = study_methods(study)
    said = section(text, "Statistical analysis")
    assert "No contrast could be tested (" in said
    for words in ("covariance", "Standard errors", "Adjusted means", "Holm", "Effect sizes"):
        assert words not in said
    for words in ("mean over .", "The baseline was", "The tests left out", " nan"):
        assert words not in text.split("## Run record")[0]
    assert "No change score could be formed" in section(text, "Baseline and reactivity")
    assert "| Statistics | does not apply | no contrast could be tested |" in text
    assert "| Hashes of input files | yes | 2 tables, below |" in text


GEE = "gee('value ~ x', groups=participant, cov_struct=Independence()).fit()"
REML = "mixedlm('value ~ x', groups=participant, re_formula='1').fit(reml=True), t with 9 df"
CR2 = f"{REML}, sandwich by participant (CR2)"


@pytest.mark.parametrize(
    ("models", "words", "absent"),
    [
        ([CR2, CR2], ["(CR2 sandwich)", "clustered by participant", "(2 outcomes)"], "estimating"),
        ([GEE, GEE], ["phase means, by generalized estimating"], "sandwich"),
        ([CR2, GEE], ["(CR2 sandwich)", "phase means, by generalized estimating"], "dyads"),
        ([CR2.replace("by participant", "by dyad")] * 2, ["clustered by dyad"], "phase means"),
    ],
)
def test_the_robust_mixed_model_is_the_one_of_the_table(
    study: StudyResult, models: list[str], words: list[str], absent: str
) -> None:
    rows = statistics().iloc[-1:].assign(analysis="mixed model", term="condition x phase")
    parts = [
        rows.assign(outcome=outcome, errors=errors, primary=errors == "robust", model=model)
        for outcome, robust in zip(("CUFF_SBP_Mean", "HRV_RMSSD"), models, strict=True)
        for errors, model in (("classical", REML), ("robust", robust))
    ]
    study.tables["statistics"] = pd.concat(parts, ignore_index=True)
    said = section(study_methods(study), "Statistical analysis")
    for text in words:
        assert text in said
    assert absent not in said
    assert "Of the two, the tests with robust errors are primary." in said
    assert "latter" not in said
    assert "  " not in said


def test_reasons_of_the_flow_do_not_repeat_the_status(study: StudyResult) -> None:
    lost = FLOW.copy()
    lost.loc[[1, 2, 3], "status"] = "no session"
    lost.loc[[1, 2, 3], "reason"] = "no processed session is theirs"
    study.tables["flow"] = lost
    said = section(study_methods(study), "Participants")
    assert "3 had no session and 1 was excluded (fell ill)." in said
    lost.loc[[1, 2, 3], ["status", "reason"]] = ["excluded", "left early"]
    said = section(study_methods(replace(study, tables={**study.tables, "flow": lost})),
                   "Participants")  # fmt: skip
    assert "4 were excluded (fell ill; left early (3))" in said


def test_what_all_subscales_share_is_a_sentence(study: StudyResult) -> None:
    shared = "of 82 persons; flag: repeated questionnaires, alpha mixes within and between persons"
    study.tables["ratings"] = pd.DataFrame(
        {"name": ["a"], "kind": ["subscale"], "scale": ["s"], "value": [3.0]}
    )
    study.tables["reliability"] = pd.DataFrame(
        {
            "subscale": ["a", "b"],
            "n_items": 3,
            "n": [90, 91],
            "alpha": [0.8, 0.7],
            "note": [f"n = {n} complete questionnaires {shared}" for n in (90, 91)],
        }
    )
    said = section(study_methods(study), "Ratings")
    assert (
        "The questionnaires are those of 82 persons. Repeated questionnaires, alpha mixes" in said
    )
    assert "For all" not in said


def test_assumptions_and_power(study: StudyResult) -> None:
    study.tables["assumptions"] = pd.DataFrame(
        {
            "outcome": "CUFF_SBP_Mean",
            "window": "speech",
            "analysis": "ANCOVA",
            "check": ["normality of residuals"] * 3,
            "test": "Shapiro-Wilk",
            "passed": [True, False, True],
            "consequence": ["none needed", "Huber's estimates", "none needed"],
        }
    )
    study.tables["power"] = pd.DataFrame(
        {
            "term": ["a - b", "a - c"],
            "alpha": 0.05,
            "power": 0.8,
            "smallest_g": [0.74, -0.81],
            "power_for_reference": [0.61, 0.66],
            "reference_g": 0.61,
        }
    )
    said = section(study_methods(study), "Statistical analysis")
    assert rows_of(said, "Assumption") == [
        ["normality of residuals", "Shapiro-Wilk", "3", "1", "Huber's estimates"]
    ]
    assert "with 80 % power at α = 0.05 is g = 0.74–0.81; power for g = 0.61 is 61–66 %" in said


def test_recovery_counts_curves(study: StudyResult) -> None:
    study.tables["recovery"] = pd.DataFrame(
        {
            "session": ["P001", "P002", "P003"],
            "window": "recovery",
            "task_window": "speech",
            "feature": "CUFF_SBP_Mean",
            "delta_60s": [1.0, 2.0, 3.0],
            "delta_300s": np.nan,
            "half_recovery_s": [30.0, np.nan, 60.0],
            "logistic_amount": [20.0, np.nan, np.nan],
            "logistic_r2": [0.97, 0.2, np.nan],
            "logistic_reason": ["", "reactivity 2.1 mmHg is below the floor of 3", "few: 3"],
        }
    )
    said = section(study_methods(study), "Recovery")
    assert "`recovery` after `speech`" in said
    assert "It was read at fixed times (60 s after the task)" in said
    assert "it was reached in 2 of 3 courses" in said
    assert "It was accepted in 1 of 3 courses (R² 0.97); refused: few (1); reactivity below" in said


def test_proxy_and_ratings(study: StudyResult) -> None:
    study.tables["allostatic"] = pd.DataFrame(
        {
            "participant": ["P001", "P002", "P003"],
            "proxy": "session",
            "label": "allostatic-load proxy (5 of 6 indicators)",
            "rule": "sample quartile",
            "count": [1.0, 0.0, np.nan],
            "n_components": [5, 5, 2],
            "n_defined": 6,
            "missing": ["recovery_failure", "recovery_failure", "recovery_failure, resting_sbp"],
        }
    )
    study.tables["ratings"] = pd.DataFrame(
        {
            "participant": ["P001", "P002"],
            "window": "speech",
            "scale": "",
            "name": "stress",
            "value": [5.0, np.nan],
            "min": 1.0,
            "max": 7.0,
            "kind": "single",
        }
    )
    text = study_methods(study)
    said = section(text, "Allostatic-load proxy")
    assert "Participants had median 5, range 2–5 of the 6 indicators" in said
    assert "`recovery_failure` in 3 participants and `resting_sbp` in 1 participant" in said
    assert "A score was given to 2 of 3 participants." in said
    without = re.sub(r"Allostatic load and its health", "", text, flags=re.I)
    assert not re.search(r"allostatic[ -]load(?! proxy)", without, re.I)
    assert "`stress` (1 answer in `speech`, 1–7)" in section(text, "Ratings")


# ------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize(
    ("stage", "modality", "absent", "note"),
    [
        ("eda", "eda", ("Skin conductance", "SCR)", "Boucsein"), "no EDA was recorded"),
        ("cuff", "cuff", ("cuff reading", "Cuff readings per phase"), ""),
        ("bp", "bp", ("In continuous blood pressure", "pulses"), ""),
        ("heart", "ecg", ("R peaks were", "Lipponen"), "no ECG and no beat intervals"),
    ],
)
def test_what_was_not_recorded_is_not_described(
    study: StudyResult, stage: str, modality: str, absent: tuple[str, ...], note: str
) -> None:
    def without(record: dict[str, Any]) -> None:
        record["stages"].pop(stage)
        record["streams"].pop(modality)

    text = study_methods(changed(study, without))
    paragraphs = text[: text.index("## Reporting checklists")]
    for words in absent:
        assert words in study_methods(study)
        assert words not in paragraphs
    assert note in text


def test_a_step_that_did_not_happen_is_not_described(study: StudyResult) -> None:
    assert "AUCg" in study_methods(study)
    study.tables["reactivity"] = study.tables["reactivity"].drop(columns=["auc_g", "auc_i"])
    text = study_methods(study)
    for heading in ("Recovery", "Allostatic-load proxy", "Ratings"):
        assert f"### {heading}\n" not in text
    assert "Residualised" not in section(text, "Baseline and reactivity")
    assert "AUC" not in text
    assert "Lomb" not in text


def test_sessions_that_differ_are_counted(study: StudyResult) -> None:
    def lomb(record: dict[str, Any]) -> None:
        record["config"]["hrv"]["frequency_method"] = "lomb"

    text = study_methods(changed(study, lomb, ("P003",)))
    said = section(text, "Heart beats and heart rate variability")
    assert re.search(r"estimated by Welch's method .* in 2 of 3 sessions and by the Lomb", said)
    assert "Settings of processing in 2 of 3 sessions:" in text
    assert "Laguna, P." in text[text.index("## References") :]


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (("hrv", "hf_hz"), [0.12, 0.4], "HF (0.12–0.40 Hz)"),
        (("eda", "method"), "highpass", ""),
        (("pressure", "sbp_mmhg"), [70.0, 250.0], "SBP lay within 70–250 mmHg"),
        (("pressure", "brs_lag_beats"), 1, "1 beat later"),
        (("correction", "flag_above"), 0.03, "more than 3 % corrected beats was flagged"),
        (("quality", "min_usable_share"), 0.6, "less than 60 % usable signal"),
        (("hrv", "min_breathing_in_hf"), 0.9, "at least 90 % of breathing"),
    ],
)
def test_a_setting_changes_its_sentence(
    study: StudyResult, where: tuple[str, str], value: Any, sentence: str
) -> None:
    def change(record: dict[str, Any]) -> None:
        record["config"][where[0]][where[1]] = value
        if where == ("eda", "method"):
            record["stages"]["eda"]["decomposition"] = value

    text = study_methods(changed(study, change))
    assert (sentence or "Butterworth high-pass filter at 0.05 Hz") in text
    assert (sentence or "Butterworth") not in study_methods(study)


def test_a_study_from_a_table_says_nothing_of_recording(study: StudyResult) -> None:
    text = study_methods(replace(study, provenance={"sessions": {}, "inputs": {}}))
    for heading in (
        *("Recording", "Heart beats and heart rate variability", "Respiration"),
        *("Blood pressure", "Electrodermal activity"),
    ):
        assert f"### {heading}\n" not in text
    assert section(text, "Baseline and reactivity")
    run = rows_of(text[text.index("### Checklist: Run record") :], "Item")
    assert run[0] == [
        "Hashes of input files",
        "no",
        "not known: the study began from a table of features",
    ]
    assert "Does not apply: no" not in text
    assert "`provenance.json` of every session" not in text
    unknown = re.findall(r"^Not known: the study began from a table of features\. .*$", text, re.M)
    for line, feature in zip(
        unknown, ("ECG_Rate_Mean", "EDA_Tonic_Mean", "CUFF_SBP_Mean"), strict=True
    ):
        assert f"`{feature}`" in line
    hashed = replace(study, provenance={"sessions": {}, "inputs": {"features.csv": "ab12"}})
    text = study_methods(hashed)
    run = rows_of(text[text.index("### Checklist: Run record") :], "Item")
    assert run[0] == ["Hashes of input files", "yes", "1 table, below"]
    assert "| features.csv | `ab12` |" in text
    assert run[1][2].endswith(
        "those of processing not known: the study began from a table of features"
    )


def test_an_empty_study_is_no_error() -> None:
    text = study_methods(StudyResult(None, {}, {}, {}))
    assert "## Reporting checklists" in text
    assert "Does not apply: no EDA was recorded." in text


def test_the_full_road_without_ecg(tmp_path: Path) -> None:
    from physio_hqc.study import StudyConfig, process_study

    made = simulate_study(tmp_path, 3, seed=2, time_scale=0.1, streams=["cuff"])
    for session in made.sessions:
        process_session(session.path, out_dir=tmp_path / "derivatives")
    result = process_study(
        tmp_path / "derivatives", made.participants_csv, config=StudyConfig(n_boot=50)
    )
    text = study_methods(result)
    assert "In all, 9 participants were enrolled (alone 3, support 3, nonsupport 3)." in text
    assert "All 9 were analysed." in text
    assert "Does not apply: no ECG and no beat intervals were recorded." in text
    assert str(tmp_path) not in text
    contrasts = result.tables["statistics"].query("kind == 'contrast'")["term"].unique()
    for term in contrasts:
        assert term.replace(" - ", " − ") in text


# ------------------------------------------------------------------------------- the text as text


def test_references_are_those_that_are_cited(study: StudyResult) -> None:
    text = study_methods(study)
    body, references = text.split("## References")
    cited = set(re.findall(r"\]\(https://doi\.org/([^)]+)\)", body))
    listed = set(re.findall(r"\]\(https://doi\.org/([^)]+)\)", references))
    assert cited == listed
    entries = [line for line in references.splitlines() if line.startswith("- ")]
    assert entries == sorted(entries)
    assert len(entries) == len(set(entries))


def test_the_authors_phrase_stands_for_what_software_cannot_know(study: StudyResult) -> None:
    text = study_methods(study)
    for item in ("electrolyte (gel)", "Room temperature", "cuff size", "Electrode type"):
        line = next(line for line in text.splitlines() if line.startswith("|") and item in line)
        assert AUTHORS in line
    assert "must be compared with the originals" in text


def test_same_study_same_text_and_no_machine_path(
    study: StudyResult, sessions: dict[str, Any]
) -> None:
    def placed(record: dict[str, Any]) -> None:
        record["config"]["protocol"] = f"{sessions['folder']}/lepore.yaml"

    study.notices.append(f"{sessions['folder']}/P009 cannot be read")
    text = study_methods(changed(study, placed))
    assert text == study_methods(changed(study, placed))
    assert sessions["folder"] not in text
    assert "/tmp" not in text
    assert '"protocol": "lepore.yaml"' in text
    assert "- P009 cannot be read" in text


HOSTILE = "a|b](http://x.y) <script> `c` **d**\n# e"


def test_hostile_names_stay_text(study: StudyResult) -> None:
    tables = study.tables
    tables["participants"] = PEOPLE.assign(condition=PEOPLE["condition"].replace("alone", HOSTILE))
    tables["flow"] = FLOW.assign(
        condition=FLOW["condition"].replace("alone", HOSTILE), reason=HOSTILE
    )
    for name in ("windows", "features_long", "quality", "reactivity", "cuff"):
        tables[name] = tables[name].assign(window=tables[name]["window"].replace("speech", HOSTILE))
    tables["statistics"]["term"] = f"{HOSTILE} - support"

    def wild(record: dict[str, Any]) -> None:
        record["input"]["participant"] = HOSTILE
        record["streams"]["ecg"]["device"] = {"title": HOSTILE}
        record["protocol"]["title"] = HOSTILE
        record["protocol"]["phases"][2]["name"] = HOSTILE

    text = study_methods(
        changed(replace(study, config={"title": HOSTILE}, notices=[HOSTILE]), wild)
    )
    body = re.sub(r"^~~~~json$.*?^~~~~$", "", text, flags=re.S | re.M)
    assert "\n# e" not in body
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", body)
    assert not re.search(r"(?<!\\)<script>", outside)
    assert not re.search(r"(?<!\\)\]\(http://x", outside)
    width = 0
    for line in body.splitlines():
        cells = len(re.split(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if cells and width:
            assert cells == width, line
        width = cells


def test_combined_windows_are_described():
    people = pd.DataFrame({"id": ["p1"], "sex": ["female"], "age": [20.0], "condition": ["a"]})
    windows = ["baseline", "preparation", "speech"]
    features = pd.DataFrame(
        {
            "session": "p1",
            "participant": "p1",
            "condition": "a",
            "window": windows,
            "kind": "phase",
            "duration": 60.0,
            "feature": "ECG_Rate_Mean",
            "value": [60.0, 70.0, 80.0],
        }
    )
    parts = {"total": ["preparation", "speech"]}
    scores = combine_windows(reactivity_scores(features), parts)
    tables = {"participants": people, "reactivity": scores}
    text = study_methods(StudyResult(None, tables, {"combined": parts}, {}))
    assert "`total` is the mean of `preparation` and `speech`." in text
    assert (
        "is the mean of" not in study_methods(StudyResult(None, tables, {}, {})).split("\n## R")[0]
    )


def test_phases_of_a_table_without_times_have_no_length():
    windows = pd.DataFrame(
        {
            "session": "p1",
            "participant": "p1",
            "condition": "a",
            "window": ["baseline", "speech"],
            "kind": "phase",
            "label": ["baseline", "speech"],
            "onset": np.nan,
            "duration": np.nan,
            "phase": ["baseline", "speech"],
            "role": ["baseline", "task"],
            "speech": [False, True],
        }
    )
    people = pd.DataFrame({"id": ["p1"], "sex": ["female"], "age": [20.0], "condition": ["a"]})
    flow = pd.DataFrame(
        {
            "participant": ["p1"],
            "session": ["p1"],
            "condition": ["a"],
            "status": ["analysed"],
            "reason": [""],
        }
    )
    tables = {"participants": people, "flow": flow, "windows": windows}
    text = study_methods(StudyResult(None, tables, {}, {}))
    assert "`baseline` (length not known) and `speech` (length not known, with speech)" in text
