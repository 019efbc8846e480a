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
from physio_hqc.report._study_words import outcome_words

ANALYSES = ("ANCOVA", "delta", "mixed model")
_FORMULA = re.compile(r"""\((['"])(\S.*?~.*?)\1""")
_RANDOM = re.compile(r"re_formula='([^']*)'")
_RANDOM_WORDS = {
    "0 + C(phase)": "a level of each participant's own in every phase, with unstructured "
    "covariance, over single readings or pieces",
    "1": "a random intercept per participant over one value per phase",
}
_PAIR = ("outcome in a window", "outcomes in windows")
_BESIDE = {"classical": "classical standard errors", "robust": "robust standard errors"}
_BESIDE_HUBER, _BESIDE_SLOPES = "Huber's M-estimates", "estimates with a slope per condition"
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
    texts = [_tested(facts, rows)]
    for analysis, write in (("ANCOVA", _ancova), ("delta", _delta), ("mixed model", _mixed)):
        found = rows[rows["analysis"] == analysis]
        if len(found):
            texts.append(write(found, cite))
    texts.append(_contrasts(facts, rows, cite))
    blocks = [" ".join(text for text in texts if text)]
    blocks += _checks(facts)
    rest = [_sensitivity(facts), _power(facts), _associations(facts, cite)]
    said = " ".join(text for text in rest if text)
    return [*blocks, said] if said else blocks


def _tested(facts: StudyFacts, rows: pd.DataFrame) -> str:
    outcomes = listed(outcome(name) for name in dict.fromkeys(rows["outcome"].astype(str)))
    planned = rows[rows["kind"] == "contrast"]
    windows = listed(code(name) for name in dict.fromkeys(planned["window"].astype(str)))
    text = f"Outcomes were {outcomes}, tested in {windows}."
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
    primary = rows[rows["primary"].astype(bool)] if "primary" in rows else rows
    names = commonest([str(name) for name in primary["errors"]])
    if not names:
        return ""
    models = " ".join(dict.fromkeys(primary["model"].astype(str))) if "model" in rows else ""
    beside = _beside(rows, names, cite)
    if not any(name.startswith("robust") for name in names):
        return f"Standard errors were classical (equal variances).{beside}"
    how = _robust_kinds(models, cite)
    return (
        f"Standard errors were robust to unequal variances{f' ({how})' if how else ''}, whatever "
        "the checks of assumptions said, because choosing a test by a preliminary test inflates "
        f"the error rate.{beside}"
    )


def _beside(rows: pd.DataFrame, primary: list[str], cite: Cited) -> str:
    """Which other estimates stand in the table, and of how many outcomes and windows."""
    parts = []
    for name in dict.fromkeys(rows["errors"].astype(str)):
        if name in primary:
            continue
        mine = rows[rows["errors"].astype(str) == name]
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
    primary = rows[rows["primary"].astype(bool)] if "primary" in rows else rows
    welch = "robust" in set(primary["errors"].astype(str))
    how = (
        f"without assuming equal variances {cite('welch_t')}" if welch else "with pooled variances"
    )
    return f"Change scores were also compared by analysis of variance and t tests {how}."


def _mixed(rows: pd.DataFrame, cite: Cited) -> str:
    """The mixed model and its robust counterpart, as far as they could be fitted."""
    tested = rows[(rows["kind"] == "omnibus") & pd.to_numeric(rows["p"]).notna()]
    if not len(tested):
        return "A linear mixed model of condition × phase could not be fitted to any outcome."
    text = ""
    by_kind = {name: tested[tested["errors"] == name] for name in ("classical", "robust")}
    if len(by_kind["classical"]):
        text += _mixed_model(rows, by_kind["classical"])
    if len(by_kind["robust"]):
        n = by_kind["robust"]["outcome"].nunique()
        also = "Its robust counterpart" if text else "Condition × phase"
        text += (
            f"{also} {'rests' if text else 'was tested'} on phase means by generalized estimating "
            f"equations with independence and bias-reduced errors {cite('liang', 'mancl')} "
            f"({count_of(n, 'outcome')}). "
        )
    primary = [str(name) for name in tested.loc[tested["primary"].astype(bool), "errors"]]
    if len(set(primary)) == 1 and all(len(found) for found in by_kind.values()):
        text += f"The {'latter' if primary[0] == 'robust' else 'former'} is primary here."
    return text.strip()


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
    for (check, test), group in rows.groupby(["check", "test"], sort=False):
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
    return pd.DataFrame(out)


def _checks(facts: StudyFacts) -> list[str]:
    table = assumptions_summary(facts)
    if not len(table):
        return []
    body = [
        [md(row.check), md(row.test), str(row.n), str(row.failed), md(row.consequence) or "–"]
        for row in table.itertuples()
    ]
    head = ["Assumption", "Test", "Models checked", "Not met", "Consequence where not met"]
    return ["Checks of assumptions:", pipe_table(head, body)]


def _sensitivity(facts: StudyFacts) -> str:
    variants = [str(v) for v in facts.column("sensitivity", "variant") if str(v)]
    if not variants:
        return ""
    named = "; ".join(md(name) for name in dict.fromkeys(variants) if name != "as planned")
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
