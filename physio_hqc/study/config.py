"""Settings of a study: what is compared, how, and with which definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from physio_hqc.config import ConfigModel, Name, Text, WrongKeyError, dump_yaml, load_config

Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
OpenShare = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
Size = Annotated[float, Field(strict=True, gt=0, le=10, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, le=100_000)]

_NO_COVARIATES = ("id", "condition", "session", "dyad", "baseline")


class StudyConfig(ConfigModel):
    """All settings of :func:`physio_hqc.study.process_study`."""

    title: Text = Field(default="", description="Title of the study, for the report.")
    outcomes: tuple[Word, ...] = Field(
        default=(), description="Features that are tested; empty: the usual ones that are there."
    )
    primary_outcome: Word | None = Field(
        default=None, description="The feature that the question is about; absent: the first."
    )
    primary_window: Word | None = Field(
        default=None, description="Its window; absent: the first task phase."
    )
    windows: tuple[Word, ...] = Field(
        default=(),
        description="Windows that are tested; empty: preparation and task phases, and interaction "
        "windows that every condition has.",
    )
    combined: dict[Name, tuple[Word, ...]] = Field(
        default={},
        description="Windows that are the mean of others, such as task: [preparation, speech].",
    )
    log_outcomes: tuple[Word, ...] = Field(
        default=(), description="Outcomes that are tested as natural logarithm."
    )
    baseline: tuple[Word, ...] = Field(
        default=("baseline",),
        min_length=1,
        description="Baseline windows, for a features table without sessions; processed sessions "
        "have the baseline of their protocol.",
    )
    conditions: tuple[Word, ...] = Field(
        default=(), description="Conditions in the order they are shown; empty: those present."
    )
    contrasts: tuple[tuple[Word, Word], ...] = Field(
        default=(),
        description="Planned contrasts, first minus second; empty: those of the support design, "
        "or all pairs.",
    )
    covariates: tuple[Word, ...] = Field(
        default=("sex",), description="Columns of participants.csv that are adjusted for."
    )
    errors: Literal["robust", "classical"] = Field(
        default="robust", description="Standard errors of the primary analysis."
    )
    quality_min: Share = Field(
        default=0.5, description="Windows of lower quality are not used (sensitivity says what if)."
    )
    alpha: OpenShare = Field(default=0.05, description="Level of the tests, two-sided.")
    power: OpenShare = Field(
        default=0.8, description="Power that the smallest detectable effect refers to."
    )
    reference_g: Size = Field(
        default=0.61, description="Effect (Hedges g) that the power is given for."
    )
    recovery_at_s: tuple[Seconds, ...] = Field(
        default=(60.0, 180.0, 300.0, 600.0),
        min_length=1,
        description="Times after the task, in s, at which recovery is read.",
    )
    proxy: Word | None = Field(
        default="session", description="Definition of the allostatic-load proxy; null: none."
    )
    scale: Word | None = Field(
        default="hqc", description="Rating scale that items belong to; null: none."
    )
    n_boot: Count = Field(default=2000, description="Bootstrap samples of the proxy's interval.")
    seed: Count = Field(default=0, description="Seed of the bootstrap.")

    @model_validator(mode="after")
    def _check(self) -> StudyConfig:
        if self.conditions and len(set(self.conditions)) != len(self.conditions):
            raise WrongKeyError(("conditions",), "names a condition twice")
        for number, pair in enumerate(self.contrasts):
            if pair[0] == pair[1]:
                raise WrongKeyError(("contrasts", number), "compares a condition with itself")
            for name in pair:
                if self.conditions and name not in self.conditions:
                    raise WrongKeyError(("contrasts", number), f"'{name}' is not in conditions")
        for number, name in enumerate(self.covariates):
            if name in _NO_COVARIATES:
                raise WrongKeyError(("covariates", number), f"'{name}' is no covariate")
        if self.outcomes and self.primary_outcome not in (None, *self.outcomes):
            raise WrongKeyError(("primary_outcome",), "is not one of the outcomes")
        return self

    def to_yaml(self) -> str:
        """Write the settings as YAML that reads back to equal settings."""
        return dump_yaml(self)


def load_study_config(name_or_path: str | Path | None = None) -> StudyConfig:
    """Read study settings by their shipped name or from a YAML file.

    Parameters
    ----------
    name_or_path : str, Path or None
        None is the shipped ``default``. A file need only name what it changes.

    Returns
    -------
    StudyConfig

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> load_study_config("lepore_1993").contrasts[0]
    ('support', 'nonsupport')
    """
    return load_config("studies", "default" if name_or_path is None else name_or_path, StudyConfig)
