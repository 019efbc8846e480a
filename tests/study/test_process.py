"""A study from processed sessions to its tables."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from physio_hqc import process_session, process_study
from physio_hqc.errors import ConfigError, OutputError, SignalError, StudyError
from physio_hqc.pipeline import PipelineConfig
from physio_hqc.simulate import simulate_study
from physio_hqc.study import TABLES, StudyConfig, collect_sessions


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Twelve short sessions with a cuff, one of them missing, processed."""
    folder = tmp_path_factory.mktemp("study")
    study = simulate_study(
        folder / "sessions", 4, seed=11, time_scale=0.1, streams=["cuff", "eda"], missing_share=0.08
    )
    for session in study.sessions:
        process_session(session.path, out_dir=folder / "derivatives")
    return study


@pytest.fixture(scope="module")
def derivatives(made):
    return made.out_dir.parent / "derivatives"


@pytest.fixture(scope="module")
def result(made, derivatives):
    return process_study(
        derivatives, made.participants_csv, out_dir=derivatives / "study", config="lepore_1993"
    )


def test_every_table_is_there_with_its_dictionary(result):
    assert set(result.tables) == set(TABLES)
    for name in TABLES:
        columns = pd.read_csv(result.out_dir / f"{name}.csv", nrows=0).columns
        dictionary = json.loads((result.out_dir / f"{name}.json").read_text(encoding="utf-8"))
        assert list(columns) == list(dictionary)
        assert all(entry["Description"] and entry["Source"] for entry in dictionary.values())


def test_participants_flow(result, made):
    flow = result.tables["flow"]
    assert flow["status"].value_counts().to_dict() == {"analysed": 11, "no session": 1}
    people = pd.read_csv(made.participants_csv, dtype=str)
    absent = people.loc[people["session"].isna(), "id"].tolist()
    assert flow.loc[flow["status"] == "no session", "participant"].tolist() == absent


def test_reactivity_is_that_of_the_sessions_with_the_residual_of_the_sample(result, derivatives):
    scores = result.tables["reactivity"]
    rows = scores[(scores["window"] == "speech") & (scores["feature"] == "CUFF_SBP_Mean")]
    own = pd.read_csv(derivatives / "P001" / "reactivity.csv")
    own = own[(own["window"] == "speech") & (own["feature"] == "CUFF_SBP_Mean")].iloc[0]
    mine = rows[rows["session"] == "P001"].iloc[0]
    assert mine["delta"] == own["delta"]
    assert mine["auc_i"] == own["auc_i"]
    fit = smf.ols("value ~ baseline", rows).fit()
    assert rows["residual"].to_numpy() == pytest.approx(fit.resid.to_numpy())


def test_statistics_are_those_of_statsmodels(result):
    scores = result.tables["reactivity"]
    rows = scores[(scores["window"] == "speech") & (scores["feature"] == "CUFF_SBP_Mean")]
    sex = result.tables["participants"].set_index("id")["sex"]
    rows = rows.assign(sex=rows["participant"].map(sex))
    formula = "value ~ C(condition, Treatment('nonsupport')) + baseline + C(sex)"
    fit = smf.ols(formula, rows).fit()
    name = "C(condition, Treatment('nonsupport'))[T.support]"
    tests = result.tables["statistics"]
    row = tests[
        (tests["outcome"] == "CUFF_SBP_Mean")
        & (tests["window"] == "speech")
        & (tests["analysis"] == "ANCOVA")
        & (tests["errors"] == "classical")
        & (tests["term"] == "support - nonsupport")
    ].iloc[0]
    assert row["estimate"] == pytest.approx(fit.params[name])
    assert row["se"] == pytest.approx(fit.bse[name])
    assert row["p"] == pytest.approx(fit.pvalues[name])
    assert row["n"] == 11


def test_wide_features_are_ready_for_a_model(result):
    wide, long = result.tables["features_wide"], result.tables["features_long"]
    assert wide["participant"].is_unique
    assert len(wide) == 11
    value = long[
        (long["participant"] == "P002")
        & (long["window"] == "speech")
        & (long["feature"] == "CUFF_SBP_Mean")
    ]["value"].iloc[0]
    row = wide[wide["participant"] == "P002"].iloc[0]
    assert row["CUFF_SBP_Mean__speech"] == value


def test_same_input_gives_the_same_bytes(result, made, derivatives, tmp_path):
    again = process_study(
        derivatives, made.participants_csv, out_dir=tmp_path / "again", config="lepore_1993", jobs=2
    )
    for path in sorted(result.out_dir.glob("*.csv")):
        assert path.read_bytes() == (again.out_dir / path.name).read_bytes(), path.name


