"""What a protocol consists of, and what makes one valid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from physio_hqc.config import ConfigModel, Name, Text, WrongKeyError, dump_yaml, nearest
from physio_hqc.errors import ConfigError

Role = Literal["baseline", "preparation", "task", "recovery", "other"]
ROLES: tuple[str, ...] = ("baseline", "preparation", "task", "recovery", "other")
WINDOW_KINDS: tuple[str, ...] = ("phase", "phase_last", "interaction", "sliding")

Positive = Annotated[float, Field(strict=True, gt=0, le=1e7, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, le=1e7, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Condition(ConfigModel):
    """One level of what the design manipulates."""

    label: Name = Field(description="Short label, as it is stored in a session file.")
    meaning: Text = Field(description="What participants in this condition meet.")


class RatingScale(ConfigModel):
    """A rating that is asked after a phase; its wording stays with the lab."""

    name: Name = Field(description="Name under which ratings are stored.")
    label: Text = Field(default="", description="What the experimenter sees.")
    min: Number = Field(description="Lowest value.")
    max: Number = Field(description="Highest value.")
    anchors: dict[int, Text] = Field(default={}, description="Words at some of the values.")

    @model_validator(mode="after")
    def _check(self) -> RatingScale:
        if self.min >= self.max:
            raise WrongKeyError(("max",), f"should be greater than min ({self.min:g})")
        for value in self.anchors:
            if not self.min <= value <= self.max:
                where = f"{self.min:g} to {self.max:g}"
                raise WrongKeyError(("anchors", value), f"lies outside the scale ({where})")
        return self


class Phase(ConfigModel):
    """A stretch of the protocol."""

    name: Name = Field(description="Name under which the phase is tagged.")
    label: Text = Field(default="", description="What screen and report show; the name if absent.")
    duration_s: Positive = Field(description="Planned length in seconds.")
    role: Role = Field(description="What the phase is for in the design.")
    advance: Literal["clock", "manual"] = Field(
        default="clock", description="Whether the next phase starts by the clock or by hand."
    )
    speech: bool = Field(
        default=False, description="The participant speaks: breathing, and so HF-HRV, is altered."
    )
    cuff_at_s: tuple[NotNegative, ...] = Field(
        default=(), description="When cuff readings are started, in seconds from phase onset."
    )
    ratings: tuple[Name, ...] = Field(
        default=(), description="Names of the rating scales that are asked after the phase."
    )
    instructions: Text = Field(default="", description="What the experimenter does or says.")

    @model_validator(mode="before")
    @classmethod
    def _fill_label(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("label") and isinstance(data.get("name"), str):
            return {**data, "label": data["name"].replace("_", " ").capitalize()}
        return data

    @model_validator(mode="after")
    def _check(self) -> Phase:
        for index, due in enumerate(self.cuff_at_s):
            if due >= self.duration_s:
                message = f"{due:g} s is not inside the phase ({self.duration_s:g} s long)"
                raise WrongKeyError(("cuff_at_s", index), message)
            if index and due <= self.cuff_at_s[index - 1]:
                raise WrongKeyError(("cuff_at_s", index), f"{due:g} s is not after the one before")
        return self


class Interaction(ConfigModel):
    """A kind of interaction window that the experimenter is expected to tag."""

    label: Name = Field(description="Label under which it is tagged.")
    meaning: Text = Field(default="", description="When such a window starts and ends.")


class PhaseLast(ConfigModel):
    """Windows over the end of phases, so that phases are compared on equal lengths."""

    phases: tuple[Name, ...] | None = Field(
        default=None, description="Names of the phases; every phase if absent."
    )
    minutes: Positive | None = Field(default=None, description="Length in minutes.")
    seconds: Positive | None = Field(default=None, description="Length in seconds.")

    @model_validator(mode="after")
    def _check(self) -> PhaseLast:
        if (self.minutes is None) == (self.seconds is None):
            raise ValueError("give either minutes or seconds")
        return self

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.seconds if self.seconds is not None else 60.0 * (self.minutes or 0.0)


class Sliding(ConfigModel):
    """How sliding windows are cut."""

    length_s: Positive = Field(description="Length of every window in seconds.")
    step_s: Positive = Field(description="From one onset to the next, in seconds.")
    within: tuple[Name, ...] = Field(
        default=("phase", "interaction"),
        min_length=1,
        description="Phase names, interaction labels, roles, or the kinds phase, phase_last and "
        "interaction.",
    )


class WindowRules(ConfigModel):
    """Which windows are derived besides whole phases and tagged interaction windows."""

    phase_last: tuple[PhaseLast, ...] = Field(
        default=(), description="Windows over the end of phases."
    )
    sliding: Sliding | None = Field(default=None, description="Sliding windows; none if absent.")


class BaselineRule(ConfigModel):
    """What a reactivity score is taken against."""

    phase: Name = Field(description="Name of the baseline phase.")
    use: Literal["whole", "last"] = Field(
        default="whole", description="The whole phase, or its last last_s seconds."
    )
    last_s: Positive | None = Field(default=None, description="Length used when use is last.")
    min_cuff_readings: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(
        default=2, description="Valid cuff readings that a baseline pressure needs."
    )
    discard_first_cuff: bool = Field(
        default=False, description="Leave the first cuff reading of the baseline phase out."
    )

    @model_validator(mode="after")
    def _check(self) -> BaselineRule:
        if self.use == "last" and self.last_s is None:
            raise WrongKeyError(("last_s",), "is needed when use is 'last'")
        if self.use == "whole" and self.last_s is not None:
            raise WrongKeyError(("last_s",), "has a meaning only when use is 'last'")
        return self


class Protocol(ConfigModel):
    """A study design: what happens in a session, and what is taken from it.

    Raises
    ------
    pydantic.ValidationError
        When built from Python with values that do not fit; from YAML it is a
        :class:`~physio_hqc.errors.ConfigError`.
    """

    name: Name = Field(description="Name of the protocol.")
    title: Text = Field(description="One line that says what it is.")
    description: Text = Field(default="", description="What the protocol is for.")
    references: tuple[Text, ...] = Field(default=(), description="Where it comes from.")
    conditions: tuple[Condition, ...] = Field(default=(), description="What is manipulated.")
    phases: tuple[Phase, ...] = Field(min_length=1, description="The phases in their order.")
    interactions: tuple[Interaction, ...] = Field(
        default=(), description="Interaction windows to be tagged."
    )
    ratings: tuple[RatingScale, ...] = Field(default=(), description="Rating scales.")
    windows: WindowRules = Field(default=WindowRules(), description="How windows are cut.")
    baseline: BaselineRule = Field(description="What reactivity is taken against.")

    @model_validator(mode="after")
    def _check(self) -> Protocol:
        _unique("phases", "name", [phase.name for phase in self.phases])
        _unique("conditions", "label", [condition.label for condition in self.conditions])
        _unique("interactions", "label", [entry.label for entry in self.interactions])
        _unique("ratings", "name", [scale.name for scale in self.ratings])
        self._check_baseline()
        self._check_ratings()
        self._check_windows()
        return self

    def _check_baseline(self) -> None:
        """Demand exactly one baseline phase, long enough, and that the rule names it."""
        found = [index for index, phase in enumerate(self.phases) if phase.role == "baseline"]
        if not found:
            raise WrongKeyError(("phases",), "one phase needs the role 'baseline'")
        if len(found) > 1:
            message = "a second baseline; exactly one phase has the role 'baseline'"
            raise WrongKeyError(("phases", found[1], "role"), message)
        phase = self.phases[found[0]]
        if self.baseline.phase != phase.name:
            message = f"'{self.baseline.phase}' is not the baseline phase ('{phase.name}')"
            raise WrongKeyError(("baseline", "phase"), message)
        if self.baseline.last_s is not None and self.baseline.last_s > phase.duration_s:
            message = f"is longer than the phase ({phase.duration_s:g} s)"
            raise WrongKeyError(("baseline", "last_s"), message)

    def _check_ratings(self) -> None:
        """Demand that every rating asked after a phase is declared."""
        known = [scale.name for scale in self.ratings]
        for index, phase in enumerate(self.phases):
            _all_known(("phases", index, "ratings"), phase.ratings, known, "rating scale")

    def _check_windows(self) -> None:
        """Demand that window rules name phases and interactions of this protocol."""
        names = [phase.name for phase in self.phases]
        for index, rule in enumerate(self.windows.phase_last):
            loc = ("windows", "phase_last", index, "phases")
            _all_known(loc, rule.phases or (), names, "phase")
        if self.windows.sliding is None:
            return
        labels = [entry.label for entry in self.interactions]
        known = [*names, *labels, *ROLES, *WINDOW_KINDS[:3]]
        within = self.windows.sliding.within
        _all_known(("windows", "sliding", "within"), within, known, "phase or interaction")

    @property
    def duration_s(self) -> float:
        """Planned length of a session in seconds."""
        return math.fsum(phase.duration_s for phase in self.phases)

    @property
    def baseline_window(self) -> str:
        """Name of the window that reactivity is taken against, as `derive_windows` calls it."""
        if self.baseline.last_s is None:
            return self.baseline.phase
        return last_window_name(self.baseline.phase, self.baseline.last_s)

    def phase(self, name: str) -> Phase:
        """Look up the phase of this name.

        Raises
        ------
        ConfigError
            When there is none; the message suggests the nearest.
        """
        found = next((phase for phase in self.phases if phase.name == name), None)
        if found is None:
            hint = nearest(name, [phase.name for phase in self.phases])
            raise ConfigError(f"protocol {self.name} has no phase {name!r}; {hint}")
        return found

    def condition(self, label: str) -> Condition:
        """Look up the condition of this label.

        Raises
        ------
        ConfigError
            When there is none; the message suggests the nearest.

        Examples
        --------
        >>> from physio_hqc.protocol import load_protocol
        >>> load_protocol("lepore_1993").condition("supprt")
        Traceback (most recent call last):
        ...
        physio_hqc.errors.ConfigError: protocol lepore_1993 has no condition 'supprt'; did you mean
        'support'?
        """
        found = next((entry for entry in self.conditions if entry.label == label), None)
        if found is None:
            hint = nearest(label, [entry.label for entry in self.conditions])
            raise ConfigError(f"protocol {self.name} has no condition {label!r}; {hint}")
        return found

    def to_yaml(self) -> str:
        """Write the protocol as YAML that reads back to an equal protocol.

        Returns
        -------
        str
        """
        return dump_yaml(self)

    def scaled(self, factor: float) -> Protocol:
        """Copy the protocol with every time multiplied, to shorten a session for a demonstration.

        Phase lengths, cuff times, window lengths and steps, and the baseline length are scaled.

        Parameters
        ----------
        factor : float
            From 0.001 to 1000; 0.1 makes a session ten times shorter.

        Returns
        -------
        Protocol
            Its description says that it was scaled.

        Raises
        ------
        ConfigError
            When the factor makes no sense or the result would not be a valid protocol.

        Examples
        --------
        >>> from physio_hqc.protocol import load_protocol
        >>> load_protocol("lepore_1993").scaled(0.1).phase("speech").duration_s
        36.0
        """
        if not (math.isfinite(factor) and 1e-3 <= factor <= 1e3):
            raise ConfigError(f"a protocol is scaled by a factor from 0.001 to 1000, not {factor}")
        data = self.model_dump()
        for phase in data["phases"]:
            _scale(phase, ("duration_s",), factor)
            phase["cuff_at_s"] = [_times(due, factor) for due in phase["cuff_at_s"]]
        for rule in data["windows"]["phase_last"]:
            _scale(rule, ("minutes", "seconds"), factor)
        _scale(data["windows"]["sliding"] or {}, ("length_s", "step_s"), factor)
        _scale(data["baseline"], ("last_s",), factor)
        note = f"All times multiplied by {factor:g}."
        data["description"] = f"{self.description}\n{note}".strip()
        try:
            return Protocol.model_validate(data)
        except ValueError:
            raise ConfigError(
                f"protocol {self.name} scaled by {factor:g}: a time leaves the allowed range"
            ) from None


def last_window_name(phase: str, seconds: float) -> str:
    """Name of the window over the last seconds of a phase: ``baseline_last_360s``."""
    return f"{phase}_last_{seconds:.12g}s"


def _unique(group: str, key: str, names: Sequence[str]) -> None:
    """Refuse a name that another entry has, in any spelling of capitals."""
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if name.lower() in seen:
            raise WrongKeyError((group, index, key), f"'{name}' is already taken")
        seen[name.lower()] = name


def _all_known(
    loc: tuple[str | int, ...], names: Iterable[str], known: Sequence[str], what: str
) -> None:
    """Refuse a name that refers to nothing."""
    for index, name in enumerate(names):
        if name not in known:
            raise WrongKeyError((*loc, index), f"no {what} '{name}', {nearest(name, known)}")


def _scale(data: dict[str, Any], keys: Iterable[str], factor: float) -> None:
    """Multiply the given times of a dumped model where they are set."""
    for key in keys:
        if data.get(key) is not None:
            data[key] = _times(data[key], factor)


def _times(seconds: float, factor: float) -> float:
    """Multiply without leaving digits such as 36.00000000000001."""
    return float(f"{seconds * factor:.12g}")
