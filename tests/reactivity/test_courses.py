import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.features import cuff_pressure
from physio_hqc.protocol import derive_windows, load_protocol
from physio_hqc.reactivity import COURSE_COLUMNS, feature_courses, reactivity_scores


def pieces(onsets, length=60.0, session="p01", name="ECG_Rate_Mean", **extra):
    """Sliding rows of one feature."""
    onsets = np.asarray(onsets, dtype=float)
    table = pd.DataFrame(
        {
            "session": session,
            "window": [f"w_slide_{k:03d}" for k in range(len(onsets))],
            "kind": "sliding",
            "onset": onsets,
            "duration": length,
            "feature": name,
            "value": onsets + 100,
            "quality": 1.0,
        }
    )
    return table.assign(**extra)


def phases(*rows, **extra):
    """Windows from (name, onset, duration)."""
    table = pd.DataFrame(rows, columns=["window", "onset", "duration"])
    return table.assign(**{"kind": "phase", "role": "task", **extra})


def readings(*rows, **extra):
    """Cuff readings from (time, SBP, DBP)."""
    table = pd.DataFrame(rows, columns=["time_s", "SBP", "DBP"])
    return table.assign(**{"MAP": np.nan, "HR": 70.0, "valid": True, **extra})


def test_pieces_do_not_overlap_and_start_with_the_window():
    courses = feature_courses(
        pieces(np.arange(0, 541, 10)), phases(("baseline", 0, 210), ("speech", 210, 360))
    )
    assert tuple(courses.columns) == COURSE_COLUMNS
    baseline = courses[courses["window"] == "baseline"]
    assert baseline["since_s"].tolist() == [30, 90, 150]
    speech = courses[courses["window"] == "speech"]
    assert speech["time_s"].tolist() == [240, 300, 360, 420, 480, 540]
    assert speech["since_s"].tolist() == [30, 90, 150, 210, 270, 330]
    assert speech["value"].tolist() == [310, 370, 430, 490, 550, 610]
    assert set(courses["source"]) == {"sliding"}
    assert set(courses["role"]) == {"task"}


def test_pieces_lie_wholly_inside_an_interaction_window():
    courses = feature_courses(
        pieces(np.arange(0, 541, 10)), phases(("talk", 95, 150), kind="interaction")
    )
    assert courses["time_s"].tolist() == [130, 190]
    assert courses["since_s"].tolist() == [35, 95]


def test_steps_that_do_not_divide_the_length():
    courses = feature_courses(pieces(np.arange(0, 300, 25)), phases(("speech", 0, 300)))
    assert (courses["time_s"] - 30).tolist() == [0, 75, 150, 225]


def test_rounding_of_onsets_costs_no_piece():
    onsets = 0.1 + 0.2 * np.arange(40)
    courses = feature_courses(pieces(onsets, length=0.6), phases(("speech", 0.1, 6.0)))
    assert len(courses) == 10


def test_windows_of_a_protocol_give_whole_minutes():
    protocol = load_protocol("lepore_1993")
    names = [phase.name for phase in protocol.phases]
    lengths = [phase.duration_s for phase in protocol.phases]
    events = pd.DataFrame({"label": names, "duration": lengths, "kind": "phase"})
    events["onset"] = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    windows = derive_windows(events, protocol)
    sliding = windows[windows["kind"] == "sliding"]
    features = sliding.assign(session="p01", feature="BP_SBP_Mean", value=120.0)
    courses = feature_courses(features, windows)
    counted = courses.groupby("window", sort=False).size()
    assert counted.to_dict() == {"baseline": 10, "preparation": 3, "speech": 6, "recovery": 10}
    assert courses["role"].unique().tolist() == ["baseline", "preparation", "task", "recovery"]
    assert (courses["since_s"] % 60 == 30).all()


