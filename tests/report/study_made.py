"""A study made by hand from the column contract: its truth is known, no session is processed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.study import StudyResult

PHASES = (
    ("baseline", "Rest", "baseline", 0.0, 600.0),
    ("preparation", "Preparation", "preparation", 600.0, 180.0),
    ("speech", "Speech", "task", 780.0, 360.0),
    ("recovery", "Recovery", "recovery", 1140.0, 600.0),
)
READINGS = {
    "baseline": (250, 340, 430, 520),
    "preparation": (30, 110),
    "speech": (30, 120, 210, 300),
    "recovery": (60, 150, 240, 330, 420, 510),
}
OUTCOMES = {
    "CUFF_SBP_Mean": ("mmHg", 120.0, 9.0, 20.0, 5.0),
    "CUFF_DBP_Mean": ("mmHg", 75.0, 7.0, 11.0, 4.0),
    "ECG_Rate_Mean": ("1/min", 72.0, 9.0, 15.0, 5.0),
    "HRV_RMSSD": ("ms", 38.0, 12.0, -9.0, 6.0),
    "EDA_Tonic_Mean": ("µS", 5.0, 2.0, 1.6, 0.8),
}
"""Unit, resting level and its spread, rise in the speech and its spread."""
EFFECTS = {"alone": 0.0, "support": -0.25, "nonsupport": 0.35}
COMPONENTS = ("SBP", "DBP", "HR", "RMSSD", "SCL", "recovery failure")


def make_study(
    *,
    n: int = 12,
    conditions: tuple[str, ...] = ("alone", "support", "nonsupport"),
    outcomes: tuple[str, ...] = tuple(OUTCOMES),
    recovery: bool = True,
    ratings: bool = True,
    seed: int = 1,
    ids: str = "P{:03d}",
    config: dict[str, Any] | None = None,
    drop: tuple[str, ...] = (),
) -> StudyResult:
    """Make a study with `n` participants per condition; three of all are lost on the way."""
    rng = np.random.default_rng(seed)
    people = _people(n, conditions, ids, rng)
    flow = _flow(people)
    phases = [p for p in PHASES if recovery or p[0] != "recovery"]
    sessions = flow.loc[flow["status"] == "analysed", ["participant", "session", "condition"]]
    sessions = sessions[["session", "participant", "condition"]].reset_index(drop=True)
    windows = _windows(sessions, phases, rng)
    courses = _courses(sessions, windows, outcomes, rng)
    reactivity = _reactivity(courses)
    tables = {
        "participants": people,
        "flow": flow,
        "windows": windows,
        "features_long": reactivity.drop(columns=["baseline", "delta"]),
        "courses": courses,
        "quality": _quality(windows, rng),
        "reactivity": reactivity,
        "recovery": _recovery(courses, reactivity) if recovery else pd.DataFrame(),
        "ratings": _ratings(sessions, reactivity, rng) if ratings else pd.DataFrame(),
        "statistics": _statistics(reactivity, outcomes, conditions),
    }
    tables |= _proxy(sessions, rng)
    tables |= _rest(reactivity, tables["statistics"], outcomes, conditions)
    if not ratings:
        tables |= {"reliability": pd.DataFrame(), "associations": pd.DataFrame()}
    for name in drop:
        tables.pop(name, None)
    settings = {
        "title": "Support and reactivity",
        "outcomes": list(outcomes),
        "task_windows": ["preparation", "speech"],
        "conditions": list(conditions),
        "covariates": ["sex"],
        "quality_min": 0.5,
        "alpha": 0.05,
        "power": 0.8,
        "reference_g": 0.5,
    }
    provenance = {
        "package": {"name": "physio-hqc", "version": "9.9.9"},
        "libraries": {"numpy": "2.0.0", "statsmodels": "0.15.0"},
        "python": "3.11.0",
        "inputs": [{"name": "participants.csv", "sha256": "0" * 64}],
        "sessions": {},
    }
    return StudyResult(
        out_dir=None,
        tables=tables,
        config=settings | (config or {}),
        provenance=provenance,
        notices=["1 participant has no session"],
    )


def _people(
    n: int, conditions: tuple[str, ...], ids: str, rng: np.random.Generator
) -> pd.DataFrame:
    total = n * len(conditions)
    names = [ids.format(k + 1) for k in range(total)]
    return pd.DataFrame(
        {
            "id": names,
            "sex": np.where(np.arange(total) % 2, "female", "male"),
            "age": np.round(rng.normal(22, 3, total)),
            "condition": [conditions[k % len(conditions)] for k in range(total)],
            "dyad": "",
            "session": names,
        }
    )


def _flow(people: pd.DataFrame) -> pd.DataFrame:
    flow = people[["id", "session", "condition"]].rename(columns={"id": "participant"})
    flow = flow.assign(status="analysed", reason="")
    lost = (
        ("no session", "no session file of this participant"),
        ("not processed", "no results in the derivatives"),
        ("excluded", "quality below 0.5 in the speech"),
    )
    if len(flow) > 9:
        for k, (status, reason) in zip((3, 5, 7), lost, strict=True):
            flow.loc[k, ["status", "reason"]] = [status, reason]
    return flow


def _windows(
    sessions: pd.DataFrame, phases: list[tuple[Any, ...]], rng: np.random.Generator
) -> pd.DataFrame:
    rows = []
    for person in sessions.itertuples(index=False):
        late = rng.uniform(0, 8)
        for name, label, role, onset, duration in phases:
            rows.append((*person, name, "phase", label, onset + late, duration, name, role))
    names = ["session", "participant", "condition", "window", "kind", "label", "onset", "duration",
             "phase", "role"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _courses(
    sessions: pd.DataFrame,
    windows: pd.DataFrame,
    outcomes: tuple[str, ...],
    rng: np.random.Generator,
) -> pd.DataFrame:
    rows = []
    for feature in outcomes:
        unit, level, spread, rise, between = OUTCOMES[feature]
        rest = dict(zip(sessions["session"], rng.normal(level, spread, len(sessions)), strict=True))
        own = dict(zip(sessions["session"], rng.normal(0, between, len(sessions)), strict=True))
        cuff = feature.startswith("CUFF")
        for w in windows.itertuples(index=False):
            times = READINGS[w.window] if cuff else np.arange(30, w.duration, 60)
            effect = EFFECTS.get(w.condition, 0.1)
            for since in times:
                jitter = rng.uniform(0, 6) if cuff else 0.0
                value = rest[w.session] + _shape(w.window, since) * (
                    rise * (1 + effect) + own[w.session]
                )
                rows.append((
                    w.session, w.participant, w.condition, w.window, "phase", w.role, feature,
                    w.onset + since + jitter, since + jitter, 0.0 if cuff else 60.0,
                    value + rng.normal(0, between / 4), unit, 1.0, "cuff" if cuff else "sliding",
                ))  # fmt: skip
    names = ["session", "participant", "condition", "window", "kind", "role", "feature", "time_s",
             "since_s", "duration_s", "value", "unit", "quality", "source"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _shape(window: str, since: float) -> float:
    if window == "speech":
        return 1.0 - 0.2 * since / 360
    return {"baseline": 0.0, "preparation": 0.5}.get(window, 0.8 * np.exp(-since / 120))


def _reactivity(courses: pd.DataFrame) -> pd.DataFrame:
    keys = ["session", "participant", "condition", "window", "kind", "feature", "unit"]
    rows = courses.groupby(keys, sort=False)["value"].mean().reset_index()
    base = rows[rows["window"] == "baseline"].set_index(["session", "feature"])["value"]
    index = pd.MultiIndex.from_frame(rows[["session", "feature"]])
    rows["baseline"] = base.reindex(index).to_numpy()
    rows["delta"] = rows["value"] - rows["baseline"]
    onset = {name: start for name, _, _, start, _ in PHASES}
    return rows.assign(
        onset=rows["window"].map(onset), duration=180.0, quality=1.0, reason="",
        baseline_window="baseline",
    )  # fmt: skip


def _quality(windows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for stream in ("ecg", "eda", "bp"):
        usable = np.clip(1 - rng.exponential(0.04, len(windows)), 0, 1)
        parts.append(
            windows.assign(
                stream=stream, quality=usable, usable_share=usable, reason="",
                corrected_share=rng.exponential(0.01, len(windows)) if stream == "ecg" else np.nan,
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _recovery(courses: pd.DataFrame, reactivity: pd.DataFrame) -> pd.DataFrame:
    speech = reactivity[reactivity["window"] == "speech"].reset_index(drop=True)
    rng = np.random.default_rng(5)
    fitted = rng.uniform(size=len(speech)) < 0.7
    half = rng.uniform(40, 160, len(speech))
    return pd.DataFrame(
        {
            **{c: speech[c] for c in ("session", "participant", "condition")},
            "window": "recovery",
            "feature": speech["feature"],
            "unit": speech["unit"],
            "baseline": speech["baseline"],
            "task_window": "speech",
            "task": speech["value"],
            "reactivity": speech["delta"],
            "half_recovery_s": np.where(rng.uniform(size=len(speech)) < 0.9, half, np.nan),
            "logistic_half_s": np.where(fitted, half * 1.1, np.nan),
            "logistic_r2": np.where(fitted, 0.9, np.nan),
            "logistic_reason": np.where(fitted, "", "5 points, needs 6"),
            "reason": "",
        }
    )


def _ratings(
    sessions: pd.DataFrame, reactivity: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    speech = reactivity[(reactivity["window"] == "speech")]
    speech = speech[speech["feature"] == speech["feature"].iloc[0]].set_index("session")["delta"]
    rows = []
    for person in sessions.itertuples(index=False):
        stress = np.clip(np.round(4 + 0.15 * (speech[person.session] - 20) + rng.normal()), 1, 7)
        for name, value in (("stress", stress), ("felt_support", rng.integers(1, 8))):
            rows.append((person.participant, person.session, "speech", "", name, value, 1, 7,
                         "single", 1, ""))  # fmt: skip
        rows += [
            (person.participant, person.session, "", "hqc", name, round(rng.uniform(1, 5), 2), 1, 5,
             "subscale", 4, "")
            for name in ("connectivity", "mutuality")
        ]  # fmt: skip
    names = ["participant", "session", "window", "scale", "name", "value", "min", "max", "kind",
             "n_items", "reason"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _statistics(
    reactivity: pd.DataFrame, outcomes: tuple[str, ...], conditions: tuple[str, ...]
) -> pd.DataFrame:
    """Differences of mean changes with a plain interval: numbers of a likely size."""
    rows = []
    pairs = list(itertools.combinations(conditions, 2))
    for feature, window in itertools.product(outcomes, ("preparation", "speech")):
        part = reactivity[(reactivity["feature"] == feature) & (reactivity["window"] == window)]
        groups = {name: part.loc[part["condition"] == name, "delta"] for name in conditions}
        said = ", ".join(f"{name} {len(groups[name])}" for name in sorted(groups))
        ways = (("ANCOVA", "robust", True), ("ANCOVA", "classical", False),
                ("mixed model", "robust", True))  # fmt: skip
        for (analysis, errors, primary), (a, b) in itertools.product(ways, pairs):
            left, right = groups[a], groups[b]
            if min(len(left), len(right)) < 2:
                estimate = se = sd = np.nan
            else:
                sd = float(np.sqrt((left.var() + right.var()) / 2))
                wider = 1.0 if primary else 0.94
                se = wider * float(np.sqrt(left.var() / len(left) + right.var() / len(right)))
                estimate = float(left.mean() - right.mean())
            t = estimate / se
            p = 2 * (1 - 0.5 * (1 + np.tanh(0.8 * abs(t))))
            rows.append({
                "outcome": feature, "unit": OUTCOMES[feature][0], "window": window,
                "analysis": analysis, "errors": errors, "primary": primary, "kind": "contrast",
                "term": f"{a} - {b}", "estimate": estimate, "se": se, "df1": len(part) - 5.0,
                "df2": np.nan, "statistic": t, "statistic_name": "t", "p": p,
                "p_holm": min(1.0, 3 * p), "ci_low": estimate - 2 * se,
                "ci_high": estimate + 2 * se, "hedges_g": estimate / sd,
                "g_low": (estimate - 2 * se) / sd, "g_high": (estimate + 2 * se) / sd,
                "partial_eta2": np.nan, "n": len(part), "n_by_condition": said,
                "model": "value ~ C(condition) + baseline + C(sex)",
                "note": "" if np.isfinite(estimate) else "one participant in a condition",
            })  # fmt: skip
        for kind, term, name in (("omnibus", "condition", "F"), ("covariate", "baseline", "t"),
                                 ("covariate", "sex", "t")):  # fmt: skip
            rows.append({
                "outcome": feature, "unit": OUTCOMES[feature][0], "window": window,
                "analysis": "ANCOVA", "errors": "robust", "primary": True, "kind": kind,
                "term": term, "estimate": 0.4, "se": 0.1, "df1": 2.0 if name == "F" else 84.0,
                "df2": 84.0 if name == "F" else np.nan, "statistic": 4.0, "statistic_name": name,
                "p": 0.0213, "p_holm": np.nan, "ci_low": 0.2, "ci_high": 0.6, "hedges_g": np.nan,
                "g_low": np.nan, "g_high": np.nan, "partial_eta2": 0.087, "n": len(part),
                "n_by_condition": said, "model": "value ~ C(condition) + baseline + C(sex)",
                "note": "",
            })  # fmt: skip
    return pd.DataFrame(rows)


def _proxy(sessions: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    rows = []
    for person in sessions.itertuples(index=False):
        risky = [name for name in COMPONENTS if rng.uniform() < 0.25]
        missing = ["SCL"] if rng.uniform() < 0.1 else []
        risky = [name for name in risky if name not in missing]
        known = len(COMPONENTS) - len(missing)
        rows.append({
            "participant": person.participant, "proxy": "session",
            "label": f"allostatic-load proxy ({known} of 6 indicators)", "rule": "sample quartile",
            "count": len(risky), "n_components": known, "n_defined": 6,
            "proportion": len(risky) / known, "count_low": 0.0, "count_high": 4.0,
            "z_sum": rng.normal(0, 3), "missing": ", ".join(missing), "at_risk": ", ".join(risky),
            "reason": "",
        })  # fmt: skip
    cuts = pd.DataFrame(
        {
            "component": COMPONENTS,
            "sex": "",
            "direction": ["high", "high", "high", "low", "high", "high"],
            "cut": [127.5, 81.0, 79.3, 24.1, 6.6, 0.5],
            "rule": "sample quartile",
            "n": len(sessions),
        }
    )
    return {"allostatic": pd.DataFrame(rows), "cut_points": cuts}


def _rest(
    reactivity: pd.DataFrame,
    statistics: pd.DataFrame,
    outcomes: tuple[str, ...],
    conditions: tuple[str, ...],
) -> dict[str, pd.DataFrame]:
    keys = ["feature", "unit", "window", "condition"]
    told = reactivity.groupby(keys, sort=False).agg(
        n=("value", "size"), mean=("value", "mean"), sd=("value", "std"),
        median=("value", "median"), min=("value", "min"), max=("value", "max"),
        baseline_mean=("baseline", "mean"), delta_mean=("delta", "mean"), delta_sd=("delta", "std"),
    ).reset_index()  # fmt: skip
    half = 2.0 * told["delta_sd"] / np.sqrt(told["n"])
    told = told.assign(
        q25=told["mean"] - 0.67 * told["sd"], q75=told["mean"] + 0.67 * told["sd"],
        delta_low=told["delta_mean"] - half, delta_high=told["delta_mean"] + half,
    )  # fmt: skip
    first = statistics[(statistics["kind"] == "contrast") & statistics["primary"]]
    first = first[first["analysis"] == "ANCOVA"]
    variants = []
    for k, variant in enumerate(("as planned", "without flagged windows", "without sex",
                                 "one influential participant left out")):  # fmt: skip
        part = first[first["outcome"] == outcomes[0]]
        variants.append(
            part[["outcome", "window", "term", "estimate", "se", "p", "n"]].assign(
                variant=variant, estimate=part["estimate"] + 0.4 * k,
                ci_low=part["ci_low"] + 0.3 * k, ci_high=part["ci_high"] + 0.5 * k, note="",
            )
        )  # fmt: skip
    power = first[["outcome", "window", "term", "n", "se"]].assign(
        df=80.0, alpha=0.05, power=0.8, smallest_effect=first["se"] * 2.85,
        smallest_g=0.74, power_for_reference=0.49, reference_g=0.5, note="",
    )  # fmt: skip
    checks = [
        ("normality of residuals", "Shapiro-Wilk", 0.983, 0.214, True, ""),
        ("homogeneity of variances", "Brown-Forsythe", 4.21, 0.018, False,
         "robust (HC3) standard errors are primary"),
        ("homogeneity of slopes", "F", 0.42, 0.657, True, ""),
    ]  # fmt: skip
    assumptions = pd.DataFrame(
        [
            {"outcome": feature, "window": window, "analysis": "ANCOVA", "check": check,
             "test": test, "statistic": value, "df1": 2.0 if test == "F" else np.nan,
             "df2": 83.0 if test == "F" else np.nan, "p": p, "value": np.nan, "passed": passed,
             "consequence": text or "none needed"}
            for feature in outcomes for window in ("preparation", "speech")
            for check, test, value, p, passed, text in checks
        ]
    )  # fmt: skip
    associations = pd.DataFrame(
        [
            {"outcome": feature, "window_set": "speech", "rating": rating, "level": "between",
             "estimate": 0.8, "se": 0.3, "df": 84.0, "statistic": 2.67, "p": 0.009,
             "ci_low": 0.2, "ci_high": 1.4, "standardized": 0.28, "n_persons": 87,
             "n_windows": 87, "model": "delta ~ rating + C(condition)", "note": ""}
            for feature in outcomes[:2] for rating in ("stress", "felt_support")
        ]
    )  # fmt: skip
    reliability = pd.DataFrame(
        {"scale": "hqc", "subscale": ["connectivity", "mutuality"], "n_items": 4, "n": 33,
         "alpha": [0.83, 0.76], "alpha_low": [0.71, 0.58], "alpha_high": [0.91, 0.87], "note": ""}
    )  # fmt: skip
    return {
        "descriptives": told,
        "sensitivity": pd.concat(variants, ignore_index=True),
        "power": power,
        "assumptions": assumptions,
        "associations": associations,
        "reliability": reliability,
    }
