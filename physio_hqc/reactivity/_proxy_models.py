"""What an allostatic-load proxy consists of, as data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from physio_hqc.config import ConfigModel, Name, Text, WrongKeyError, load_config, nearest
from physio_hqc.features.catalog import FEATURES

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e12, le=1e12)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=3, le=100_000)]
Risk = Literal["high", "low"]
CutRule = Literal["sample quartile", "cut points"]
Column = Annotated[str, Field(min_length=1, max_length=200)]

LOGISTIC_ELEVATION = "logistic_elevation"
_RECOVERY = re.compile(
    r"(delta|percent)_\d+(\.\d+)?s|mean_elevation|auc_above"
    r"|logistic_(amount|level|speed|half_s|elevation)"
)
_RESERVED = ("participant", "id", "sex")


class Source(ConfigModel):
    """Where the value of a component is taken from: one of three sorts.

    ``feature`` (in a resting window), ``recovery`` with ``feature`` (a column of the recovery
    table), or ``column`` (of the participants' table).
    """

    feature: Name | None = Field(default=None, description="Feature of a session.")
    window: Text | None = Field(
        default=None,
        description="Window of the feature, the baseline if absent; with recovery, the name of "
        "the recovery window, the first one if absent.",
    )
    recovery: Text | None = Field(default=None, description="Column of the recovery table.")
    column: Column | None = Field(default=None, description="Column of the participants' table.")
    over: Column | None = Field(default=None, description="Column that `column` is divided by.")

    @model_validator(mode="after")
    def _check(self) -> Source:
        if (self.feature is None) == (self.column is None):
            raise ValueError("give either 'feature' (of a session) or 'column' (of participants)")
        if self.feature is not None and self.feature not in FEATURES:
            message = f"there is no feature '{self.feature}'; {nearest(self.feature, FEATURES)}"
            raise WrongKeyError(("feature",), message)
        if self.column is not None and (self.window is not None or self.recovery is not None):
            raise ValueError("'column' goes with neither 'window' nor 'recovery'")
        if self.over is not None and self.column is None:
            raise WrongKeyError(("over",), "has a meaning only beside 'column'")
        self._check_recovery()
        return self

    def _check_recovery(self) -> None:
        """Refuse columns that recovery tables do not have or that leave the slowest out."""
        if self.recovery is None or _RECOVERY.fullmatch(self.recovery):
            return
        if self.recovery == "half_recovery_s":
            message = "has no value for those who never reach half; use percent_300s, risk low"
        else:
            message = f"there is no recovery score '{self.recovery}', such as delta_300s"
        raise WrongKeyError(("recovery",), message)

    @property
    def text(self) -> str:
        """The source in words, for reasons."""
        if self.recovery is not None:
            return f"{self.recovery} of {self.feature}"
        if self.feature is not None:
            return self.feature
        return f"{self.column} / {self.over}" if self.over else str(self.column)


class CutBySex(ConfigModel):
    """Published cut points that differ by sex."""

    female: Number = Field(description="Cut point for women.")
    male: Number = Field(description="Cut point for men.")


class Component(ConfigModel):
    """One indicator of the proxy."""

    name: Name = Field(description="Name of the column that holds its values.")
    label: Text = Field(description="What tables and figures show.")
    unit: Text = Field(description="Unit of the values and of the cut point.")
    risk: Risk = Field(description="Which end of the scale counts as risk.")
    mediator: Literal["primary", "secondary"] = Field(
        default="secondary",
        description="Primary: what the body sends (hormones, nerves). Secondary: what follows.",
    )
    sources: tuple[Source, ...] = Field(
        min_length=1, max_length=10, description="Where it is taken from; the first that has it."
    )
    cut: Number | None = Field(default=None, description="Published cut point.")
    cut_by_sex: CutBySex | None = Field(default=None, description="Published cut points by sex.")
    inclusive: bool = Field(
        default=False, description="A value equal to the published cut point counts as risk."
    )
    log: bool = Field(default=False, description="z-scores are taken of the natural logarithm.")
    possible: tuple[Number, Number] | None = Field(
        default=None, description="Lowest and highest possible value; outside it is an error."
    )
    note: Text = Field(default="", description="Where the cut point comes from, how it is taken.")

    @model_validator(mode="after")
    def _check(self) -> Component:
        if self.name.lower() in _RESERVED:
            raise WrongKeyError(("name",), f"'{self.name}' is the name of another column")
        if self.cut is not None and self.cut_by_sex is not None:
            raise WrongKeyError(("cut_by_sex",), "give either cut or cut_by_sex")
        if self.inclusive and not self.has_cut:
            raise WrongKeyError(("inclusive",), "has a meaning only beside a cut point")
        if self.possible is not None and self.possible[0] >= self.possible[1]:
            raise WrongKeyError(("possible",), "the lowest value comes first")
        return self

    @property
    def has_cut(self) -> bool:
        """Whether there is a published cut point."""
        return self.cut is not None or self.cut_by_sex is not None


class ProxyDefinition(ConfigModel):
    """An allostatic-load proxy: its components, and the rule that says who is at risk."""

    name: Name = Field(description="Name of the proxy.")
    title: Text = Field(description="One line that says what it is.")
    description: Text = Field(default="", description="What it rests on and for whom it holds.")
    references: tuple[Text, ...] = Field(default=(), description="Where it comes from.")
    rule: CutRule = Field(default="sample quartile", description="What counts as risk.")
    sex_specific: bool = Field(
        default=False, description="Sample quartiles, means and SDs are taken within each sex."
    )
    min_share: Share = Field(
        default=0.5, description="Share of the components that a person needs for a score."
    )
    min_n: Count = Field(
        default=5, description="Values that a sample quartile or z-score is taken from, at least."
    )
    min_per_sex: Count = Field(
        default=10, description="The same, of each sex, when sex_specific is true."
    )
    components: tuple[Component, ...] = Field(
        min_length=1, max_length=100, description="The indicators."
    )

    @model_validator(mode="after")
    def _check(self) -> ProxyDefinition:
        seen: set[str] = set()
        for index, component in enumerate(self.components):
            if component.name.lower() in seen:
                message = f"'{component.name}' is already taken"
                raise WrongKeyError(("components", index, "name"), message)
            seen.add(component.name.lower())
        if self.rule == "cut points" and not any(entry.has_cut for entry in self.components):
            raise WrongKeyError(("rule",), "is 'cut points', but no component has a cut point")
        return self


def load_proxy(name_or_path: str | Path) -> ProxyDefinition:
    """Read the definition of an allostatic-load proxy by its shipped name or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        ``"session"``, ``"seeman_1997"``, ``"session_and_lab"``, or the path of a file.

    Returns
    -------
    ProxyDefinition

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> [component.name for component in load_proxy("session").components][:3]
    ['resting_sbp', 'resting_dbp', 'resting_hr']
    """
    return load_config("proxies", name_or_path, ProxyDefinition)
