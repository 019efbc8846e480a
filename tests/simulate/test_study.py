"""Simulated studies: who takes part, and that each session is its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from physio_hqc import open_session
from physio_hqc.cli.main import run
from physio_hqc.errors import ConfigError, OutputError, SessionFileError, SignalError
from physio_hqc.protocol import derive_windows
from physio_hqc.simulate import (
    EFFECTS,
    ConditionEffect,
    PhaseChange,
    SimulatedStudy,
    load_effects,
    load_study_truth,
    load_truth,
    simulate_study,
)

OPTIONS = {"time_scale": 0.02, "streams": ("ecg", "cuff")}
SEED_11 = [
    ("support", "male", "25.0677"),
    ("alone", "male", "21.9295"),
    ("nonsupport", "male", "19.0823"),
    ("nonsupport", "female", "24.6149"),
    ("support", "female", "25.1105"),
    ("alone", "female", "19.6922"),
]


def _table(study: SimulatedStudy) -> list[dict[str, str]]:
    with study.participants_csv.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_order_and_sexes_are_balanced(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    study = simulate_study(
        tmp_path, 4, seed=1, progress=lambda *a: calls.append((a[0], a[1], a[2].name)), **OPTIONS
    )
    rows = _table(study)
    assert [row["id"] for row in rows] == [f"P{k:03d}" for k in range(1, 13)]
    for block in range(4):
        conditions = {row["condition"] for row in rows[3 * block : 3 * block + 3]}
        assert conditions == {"alone", "support", "nonsupport"}
    for condition in ("alone", "support", "nonsupport"):
        sexes = [row["sex"] for row in rows if row["condition"] == condition]
        assert sexes.count("female") == sexes.count("male") == 2
    assert calls == [(k, 12, f"P{k:03d}.h5") for k in range(1, 13)]


def test_table_files_and_truth_agree(tmp_path: Path) -> None:
    study = simulate_study(tmp_path, 1, seed=2, **OPTIONS)
    for row, simulated in zip(_table(study), study.sessions, strict=True):
        assert simulated.path == tmp_path / row["session"]
        truth = load_truth(simulated.path)
        with open_session(simulated.path) as session:
            assert session.participant_id == truth.participant_id == row["id"]
            assert session.condition == truth.condition == row["condition"]
        assert truth.person.sex == row["sex"]
        assert truth.person.age == float(row["age"])
    assert len({simulated.truth.seed for simulated in study.sessions}) == 3


def test_processes_change_nothing(tmp_path: Path) -> None:
    alone = simulate_study(tmp_path / "one", 1, seed=5, **OPTIONS)
    many = simulate_study(tmp_path / "two", 1, seed=5, jobs=2, **OPTIONS)
    assert alone.participants_csv.read_bytes() == many.participants_csv.read_bytes()
    for left, right in zip(alone.sessions, many.sessions, strict=True):
        assert left.truth_path.read_bytes() == right.truth_path.read_bytes()
        with open_session(left.path) as a, open_session(right.path) as b:
            assert a.session_id == b.session_id
            np.testing.assert_array_equal(a.streams["ecg"].samples, b.streams["ecg"].samples)


def test_unequal_cells_missing_and_poor_sessions(tmp_path: Path) -> None:
    study = simulate_study(
        tmp_path,
        {"support": 4, "alone": 1},
        seed=3,
        conditions=("support", "alone"),
        missing_share=0.4,
        poor_share=1.0,
        **OPTIONS,
    )
    rows = _table(study)
    assert [row["condition"] for row in rows].count("support") == 4
    assert sum(row["session"] == "" for row in rows) == 2
    assert len(study.sessions) == 3
    for row in rows:
        assert bool(row["session"]) == (tmp_path / f"{row['id']}.h5").exists()
    assert any(len(simulated.truth.artifact_kind) for simulated in study.sessions)


def test_effects_can_be_replaced(tmp_path: Path) -> None:
    none = {name: ConditionEffect() for name in ("alone", "support", "nonsupport")}
    study = simulate_study(tmp_path, 1, effects=none, **OPTIONS)
    assert all(simulated.truth.effect == ConditionEffect() for simulated in study.sessions)


def test_sex_effect_moves_reactivity(tmp_path: Path) -> None:
    small = simulate_study(tmp_path / "a", 2, seed=1, sex_effect=0.0, **OPTIONS)
    large = simulate_study(tmp_path / "b", 2, seed=1, sex_effect=20.0, **OPTIONS)
    for left, right in zip(small.sessions, large.sessions, strict=True):
        sign = 1.0 if left.truth.person.sex == "male" else -1.0
        moved = right.truth.person.sbp_reactivity - left.truth.person.sbp_reactivity
        assert moved == pytest.approx(sign * 10.0, abs=1e-3)


class TestEffects:
    def test_the_shipped_file_holds_the_defaults(self) -> None:
        names = ("alone", "support", "nonsupport")
        assert load_effects("lepore", names) == {name: EFFECTS[name] for name in names}

    def test_none_makes_everybody_react_as_alone(self) -> None:
        found = load_effects("none", ["stress", "control"])
        assert found == {"stress": EFFECTS["alone"], "control": EFFECTS["alone"]}

    def test_reverse_turns_the_order_around(self) -> None:
        found = load_effects("reverse", ["alone", "support", "nonsupport"])
        assert found["support"] == EFFECTS["nonsupport"]
        assert found["nonsupport"] == EFFECTS["support"]

    def test_a_file_of_ones_own(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(
            "name: mine\nconditions:\n  support: {task: {sbp: 5, hr: 2}, recovery_s: 30}\n"
            "others: {task: {sbp: 9}}\n"
        )
        found = load_effects(path, ["alone", "support"])
        assert found["support"].task == PhaseChange(sbp=5.0, hr=2.0)
        assert found["support"].recovery_s == 30.0
        assert found["alone"].task.sbp == 9.0

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: x\nconditions:\n  alone: {tasks: {sbp: 5}}\n", "task"),
            ("name: x\nconditions:\n  alone: {task: {sbp: high}}\n", "sbp"),
            ("name: x\nconditions:\n  alone: {task: {rmssd_ratio: 0}}\n", "rmssd_ratio"),
            ("name: x\nconditions:\n  alone: {task: {sbp: 5}}\n", "no effect of 'support'"),
            ("name: x\nconditions:\n  suport: {}\nothers: {}\n", "'suport' is no condition"),
        ],
    )
    def test_a_wrong_file_is_one_clear_error(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            load_effects(path, ["alone", "support"])
        assert "\n" not in str(caught.value)
        assert "mine.yaml" in str(caught.value)


class TestPeople:
    def test_sex_and_rest_move_only_whom_they_should(self, tmp_path: Path) -> None:
        plain = simulate_study(tmp_path / "a", 2, seed=1, **OPTIONS)
        moved = simulate_study(
            tmp_path / "b",
            2,
            seed=1,
            sex_resting=14.0,
            sex_interaction={"support": 10.0},
            resting_shift={"nonsupport": 5.0},
            **OPTIONS,
        )
        for left, right in zip(plain.sessions, moved.sessions, strict=True):
            one, two = left.truth.person, right.truth.person
            side = 0.5 if one.sex == "male" else -0.5
            shift = 6.0 * side + 5.0 * (left.truth.condition == "nonsupport")
            assert two.sbp - one.sbp == pytest.approx(shift, abs=1e-3)
            assert two.dbp - one.dbp == pytest.approx(0.45 * shift, abs=1e-3)
            extra = 10.0 * side * (left.truth.condition == "support")
            assert two.sbp_reactivity - one.sbp_reactivity == pytest.approx(extra, abs=1e-3)
            assert (one.hr, one.rmssd, one.age) == (two.hr, two.rmssd, two.age)

    def test_options_beside_the_sessions_leave_them_alone(self, tmp_path: Path) -> None:
        plain = simulate_study(tmp_path / "a", 1, seed=1, **OPTIONS)
        other = simulate_study(
            tmp_path / "b",
            1,
            seed=1,
            rating_effect=3.0,
            rating_missing=0.5,
            laboratory=True,
            effects="lepore",
            **OPTIONS,
        )
        for left, right in zip(plain.sessions, other.sessions, strict=True):
            assert left.truth_path.read_bytes() == right.truth_path.read_bytes()
        assert "hba1c" in pd.read_csv(other.participants_csv)
        assert plain.ratings_csv.read_bytes() != other.ratings_csv.read_bytes()

    def test_the_sessions_of_a_seed_stay_what_they_were(self, tmp_path: Path) -> None:
        # Drawn before effects, ratings and covariates existed.
        study = simulate_study(tmp_path, 2, seed=11, **OPTIONS)
        rows = _table(study)
        assert [(row["condition"], row["sex"], row["age"]) for row in rows] == SEED_11

    def test_dyads_are_pairs_of_one_condition(self, tmp_path: Path) -> None:
        study = simulate_study(
            tmp_path, 3, protocol="dyad_conversation", dyads=True, time_scale=0.02, streams=["ecg"]
        )
        table = pd.read_csv(study.participants_csv, keep_default_na=False)
        pairs = table[table["dyad"] != ""].groupby("dyad")
        assert len(pairs) == 2
        assert (pairs["condition"].nunique() == 1).all()
        assert (table["dyad"] == "").sum() == 2
        for row in table[table["dyad"] != ""].itertuples():
            with open_session(tmp_path / row.session) as session:
                assert (session.dyad_id, session.role) in {(row.dyad, "A"), (row.dyad, "B")}


class TestRatings:
    def test_items_are_those_of_the_shipped_scale(self, tmp_path: Path) -> None:
        from physio_hqc.study import load_ratings, load_scale, score_scale

        study = simulate_study(tmp_path, 2, seed=1, missing_share=0.2, **OPTIONS)
        scale = load_scale("hqc")
        table = pd.read_csv(study.ratings_csv)
        assert list(table.columns) == ["participant", "window", *scale.items]
        answers = table[list(scale.items)].stack()
        assert set(answers) <= set(range(int(scale.min), int(scale.max) + 1))
        scored = score_scale(load_ratings(study.ratings_csv), scale)
        assert {"capacities", "experiences", "vitality"} <= set(scored["name"])

    def test_windows_are_those_of_the_sessions(self, tmp_path: Path) -> None:
        study = simulate_study(tmp_path, 2, seed=1, missing_share=0.2, **OPTIONS)
        rated = pd.read_csv(study.ratings_csv).groupby("participant")["window"].agg(list)
        assert set(rated.index) == {made.path.stem for made in study.sessions}
        for made in study.sessions:
            with open_session(made.path) as session:
                windows = derive_windows(session.events)["window"].tolist()
                shared = ["with_confederate", "with_confederate_2"]
                expected = ["speech"] if session.condition == "alone" else shared
                assert rated[made.path.stem] == expected
                assert set(expected) <= set(windows)

    def test_quality_goes_with_condition_and_reactivity(self) -> None:
        from physio_hqc.simulate.study import _plan, _quality, _Who

        who = _Who(4.0, {}, 8.0, {}, 0.0, 0.0, False)
        plans = _plan(dict.fromkeys(("alone", "support", "nonsupport"), 700), 3, who)
        table = _quality(plans, 3, -2.0)
        means = table.groupby("condition")["quality"].mean()
        assert means["support"] > means["alone"] + 0.6 > means["nonsupport"] + 1.2
        within = table["quality"] - table.groupby("condition")["quality"].transform("mean")
        assert within.std() == pytest.approx(1.0, abs=0.05)
        reactivity = np.array([plan.reactivity for plan in plans])
        # The standard error of this slope is 3.5 / sqrt(2100).
        assert np.polyfit(within, reactivity, 1)[0] == pytest.approx(-2.0, abs=0.25)

    def test_answers_follow_quality(self) -> None:
        from physio_hqc.simulate.ratings import SUBSCALES, draw_answers

        quality = np.repeat([-1.0, 1.0], 200)
        table = draw_answers(
            [f"P{k}" for k in range(400)],
            [["speech"]] * 400,
            quality,
            missing_share=0.1,
            rng=np.random.default_rng(1),
        )
        items = table[[key for keys in SUBSCALES.values() for key in keys]].astype(float)
        assert items.isna().to_numpy().mean() == pytest.approx(0.1, abs=0.01)
        mean = items.mean(axis=1)
        assert mean[200:].mean() - mean[:200].mean() == pytest.approx(2.0, abs=0.2)


class TestStudyTruth:
    def test_it_reads_back_and_agrees_with_the_sessions(self, tmp_path: Path) -> None:
        study = simulate_study(tmp_path, 2, seed=4, missing_share=0.2, **OPTIONS)
        truth = load_study_truth(tmp_path)
        assert truth.settings == study.truth.settings
        for name in ("changes", "contrasts", "participants", "quality"):
            left, right = getattr(truth, name), getattr(study.truth, name)
            pd.testing.assert_frame_equal(left, right, atol=1e-6, check_dtype=False)
        people = truth.participants.set_index(["session", "window", "feature"])
        for made in study.sessions:
            phase = made.truth.phase("speech")
            row = people.loc[made.path.stem].loc["speech"]["value"]
            assert row["BP_SBP_Mean"] == pytest.approx(phase.sbp, abs=1e-5)
            assert row["ECG_Rate_Mean"] == pytest.approx(phase.hr, abs=1e-5)
            assert row["HRV_RMSSD"] == pytest.approx(phase.rmssd, abs=1e-5)
            assert row["EDA_Tonic_Mean"] == pytest.approx(phase.scl, abs=1e-5)
        changes = truth.changes.set_index(["feature", "window", "condition"])
        assert changes.loc[("BP_SBP_Mean", "speech", "nonsupport"), "expected"] == 26.0
        assert len(truth.quality) == 6
        assert changes.loc["BP_SBP_Mean"].loc["speech"]["n"].sum() == 5

    def test_baseline_is_the_protocols(self, tmp_path: Path) -> None:
        study = simulate_study(tmp_path, 1, seed=4, time_scale=0.1, streams=["cuff"])
        truth = study.truth.participants.set_index(["participant", "window", "feature"])["baseline"]
        for made in study.sessions:
            # The last six minutes of ten, a tenth as long.
            beats = made.truth.beat_times_s
            inside = (beats >= 24.0) & (beats < 60.0)
            expected = made.truth.sbp[inside].mean()
            assert truth[made.path.stem, "speech", "BP_SBP_Mean"] == pytest.approx(expected)

    def test_expected_changes_are_what_people_show_on_average(self) -> None:
        from physio_hqc.protocol import load_protocol
        from physio_hqc.simulate import draw_person, simulate_truth
        from physio_hqc.simulate.effects import effects_for
        from physio_hqc.simulate.study_truth import study_truth

        protocol, effects = load_protocol("lepore_1993"), effects_for(None, ["nonsupport"])
        people = [
            draw_person(
                seed,
                fixed={"sbp_reactivity": 0.0, "dbp_reactivity": 0.0, "hr_reactivity": 0.0},
            )
            for seed in range(12)
        ]
        sessions = [
            (f"s{k}", simulate_truth(seed=k, condition="nonsupport", person=person))
            for k, person in enumerate(people)
        ]
        truth = study_truth(
            protocol, ["nonsupport"], effects, sessions, pd.DataFrame(), {}
        ).changes.set_index(["feature", "window"])
        error = (truth["drawn"] - truth["expected"]).unstack("feature")
        assert (error[["BP_SBP_Mean", "BP_DBP_Mean", "ECG_Rate_Mean"]].abs() < 0.5).all(axis=None)
        assert (error[["CUFF_SBP_Mean", "CUFF_DBP_Mean", "CUFF_HR_Mean"]].abs() < 1).all(axis=None)
        assert (error["EDA_Tonic_Mean"].abs() < 0.1).all()
        assert (error["HRV_lnRMSSD"].abs() < 0.05).all()

    def test_mean_rmssd_is_that_of_the_people_drawn(self) -> None:
        from physio_hqc.simulate import draw_person
        from physio_hqc.simulate.study_truth import MEAN_RMSSD

        rng = np.random.default_rng(0)
        drawn = [draw_person(rng).rmssd for _ in range(4000)]
        assert np.mean(drawn) == pytest.approx(MEAN_RMSSD, abs=4 * np.std(drawn) / np.sqrt(4000))

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"format": "physio-hqc/study-truth", "version": 9}', "nan"]
    )
    def test_another_file_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "study_truth.json").write_text(text)
        with pytest.raises(SessionFileError, match=r"study_truth\.json"):
            load_study_truth(tmp_path)

    def test_a_missing_or_damaged_truth_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SessionFileError, match="is the study simulated"):
            load_study_truth(tmp_path)
        simulate_study(tmp_path, 1, **OPTIONS)
        path = tmp_path / "study_truth.json"
        whole = json.loads(path.read_text(encoding="utf-8"))
        del whole["changes"]
        path.write_text(json.dumps(whole))
        with pytest.raises(SessionFileError, match="no truth of a simulated study"):
            load_study_truth(path)


class TestCommandLine:
    def test_cells_effects_and_missing_sessions(self, tmp_path: Path) -> None:
        out = tmp_path / "s"
        words = ["simulate", "study", "--out", str(out), "--time-scale", "0.02", "--jobs", "1"]
        words += ["--n", "alone=1", "--n", "support=3", "--effects", "none", "--missing", "0.25"]
        assert run([*words, "--sex-interaction", "alone=3", "--resting-shift", "support=4"]) == 0
        table = pd.read_csv(out / "participants.csv")
        assert table["condition"].value_counts().to_dict() == {"support": 3, "alone": 1}
        assert table["session"].isna().sum() == 1
        settings = load_study_truth(out).settings
        assert settings["resting_shift"] == {"support": 4.0}
        assert settings["effects"]["alone"] == settings["effects"]["support"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--n", "0"], "from 1"),
            (["--n", "alone=x"], "CONDITION=NUMBER"),
            (["--n", "alone=1.5"], "whole number"),
            (["--n", "alone=1", "--n", "alone=2"], "given twice"),
            (["--n", "aline=2"], "did you mean 'alone'"),
            (["--effects", "leporr"], "did you mean 'lepore'"),
            (["--resting-shift", "suport=4"], "did you mean 'support'"),
            (["--dyads"], "one participant a session"),
        ],
    )
    def test_wrong_words_end_in_one_line(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        message: str,
    ) -> None:
        assert run(["simulate", "study", "--out", str(tmp_path / "s"), *words]) == 2
        streams = capsys.readouterr()
        assert message in streams.err
        assert "Traceback" not in streams.err
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "somebody must take part"),
        (({"nobody": 3},), {}, "no condition"),
        ((1,), {"conditions": "alone"}, "list of different names"),
        ((1,), {"missing_share": 1.5}, "missing_share"),
        ((1,), {"jobs": 0}, "jobs"),
        ((1,), {"seed": -2}, "seed"),
        ((1,), {"rating_effect": 5.0}, "rating_effect"),
        ((1,), {"rating_missing": 2.0}, "rating_missing"),
        ((1,), {"resting_shift": {"alon": 2.0}}, "resting_shift"),
        ((1,), {"effects": {"alon": ConditionEffect()}}, "effects"),
        ((1,), {"dyads": True}, "dyads"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: tuple[object, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(SignalError, match=message):
        simulate_study(tmp_path / "x", *arguments, **options)


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        simulate_study(tmp_path / "x", 1)
