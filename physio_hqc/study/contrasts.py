"""Compare the conditions of a study: the question that its design asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from physio_hqc.config import nearest
from physio_hqc.errors import StudyError

from ._change import change_rows
from ._design import Design, Sample, build_design
from ._tables import (
    ASSUMPTION_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    POWER_COLUMNS,
    SENSITIVITY_COLUMNS,
    STATISTICS_COLUMNS,
    Row,
    add_holm,
    as_table,
)
from .ancova import Fit, ancova_rows, huber_rows, slopes_rows
from .assumptions import assumption_rows, slopes_test
from .descriptives import descriptive_rows
from .mixed import mixed_rows
from .power import power_rows
from .sensitivity import sensitivity_rows

ANALYSES = ("ANCOVA", "delta", "mixed model")
ERRORS = ("robust", "classical")


@dataclass(frozen=True, eq=False)
class ConditionContrasts:
    """Everything that was compared, as tables.

    Attributes
    ----------
    descriptives : DataFrame
        Every outcome in every window and condition.
    statistics : DataFrame
        Every test and estimate: columns `STATISTICS_COLUMNS`.
    assumptions : DataFrame
        What the tests rest on, whether it holds, and what the tables do about it.
    sensitivity : DataFrame
        The contrasts under other decisions about the data.
    power : DataFrame
        The smallest difference that each contrast could have shown.
    """

    descriptives: pd.DataFrame
    statistics: pd.DataFrame
    assumptions: pd.DataFrame
    sensitivity: pd.DataFrame
    power: pd.DataFrame

    def contrast(
        self, outcome: str, window: str, term: str, *, analysis: str | None = None
    ) -> pd.Series:
        """One planned contrast, with the errors that were chosen beforehand.

        Parameters
        ----------
        outcome, window, term : str
            As in the columns of `statistics`: ``"CUFF_SBP_Mean", "speech", "support - alone"``.
        analysis : str, optional
            ``"ANCOVA"``, ``"delta"`` or ``"mixed model"``; the first in the table if left out.

        Returns
        -------
        Series
            A row of `statistics`.

        Raises
        ------
        StudyError
            If there is no such row.
        """
        rows = self.statistics[self.statistics["primary"] & (self.statistics["kind"] == "contrast")]
        wanted = {"outcome": outcome, "window": window, "term": term}
        if analysis is not None:
            wanted["analysis"] = analysis
        for column, name in wanted.items():
            known = list(dict.fromkeys(rows[column]))
            rows = rows[rows[column] == name]
            if rows.empty:
                raise StudyError(f"no contrast with {column} {name!r}: {nearest(name, known)}")
        return rows.iloc[0]


def condition_contrasts(
    scores: pd.DataFrame,
    *,
    participants: pd.DataFrame | None = None,
    courses: pd.DataFrame | None = None,
    outcomes: Sequence[str] | None = None,
    windows: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    contrasts: Sequence[str] | None = None,
    covariates: Sequence[str] = ("sex",),
    analyses: Sequence[str] = ANALYSES,
    errors: str = "robust",
    quality_min: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    reference_g: float = 0.5,
    baseline: str | Sequence[str] = "baseline",
    log_outcomes: Sequence[str] = (),
    checks: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> ConditionContrasts:
    """Compare conditions: analysis of covariance, change scores and mixed model, and their checks.

    Parameters
    ----------
    scores : DataFrame
        Reactivity scores of all sessions (:func:`physio_hqc.reactivity.reactivity_scores`), or a
        tidy table of features, which is then scored against `baseline`.
    participants : DataFrame, optional
        One row per participant: ``id`` and, as far as known, ``condition``, ``sex``, ``dyad``
        and other covariates. What is not there is taken from `scores`.
    courses : DataFrame, optional
        How features run inside the phases: the rows of the mixed model. Without them it rests on
        one value per phase.
    outcomes, windows : sequence of str, optional
        Features and windows that are compared. Left out: blood pressure, heart rate, ln RMSSD,
        ln HF, skin conductance as far as they are there; preparation and task phases.
    conditions : sequence of str, optional
        Conditions that are compared, in this order; all if left out.
    contrasts : sequence of str, optional
        Planned differences, ``"support - alone"``. Left out: those of Lepore et al. (1993), or
        all pairs where the conditions are others.
    covariates : sequence of str
        Columns of `participants` that enter the models. Numbers enter as they are, words as
        one coefficient per level.
    analyses : sequence of str
        Which of ``"ANCOVA"``, ``"delta"``, ``"mixed model"``.
    errors : {"robust", "classical"}
        Which errors are primary. Both stand in the table; a choice after looking at the variances
        would raise the error rate.
    quality_min : float
        Windows of lower quality are left out.
    alpha : float
        Two-sided level of tests; intervals have the level ``1 - alpha``.
    power, reference_g : float
        Power for which the smallest detectable difference is given; difference (Hedges g) for
        which power is given.
    baseline : str or sequence of str
        Names of the baseline windows, used where `scores` are features.
    log_outcomes : sequence of str
        Outcomes that are analyzed as natural logarithm.
    checks : bool
        Also check assumptions, vary decisions, and compute power and descriptive tables.
    progress : callable, optional
        Called with the number of outcomes that are done and of all.

    Returns
    -------
    ConditionContrasts
        Tables; every row says on how many participants it rests and who was left out.

    Raises
    ------
    StudyError
        If a participant is there twice, a condition, outcome, window or covariate is not there
        (the nearest name is given), there is one condition only, a condition's name holds
        ``" - "``, an outcome is in two units, or a value is not a number or out of range (beyond
        1e50, or all below 1e-50).

    Notes
    -----
    *ANCOVA*: ``value ~ C(condition) + baseline + C(sex)`` by ordinary least squares. Robust errors
    are HC2 (``cov_type="HC2"``) with Satterthwaite degrees of freedom for error variances that
    differ between conditions; without covariates and with two conditions this is Welch's t test.
    The omnibus F uses the same covariance as an approximate Hotelling T squared. Where participants
    form dyads, errors allow for likeness within them.
    *delta*: change from baseline, classical (equal variances) and robust (Welch).
    *Mixed model*: ``value ~ C(condition) * C(phase) + C(sex)`` over the readings or minutes of
    baseline and tasks, by restricted maximum likelihood with person-specific phase levels. The
    robust rows are the same estimates with a sandwich by participant (by dyad where there are any)
    from the residuals, whitened by the fitted covariance and corrected for leverage (CR2; Bell &
    McCaffrey 2002), with Satterthwaite degrees of freedom for variances that differ between
    conditions: Welch's test of the changes where there are no covariates and nothing is missing.
    Classical t and all F have the persons with the window, less conditions and covariates. A
    participant who lacks a window stays in with baseline and the other windows: this assumes that
    readings are missing at random given what is in the model (condition, covariates, the readings
    that are there). ``n`` counts who has the window. Where a fit over all windows is not possible,
    a random intercept over baseline and one window takes its place, and where that fails, too,
    generalized estimating equations; both rest on people who have both values, as *delta* does,
    and so assume that what is missing does not depend on the change; *ANCOVA* allows it to depend
    on the baseline.
    A score without a change from baseline (too few readings, low quality) is left out of every
    analysis, of the mixed model's rows of that window, too.
    Limit: with 8 participants per condition, unequal variances and strongly skewed residuals
    (gamma distribution of shape 0.5) together, robust errors find a contrast in up to 8.8 %
    instead of 5 % of simulated studies without one.
    Holm's correction runs over the planned contrasts of one outcome, window, analysis and kind of
    errors; outcomes and windows are not corrected for each other.
    Hedges g is, in all analyses, a difference in pooled standard deviations of the change scores of
    the two conditions.

    References
    ----------
    Lepore S. J., Allen K. A., Evans G. W. (1993). Psychosomatic Medicine 55, 518.
    doi:10.1097/00006842-199311000-00007.
    Long J. S., Ervin L. H. (2000). American Statistician 54, 217.
    doi:10.1080/00031305.2000.10474549.
    Welch B. L. (1951). Biometrika 38, 330. doi:10.1093/biomet/38.3-4.330.
    Bell R. M., McCaffrey D. F. (2002). Survey Methodology 28, 169.
    Pustejovsky J. E., Tipton E. (2018). Journal of Business and Economic Statistics 36, 672.
    doi:10.1080/07350015.2016.1247004.
    Mancl L. A., DeRouen T. A. (2001). Biometrics 57, 126. doi:10.1111/j.0006-341X.2001.00126.x.
    Hoenig J. M., Heisey D. M. (2001). American Statistician 55, 19. doi:10.1198/000313001300339897.
    Holm S. (1979). Scandinavian Journal of Statistics 6, 65.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import condition_contrasts
    >>> scores = pd.DataFrame({
    ...     "session": [f"p{i:02d}" for i in range(1, 13)],
    ...     "condition": ["alone"] * 4 + ["support"] * 4 + ["nonsupport"] * 4,
    ...     "window": "speech", "feature": "CUFF_SBP_Mean",
    ...     "baseline": [118, 122, 115, 125, 124, 121, 128, 123, 117, 112, 119, 116],
    ...     "value": [132, 138, 127, 141, 131, 128, 139, 131, 138, 131, 142, 135]})
    >>> result = condition_contrasts(scores, analyses=["ANCOVA"], checks=False)
    >>> row = result.contrast("CUFF_SBP_Mean", "speech", "support - nonsupport")
    >>> float(row["estimate"].round(3))
    -16.105
    """
    _check_options(analyses, errors, quality_min, alpha, power, reference_g)
    design = build_design(
        scores,
        participants=participants,
        courses=courses,
        outcomes=outcomes,
        windows=windows,
        conditions=conditions,
        contrasts=contrasts,
        covariates=(covariates,) if isinstance(covariates, str) else covariates,
        quality_min=quality_min,
        baseline=baseline,
        log_outcomes=log_outcomes,
    )
    options = _Options(tuple(analyses), errors, alpha, power, reference_g, checks)
    tables = _Tables()
    for done, outcome in enumerate(design.outcomes):
        if progress is not None:
            progress(done, len(design.outcomes))
        _compare(design, courses, outcome, options, tables)
    add_holm(tables.statistics)
    if checks:
        tables.descriptives += descriptive_rows(design, alpha=alpha)
    return ConditionContrasts(
        descriptives=as_table(tables.descriptives, DESCRIPTIVE_COLUMNS),
        statistics=as_table(tables.statistics, STATISTICS_COLUMNS),
        assumptions=as_table(tables.assumptions, ASSUMPTION_COLUMNS),
        sensitivity=as_table(tables.sensitivity, SENSITIVITY_COLUMNS),
        power=as_table(tables.power, POWER_COLUMNS),
    )


@dataclass(frozen=True)
class _Options:
    """How everything is tested."""

    analyses: tuple[str, ...]
    errors: str
    alpha: float
    power: float
    reference_g: float
    checks: bool


@dataclass
class _Tables:
    """Rows of all tables, as they come."""

    descriptives: list[Row] = field(default_factory=list)
    statistics: list[Row] = field(default_factory=list)
    assumptions: list[Row] = field(default_factory=list)
    sensitivity: list[Row] = field(default_factory=list)
    power: list[Row] = field(default_factory=list)


def _check_options(
    analyses: Sequence[str],
    errors: str,
    quality_min: float,
    alpha: float,
    power: float,
    reference_g: float,
) -> None:
    """Refuse options that make no sense."""
    names = [analyses] if isinstance(analyses, str) else list(analyses)
    for name in names:
        if name not in ANALYSES:
            raise StudyError(f"no analysis {name!r}: {nearest(str(name), ANALYSES)}")
    if not names:
        raise StudyError(f"analyses is empty: name some of {', '.join(ANALYSES)}")
    if errors not in ERRORS:
        raise StudyError(f"errors is {errors!r}: pass 'robust' or 'classical'")
    if not 0 <= quality_min <= 1:
        raise StudyError(f"quality_min is {quality_min}: pass a number from 0 to 1")
    for name, number in (("alpha", alpha), ("power", power)):
        if not 0 < number < 1:
            raise StudyError(f"{name} is {number}: pass a number between 0 and 1")
    if not 0 < reference_g < 100:
        raise StudyError(f"reference_g is {reference_g}: pass a difference above 0")


def _compare(
    design: Design, courses: pd.DataFrame | None, outcome: str, options: _Options, tables: _Tables
) -> None:
    """All analyses and checks of one outcome."""
    samples = {window: design.sample(outcome, window) for window in design.windows}
    first = len(tables.statistics)
    for sample in samples.values():
        if "ANCOVA" in options.analyses:
            _ancova(design, sample, options, tables)
        if "delta" in options.analyses:
            plain = design.sample(outcome, sample.window, covariates=())
            tables.statistics += change_rows(
                plain, design.contrasts, errors=options.errors, alpha=options.alpha
            )
    if "mixed model" in options.analyses:
        tables.statistics += mixed_rows(
            design, courses, outcome, samples, errors=options.errors, alpha=options.alpha
        )
    if options.checks:
        _power(design, samples, tables.statistics[first:], options, tables)


def _ancova(design: Design, sample: Sample, options: _Options, tables: _Tables) -> None:
    """Analysis of covariance of one window, its assumptions and variants."""
    contrasts, alpha = design.contrasts, options.alpha
    rows, fit = ancova_rows(sample, contrasts, errors=options.errors, alpha=alpha)
    tables.statistics += rows
    if not options.checks:
        return
    slopes = slopes_test(fit) if isinstance(fit, Fit) else fit
    checked = assumption_rows(sample, fit, slopes, contrasts)
    tables.assumptions += checked
    failed = {row["check"] for row in checked if row["analysis"] == "ANCOVA" and _failed(row)}
    if "homogeneity of slopes" in failed:
        tables.statistics += slopes_rows(sample, contrasts, alpha)
    if isinstance(fit, Fit) and "normality of residuals" in failed:
        tables.statistics += huber_rows(fit, contrasts, alpha)
    tables.sensitivity += sensitivity_rows(design, sample, errors=options.errors, alpha=alpha)


def _failed(row: Row) -> bool:
    """Whether an assumption was tested and does not hold."""
    return "p" in row and not row["passed"]


def _power(
    design: Design,
    samples: dict[str, Sample],
    rows: list[Row],
    options: _Options,
    tables: _Tables,
) -> None:
    """Smallest detectable differences of the primary contrasts of the first analysis."""
    planned = {item.term: item for item in design.contrasts}
    for row in rows:
        if row["kind"] != "contrast" or not row["primary"]:
            continue
        if row["analysis"] == options.analyses[0] and row["window"] in samples:
            tables.power += power_rows(
                row,
                samples[row["window"]],
                planned[row["term"]],
                planned=len(planned),
                alpha=options.alpha,
                power=options.power,
                reference_g=options.reference_g,
            )