def test_only_features_of_a_minute_and_points_with_a_value():
    table = pd.concat(
        [
            pieces([0, 60, 120]),
            pieces([0, 60, 120], name="HRV_RMSSD").assign(value=[40, np.nan, 30]),
            pieces([0, 60, 120], name="HRV_LFHF"),
            pieces([0, 60, 120], name="HRV_SDNN"),
            pieces([0, 60, 120], name="CUFF_SBP_Mean"),
        ]
    )
    courses = feature_courses(table, phases(("speech", 0, 180)))
    assert courses.groupby("feature", sort=False).size().to_dict() == {
        "ECG_Rate_Mean": 3,
        "HRV_RMSSD": 2,
    }
    assert courses.loc[courses["feature"] == "HRV_RMSSD", "since_s"].tolist() == [30, 150]


def test_other_features_and_kinds_can_be_asked_for():
    table = pieces([0, 60, 120], name="HRV_SDNN")
    windows = phases(("speech", 0, 180), ("speech_last_120s", 60, 120))
    windows["kind"] = ["phase", "phase_last"]
    courses = feature_courses(table, windows, names=["HRV_SDNN"], kinds=["phase_last"])
    assert courses["window"].tolist() == ["speech_last_120s"] * 2
    assert courses["since_s"].tolist() == [30, 90]


def test_cuff_readings_are_points_of_the_windows_they_lie_in():
    windows = phases(("baseline", 0, 100), ("speech", 100, 100))
    cuff = readings((20, 118, 76), (99, 121, 80), (100, 138, 90), (250, 130, 80), (150, 300, 80))
    cuff["valid"] = [True, True, True, True, False]
    cuff["MAP"] = [90.0, np.nan, 0.0, 90.0, 90.0]
    cuff["HR"] = [70.0, np.nan, 90.0, 70.0, 70.0]
    courses = feature_courses(pieces([]), windows.assign(session="p01"))
    assert courses.empty
    features = pieces([0])
    courses = feature_courses(features, windows, cuff=cuff).query("source == 'cuff'")
    wide = courses.pivot(index="time_s", columns="feature", values="value")
    assert wide.index.tolist() == [20, 99, 100]
    assert wide["CUFF_SBP_Mean"].tolist() == [118, 121, 138]
    assert wide["CUFF_PP_Mean"].tolist() == [42, 41, 48]
    assert wide["CUFF_MAP_Mean"].tolist() == pytest.approx([90, 281 / 3, 106])
    assert wide.loc[[20, 100], "CUFF_RPP_Mean"].tolist() == [118 * 70, 138 * 90]
    assert np.isnan(wide.loc[99, ["CUFF_HR_Mean", "CUFF_RPP_Mean"]].astype(float)).all()
    sbp = courses[courses["feature"] == "CUFF_SBP_Mean"]
    assert sbp["window"].tolist() == ["baseline", "baseline", "speech"]
    assert sbp["since_s"].tolist() == [20, 99, 0]
    assert set(sbp["unit"]) == {"mmHg"}
    assert (sbp["duration_s"] == 0).all()


def test_the_mean_of_the_course_is_the_phase_feature():
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0, 600, 12))
    sbp, dbp = rng.uniform(110, 150, 12), rng.uniform(60, 90, 12)
    cuff = readings(*zip(times, sbp, dbp, strict=True), HR=rng.uniform(60, 90, 12))
    wide = cuff_pressure(cuff, [[0, 300], [300, 600]])
    courses = feature_courses(pieces([]), phases(("a", 0, 300), ("b", 300, 300)), cuff=cuff)
    means = courses.groupby(["feature", "window"])["value"].mean()
    for name in ("SBP", "DBP", "MAP", "PP", "HR", "RPP"):
        expected = wide[f"CUFF_{name}_Mean"].tolist()
        assert means[f"CUFF_{name}_Mean"].tolist() == pytest.approx(expected)


def test_a_session_without_phases_has_no_courses():
    courses = feature_courses(
        pieces([]), phases(("a", 0, 10))[:0], cuff=readings((1, 120, 80), (2, 130, 80))
    )
    assert courses.empty
    assert tuple(courses.columns) == COURSE_COLUMNS