def test_a_features_table_gives_the_same_contrasts(result, made):
    """features_long.csv of a study is a study of its own; only the baseline must be named."""
    settings = StudyConfig(
        baseline=("baseline_last_36s",),
        windows=("preparation", "speech"),
        conditions=("alone", "support", "nonsupport"),
        proxy=None,
    )
    table = process_study(
        result.out_dir / "features_long.csv", made.participants_csv, config=settings
    )
    keys = ["outcome", "window", "analysis", "errors", "term"]
    one, other = (
        study.tables["statistics"]
        .query("analysis == 'ANCOVA' and kind == 'contrast'")
        .set_index(keys)["estimate"]
        for study in (result, table)
    )
    cuff = [key for key in one.index if key[0].startswith("CUFF")]
    assert len(cuff) > 5
    assert one[cuff].to_numpy() == pytest.approx(other[cuff].to_numpy(), rel=1e-6)
    assert any("how they were made is not known" in text for text in table.notices)


def test_excluded_participants_are_left_out_with_their_reason(made, derivatives):
    people = pd.read_csv(made.participants_csv, dtype=str)
    people["exclude"] = np.where(people["id"] == "P001", "beta blocker", "")
    study = process_study(derivatives, people)
    flow = study.tables["flow"].set_index("participant")
    assert flow.loc["P001", ["status", "reason"]].tolist() == ["excluded", "beta blocker"]
    assert "P001" not in set(study.tables["reactivity"]["participant"])


def test_a_broken_session_is_named_and_stops_nobody(made, derivatives, tmp_path):
    folder = tmp_path / "derivatives"
    shutil.copytree(derivatives, folder, ignore=shutil.ignore_patterns("study"))
    first = min(path.name for path in folder.iterdir())
    with (folder / first / "features.csv").open("a") as file:
        file.write("x\n")
    study = process_study(folder, made.participants_csv)
    flow = study.tables["flow"].set_index("participant")
    assert flow.loc[first, "status"] == "not processed"
    assert "changed after it was written" in flow.loc[first, "reason"]
    assert (flow["status"] == "analysed").sum() == 10


def test_sessions_of_other_settings_are_refused(made, derivatives, tmp_path):
    folder = tmp_path / "derivatives"
    shutil.copytree(derivatives, folder, ignore=shutil.ignore_patterns("study"))
    other = PipelineConfig.model_validate({"eda": {"scr_amplitude_min_us": 0.05}})
    process_session(made.sessions[1].path, other, out_dir=folder)
    with pytest.raises(StudyError, match=r"eda.scr_amplitude_min_us: 0.05 instead of 0.02"):
        process_study(folder, made.participants_csv)
    study = process_study(folder, made.participants_csv, allow_mixed=True)
    assert (study.tables["flow"]["status"] == "analysed").sum() == 11


def test_ratings_of_the_lab_are_scored(made, derivatives, tmp_path):
    people = pd.read_csv(made.participants_csv, dtype=str).dropna(subset="session")
    rng = np.random.default_rng(1)
    keys = ["ecc1", "ecc2", "ecc3"]
    scale = tmp_path / "scale.yaml"
    scale.write_text(
        "name: warmth\nmin: 1\nmax: 5\nsubscales:\n"
        "  - {name: carrying, items: [ecc1, ecc2, ecc3], reversed: [ecc3]}\n"
    )
    answers = pd.DataFrame(rng.integers(1, 6, (len(people), 3)), columns=keys)
    answers.insert(0, "participant", people["id"].to_numpy())
    answers.insert(1, "window", "speech")
    path = tmp_path / "ratings.csv"
    answers.to_csv(path, index=False)
    study = process_study(
        derivatives, made.participants_csv, ratings=path, config=StudyConfig(scale=str(scale))
    )
    scored = study.tables["ratings"].query("kind == 'subscale'").set_index("participant")["value"]
    expected = (answers["ecc1"] + answers["ecc2"] + 6 - answers["ecc3"]) / 3
    assert scored[answers["participant"]].to_numpy() == pytest.approx(expected.to_numpy())
    assert "carrying" in set(study.tables["associations"]["rating"])
    assert study.tables["reliability"]["n"].tolist() == [11]
    assert set(study.provenance["inputs"]) >= {"ratings.csv", "participants.csv"}


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (lambda d, p: (d / "nothing", p), "no such folder or file"),
        (lambda _, p: (p.parent, p), "these are session files, process them first"),
        (lambda d, p: (d.parent, p), "did you mean"),
        (lambda d, p: (d, p.parent / "no.csv"), "no.csv"),
    ],
)
def test_wrong_places_say_what_to_do(made, derivatives, place, says):
    source, people = place(derivatives, made.participants_csv)
    with pytest.raises(StudyError, match=says):
        process_study(source, people)


