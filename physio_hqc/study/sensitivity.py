"""The planned contrasts under other decisions about the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._change import change_rows
from ._design import Contrast, Design, Sample
from ._tables import Row, joined
from .ancova import ancova_rows, fit_sample
from .assumptions import influential

STRICT_QUALITY = 0.8


def sensitivity_rows(design: Design, sample: Sample, *, errors: str, alpha: float) -> list[Row]:
    """The contrasts of one outcome in one window, varied."""
    rows: list[Row] = []
    for variant, varied, note in _variants(design, sample):
        rows += _rows(variant, varied, design.contrasts, sample, note, errors, alpha)
    return rows


def _variants(design: Design, sample: Sample) -> list[tuple[str, Sample, str]]:
    """Name of each variant, its sample and what it says."""
    outcome, window = sample.outcome, sample.window
    strict = max(STRICT_QUALITY, design.quality_min)
    variants = [
        ("as planned", sample, ""),
        (
            "windows of any quality",
            design.sample(outcome, window, quality_min=0.0),
            "baselines of low quality stay out",
        ),
        (
            f"quality at least {strict:g}",
            design.sample(outcome, window, quality_min=strict),
            "baselines as processing judged them: the scores hold no quality of theirs",
        ),
        ("without flagged values", sample.without(sample.flagged), ""),
    ]
    fit = fit_sample(sample)
    if isinstance(fit, str):
        variants.append(("without influential participants", sample, f"not varied: {fit}"))
    else:
        gone = influential(fit)
        variants.append(
            (
                "without influential participants",
                sample.without(gone),
                f"{int(gone.sum())} left out: Cook's distance above 4/n",
            )
        )
    names = ", ".join(item.name for item in sample.covariates)
    if names:
        variants.append((f"without {names}", design.sample(outcome, window, covariates=()), ""))
    plain = design.sample(outcome, window, covariates=())
    return [*variants, ("delta instead of ANCOVA", plain, "")]


def _rows(
    variant: str,
    varied: Sample,
    contrasts: Sequence[Contrast],
    planned: Sample,
    note: str,
    errors: str,
    alpha: float,
) -> list[Row]:
    """Contrasts of one variant with the primary errors."""
    if variant == "delta instead of ANCOVA":
        found = change_rows(varied, contrasts, errors=errors, alpha=alpha)
    else:
        found, _ = ancova_rows(varied, contrasts, errors=errors, alpha=alpha)
    same = variant != "as planned" and np.array_equal(varied.participant, planned.participant)
    unchanged = "the same participants as planned" if same else ""
    return [
        {
            "outcome": row["outcome"],
            "window": row["window"],
            "variant": variant,
            "term": row["term"],
            "estimate": row.get("estimate", np.nan),
            "se": row.get("se", np.nan),
            "ci_low": row.get("ci_low", np.nan),
            "ci_high": row.get("ci_high", np.nan),
            "p": row.get("p", np.nan),
            "n": row["n"],
            "note": joined(note, unchanged, row["note"]),
        }
        for row in found
        if row["kind"] == "contrast" and row["primary"]
    ]