def test_a_discarded_first_reading_comes_as_not_valid():
    cuff = readings((10, 150, 80), (100, 121, 80), (200, 119, 80), (290, 122, 80))
    cuff["valid"] = [False, True, True, True]
    courses = feature_courses(pieces([0]), phases(("baseline", 0, 300)), cuff=cuff)
    sbp = courses[courses["feature"] == "CUFF_SBP_Mean"]
    assert sbp["value"].tolist() == [121, 119, 122]


def test_sessions_below_each_other_and_who_they_are():
    one = pieces([0, 60], participant="P1", condition="alone")
    two = pieces([0, 60], participant="P2", condition="support", session="p02")
    windows = pd.concat(
        [phases(("speech", 0, 120), session="p01"), phases(("speech", 60, 60), session="p02")]
    )
    cuff = pd.concat(
        [readings((30, 120, 80), session="p01"), readings((70, 130, 80), session="p02")]
    )
    together = feature_courses(pd.concat([one, two]), windows, cuff=cuff)
    apart = [
        feature_courses(
            table,
            windows[windows["session"] == name].drop(columns="session"),
            cuff=cuff[cuff["session"] == name].drop(columns="session"),
        )
        for name, table in (("p01", one), ("p02", two))
    ]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True))
    assert together.loc[together["session"] == "p02", "condition"].unique().tolist() == ["support"]


def test_input_is_not_changed_and_its_order_does_not_matter():
    table = pd.concat(
        [pieces(np.arange(0, 300, 10)), pieces(np.arange(0, 300, 10), name="SCR_Rate")]
    )
    windows, cuff = phases(("speech", 0, 300)), readings((10, 120, 80), (50, 130, 80))
    before = table.copy(deep=True), windows.copy(deep=True), cuff.copy(deep=True)
    courses = feature_courses(table, windows, cuff=cuff)
    for now, then in zip((table, windows, cuff), before, strict=True):
        pd.testing.assert_frame_equal(now, then)
    shuffled = feature_courses(
        table.sample(frac=1, random_state=3), windows, cuff=cuff.sample(frac=1, random_state=3)
    )
    pd.testing.assert_frame_equal(courses, shuffled)


def test_courses_and_scores_join_on_the_feature():
    table = pd.concat(
        [
            pieces([0, 60], name="BP_SBP_Mean").assign(value=[150.0, 140.0]),
            pd.DataFrame(
                {
                    "session": "p01",
                    "window": ["baseline", "speech"],
                    "kind": "phase",
                    "onset": [-60.0, 0.0],
                    "duration": [60.0, 120.0],
                    "feature": "BP_SBP_Mean",
                    "value": [120.0, 145.0],
                    "quality": 1.0,
                }
            ),
        ]
    )
    courses = feature_courses(table, phases(("baseline", -60, 60), ("speech", 0, 120)))
    row = reactivity_scores(table[table["kind"] == "phase"], courses=courses).iloc[0]
    assert (row["delta"], row["peak"], row["trough"]) == (25, 30, 20)
    assert (row["time_to_peak_s"], row["course_n"], row["course_s"]) == (30, 2, 120)


BAD_PIECE = pieces([0, 60]).assign(duration=[60.0, 0.0])


