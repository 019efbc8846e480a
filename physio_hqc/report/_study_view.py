"""What the report of a study reads from its result: tables that are always whole, names, order."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from physio_hqc.report._features import HEADLINES, needs_speech_caution, speech_matters
from physio_hqc.report._study_style import Look, looks

if TYPE_CHECKING:
    from physio_hqc.study.result import StudyResult

_ID: Final = "session participant condition"
_WORDS: Final = {
    "participants": "id sex condition dyad session",
    "flow": f"{_ID} status reason",
    "windows": f"{_ID} window kind label phase role",
    "quality": f"{_ID} stream window kind reason",
    "courses": f"{_ID} window kind role feature unit source",
    "reactivity": f"{_ID} window kind feature unit reason",
    "recovery": f"{_ID} window feature unit task_window logistic_reason reason source",
    "allostatic": "participant proxy label rule missing at_risk reason",
    "allostatic_summary": "proxy label score condition reason",
    "cut_points": "component sex direction rule reason",
    "ratings": "participant session window scale name kind reason",
    "reliability": "scale subscale note",
    "descriptives": "feature unit window condition",
    "statistics": (
        "outcome unit window analysis errors kind term statistic_name n_by_condition model note"
    ),
    "assumptions": "outcome window analysis check test passed consequence",
    "sensitivity": "outcome window variant term note",
    "power": "outcome window term note",
    "associations": "outcome window_set rating level model note",
    "features_long": f"{_ID} window feature unit reason",
}
_NUMBERS: Final = {
    "participants": "age",
    "windows": "onset duration",
    "quality": "onset duration quality usable_share corrected_share",
    "courses": "time_s since_s duration_s value quality",
    "reactivity": "onset duration baseline value delta quality",
    "recovery": (
        "baseline task reactivity half_recovery_s logistic_half_s logistic_speed logistic_r2 "
        "logistic_rmse logistic_n mean_elevation"
    ),
    "allostatic": "count n_components n_defined proportion count_low count_high z_sum",
    "allostatic_summary": "n n_missing mean sd ci_low ci_high",
    "cut_points": "cut n",
    "ratings": "value min max n_items",
    "reliability": "n_items n alpha alpha_low alpha_high",
    "descriptives": (
        "n mean sd median q25 q75 min max baseline_mean delta_mean delta_sd delta_low delta_high"
    ),
    "statistics": (
        "estimate se df1 df2 statistic p p_holm ci_low ci_high hedges_g g_low g_high partial_eta2 n"
    ),
    "assumptions": "statistic df1 df2 p value",
    "sensitivity": "estimate se ci_low ci_high p n",
    "power": "n df se alpha power smallest_effect smallest_g power_for_reference reference_g",
    "associations": ("estimate se df statistic p ci_low ci_high standardized n_persons n_windows"),
    "features_long": "value quality",
}
_TRUTHS: Final = {"statistics": "primary"}
ANALYSES: Final = ("ANCOVA", "delta", "mixed model")
MODEL_ORDER: Final = ("alone", "support", "nonsupport")


class StudyView:
    """A study's result, read safely: a table or a column that is not there is empty.

    Parameters
    ----------
    study : StudyResult
        What `process_study` returns.
    """

    def __init__(self, study: StudyResult) -> None:
        self.study = study
        self._whole: dict[str, pd.DataFrame] = {}

    def table(self, name: str) -> pd.DataFrame:
        """Return a table with every column that the report reads."""
        if name not in self._whole:
            self._whole[name] = _whole(self.study.tables.get(name), name)
        return self._whole[name]

    def setting(self, name: str, default: Any = None) -> Any:
        """Return one setting of the study."""
        value = self.study.config.get(name)
        return default if value is None else value

    def settings(self, name: str) -> list[str]:
        """Return a setting that is a list of names."""
        value = self.setting(name, [])
        return [value] if isinstance(value, str) else [str(item) for item in value]

    @cached_property
    def proxies(self) -> pd.DataFrame:
        """Allostatic-load proxies with the condition of each participant."""
        people = self.table("participants").rename(columns={"id": "participant"})
        known = pd.concat([people, self.table("flow"), self.table("reactivity")])
        known = known[["participant", "condition"]].drop_duplicates("participant")
        known = known.set_index("participant")["condition"]
        table = self.table("allostatic")
        return table.assign(condition=table["participant"].map(known).fillna("").astype(str))

    @cached_property
    def conditions(self) -> list[str]:
        """Conditions in the order in which they are shown."""
        seen: dict[str, None] = {}
        for name in ("participants", "flow", "reactivity", "courses", "descriptives"):
            seen.update(dict.fromkeys(self.table(name)["condition"]))
        given = [name for name in self.settings("conditions") if name in seen]
        rest = [name for name in seen if name not in given]
        model = [name for name in MODEL_ORDER if name in rest]
        others = sorted(name for name in rest if name not in model and name)
        return [*given, *model, *others, *([""] if "" in rest else [])]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Look of every condition."""
        return looks(self.conditions)

    @cached_property
    def outcomes(self) -> list[str]:
        """Outcomes in the order of the settings; the first is the primary one."""
        known = {
            feature
            for name, column in (("reactivity", "feature"), ("statistics", "outcome"))
            for feature in self.table(name)[column]
        }
        asked = [*self.settings("primary_outcome"), *self.settings("outcomes")]
        given = [name for name in dict.fromkeys(asked) if name in known]
        if self.settings("outcomes") and given:
            return given
        tested = dict.fromkeys([*given, *self.table("statistics")["outcome"]])
        return list(tested) or [h.feature for h in HEADLINES if h.feature in known]

    @cached_property
    def task_windows(self) -> list[str]:
        """Windows whose reactivity is tested and shown."""
        known = set(self.table("reactivity")["window"])
        asked = self.settings("windows") or self.settings("task_windows")
        tested = list(dict.fromkeys([*asked, *self.table("statistics")["window"]]))
        found = [name for name in tested if name in known]
        if found:
            return found
        windows = self.table("windows")
        phases = windows[windows["kind"].isin(("phase", "interaction"))].sort_values(
            "onset", kind="stable"
        )
        for roles in (("preparation", "task"), ("other",)):
            named = dict.fromkeys(phases.loc[phases["role"].isin(roles), "window"])
            found = [name for name in named if name in known]
            if found:
                return found
        return []

    @cached_property
    def level(self) -> str:
        """Level of the confidence intervals of tests, which belongs to their alpha."""
        return f"{100 * (1 - self.alpha):.6g} %"

    @property
    def alpha(self) -> float:
        """Two-sided level of the tests."""
        return float(self.setting("alpha", 0.05))

    @cached_property
    def window_order(self) -> list[str]:
        """Windows in the order of time."""
        rows = self.table("windows").groupby("window", sort=False)["onset"].median()
        return [str(name) for name in rows.sort_values(kind="stable").index]

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of every feature."""
        known: dict[str, str] = {}
        for name, column in (
            ("features_long", "feature"),
            ("courses", "feature"),
            ("reactivity", "feature"),
            ("statistics", "outcome"),
        ):
            rows = self.table(name)
            rows = rows[rows["unit"] != ""].drop_duplicates(column)
            known.update(zip(rows[column], rows["unit"], strict=True))
        return known

    def unit(self, feature: str) -> str:
        """Return the unit of a feature; nothing where it is not known."""
        return self.units.get(feature, "")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Reactivity of the outcomes in the task windows, as far as its quality lets it count."""
        rows = self.table("reactivity")
        return self._counted(rows[rows["window"].isin(self.task_windows)])

    def scores_within(self, phase: str) -> pd.DataFrame:
        """Reactivity of the outcomes in a phase and in the interaction windows inside it."""
        windows = self.table("windows")
        inside = windows[(windows["phase"] == phase) & (windows["kind"] != "phase_last")]
        places = pd.MultiIndex.from_frame(inside[["session", "window"]])
        rows = self.table("reactivity")
        here = pd.MultiIndex.from_frame(rows[["session", "window"]]).isin(places)
        return self._counted(rows[here | (rows["window"] == phase)])

    def _counted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the outcomes, of analysed sessions, whose quality lets them count."""
        rows = rows[rows["feature"].isin(self.outcomes)]
        least = float(self.setting("quality_min", 0.0))
        counted = ~(rows["quality"] < least) & rows["delta"].notna()
        analysed = self.analysed
        if analysed is not None:
            counted &= rows["session"].isin(analysed)
        return rows[counted]

    @cached_property
    def analysed(self) -> set[str] | None:
        """Sessions that were analysed; None where the flow does not say."""
        flow = self.table("flow")
        if not len(flow):
            return None
        return set(flow.loc[flow["status"] == "analysed", "session"])

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """Planned contrasts of every analysis."""
        rows = self.table("statistics")
        return rows[rows["kind"] == "contrast"].assign(main=self._main[rows["kind"] == "contrast"])

    @cached_property
    def first_analysis(self) -> str:
        """The analysis that was planned to answer: the first of those that the study has."""
        found = set(self.table("statistics")["analysis"])
        return next((name for name in ANALYSES if name in found), "")

    @cached_property
    def _main(self) -> pd.Series:
        """Rows of the one analysis that answers for an outcome and window.

        It is the first of ANCOVA, delta and mixed model that the study has, with the standard
        errors that were chosen beforehand; without such a choice, the first errors of the table.
        """
        rows = self.table("statistics")
        keys = ["outcome", "window"]
        order = {name: k for k, name in enumerate(ANALYSES)}
        place = rows["analysis"].map(order).fillna(len(order)).astype(float)
        usable = (rows["kind"] == "contrast") & rows["estimate"].notna()
        first = place.where(usable).groupby([rows[key] for key in keys]).transform("min")
        same = place == first
        chosen = (same & usable & rows["primary"]).groupby([rows[key] for key in keys])
        errors = rows["errors"].where(same & usable).groupby([rows[key] for key in keys])
        by_errors = rows["errors"] == errors.transform("first")
        return same & rows["primary"].where(chosen.transform("any"), by_errors)

    @cached_property
    def adjusted_means(self) -> pd.DataFrame:
        """Adjusted means of the analysis that answers, by condition."""
        rows = self.table("statistics")
        return rows[(rows["kind"] == "adjusted mean") & self._main]

    @cached_property
    def spoken(self) -> list[str]:
        """Tested windows in which breathing may lie outside its band because people spoke."""
        windows = self.table("windows")
        if "speech" not in windows:
            return []
        truth = windows["speech"].map(_is_true).astype(bool)
        # What lies inside a phase with speech is spoken too, whatever its own row says.
        phases = windows[truth & (windows["kind"] == "phase")]
        spoken_in = pd.MultiIndex.from_frame(phases[["session", "window"]])
        inside = pd.MultiIndex.from_frame(windows[["session", "phase"]]).isin(spoken_in)
        rows = windows.assign(speech=truth | inside)
        if "breathing_in_hf" in windows:
            rows = rows.assign(
                breathing_in_hf=windows["breathing_in_hf"].map(_is_true).astype(bool)
            )
        spoken = set(rows.loc[speech_matters(rows), "window"])
        return [name for name in self.window_order if name in spoken and name in self.task_windows]

    @cached_property
    def no_cut_points(self) -> str:
        """Why there is no proxy at all, as a sentence; nothing where there is a score or a cut."""
        cuts, rows = self.table("cut_points"), self.table("allostatic")
        scores = [rows["count"], rows["z_sum"]]
        if not len(cuts) or cuts["cut"].notna().any() or any(s.notna().any() for s in scores):
            return ""
        found = cuts["reason"] if (cuts["reason"] != "").any() else rows["reason"]
        kinds = found[found != ""].str.removeprefix("flag:").str.strip().value_counts()
        why = "; ".join(str(text) for text in kinds.index[:2])
        after = f": {why}" if why else ""
        return f"No cut points could be formed{after}; no allostatic-load proxy is given."

    def is_doubtful(self, feature: str, window: str) -> bool:
        """Whether a value carries the caution on speech."""
        return needs_speech_caution(feature, window in self.spoken)


def _is_true(value: object) -> bool:
    """Whether a truth is true, be it a bool or the word that a file has for it."""
    return str(value).lower() in ("true", "1", "1.0")


def _whole(given: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """Complete a table: words are texts, numbers are floats, missing truths are False."""
    table = pd.DataFrame() if given is None else given.reset_index(drop=True).copy()
    for column in _WORDS.get(name, "").split():
        values = table[column] if column in table else pd.Series("", table.index, dtype=object)
        table[column] = values.astype(object).where(values.notna(), "").astype(str)
    for column in _NUMBERS.get(name, "").split():
        values = table[column] if column in table else pd.Series(np.nan, table.index, dtype=float)
        table[column] = pd.to_numeric(values, errors="coerce").astype(float)
    for column in _TRUTHS.get(name, "").split():
        values = table[column] if column in table else pd.Series(False, table.index)
        table[column] = values.map(_is_true).astype(bool)
    return table