def test_a_folder_of_other_things_is_not_replaced(made, derivatives, tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(OutputError, match="holds files but no results"):
        process_study(derivatives, made.participants_csv, out_dir=tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "years of work"


def test_the_wrong_window_and_the_wrong_condition(made, derivatives):
    with pytest.raises(StudyError, match="no session has a window 'speach'"):
        process_study(derivatives, made.participants_csv, config=StudyConfig(windows=("speach",)))
    people = pd.read_csv(made.participants_csv, dtype=str)
    people.loc[3, "condition"] = "suport"
    with pytest.raises(StudyError, match="did you mean 'support'"):
        process_study(derivatives, people)


FEATURES = """session,participant,condition,window,feature,value
a1,a1,alone,baseline,SBP,120
a1,a1,alone,speech,SBP,{value}
{more}
"""


@pytest.mark.parametrize(
    ("value", "more", "says"),
    [
        ("high", "", r"line 3: value 'high' is no number"),
        ("140", "a1,a1,alone,speech,SBP,141", r"line 4: session 'a1' holds SBP of window 'speech'"),
        ("140", "a2,a2,alone,,SBP,141", r"line 4: window is empty"),
    ],
)
def test_hand_made_tables_name_the_line(tmp_path, value, more, says):
    path = tmp_path / "features.csv"
    path.write_text(FEATURES.format(value=value, more=more))
    with pytest.raises(StudyError, match=says):
        collect_sessions(path)


def test_a_table_without_what_it_needs(tmp_path):
    path = tmp_path / "features.csv"
    path.write_text("participant,window,value\np1,baseline,3\n")
    with pytest.raises(StudyError, match="the column 'feature' is missing"):
        collect_sessions(path)
    path.write_text("participant,window,feature,value\n")
    with pytest.raises(StudyError, match="no row below the header"):
        collect_sessions(path)
    path.write_text("participant,window,feature,value\np1,speech,SBP,3\n")
    with pytest.raises(StudyError, match="no window is called 'baseline'"):
        collect_sessions(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="no table in UTF-8"):
        collect_sessions(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contrasts: [[support, support]]", "compares a condition with itself"),
        ("conditions: [a, b]\ncontrasts: [[a, c]]", "'c' is not in conditions"),
        ("outcomes: [X]\nprimary_outcome: Y", "is not one of the outcomes"),
        ("outcome: [X]", "did you mean 'outcomes'"),
        ("alpha: 1", "alpha"),
    ],
)
def test_wrong_settings(tmp_path: Path, text, says):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        process_study(tmp_path, tmp_path / "p.csv", config=path)


def test_a_combined_window_is_the_mean_of_its_phases(made, derivatives):
    settings = StudyConfig(
        combined={"task_total": ("preparation", "speech")},
        windows=("speech", "task_total"),
        proxy=None,
    )
    study = process_study(derivatives, made.participants_csv, config=settings)
    scores = study.tables["reactivity"].query("feature == 'CUFF_SBP_Mean'")
    delta = scores.pivot(index="session", columns="window", values="delta")
    expected = (delta["preparation"] + delta["speech"]) / 2
    assert delta["task_total"].to_numpy() == pytest.approx(expected.to_numpy())
    assert set(study.tables["statistics"]["window"]) >= {"speech", "task_total"}
    with pytest.raises(SignalError, match="no window is called 'speach'"):
        process_study(
            derivatives, made.participants_csv, config=StudyConfig(combined={"x": ("speach", "a")})
        )


def test_an_outcome_is_tested_as_its_logarithm(made, derivatives):
    settings = StudyConfig(
        outcomes=("EDA_Tonic_Mean",), log_outcomes=("EDA_Tonic_Mean",), windows=("speech",)
    )
    study = process_study(derivatives, made.participants_csv, config=settings)
    rows = study.tables["reactivity"].query("feature == 'EDA_Tonic_Mean' and window == 'speech'")
    people = study.tables["participants"].set_index("id")["sex"]
    rows = rows.assign(
        value=np.log(rows["value"]),
        baseline=np.log(rows["baseline"]),
        sex=rows["participant"].map(people),
    )
    fit = smf.ols("value ~ C(condition) + baseline + C(sex)", rows).fit()
    found = study.tables["statistics"].query(
        "analysis == 'ANCOVA' and errors == 'classical' and term == 'support - alone'"
    )
    assert found["estimate"].tolist() == pytest.approx([fit.params["C(condition)[T.support]"]])


def hand_made(path, sessions=12, conditions=("alone", "support", "nonsupport"), **changes):
    """A features table as a lab might type it, and its participants."""
    rng = np.random.default_rng(4)
    rows, people = [], []
    for number in range(sessions):
        name, condition = f"P{number:02d}", conditions[number % len(conditions)]
        people.append({"id": name, "sex": "fm"[number // 3 % 2], "condition": condition})
        rest = rng.normal(120, 8)
        for window, rise in (("baseline", 0), ("preparation", 8), ("speech", 15)):
            rows.append(
                {
                    "session": changes.get("session", lambda n: n)(name),
                    "participant": name,
                    "condition": condition,
                    "window": window,
                    "feature": "CUFF_SBP_Mean",
                    "value": round(rest + rise + rng.normal(0, 4), 1),
                    "unit": "mmHg",
                }
            )
    features, people = pd.DataFrame(rows), pd.DataFrame(people)
    features.to_csv(path, index=False, **changes.get("csv", {}))
    return features, people


PLAIN = StudyConfig(proxy=None, scale=None)


@pytest.mark.parametrize("ending", [" ", ".h5"])
def test_names_of_sessions_are_taken_as_they_are_meant(tmp_path, ending):
    path = tmp_path / "features.csv"
    _, people = hand_made(path, session=lambda n: n + ending if n == "P01" else n)
    study = process_study(path, people.assign(session=people["id"]), config=PLAIN)
    assert (study.tables["flow"]["status"] == "analysed").sum() == 12
    assert set(study.tables["reactivity"]["participant"]) == set(people["id"])
    assert (study.tables["statistics"].query("analysis == 'ANCOVA'")["n"] == 12).all()


def test_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "features.csv"
    features, people = hand_made(path, csv={"sep": ";", "decimal": ","})
    study = process_study(path, people, config=PLAIN)
    speech = features[features["window"] == "speech"]["value"]
    found = study.tables["reactivity"].query("window == 'speech'")["value"]
    assert found.to_numpy() == pytest.approx(speech.to_numpy())


def test_ids_that_look_like_nothing_are_ids(tmp_path):
    path = tmp_path / "features.csv"
    features, people = hand_made(path)
    for table, column in ((features, "participant"), (features, "session"), (people, "id")):
        table[column] = table[column].replace({"P01": "NA", "P02": "007"})
    features.to_csv(path, index=False)
    study = process_study(path, people, config=PLAIN)
    assert {"NA", "007"} <= set(study.tables["reactivity"]["participant"])


def test_a_task_that_a_condition_lacks_stays_in_the_tables(tmp_path):
    path = tmp_path / "features.csv"
    features, people = hand_made(path)
    gone = (features["condition"] == "support") & (features["window"] == "speech")
    features[~gone].to_csv(path, index=False)
    tests = process_study(path, people, config=PLAIN).tables["statistics"]
    speech = tests[(tests["window"] == "speech") & (tests["kind"] == "contrast")]
    row = speech[(speech["term"] == "support - nonsupport") & (speech["analysis"] == "ANCOVA")]
    assert row["estimate"].isna().all()
    assert row["note"].str.contains("support").all()
    other = speech[(speech["term"] == "alone - nonsupport") & (speech["analysis"] == "ANCOVA")]
    assert other["estimate"].notna().any()


def test_a_misspelt_condition_without_a_protocol(tmp_path):
    path = tmp_path / "features.csv"
    features, people = hand_made(path)
    features["condition"] = features["condition"].where(features["session"] != "P00", "alonne")
    people.loc[0, "condition"] = "alonne"
    features.to_csv(path, index=False)
    with pytest.raises(StudyError, match="alonne"):
        process_study(path, people, config=PLAIN)


def test_one_participant_without_a_condition_stops_nobody(tmp_path):
    path = tmp_path / "features.csv"
    features, people = hand_made(path)
    features["condition"] = features["condition"].where(features["session"] != "P00", "")
    people.loc[0, "condition"] = ""
    features.to_csv(path, index=False)
    study = process_study(path, people, config=PLAIN)
    flow = study.tables["flow"].set_index("participant")
    assert "no condition" in flow.loc["P00", "reason"]
    tests = study.tables["statistics"].query("analysis == 'ANCOVA' and kind == 'contrast'")
    assert (tests["n"] == 11).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"primary_window": "speach"}, "primary_window 'speach' is not tested; did you mean"),
        ({"primary_outcome": "CUFF_SBP"}, "primary_outcome 'CUFF_SBP' is no feature; did you me"),
        ({"covariates": ("bmi",)}, "covariate 'bmi' is not in the participants table"),
    ],
)
def test_names_of_the_settings_that_nothing_has(tmp_path, changes, says):
    path = tmp_path / "features.csv"
    _, people = hand_made(path)
    with pytest.raises(StudyError, match=says):
        process_study(path, people, config=StudyConfig(proxy=None, scale=None, **changes))


