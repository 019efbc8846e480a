"""The tests of a study and its software, in the words of a methods section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.report._study_facts import (
    StudyFacts,
    between,
    code,
    commonest,
    count_of,
    finite,
    listed,
    md,
    pipe_table,
)
from physio_hqc.report._study_sources import Cited
from physio_hqc.report._study_words import outcome_words, short_notes

ANALYSES = ("ANCOVA", "delta", "mixed model")
_FORMULA = re.compile(r"""\((['"])(\S.*?~.*?)\1""")
_RANDOM = re.compile(r"re_formula='([^']*)'")
_RANDOM_WORDS = {
    "0 + C(phase)": "a level of each participant's own in every phase, with unstructured "
    "covariance, over single readings or pieces",
    "1": "a random intercept per participant over one value per phase",
}
_PAIR = ("pair of outcome and window", "pairs of outcome and window")
_BESIDE = {"classical": "classical standard errors", "robust": "robust standard errors"}
_BESIDE_HUBER, _BESIDE_SLOPES = "Huber's M-estimates", "estimates with a slope per condition"
_SANDWICH = (
    "keep the estimates of the mixed model, with a covariance clustered by participant and "
    "corrected for leverage (CR2 sandwich), and Satterthwaite degrees of freedom"
)
_GEE = (
    "rest on phase means, by generalized estimating equations with independence and bias-reduced "
    "errors"
)
_LIBRARY_SOURCES = {
    "scipy": "scipy",
    "statsmodels": "statsmodels",
    "pingouin": "pingouin",
    "neurokit2": "neurokit",
}


# ------------------------------------------------------------------------------- statistics


def statistics(facts: StudyFacts, cite: Cited) -> list[str]:
    """Models, errors, contrasts, corrections, effect sizes, checks and power."""
    rows = facts.table("statistics")
    if not {"outcome", "window", "analysis", "kind"} <= set(rows.columns) or not len(rows):
        return []
    done = made_tests(rows)
    if not len(done):
        return [_nothing_tested(rows)]
    texts = [_tested(facts, rows)]
    for analysis, write in (("ANCOVA", _ancova), ("delta", _delta), ("mixed model", _mixed)):
        found = rows[rows["analysis"] == analysis]
        if (done["analysis"] == analysis).any():
            texts.append(write(found, cite))
        elif len(found):
            texts.append(_not_fitted(found))
    texts.append(_contrasts(facts, rows, cite))
    blocks = [" ".join(text for text in texts if text)]
    blocks += _checks(facts)
    rest = [_sensitivity(facts), _power(facts), _associations(facts, cite)]
    said = " ".join(text for text in rest if text)
    return [*blocks, said] if said else blocks


def made_tests(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `statistics` that hold a test, not the reason why there is none."""
    if "p" not in rows:
        return rows.iloc[:0]
    return rows[pd.to_numeric(rows["p"], errors="coerce").notna()]


def _nothing_tested(rows: pd.DataFrame) -> str:
    """What was planned where nothing could be tested, and why."""
    why = _whys(rows)
    names = listed(outcome(name) for name in dict.fromkeys(rows["outcome"].astype(str)))
    planned = rows[rows["kind"] == "contrast"]
    windows = listed(code(name) for name in dict.fromkeys(planned["window"].astype(str)))
    windows = f" in {windows}" if windows else ""
    return (
        f"Tests of {names}{windows} were planned. No contrast could be tested"
        f"{f' ({why})' if why else ''}."
    )


def _not_fitted(rows: pd.DataFrame) -> str:
    """An analysis of which no row holds a test."""
    names = {"ANCOVA": "An analysis of covariance", "delta": "A comparison of change scores"}
    name = names.get(str(rows["analysis"].iloc[0]))
    if name is None:
        return "A linear mixed model of condition × phase could not be fitted to any outcome."
    why = _whys(rows)
    return f"{name} was planned but could not be made{f' ({why})' if why else ''}."


def _whys(rows: pd.DataFrame) -> str:
    """The commonest reasons that rows without a test give."""
    if "note" not in rows:
        return ""
    left = rows[~rows.index.isin(made_tests(rows).index)]["note"].dropna().astype(str)
    return md(short_notes(commonest(note for note in left if note.startswith("not tested: "))))


def _refused(rows: pd.DataFrame) -> pd.DataFrame:
    """Primary contrasts of outcomes and windows of which none has a test, others having one."""
    if not {"primary", "kind"} <= set(rows.columns):
        return rows.iloc[:0]
    planned = rows[rows["primary"].astype(bool) & (rows["kind"] == "contrast")]
    done = set(made_tests(planned).set_index(["outcome", "window"]).index)
    beside = set(made_tests(rows).set_index(["outcome", "window"]).index)
    places = list(zip(planned["outcome"], planned["window"], strict=True))
    return planned[[place not in done and place in beside for place in places]]


def _tested(facts: StudyFacts, rows: pd.DataFrame) -> str:
    outcomes = listed(outcome(name) for name in dict.fromkeys(rows["outcome"].astype(str)))
    planned = rows[rows["kind"] == "contrast"]
    windows = listed(code(name) for name in dict.fromkeys(planned["window"].astype(str)))
    rows = made_tests(rows)
    never = [name for name in dict.fromkeys(planned["outcome"]) if name not in set(rows["outcome"])]
    text = f"Outcomes were {outcomes}, tested in {windows}."
    if never:
        text += f" No contrast of {listed(outcome(str(name)) for name in never)} could be tested."
    primary = [facts.config.get(f"primary_{name}") for name in ("outcome", "window")]
    if all(primary):
        text += f" The primary outcome was {code(primary[0])} in {code(primary[1])}."
    elif any(primary):
        what = "outcome" if primary[0] else "window"
        text += f" The primary {what} was {code(primary[0] or primary[1])}."
    n = finite(rows["n"]) if "n" in rows else np.array([])
    n = n[n > 0]
    if len(n):
        text += f" The tests rest on {between(n, '', 0)} participants."
    return text


def outcome(name: str) -> str:
    """Write an outcome as it stands in the tables, with its name in words."""
    words = outcome_words(name.removeprefix("ln ")).removeprefix("the ")
    if words == name.removeprefix("ln "):
        return code(name)
    return f"{code(name)} ({words.replace(' (', ', ').replace(')', '')})"


def formulas(rows: pd.DataFrame) -> list[str]:
    """Return the formulas of models, the commonest first."""
    if "model" not in rows:
        return []
    found = [_FORMULA.search(str(text)) for text in rows["model"].dropna()]
    return commonest([match[2] for match in found if match])


def _ancova(rows: pd.DataFrame, cite: Cited) -> str:
    models = formulas(rows)
    covariates = []
    for model in models[:1]:
        terms = [term.strip() for term in model.split("~", 1)[1].split("+")]
        covariates = [
            code(re.sub(r"^C\((.*)\)$", r"\1", term)) for term in terms if term != "C(condition)"
        ]
    text = (
        "Conditions were compared by analysis of covariance (ANCOVA, ordinary least squares) of "
        f"the level in a window{f', with {listed(covariates)} as ' if covariates else ''}"
        f"{_plural('covariate', len(covariates))}"
    )
    if models:
        text += f" ({'; '.join(code(model) for model in models)})"
    text += ". Adjusted means are those at the sample's means of the covariates."
    return f"{text} {_errors(rows, cite)}"


def _plural(word: str, n: int) -> str:
    return "" if not n else word if n == 1 else f"{word}s"


def _errors(rows: pd.DataFrame, cite: Cited) -> str:
    """Which standard errors were used for the primary rows, and which stand beside them."""
    refused = _refused(rows)
    primary = rows[rows["primary"].astype(bool)] if "primary" in rows else rows
    primary = made_tests(primary)
    names = commonest([str(name) for name in primary["errors"]])
    if not names:
        return _only_others(refused) if len(refused) else ""
    models = " ".join(dict.fromkeys(primary["model"].astype(str))) if "model" in rows else ""
    beside = _beside(rows, names, cite)
    if not any(name.startswith("robust") for name in names):
        return f"Standard errors were classical (equal variances).{beside}"
    how = _robust_kinds(models, cite)
    return (
        f"Standard errors were robust to unequal variances{f' ({how})' if how else ''}, whatever "
        "the checks of assumptions said, because choosing a test by a preliminary test inflates "
        f"the error rate.{_exception(refused)}{beside}"
    )


def _exception(refused: pd.DataFrame) -> str:
    """Where the planned errors were not available."""
    if not len(refused):
        return ""
    n = len(refused[["outcome", "window"]].drop_duplicates())
    why = _whys(refused)
    return (
        f" They were not available for {count_of(n, *_PAIR)}{f' ({why})' if why else ''}; there "
        "the classical ones are shown."
    )


def _only_others(refused: pd.DataFrame) -> str:
    """The errors that are shown where the planned ones were not available anywhere."""
    why = _whys(refused)
    errors = md(str(refused["errors"].iloc[0]))
    return (
        f"The planned {errors} standard errors were not available{f' ({why})' if why else ''}; "
        "classical ones (equal variances) are shown."
    )


def _beside(rows: pd.DataFrame, primary: list[str], cite: Cited) -> str:
    """Which other estimates stand in the table, and of how many outcomes and windows."""
    parts = []
    for name in dict.fromkeys(rows["errors"].astype(str)):
        if name in primary:
            continue
        mine = made_tests(rows[rows["errors"].astype(str) == name])
        if not len(mine):
            continue
        n = len(mine[["outcome", "window"]].drop_duplicates())
        if "huber" in name.lower():
            parts.append(f"{_BESIDE_HUBER} {cite('huber')} of {count_of(n, *_PAIR)}")
        elif "slopes" in name:
            parts.append(f"{_BESIDE_SLOPES} of {count_of(n, *_PAIR)}")
        else:
            parts.append(_BESIDE.get(name, f"{md(name)} errors"))
    return f" Beside them the tables hold {listed(parts)}." if parts else ""


def _robust_kinds(models: str, cite: Cited) -> str:
    parts = []
    if "HC2" in models:
        df = ""
        if "Satterthwaite" in models:
            df = (
                f" with Satterthwaite degrees of freedom, {cite.bare('bell', 'imbens')}; F tests, "
                f"{cite.bare('pustejovsky')}"
            )
        parts.append(f"HC2{df}")
    if "HC3" in models:
        parts.append(f"HC3, {cite.bare('hc3')}")
    if "groups=dyad" in models:
        parts.append(
            "allowing for likeness within dyads, by generalized estimating equations with "
            f"bias-reduced errors, {cite.bare('mancl')}"
        )
    return "; ".join(parts)


def _delta(rows: pd.DataFrame, cite: Cited) -> str:
    primary = made_tests(rows[rows["primary"].astype(bool)] if "primary" in rows else rows)
    welch = "robust" in set(primary["errors"].astype(str))
    how = (
        f"without assuming equal variances {cite('welch_t')}" if welch else "with pooled variances"
    )
    refused = _refused(rows)
    n = len(refused[["outcome", "window"]].drop_duplicates())
    if not len(primary):
        how = "with pooled variances" if len(made_tests(rows)) else how
    some = f" These were not available for {count_of(n, *_PAIR)}." if n and len(primary) else ""
    return f"Change scores were also compared by analysis of variance and t tests {how}.{some}"


def _mixed(rows: pd.DataFrame, cite: Cited) -> str:
    """The mixed model and its robust counterpart, as far as they could be fitted."""
    tested = made_tests(rows[rows["kind"] == "omnibus"])
    if not len(tested):
        return _not_fitted(rows)
    text = ""
    by_kind = {name: tested[tested["errors"] == name] for name in ("classical", "robust")}
    if len(by_kind["classical"]):
        text += _mixed_model(rows, by_kind["classical"])
    if len(by_kind["robust"]):
        text += _robust_mixed(by_kind["robust"], bool(text), cite)
    primary = [str(name) for name in tested.loc[tested["primary"].astype(bool), "errors"]]
    if len(set(primary)) == 1 and all(len(found) for found in by_kind.values()):
        errors = {"robust": "robust", "classical": "model-based"}.get(primary[0], md(primary[0]))
        text += f"Of the two, the tests with {errors} errors are primary."
    refused = _refused(rows)
    if len(refused):
        n = len(refused[["outcome", "window"]].drop_duplicates())
        why = _whys(refused)
        errors = md(str(refused["errors"].iloc[0]))
        text = (
            f"{text.strip()} Tests with {errors} errors were planned but not "
            f"available for {count_of(n, *_PAIR)}{f' ({why})' if why else ''}."
        )
    return text.strip()


def _robust_mixed(tested: pd.DataFrame, beside: bool, cite: Cited) -> str:
    """Robust tests of condition × phase: which model each rests on, and for how many outcomes."""
    models = tested["model"].astype(str)
    clustered = models.str.contains("sandwich", regex=False, case=False)
    text = ""
    kinds = (
        (tested[clustered], _SANDWICH, ("bell", "pustejovsky")),
        (tested[~clustered], _GEE, ("liang", "mancl")),
    )
    for found, how, sources in kinds:
        if not len(found):
            continue
        by = ""
        if found["model"].astype(str).str.contains("dyad", regex=False).any():
            by = ", allowing for likeness within dyads"
            how = how.replace("clustered by participant", "clustered by dyad")
        start = "Robust tests" if beside or text else "Condition × phase was tested robustly: tests"
        text += (
            f"{start} {how} {cite(*sources)}{by} "
            f"({count_of(found['outcome'].nunique(), 'outcome')}). "
        )
    return text


def _mixed_model(rows: pd.DataFrame, tested: pd.DataFrame) -> str:
    """The linear mixed model: fixed and random part, and for how many outcomes each was fitted."""
    shown = "; ".join(code(model) for model in formulas(tested))
    found = tested["model"].astype(str).str.extract(_RANDOM)[0].fillna("")
    parts = []
    for random in commonest(found):
        n = tested.loc[found == random, "outcome"].nunique()
        what = _RANDOM_WORDS.get(random, code(random))
        parts.append(f"{what} ({count_of(n, 'outcome')})")
    missing = rows["outcome"].nunique() - tested["outcome"].nunique()
    none = f"; it could not be fitted to {count_of(missing, 'outcome')}" if missing else ""
    return (
        "A linear mixed model tested condition × phase over baseline and tasks "
        f"({shown}) by restricted maximum likelihood, with {listed(parts)}{none}. "
    )


def _contrasts(facts: StudyFacts, rows: pd.DataFrame, cite: Cited) -> str:
    planned = rows[rows["kind"] == "contrast"]
    terms = list(dict.fromkeys(planned["term"].astype(str)))
    if not terms:
        return ""
    alpha = facts.config.get("alpha")
    text = f"Planned contrasts (first minus second): {'; '.join(contrast(term) for term in terms)}."
    done = set(made_tests(planned)["term"].astype(str))
    if not done:
        return f"{text} No contrast could be tested."
    never = [term for term in terms if term not in done]
    if never:
        why = _whys(planned[planned["term"].astype(str).isin(never)])
        text += (
            f" Nowhere could {'; '.join(contrast(term) for term in never)} be tested"
            f"{f' ({why})' if why else ''}."
        )
    if "p_holm" in planned and len(finite(planned["p_holm"])) and len(terms) > 1:
        text += (
            f" Their p values were corrected after Holm {cite('holm')} over the {len(terms)} "
            "contrasts of an outcome in a window within an analysis; outcomes and windows were not "
            "corrected for each other."
        )
    if isinstance(alpha, int | float):
        level = 100 * (1 - alpha)
        text += f" Tests are two-sided at α = {alpha:g}, confidence intervals {level:g} %."
    if "hedges_g" in planned and len(finite(planned["hedges_g"])):
        text += (
            " Effect sizes are Hedges g: the (adjusted) difference divided by the pooled standard "
            "deviation of the change scores of the two conditions, with the correction for small "
            f"samples {cite('hedges')}."
        )
    omnibus = rows[rows["kind"] == "omnibus"]
    if "partial_eta2" in omnibus and len(finite(omnibus["partial_eta2"])):
        text += " The omnibus test of condition is given with partial η²."
    return text


def contrast(term: str) -> str:
    """Write a contrast with a minus sign."""
    return md(term).replace(" - ", " − ")


def assumptions_summary(facts: StudyFacts) -> pd.DataFrame:
    """Return the checks of assumptions: how often made, how often not met, and what follows.

    Columns: check, test, n, failed, consequence (of those not met).
    """
    rows = facts.table("assumptions")
    if not {"check", "test", "passed", "consequence"} <= set(rows.columns) or not len(rows):
        return pd.DataFrame(columns=["check", "test", "n", "failed", "consequence"])
    out = []
    for (check, test), group in rows[checked(rows)].groupby(["check", "test"], sort=False):
        wrong = group[~group["passed"].astype(bool)]
        texts = commonest(str(text) for text in wrong["consequence"] if str(text))
        if check == "influence" and texts:
            texts = ["the sensitivity table holds the contrasts without these participants"]
        out.append(
            {
                "check": str(check),
                "test": str(test),
                "n": len(group),
                "failed": len(wrong),
                "consequence": texts[0] if texts else "",
            }
        )
    return pd.DataFrame(out, columns=["check", "test", "n", "failed", "consequence"])


def checked(rows: pd.DataFrame) -> pd.Series:
    """Which checks were made: one without any number was not, whatever `passed` holds."""
    said = ~rows["consequence"].astype(str).str.startswith("not checked")
    numbers = [name for name in ("statistic", "p", "value") if name in rows]
    if not numbers:
        return said
    empty = rows[numbers].apply(pd.to_numeric, errors="coerce").isna().all(axis=1)
    failed = ~rows["passed"].astype(str).str.lower().isin(("true", "1", "1.0"))
    return said & ~(empty & failed)


def _not_checked(facts: StudyFacts) -> str:
    """How many checks could not be made, and why."""
    rows = facts.table("assumptions")
    if not {"passed", "consequence"} <= set(rows.columns) or not len(rows):
        return ""
    left = rows[~checked(rows)]
    if not len(left):
        return ""
    texts = left["consequence"].fillna("").astype(str).str.removeprefix("not checked")
    reasons = [text for text in commonest(texts.str.lstrip(": ")) if text]
    why = f": {'; '.join(md(text) for text in reasons[:3])}" if reasons else ""
    return f"{count_of(len(left), 'check')} could not be made{why}."


def _checks(facts: StudyFacts) -> list[str]:
    table, left = assumptions_summary(facts), _not_checked(facts)
    if not len(table):
        return [left] if left else []
    body = [
        [md(row.check), md(row.test), str(row.n), str(row.failed), md(row.consequence) or "–"]
        for row in table.itertuples()
    ]
    head = ["Assumption", "Test", "Models checked", "Not met", "Consequence where not met"]
    return ["Checks of assumptions:", pipe_table(head, body), *([left] if left else [])]


def _sensitivity(facts: StudyFacts) -> str:
    rows = facts.table("sensitivity")
    if not {"variant", "estimate"} <= set(rows.columns):
        return ""
    rows = rows[pd.to_numeric(rows["estimate"], errors="coerce").notna()]
    variants = [str(v) for v in rows["variant"] if str(v) not in ("", "as planned")]
    if not variants:
        return ""
    named = "; ".join(md(name) for name in dict.fromkeys(variants))
    return f"Sensitivity analyses repeated the contrasts with other decisions: {named}."


def _power(facts: StudyFacts) -> str:
    rows = facts.table("power")
    smallest = finite(facts.column("power", "smallest_g"))
    if not len(smallest):
        return ""
    alpha, power, reference = (
        finite(facts.column("power", name)) for name in ("alpha", "power", "reference_g")
    )
    level = f"{100 * power[0]:g} % power at α = {alpha[0]:g}" if len(power) and len(alpha) else ""
    text = (
        f"The smallest effect that a contrast detects{f' with {level}' if level else ''} is g = "
        f"{between(np.abs(smallest), '', 2)}"
    )
    for_reference = finite(rows.get("power_for_reference", pd.Series(dtype=float)))
    if len(for_reference) and len(reference):
        text += (
            f"; power for g = {reference[0]:g} is {between(100 * for_reference, '%', 0)} (across "
            "outcomes and windows)"
        )
    return f"{text}."


def _associations(facts: StudyFacts, cite: Cited) -> str:
    rows = facts.table("associations")
    if not {"rating", "level", "estimate"} <= set(rows.columns):
        return ""
    done = rows[pd.to_numeric(rows["estimate"], errors="coerce").notna()]
    if not len(done):
        return ""
    names = listed(code(name) for name in dict.fromkeys(done["rating"].astype(str)))
    levels = set(done["level"].astype(str))
    how = (
        "within persons (deviations from a person's mean) and between persons (their means)"
        if "within" in levels
        else "between persons only, as too few had several rated windows"
    )
    models = list(dict.fromkeys(code(text) for text in done["model"].astype(str) if text))
    shown = f" ({'; '.join(models[:3])})" if "model" in done and models else ""
    return (
        f"Change scores were related to the ratings {names} of the same windows, {how}{shown} "
        f"{cite('curran')}; p values were not corrected for the number of ratings and outcomes."
    )


# ------------------------------------------------------------------------------- software


def software(facts: StudyFacts, cite: Cited) -> list[str]:
    """Versions, of processing and of analysis."""
    study = facts.study.provenance
    texts = []
    records = [session.record for session in facts.sessions]
    if records:
        texts.append(
            f"Sessions were processed with {facts.differing([_versions(r) for r in records])}."
        )
        recorders = [
            str(session.at("input", "recorded_by", default="")) for session in facts.sessions
        ]
        if all(recorders):
            texts.append(f"Recording software: {facts.differing([md(r) for r in recorders])}.")
    own = _versions(study)
    if own:
        texts.append(f"The study was analysed with {own}.")
    libraries: set[str] = set()
    for record in [*records, study]:
        named = record.get("libraries")
        libraries |= set(map(str, named)) if isinstance(named, Mapping) else set()
    used = [_LIBRARY_SOURCES[name] for name in sorted(libraries) if name in _LIBRARY_SOURCES]
    if used:
        texts.append(f"On the libraries see {cite.bare(*used)}.")
    if records:
        texts.append("Processing was automatic; no beat, window or value was edited by hand in it.")
    return [" ".join(texts)] if texts else []


def _versions(record: Mapping[str, Any]) -> str:
    package, libraries = record.get("package"), record.get("libraries")
    parts = []
    if isinstance(package, Mapping) and package.get("name"):
        parts.append(md(f"{package['name']} {package.get('version', '')}".strip()))
    if record.get("python"):
        parts.append(f"Python {md(record['python'])}")
    if isinstance(libraries, Mapping):
        parts += [md(f"{name} {version}") for name, version in libraries.items()]
    return ", ".join(parts)
