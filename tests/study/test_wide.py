"""Wide tables: compared with pivots done by hand, and given to scikit-learn as it is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from physio_hqc import process_session, process_study
from physio_hqc.errors import StudyError
from physio_hqc.features import FEATURES
from physio_hqc.simulate import simulate_feature_study
from physio_hqc.study import wide_table

SAMPLES = Path(__file__).resolve().parents[2] / "sample_recordings"
PARTICIPANTS_AND_WINDOWS = ("participant", "session", "window")


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """The three sample sessions, processed, and the folder of their results."""
    folder = tmp_path_factory.mktemp("derivatives")
    names = ("alone", "support", "nonsupport")
    return folder, [process_session(SAMPLES / f"{name}.h5", out_dir=folder) for name in names]


@pytest.fixture(scope="module")
def tidy():
    """Features of 36 made-up people in three conditions, without the trouble of signals."""
    return simulate_feature_study(12, seed=3, missing_readings=0.1).features


def made(rows):
    columns = ["participant", "session", "window", "feature", "value"]
    return pd.DataFrame(rows, columns=columns)


def by_hand(table, value="value"):
    """Dictionary of participant, session and column name to the value."""
    return {
        (row["participant"], row["session"], f"{row['feature']}__{row['window']}"): row[value]
        for _, row in table[table["kind"] != "sliding"].iterrows()
    }


def assert_equal_to(wide, cells):
    said = {(*place, name): wide.loc[place, name] for place in wide.index for name in wide.columns}
    assert set(cells) <= set(said)
    for place, number in said.items():
        expected = cells.get(place, np.nan)
        assert number == expected or (np.isnan(number) and np.isnan(expected)), place


def test_numbers_are_those_of_the_tidy_table(processed):
    tables = [result.tables["features"] for result in processed[1]]
    wide = wide_table(tables)
    assert wide.index.names == ["participant", "session"]
    assert wide.index.get_level_values("session").tolist() == ["alone", "support", "nonsupport"]
    assert_equal_to(wide, by_hand(pd.concat(tables)))
    assert (wide.dtypes == np.float64).all()
    assert wide.columns.is_unique
    assert all(type(name) is str and name.isidentifier() for name in wide.columns)
    assert not any("_slide_" in name for name in wide.columns)


def test_one_session_several_and_their_files_give_the_same(processed):
    folder, results = processed
    tables = [result.tables["features"] for result in results]
    files = [pd.read_csv(folder / result.name / "features.csv") for result in results]
    wide = wide_table(tables)
    pd.testing.assert_frame_equal(wide_table(pd.concat(tables)), wide)
    pd.testing.assert_frame_equal(wide_table(iter(tables)), wide)
    # Files hold their numbers with fewer digits.
    pd.testing.assert_frame_equal(wide_table(files), wide, rtol=1e-5)
    one = wide_table(tables[1])
    pd.testing.assert_frame_equal(one, wide.iloc[[1]][list(one.columns)])


def test_delta_of_reactivity(processed):
    scores = pd.concat([result.tables["reactivity"] for result in processed[1]])
    wide = wide_table(scores, value="delta")
    assert_equal_to(wide, by_hand(scores, "delta"))
    assert np.isfinite(wide["BP_SBP_Mean__speech"]).all()


def test_tidy_per_window(processed):
    tables = [result.tables["features"] for result in processed[1]]
    wide = wide_table(tables, index=PARTICIPANTS_AND_WINDOWS)
    assert wide.index.names == list(PARTICIPANTS_AND_WINDOWS)
    assert list(wide.columns) == [name for name in FEATURES if name in set(wide.columns)]
    row = tables[1].set_index(["window", "feature"])["value"]
    participant = tables[1]["participant"].iloc[0]
    for name in ("HRV_RMSSD", "CUFF_SBP_Mean", "EDA_Tonic_Mean"):
        assert wide.loc[(participant, "support", "speech"), name] == row["speech", name]
    sliding = wide_table(tables[1], index=["window"], windows=["speech_slide_002", "speech"])
    assert sliding.index.tolist() == ["speech", "speech_slide_002"]


def test_the_table_of_a_study_is_the_same_table(tmp_path):
    study = simulate_feature_study(8, seed=5)
    long = tmp_path / "features.csv"
    study.features.to_csv(long, index=False)
    result = process_study(
        long, study.participants, config="lepore_1993", out_dir=tmp_path / "study"
    )
    wide = wide_table(result.tables["features_long"], index="participant")
    left = result.tables["features_wide"].set_index("participant")
    pd.testing.assert_frame_equal(left.loc[wide.index, list(wide.columns)], wide)
    read = pd.read_csv(tmp_path / "study" / "features_wide.csv", index_col="participant")
    numbers = read.loc[wide.index, list(wide.columns)].astype(float)
    pd.testing.assert_frame_equal(numbers, wide, rtol=1e-5)


def test_scikit_learn_takes_it_as_it_is(tidy):
    chosen = ["CUFF_SBP_Mean", "HRV_RMSSD", "EDA_Tonic_Mean"]
    present = [name for name in chosen if (tidy["feature"] == name).any()]
    kept = tidy[tidy["condition"] != "alone"]
    wide = wide_table(kept, features=present, index=["participant", "condition"])
    assert wide.isna().any(axis=None)
    y = (wide.index.get_level_values("condition") == "support").astype(int)
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    model.set_output(transform="pandas")
    groups = wide.index.get_level_values("participant")
    scores = cross_val_score(model, wide, y, groups=groups, cv=GroupKFold(4), error_score="raise")
    assert ((scores >= 0) & (scores <= 1)).all()

    fitted = model.fit(wide, y)
    assert fitted.feature_names_in_.tolist() == list(wide.columns)
    assert fitted[:-1].get_feature_names_out().tolist() == list(wide.columns)
    scaled = fitted[:-1].transform(wide)
    pd.testing.assert_index_equal(scaled.index, wide.index)

    # The same, with the pivot and its order done by hand.
    pivot = kept.assign(name=kept["feature"] + "__" + kept["window"])
    pivot = pivot.pivot(index="participant", columns="name", values="value")
    mine = pivot.loc[groups, list(wide.columns)].to_numpy()
    np.testing.assert_array_equal(wide.to_numpy(), mine)
    filled = np.where(np.isnan(mine), np.nanmean(mine, axis=0), mine)
    expected = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    np.testing.assert_allclose(scaled.to_numpy(), expected, atol=1e-12)
    assert (
        scores.tolist()
        == cross_val_score(
            model,
            pivot.loc[groups, list(wide.columns)].to_numpy(),
            y,
            groups=groups,
            cv=GroupKFold(4),
        ).tolist()
    )


def test_what_is_asked_for_comes_in_that_order():
    table = made(
        [
            ("p", "a", "speech", "HRV_RMSSD", 1.0),
            ("p", "a", "speech", "ECG_Rate_Mean", 2.0),
            ("p", "a", "rest", "HRV_RMSSD", 3.0),
            ("p", "a", "rest", "mine", 4.0),
        ]
    )
    in_order = ["ECG_Rate_Mean__speech", "HRV_RMSSD__speech", "HRV_RMSSD__rest", "mine__rest"]
    assert list(wide_table(table)) == in_order
    wide = wide_table(table, windows=["rest", "speech"], features=["mine", "HRV_RMSSD"])
    assert list(wide) == ["mine__rest", "HRV_RMSSD__rest", "mine__speech", "HRV_RMSSD__speech"]
    np.testing.assert_array_equal(wide.to_numpy(), [[4.0, 3.0, np.nan, 1.0]])


def test_names_of_columns_are_fit_for_formulas_and_unique():
    rows = [("p", "a", name, "HRV_RMSSD", 1.0) for name in ("a b", "a_b", "a[b", "rede zwei")]
    assert list(wide_table(made(rows))) == [
        *("HRV_RMSSD__a_b", "HRV_RMSSD__a_b_2", "HRV_RMSSD__a_b_3", "HRV_RMSSD__rede_zwei"),
    ]


def test_ids_stay_what_they_are():
    table = made([("007", np.nan, "w", "f", 1), (7, None, "w", "f", 2), ("", "", "w", "f", 3)])
    assert wide_table(table).index.tolist() == [("007", ""), (7, ""), ("", "")]
    for kind in ("category", "string"):
        texts = made([("007", "s", "w", "f", 1), ("008", "t", "w", "f", 2)])
        texts = texts.astype({"participant": kind, "window": kind, "value": "Float64"})
        assert wide_table(texts).loc[("008", "t"), "f__w"] == 2


def test_missing_numbers_of_any_kind_are_nan():
    table = made([("p", "a", "w", "f", 1.0), ("p", "b", "w", "f", 2.0)])
    table["value"] = pd.array([pd.NA, 2], dtype="Int64")
    np.testing.assert_array_equal(wide_table(table)["f__w"], [np.nan, 2.0])


def test_a_table_without_rows_gives_one():
    for index in (("participant", "session"), ("participant",)):
        wide = wide_table(made([]), index=index)
        assert wide.shape == (0, 0)
        assert wide.index.names == list(index)


def test_nothing_is_changed_that_is_given(tidy):
    before = tidy.copy()
    shuffled = tidy.sample(frac=1, random_state=0)[list(tidy.columns[::-1])]
    wide = wide_table(tidy)
    other = wide_table(shuffled)
    pd.testing.assert_frame_equal(other.loc[wide.index, list(wide.columns)], wide)
    pd.testing.assert_frame_equal(tidy, before)


PLACES = st.tuples(
    st.sampled_from("pqr"), st.sampled_from("st"), st.sampled_from("uvw"), st.sampled_from("fgh")
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(PLACES, st.floats(allow_infinity=False), max_size=30))
def test_any_tidy_table_is_the_pivot_that_pandas_makes(cells):
    table = made([(*place, number) for place, number in cells.items()])
    wide = wide_table(table.astype({"value": float}))
    for (participant, session, window, feature), number in cells.items():
        said = wide.loc[(participant, session), f"{feature}__{window}"]
        assert said == number or np.isnan([said, number]).all()
    expected = len({f"{place[3]}__{place[2]}" for place in cells})
    assert wide.shape == (len({place[:2] for place in cells}), expected)
    given_numbers = sum(not np.isnan(number) for number in cells.values())
    assert np.count_nonzero(wide.notna()) == given_numbers


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda t: t.drop(columns="value"), {}, "no column 'value'"),
        (lambda t: t, {"value": "delta"}, "no column 'delta'"),
        (lambda t: t, {"value": "window"}, "value is 'window'"),
        (lambda t: t.assign(value="high"), {}, "column 'value' does not hold numbers"),
        (lambda t: t, {"windows": ["speach"]}, "the window 'speach' .did you mean 'speech'"),
        (lambda t: t, {"features": "f"}, "features is the text 'f'"),
        (lambda t: t, {"features": ["g"]}, "the feature 'g'"),
        (lambda t: t, {"index": []}, "index is"),
        (lambda t: t, {"index": ["feature"]}, "index is"),
        (lambda t: pd.concat([t, t]), {}, "participant 'p', session 'a' holds f of .* twice"),
        (lambda t: pd.concat([t, t.assign(session="b")]), {"index": ["participant"]}, "'session'"),
        (lambda _: [], {}, "tables holds nothing"),
        (lambda _: "features.csv", {}, "tables holds a str"),
        (lambda _: None, {}, "tables holds a NoneType"),
    ],
)
def test_what_is_no_tidy_table_is_refused_in_one_line(change, options, said):
    table = made([("p", "a", "speech", "f", 1.0)])
    with pytest.raises(StudyError, match=said) as error:
        wide_table(change(table), **options)
    assert "\n" not in str(error.value)