def test_a_covariate_that_nobody_has_told(tmp_path):
    path = tmp_path / "features.csv"
    _, people = hand_made(path)
    study = process_study(path, people.drop(columns="sex"), config=PLAIN)
    assert "covariate 'sex' is given for nobody: left out" in study.notices


def test_ratings_of_a_window_that_nobody_has(tmp_path):
    path = tmp_path / "features.csv"
    _, people = hand_made(path)
    ratings = pd.DataFrame({"participant": people["id"], "window": "speach", "stress": 3})
    with pytest.raises(StudyError, match="no session has a window 'speach'; did you mean 'speech'"):
        process_study(path, people, ratings=ratings, config=PLAIN)
    study = process_study(path, people, ratings=ratings.assign(window="after"), config=PLAIN)
    assert "ratings of 'after': no session has such a window" in study.notices


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("quality", "1.7", "line 3: quality 1.7 does not lie between 0 and 1"),
        ("value", "inf", "line 3: value 'inf' is no number"),
        ("participant", "P05", "session 'P00' belongs to 2 participants"),
    ],
)
def test_cells_that_make_no_sense(tmp_path, column, value, says):
    path = tmp_path / "features.csv"
    features, _ = hand_made(path)
    features["quality"] = "1"
    features[column] = features[column].astype(object)
    features.loc[1, column] = value
    features.to_csv(path, index=False)
    with pytest.raises(StudyError, match=says):
        collect_sessions(path)


