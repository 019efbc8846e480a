"""Studies at the level of features: what is planted is what comes out, option by option."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import ConfigError, SignalError
from physio_hqc.reactivity import reactivity_scores
from physio_hqc.simulate import ConditionEffect, FeatureStudy, PhaseChange, simulate_feature_study

SBP = "CUFF_SBP_Mean"
TERMS = ("support - nonsupport", "alone - nonsupport", "support - alone")
MANY = 3000


def deltas(study: FeatureStudy, feature: str = SBP) -> pd.DataFrame:
    wanted = study.features["feature"].isin([feature, "CUFF_N"])
    scores = reactivity_scores(study.features[wanted])
    return scores.merge(study.participants[["id", "sex"]], left_on="participant", right_on="id")


def means(study: FeatureStudy, window: str, feature: str = SBP) -> pd.Series:
    table = deltas(study, feature)
    return table[table["window"] == window].groupby("condition")["delta"].mean()


@pytest.fixture(scope="module")
def large() -> FeatureStudy:
    return simulate_feature_study(MANY, seed=5, courses=False)


class TestTables:
    def test_columns_are_those_of_processed_sessions(self) -> None:
        study = simulate_feature_study(2, seed=1)
        assert list(study.features) == [
            *("session", "participant", "condition", "window", "kind", "onset", "duration"),
            *("feature", "value", "unit", "quality", "reason"),
        ]
        assert list(study.courses) == [
            *("session", "participant", "condition", "window", "kind", "role", "feature"),
            *("time_s", "since_s", "duration_s", "value", "unit", "quality", "source"),
        ]
        assert set(study.windows["role"]) == {"baseline", "preparation", "task", "recovery"}
        assert list(study.participants) == ["id", "sex", "age", "condition", "session"]

    def test_units_are_those_of_the_catalog(self) -> None:
        from physio_hqc.features.catalog import FEATURES

        table = simulate_feature_study(1, seed=1).features.drop_duplicates("feature")
        assert dict(zip(table["feature"], table["unit"], strict=True)) == {
            name: FEATURES[name].unit for name in table["feature"]
        }

    def test_a_phase_is_the_mean_of_its_readings(self) -> None:
        study = simulate_feature_study(3, seed=2, missing_readings=0.3)
        keys = ["session", "window", "feature"]
        course = study.courses.groupby(keys)["value"].mean()
        phases = study.features[study.features["feature"] != "CUFF_N"].set_index(keys)["value"]
        both = pd.concat([course.rename("a"), phases.rename("b")], axis=1)
        np.testing.assert_allclose(both["a"], both["b"])
        readings = study.cuff[study.cuff["valid"]].groupby(["session", "window"]).size()
        count = study.features[study.features["feature"] == "CUFF_N"]
        count = count.set_index(["session", "window"])["value"]
        assert readings.reindex(count.index).fillna(0).tolist() == count.tolist()

    def test_readings_come_when_the_protocol_says(self) -> None:
        study = simulate_feature_study(1, seed=1)
        speech = study.cuff[(study.cuff["participant"] == "P001")].query("window == 'speech'")
        assert speech["time_s"].tolist() == [810.0, 900.0, 990.0, 1080.0]
        assert (study.courses.query("source == 'sliding'")["since_s"] % 60 == 30).all()

    def test_derived_pressures_follow_from_the_readings(self) -> None:
        cuff = simulate_feature_study(2, seed=3).cuff
        np.testing.assert_allclose(cuff["MAP"], (cuff["SBP"] + 2 * cuff["DBP"]) / 3)
        study = simulate_feature_study(2, seed=3)
        wide = study.features.pivot_table(
            index=["session", "window"], columns="feature", values="value"
        )
        np.testing.assert_allclose(
            wide["CUFF_PP_Mean"], wide["CUFF_SBP_Mean"] - wide["CUFF_DBP_Mean"]
        )
        product = cuff.assign(rpp=cuff["SBP"] * cuff["HR"]).groupby(["session", "window"])["rpp"]
        np.testing.assert_allclose(wide["CUFF_RPP_Mean"], product.mean().reindex(wide.index))

    def test_nothing_is_missing_without_a_reason(self) -> None:
        study = simulate_feature_study(20, seed=4, missing_readings=0.6)
        gone = study.features["value"].isna()
        assert gone.any()
        assert (gone == (study.features["reason"] != "")).all()
        assert set(study.features.loc[gone, "reason"]) == {
            "no valid cuff reading",
            "no valid minute",
        }

    def test_same_seed_same_study_and_options_leave_the_others_alone(self) -> None:
        one = simulate_feature_study(5, seed=9)
        pd.testing.assert_frame_equal(one.features, simulate_feature_study(5, seed=9).features)
        assert not one.features.equals(simulate_feature_study(5, seed=10).features)
        fewer = simulate_feature_study(5, seed=9, measures=["sbp"]).features
        same = one.features[one.features["feature"].isin(fewer["feature"])]
        pd.testing.assert_frame_equal(fewer, same.reset_index(drop=True))
        holes = simulate_feature_study(5, seed=9, missing_readings=0.2).courses
        kept = one.courses.merge(holes, on=["session", "feature", "time_s"], suffixes=("", "_h"))
        assert len(kept) < len(one.courses)
        assert (kept["value"] == kept["value_h"]).all()

    def test_it_takes_milliseconds(self) -> None:
        simulate_feature_study(30, seed=1)
        start = time.process_time()
        for seed in range(5):
            simulate_feature_study(30, seed=seed)
        assert (time.process_time() - start) / 5 < 0.25


class TestTruth:
    @pytest.mark.parametrize("window", ["preparation", "speech", "recovery"])
    @pytest.mark.parametrize(
        "feature", [SBP, "CUFF_HR_Mean", "EDA_Tonic_Mean", "HRV_RMSSD", "HRV_lnRMSSD"]
    )
    def test_means_are_the_planted_ones(
        self, large: FeatureStudy, window: str, feature: str
    ) -> None:
        table = deltas(large, feature)
        table = table[table["window"] == window]
        for condition, planted in large.truth["changes"][feature][window].items():
            part = table.loc[table["condition"] == condition, "delta"]
            assert abs(part.mean() - planted) < 4 * part.std() / np.sqrt(len(part))

    def test_default_contrasts_are_those_of_the_default_effects(self, large: FeatureStudy) -> None:
        contrasts = large.truth["contrasts"]
        assert contrasts[SBP]["speech"] == dict(zip(TERMS, (-14.0, -8.0, -6.0), strict=True))
        assert contrasts["CUFF_DBP_Mean"]["preparation"]["support - alone"] == -2.0
        # 0.5, 0.65 and 0.8 of 41 ms.
        assert contrasts["HRV_RMSSD"]["speech"]["support - nonsupport"] == pytest.approx(0.3 * 41)
        assert contrasts["HRV_lnRMSSD"]["speech"]["support - nonsupport"] == pytest.approx(
            np.log(0.8 / 0.5)
        )
        assert contrasts["CUFF_MAP_Mean"]["speech"]["support - nonsupport"] == pytest.approx(
            (-14 + 2 * -9) / 3
        )

    def test_recovery_falls_from_the_task_to_what_was_planted(self, large: FeatureStudy) -> None:
        # Six readings after 60, 150, ... 510 s: what 26 mmHg leave above 3 with 90 s.
        since = np.array([60, 150, 240, 330, 420, 510])
        expected = np.mean(3 + (26 - 3) * np.exp(-since / 90.0))
        planted = large.truth["changes"][SBP]["recovery"]["nonsupport"]
        assert planted == pytest.approx(expected)

    def test_people_differ_as_they_should(self, large: FeatureStudy) -> None:
        rest = large.features.query("feature == @SBP and window == 'baseline'")
        # 11 mmHg between people, and a quarter of the variance of one reading's error.
        assert rest["value"].std() == pytest.approx(np.hypot(11.0, 4.5 / 2), rel=0.02)
        table = deltas(large).query("window == 'speech' and condition == 'alone'")
        own = table.groupby("sex")["delta"]
        # Reactivity 8, phase 2, and two means of four readings with an error of 4.5.
        sd = np.sqrt(8**2 + 2**2 + 2 * 4.5**2 / 4)
        assert own.std().to_numpy() == pytest.approx([sd, sd], rel=0.04)
        assert own.mean()["male"] - own.mean()["female"] == pytest.approx(4.0, abs=0.8)

    def test_residual_sd_and_reliability_are_those_of_an_ancova(self, large: FeatureStudy) -> None:
        table = deltas(large).query("window == 'speech' and condition == 'alone'")
        design = np.column_stack(
            [np.ones(len(table)), table["baseline"], table["sex"] == "male"]
        ).astype(float)
        coefficients, squares, *_ = np.linalg.lstsq(design, table["value"], rcond=None)
        assert coefficients[1] == pytest.approx(large.truth["reliability"][SBP], abs=0.03)
        sd = large.truth["residual_sd"][SBP]["speech"]["alone"]
        assert np.sqrt(squares[0] / (len(table) - 3)) == pytest.approx(sd, rel=0.03)

    def test_drawn_means_are_those_of_the_people_without_error(self) -> None:
        options: dict[str, Any] = {"seed": 6, "missing_share": 0.2}
        exact = {"error_sd": {"sbp": 0.0}}
        study = simulate_feature_study(20, laws=exact, **options)
        found = means(study, "speech")
        for condition, drawn in study.truth["drawn_changes"][SBP]["speech"].items():
            assert found[condition] == pytest.approx(drawn)
        noisy = simulate_feature_study(20, **options)
        assert noisy.truth["drawn_changes"][SBP] == study.truth["drawn_changes"][SBP]


class TestOptions:
    def test_effects_by_name_and_by_condition(self) -> None:
        none = simulate_feature_study(2, effects="none").truth["contrasts"]
        assert all(
            value == 0 for by in none.values() for row in by.values() for value in row.values()
        )
        reverse = simulate_feature_study(2, effects="reverse").truth["contrasts"][SBP]["speech"]
        assert reverse["support - nonsupport"] == 14.0
        own = {"support": ConditionEffect(task=PhaseChange(sbp=5.0))}
        changes = simulate_feature_study(2, effects=own).truth["changes"][SBP]["speech"]
        assert changes == {"alone": 18.0, "support": 5.0, "nonsupport": 26.0}

    def test_cells_may_be_unequal_and_sessions_missing(self) -> None:
        study = simulate_feature_study(
            {"alone": 20, "support": 30, "nonsupport": 40}, seed=1, missing_share=0.1
        )
        counts = study.participants["condition"].value_counts()
        assert counts.to_dict() == {"alone": 20, "support": 30, "nonsupport": 40}
        absent = study.participants["session"] == ""
        assert absent.sum() == 9
        assert set(study.features["session"]) == set(study.participants.loc[~absent, "session"])
        by_sex = study.participants.groupby("condition")["sex"].value_counts()
        assert (by_sex.loc["alone"] == 10).all()

    def test_a_tenth_of_the_readings_can_be_missing(self) -> None:
        study = simulate_feature_study(300, seed=2, missing_readings=0.1)
        assert study.cuff["SBP"].isna().mean() == pytest.approx(0.1, abs=0.01)
        assert (study.cuff["reason"] != "").equals(study.cuff["SBP"].isna())

    def test_spread_of_a_condition(self) -> None:
        study = simulate_feature_study(
            MANY, seed=3, sd_ratio={"alone": 2.0}, measures=["sbp"], courses=False
        )
        sd = study.truth["residual_sd"][SBP]["speech"]
        own = deltas(study).query("window == 'speech'").groupby(["condition", "sex"])["delta"].std()
        rest_error = 4.5**2 / 4
        assert own["alone"].mean() == pytest.approx(
            np.sqrt(4 * (8**2 + 2**2 + rest_error) + rest_error), rel=0.03
        )
        assert sd["alone"] / sd["support"] == pytest.approx(1.95, abs=0.03)
        rest = study.features.query("feature == @SBP and window == 'baseline'")
        spread = rest.groupby("condition")["value"].std()
        assert spread["alone"] == pytest.approx(spread["support"], rel=0.04)

    def test_logarithms_vary_as_planted_too(self) -> None:
        study = simulate_feature_study(
            MANY, seed=12, sd_ratio={"alone": 2.0}, measures=["rmssd"], courses=False
        )
        for feature in ("HRV_RMSSD", "HRV_lnRMSSD"):
            table = deltas(study, feature).query("window == 'speech'")
            for condition, planted in study.truth["changes"][feature]["speech"].items():
                part = table.loc[table["condition"] == condition, "delta"]
                assert abs(part.mean() - planted) < 4 * part.std() / np.sqrt(len(part))

    def test_a_true_difference_at_rest(self) -> None:
        study = simulate_feature_study(MANY, seed=4, resting_shift={"nonsupport": 6.0})
        rest = study.features.query("window == 'baseline'").groupby(["feature", "condition"])[
            "value"
        ]
        gap = rest.mean().unstack()
        gap = gap["nonsupport"] - gap["alone"]
        assert gap[SBP] == pytest.approx(6.0, abs=1.0)
        assert gap["CUFF_DBP_Mean"] == pytest.approx(2.7, abs=0.7)
        # The change of these people is what it would be without it; an ANCOVA sees a little more.
        truth = study.truth
        assert truth["contrasts"][SBP]["speech"]["alone - nonsupport"] == -8.0
        left = (1 - truth["reliability"][SBP]) * 6.0
        assert truth["ancova_contrasts"][SBP]["speech"]["alone - nonsupport"] == pytest.approx(
            -8.0 - left
        )

    def test_a_difference_at_rest_by_chance_is_taken_out_by_an_ancova(self) -> None:
        study = simulate_feature_study(
            MANY,
            seed=7,
            effects="none",
            imbalance={"support": 6.0},
            measures=["sbp"],
            courses=False,
        )
        table = deltas(study).query("window == 'speech' and condition != 'nonsupport'")
        is_support = (table["condition"] == "support").to_numpy(float)
        assert table["baseline"].corr(pd.Series(is_support, index=table.index)) > 0.2
        columns = [np.ones(len(table)), is_support, table["baseline"], table["sex"] == "male"]
        design = np.column_stack(columns).astype(float)
        adjusted = np.linalg.lstsq(design, table["value"], rcond=None)[0][1]
        by_change = table.groupby("condition")["delta"].mean()
        se = 2 * 9 / np.sqrt(MANY)
        assert abs(adjusted) < 2 * se
        # The errors of the baseline regress: the change score takes them for an effect.
        expected = -(1 - study.truth["reliability"][SBP]) * 6.0
        assert by_change["support"] - by_change["alone"] == pytest.approx(expected, abs=2 * se)

    def test_reactivity_can_depend_on_the_resting_level(self) -> None:
        study = simulate_feature_study(
            MANY, seed=8, initial_value=0.4, measures=["sbp"], courses=False
        )
        table = deltas(study).query("window == 'speech' and condition == 'alone' and sex == 'male'")
        slope = np.polyfit(table["baseline"], table["value"], 1)[0]
        assert slope == pytest.approx(1.4 * study.truth["reliability"][SBP], abs=0.05)
        assert table["delta"].mean() == pytest.approx(18 + 2 + 0.4 * 4, abs=0.8)

    def test_tails_and_sex_interaction(self) -> None:
        from scipy import stats

        study = simulate_feature_study(
            MANY,
            seed=9,
            tails=5.0,
            sex_interaction={"support": 6.0},
            measures=["sbp"],
            courses=False,
        )
        table = deltas(study).query("window == 'speech'")
        gap = table.groupby(["condition", "sex"])["delta"].mean().unstack()
        gap = gap["male"] - gap["female"]
        assert gap["support"] == pytest.approx(10.0, abs=1.0)
        assert gap["alone"] == pytest.approx(4.0, abs=1.0)
        within = table["delta"] - table.groupby(["condition", "sex"])["delta"].transform("mean")
        assert within.std() == pytest.approx(np.sqrt(8**2 + 2**2 + 2 * 4.5**2 / 4), rel=0.05)
        assert stats.kurtosis(within) > 0.7

    def test_two_conditions_of_another_protocol(self) -> None:
        study = simulate_feature_study(3, protocol="tsst", seed=1)
        assert set(study.participants["condition"]) == {"stress", "control"}
        window = next(iter(study.truth["contrasts"][SBP]))
        assert len(study.truth["contrasts"][SBP][window]) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_per_condition": 0}, SignalError, "somebody must take part"),
        ({"n_per_condition": {"suport": 3}}, SignalError, "did you mean 'support'"),
        ({"effects": "lepor"}, ConfigError, "lepore"),
        ({"effects": {"x": ConditionEffect()}}, SignalError, "no condition"),
        ({"measures": ["sbpp"]}, SignalError, "did you mean 'sbp'"),
        ({"measures": []}, SignalError, "at least one"),
        ({"sd_ratio": {"alone": -1.0}}, SignalError, "makes no sense"),
        ({"resting_shift": {"alon": 1.0}}, SignalError, "did you mean 'alone'"),
        ({"missing_readings": 1.2}, SignalError, "between 0 and 1"),
        ({"missing_share": -0.1}, SignalError, "between 0 and 1"),
        ({"tails": 2.0}, SignalError, "above 2"),
        ({"laws": {"rest_sdd": {"sbp": 1.0}}}, SignalError, "did you mean 'rest_sd'"),
        ({"laws": {"rest_sd": {"sbp": -1.0}}}, SignalError, "makes no sense"),
        ({"laws": {"rest_sd": {"spb": 1.0}}}, SignalError, "did you mean 'sbp'"),
        ({"seed": -1}, SignalError, "seed"),
        ({"conditions": "alone"}, SignalError, "list of different names"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        simulate_feature_study(**options)
