"""The validation of the statistics: its judgement on made-up figures, and small runs for real."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"

pytestmark = pytest.mark.skipif(
    not (SCRIPTS / "validate_study.py").is_file(), reason="the script is not beside the tests"
)


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"validation.{name}")


def validate(*words):
    return subprocess.run(
        [sys.executable, SCRIPTS / "validate_study.py", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


class TestJudgement:
    @pytest.mark.parametrize(
        ("value", "se", "verdict"),
        [
            (0.05, 0.0, "reached"),
            (0.04, 0.0, "reached"),
            (0.0605, 0.0005, "within MC error"),
            (0.0615, 0.0005, "MISSED"),
            (0.035, 0.004, "within MC error"),
            (0.03, 0.004, "MISSED"),
            (float("nan"), 0.1, "MISSED"),
        ],
    )
    def test_a_band_is_missed_by_more_than_twice_the_error(self, part, value, se, verdict):
        figure = part("common").Figure("s", "n", "robust", value, se, 0.04, 0.06)
        assert figure.verdict == verdict

    def test_a_rate_has_the_error_of_a_binomial(self, part):
        share, se = part("common").rate(np.array([True] * 100 + [False] * 1900), 0.05)
        assert share == 0.05
        assert se == pytest.approx(0.00487, abs=1e-5)

    def test_only_judged_figures_fail_a_part_and_nothing_judged_is_no_success(self, part):
        common = part("common")
        outcome = common.Outcome("x", 1)
        assert not outcome.ok
        outcome.figures.append(common.Figure("s", "n", "classical", 0.5, 0.0, 0, 0.1, judged=False))
        assert not outcome.ok
        outcome.figures.append(common.Figure("s", "n", "robust", 0.05, 0.0, 0, 0.1))
        assert outcome.ok
        outcome.figures.append(common.Figure("s", "n", "robust", 0.5, 0.0, 0, 0.1))
        assert [figure.value for figure in outcome.missed] == [0.5]

    def test_wrong_tests_are_caught(self, part):
        rates, common = part("rates"), part("common")
        studies, scenarios = part("studies"), part("scenarios").scenarios
        n = 2000
        p = np.random.default_rng(1).random((n, 1, 3))
        honest = {("robust", "p"): p, ("robust", "p_holm"): np.minimum(3 * p, 1)}
        honest |= {("classical", name): np.full((n, 1, 3), np.nan) for name in ("p", "p_holm")}
        found = common.Outcome("honest", n)
        table = common.Table("", ())
        scenario = scenarios("none")[0]
        rates._false_positives(found, table, scenario, studies.Findings(honest, "robust", []))
        assert found.ok
        # Tests that reject 9 % of the time, and no correction for three of them.
        liberal = honest | {("robust", "p"): p * 0.05 / 0.09, ("robust", "p_holm"): p}
        found = common.Outcome("liberal", n)
        rates._false_positives(found, table, scenario, studies.Findings(liberal, "robust", []))
        assert len(found.missed) == 4


class TestStudies:
    def test_studies_analyzed_together_are_studies_analyzed_alone(self, part):
        from physio_hqc.study import condition_contrasts

        studies = part("studies")
        for scenario in part("scenarios").scenarios("lepore")[3:5]:
            together = studies.analyze(scenario, range(4), "ANCOVA", ("speech",))
            for k in (0, 3):
                study = studies.simulate(scenario, k)
                alone = condition_contrasts(
                    study.features,
                    participants=study.participants,
                    outcomes=["CUFF_SBP_Mean"],
                    windows=["speech"],
                    analyses=("ANCOVA",),
                    checks=False,
                )
                for t, term in enumerate(studies.TERMS):
                    row = alone.contrast("CUFF_SBP_Mean", "speech", term)
                    for name in ("estimate", "p", "p_holm", "ci_low", "g_high"):
                        number = together.numbers[together.primary, name][k, 0, t]
                        assert number == pytest.approx(row[name], rel=1e-9), (scenario.name, name)

    def test_the_analysis_is_that_of_statsmodels(self, part):
        import statsmodels.formula.api as smf

        from physio_hqc.reactivity import reactivity_scores

        studies = part("studies")
        scenario = part("scenarios").scenarios("lepore")[1]
        found = studies.analyze(scenario, [7], "ANCOVA", ("speech",))
        study = studies.simulate(scenario, 7)
        scores = reactivity_scores(study.features).query("window == 'speech'")
        data = scores.merge(study.participants[["id", "sex"]], left_on="participant", right_on="id")
        fit = smf.ols("value ~ C(condition) + baseline + C(sex)", data).fit()
        term = "C(condition)[T.support] - C(condition)[T.nonsupport]"
        row = fit.t_test(term)
        numbers = {name: found.numbers["classical", name][0, 0, 0] for name in ("estimate", "p")}
        assert numbers["estimate"] == pytest.approx(row.effect[0])
        assert numbers["p"] == pytest.approx(float(row.pvalue))

    def test_the_truth_is_what_a_very_large_study_shows(self, part):
        studies, scenarios = part("studies"), part("scenarios")
        scenario = scenarios.scenarios("lepore")[0]
        assert studies.truth(scenario).tolist() == [[-14.0, -8.0, -6.0]]
        # Reactivity 8, sexes 4 apart, phase 2, two means of four readings with an error of 4.5.
        sd = np.sqrt(8**2 + 2**2 + 2**2 + 2 * 4.5**2 / 4)
        found = studies.true_g(scenario)[0]
        assert found == pytest.approx(np.array([-14.0, -8.0, -6.0]) / sd, rel=0.02)

    def test_every_part_of_the_question_has_a_scenario(self, part):
        scenarios = part("scenarios").scenarios("none")
        cells = {tuple(scenario.cells.values()) for scenario in scenarios}
        assert {(30, 30, 30), (20, 30, 40)} <= cells
        options = [set(scenario.options) for scenario in scenarios]
        for name in ("sd_ratio", "missing_readings", "missing_share", "resting_shift", "imbalance"):
            assert any(name in given for given in options)
        ratios = [scenario.options.get("sd_ratio") for scenario in scenarios]
        assert {"alone": 2} in ratios
        assert {"nonsupport": 2} in ratios
        assert len({scenario.number for scenario in scenarios}) == len(scenarios)

    def test_aliases_serve_every_study(self, part):
        studies, scenarios = part("studies"), part("scenarios").scenarios("none")
        for scenario in scenarios:
            listed = [
                studies._aliases(studies.simulate(scenario, k).participants)[1] for k in range(3)
            ]
            for table in listed[1:]:
                pd.testing.assert_frame_equal(table, listed[0])


class TestRealRuns:
    def test_the_same_command_gives_the_same_figures(self, tmp_path):
        words = ("ancova", "--studies", 30, "--only", "30/30/30", "--jobs")
        texts = []
        for jobs in (1, 2):
            path = tmp_path / f"{jobs}.json"
            validate(*words, jobs, "--json", path)
            whole = json.loads(path.read_text())
            texts.append([part["figures"] for part in whole["parts"]])
        assert texts[0] == texts[1]
        assert {figure["errors"] for figure in texts[0][0]} == {"robust", "classical"}

    def test_the_pattern_comes_out(self):
        done = validate("lepore", "--studies", 150, "--jobs", 1)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "every figure lies in its band" in done.stdout
        assert re.search(r"speech +support - nonsupport +-14\.0", done.stdout)

    @pytest.mark.slow
    def test_two_hundred_studies_of_each_design_keep_their_word(self, part):
        # Within five Monte Carlo errors of 5 %: no chance, and no test that is clearly wrong.
        rates = part("rates")
        outcome = rates.run("ANCOVA", 200, 1, lambda *_: None)
        assert not any("gave no test" in note for note in outcome.notes)
        for figure in (figure for figure in outcome.figures if figure.judged):
            aim = 0.95 if figure.name.startswith("coverage") else 0.05
            low = 0.0 if "family" in figure.name else aim - 5 * figure.se
            assert low <= figure.value <= aim + 5 * max(figure.se, 0.0154), figure

    @pytest.mark.slow
    def test_the_mixed_model_keeps_its_word(self, part):
        outcome = part("rates").run(
            "mixed model", 60, 1, lambda *_: None, only=["30/30/30", "25 % readings"]
        )
        for figure in (figure for figure in outcome.figures if figure.judged):
            aim = 0.95 if figure.name.startswith("coverage") else 0.05
            low = 0.0 if "family" in figure.name else aim - 5 * figure.se
            assert low <= figure.value <= aim + 5 * max(figure.se, 0.028), figure

    @pytest.mark.slow
    def test_the_road_measures_what_was_planted(self, tmp_path):
        done = validate(
            *("road", "--per-condition", 6, "--time-scale", 0.5, "--jobs", 2),
            *("--json", tmp_path / "road.json"),
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        figures = json.loads((tmp_path / "road.json").read_text())["parts"][0]["figures"]
        measured = [f for f in figures if f["name"].endswith("measured minus true")]
        assert len(measured) == 16
        # Six cuff readings of six people: the readings' own error is larger than in the full run.
        sharp = [f for f in measured if not f["name"].startswith("CUFF")]
        assert {f["verdict"] for f in sharp} == {"reached"}

    def test_wrong_words_are_refused(self):
        assert validate("ancova", "--studies", 0).returncode == 2
        assert validate("anova").returncode == 2