def test_reports_appear_together_with_the_tables_or_not_at_all(made, derivatives, tmp_path):
    place = tmp_path / "out"
    people, plain = made.participants_csv, StudyConfig(outcomes=("CUFF_SBP_Mean",), proxy=None)

    def finish(result, folder):
        assert folder != place
        (folder / "report.html").write_text(f"{len(result.tables['flow'])} people")
        (folder / "figures").mkdir()
        (folder / "figures" / "reactivity.svg").write_text("new")

    process_study(derivatives, people, config=plain, out_dir=place, finish=finish)
    assert (place / "report.html").read_text() == "12 people"
    (place / "figures" / "mine.png").write_text("mine")
    (place / "figures" / "contrasts_7.png").write_text("of an older study")
    (place / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def stop(result, folder):
        (folder / "report.html").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process_study(derivatives, people, config=plain, out_dir=place, finish=stop)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    process_study(derivatives, people, config=plain, out_dir=place)
    left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {"figures/mine.png", "notes.txt"} <= left
    assert not left & {"report.html", "figures/reactivity.svg", "figures/contrasts_7.png"}


def test_a_dataframe_as_source_says_what_takes_tables(result):
    with pytest.raises(StudyError, match="condition_contrasts takes tables"):
        process_study(result.tables["features_long"], result.tables["participants"])


def test_a_single_rating_named_like_a_subscale(made, derivatives, tmp_path):
    people = pd.read_csv(made.participants_csv, dtype=str).dropna(subset="session")
    scale = tmp_path / "scale.yaml"
    scale.write_text(
        "name: bond\nmin: 1\nmax: 7\nsubscales:\n  - {name: stress, items: [s1, s2]}\n"
    )
    rng = np.random.default_rng(2)
    items = pd.DataFrame(rng.integers(1, 8, (len(people), 2)), columns=["s1", "s2"])
    items = items.assign(participant=people["id"].to_numpy(), window="speech")
    study = process_study(
        derivatives, made.participants_csv, ratings=items, config=StudyConfig(scale=str(scale))
    )
    assert {"stress", "bond: stress"} <= set(study.tables["associations"]["rating"])