@pytest.mark.parametrize(
    ("features", "windows", "cuff", "said"),
    [
        (pieces([0]).to_numpy(), phases(("a", 0, 60)), None, "DataFrame"),
        (pieces([0]).drop(columns="onset"), phases(("a", 0, 60)), None, "'onset'"),
        (pieces([0]), phases(("a", 0, 60)).drop(columns="kind"), None, "windows lack"),
        (pieces([0]).assign(value="x"), phases(("a", 0, 60)), None, "'value' is not numeric"),
        (BAD_PIECE, phases(("a", 0, 60)), None, "w_slide_001.*duration 0 s"),
        (pieces([np.nan]), phases(("a", 0, 60)), None, "onset nan"),
        (pieces([0]), phases(("a", 0, np.inf)), None, "duration inf"),
        (pieces([0]), phases(("a", 0, 60), ("a", 60, 60)), None, "'a' twice"),
        (pd.concat([pieces([0]), pieces([0])]), phases(("a", 0, 60)), None, "twice"),
        (pieces([0]), phases(("a", 0, 60), session="p09"), None, "windows hold no such"),
        (
            pd.concat([pieces([0]), pieces([0], session="p02")]),
            phases(("a", 0, 60)),
            None,
            "lack the column 'session'",
        ),
        (pieces([0]), phases(("a", 0, 60)), readings((1, 2, 3)).drop(columns="valid"), "'valid'"),
        (pieces([0]), phases(("a", 0, 60)), readings((1, 2, 3), valid="maybe"), "true and false"),
        (pieces([0]), phases(("a", 0, 60)), readings((1, 2, 3)).assign(valid=[[1]]), "true and"),
        (pieces([0]).assign(window=[[1]]), phases(("a", 0, 60)), None, "'window' holds a value"),
        (pieces([0]), phases(("a", 0, 60)), readings((1, 2, 3), session="p7"), "no such session"),
        (pieces([0]), phases(("a", 0, 60)), readings(("soon", 2, 3)), "'time_s' is not numeric"),
    ],
)
def test_wrong_tables_are_one_clear_line(features, windows, cuff, said):
    with pytest.raises(SignalError, match=said) as caught:
        feature_courses(features, windows, cuff=cuff)
    assert "\n" not in str(caught.value)


def slow_course(onsets, length, start, duration):
    """Onsets of the pieces taken, one after the other."""
    taken, free = [], -np.inf
    for onset in sorted(onsets):
        inside = onset >= start - 1e-6 and onset + length <= start + duration + 1e-6
        if inside and onset >= free - 1e-6:
            taken.append(onset)
            free = onset + length
    return taken


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 400), unique=True, max_size=40),
    st.sampled_from([7, 21, 60]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_pieces_agree_with_a_plain_loop(onsets, length, spans, random):
    random.shuffle(onsets)
    windows = phases(*[(f"p{k}", *span) for k, span in enumerate(spans)], session="p01")
    courses = feature_courses(pieces(onsets, length=float(length)), windows)
    for row in windows.itertuples():
        found = courses.loc[courses["window"] == row.window, "time_s"] - length / 2
        assert found.tolist() == slow_course(onsets, length, row.onset, row.duration)


def test_sessions_that_are_numbers_survive_a_csv_file(tmp_path):
    features = pd.concat(
        [
            pieces([0, 60, 120], name="BP_SBP_Mean", session=101, participant=7),
            pieces([300], name="BP_SBP_Mean", session=101).assign(window="baseline", kind="phase"),
            pieces([0], name="BP_SBP_Mean", session=101).assign(window="speech", kind="phase"),
        ]
    )
    features.to_csv(tmp_path / "features.csv", index=False)
    features = pd.read_csv(tmp_path / "features.csv")
    courses = feature_courses(features, phases(("speech", 0, 180)), cuff=readings((5, 120, 80)))
    assert set(courses["session"]) == {101}
    assert set(courses["participant"]) == {7}
    courses.to_csv(tmp_path / "courses.csv", index=False)
    whole = features[features["kind"] == "phase"]
    scores = reactivity_scores(whole, courses=pd.read_csv(tmp_path / "courses.csv"))
    assert scores["course_n"].tolist() == [3]
    pd.testing.assert_frame_equal(scores, reactivity_scores(whole, courses=courses))


def test_empty_courses_leave_every_score_with_a_reason():
    features = pieces([0, 60]).assign(kind="phase", window=["baseline", "speech"])
    courses = feature_courses(features, phases(("speech", 60, 60)))
    assert courses.empty
    row = reactivity_scores(features, courses=courses).iloc[0]
    assert (row["delta"], row["course_n"], row["course_s"]) == (60, 0, 0)
    assert row["reason"] == "no course in this window"
    nothing = reactivity_scores(features[:0], courses=courses)
    assert nothing.empty
