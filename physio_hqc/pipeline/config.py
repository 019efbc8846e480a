"""Settings of the pipeline, each with its default, its meaning and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from physio_hqc.config import ConfigModel, WrongKeyError, dump_yaml, load_config
from physio_hqc.protocol.models import WindowRules


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    """Refuse a range whose end is not above its start."""
    if pair[0] >= pair[1]:
        raise ValueError(f"should go from low to high, not from {pair[0]:g} to {pair[1]:g}")
    return pair


Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, le=1e7, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, le=1e7, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Range = Annotated[tuple[NotNegative, Positive], AfterValidator(_ascending)]
Frequency = Annotated[float, Field(strict=True, gt=0, le=2, allow_inf_nan=False)]
Band = Annotated[tuple[NotNegative, Frequency], AfterValidator(_ascending)]
WindowName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
EventKind = Literal["phase", "interaction", "marker", "rating", "note", "system"]
WindowKind = Literal["phase", "phase_last", "interaction", "sliding"]


class EcgSettings(ConfigModel):
    """From ECG to R peaks."""

    leave_out_artifacts: bool = Field(
        default=True,
        description="Whether detections that have neither shape nor rhythm are used for nothing.",
    )


class BeatSettings(ConfigModel):
    """What happens to beats that correction touched."""

    flag_above: Share = Field(
        default=0.05, description="Share of corrected beats in a window above which HRV is flagged."
    )
    withhold_above: Share = Field(
        default=0.20, description="Share of corrected beats above which HRV is withheld (NaN)."
    )

    @model_validator(mode="after")
    def _check(self) -> BeatSettings:
        if self.flag_above > self.withhold_above:
            raise WrongKeyError(("flag_above",), "should not be above withhold_above")
        return self


class HrvSettings(ConfigModel):
    """Heart rate variability."""

    domains: tuple[Literal["time", "frequency", "nonlinear"], ...] = Field(
        default=("time", "frequency", "nonlinear"), description="Which groups of indices."
    )
    frequency_method: Literal["welch", "lomb", "ar"] = Field(
        default="welch", description="How the spectrum is estimated."
    )
    vlf_hz: Band = Field(default=(0.0033, 0.04), description="Very low frequency band in Hz.")
    lf_hz: Band = Field(default=(0.04, 0.15), description="Low frequency band in Hz.")
    hf_hz: Band = Field(default=(0.15, 0.40), description="High frequency band in Hz.")
    min_breathing_in_hf: Share = Field(
        default=0.8,
        description="Share of breathing inside hf_hz from which HF needs no caution on breathing.",
    )

    @model_validator(mode="after")
    def _check(self) -> HrvSettings:
        if self.vlf_hz[1] > self.lf_hz[0]:
            raise WrongKeyError(("vlf_hz",), "should not reach into lf_hz")
        if self.lf_hz[1] > self.hf_hz[0]:
            raise WrongKeyError(("lf_hz",), "should not reach into hf_hz")
        return self


class PressureSettings(ConfigModel):
    """Blood pressure: which cuff readings count, and the baroreflex sequence method."""

    sbp_mmhg: Range = Field(default=(60.0, 260.0), description="Valid systolic readings.")
    dbp_mmhg: Range = Field(default=(30.0, 160.0), description="Valid diastolic readings.")
    pulse_pressure_min_mmhg: NotNegative = Field(
        default=15.0, description="Smallest valid pulse pressure, of readings and of pulses."
    )
    waveform_sbp_mmhg: Range = Field(
        default=(50.0, 280.0), description="Plausible systolic pressure of a pulse."
    )
    waveform_dbp_mmhg: Range = Field(
        default=(20.0, 180.0), description="Plausible diastolic pressure of a pulse."
    )
    cuff_min_readings: Count = Field(
        default=2, description="Valid readings that a window needs where the protocol is silent."
    )
    baroreflex: bool = Field(
        default=True, description="Whether baroreflex sensitivity is computed."
    )
    brs_sbp_step_mmhg: Positive = Field(
        default=1.0, description="Smallest change of SBP from beat to beat in a sequence."
    )
    brs_rr_step_ms: Positive = Field(
        default=4.0, description="Smallest change of RR from beat to beat in a sequence."
    )
    brs_min_beats: Annotated[int, Field(strict=True, ge=3, le=20)] = Field(
        default=3, description="Shortest sequence in beats."
    )
    brs_min_r: Share = Field(
        default=0.85, description="Smallest correlation of SBP and RR in a sequence."
    )
    brs_lag_beats: Annotated[int, Field(strict=True, ge=0, le=5)] = Field(
        default=0,
        description="Beats by which RR follows SBP; 0 is the interval that the systole falls in.",
    )
    xbrs_min: Count = Field(default=10, description="Fewest values of xBRS in a window.")
    brs_min_coherence: Share = Field(
        default=0.5, description="Coherence of SBP and RR from which transfer gain counts."
    )


class EdaSettings(ConfigModel):
    """Electrodermal activity."""

    method: Literal["deconvolution", "highpass", "cvxeda"] = Field(
        default="deconvolution", description="How tonic and phasic parts are separated."
    )
    scr_amplitude_min_us: Positive = Field(
        default=0.02, description="Smallest amplitude in µS of a response that counts; absolute."
    )
    scr_latency_s: Range = Field(
        default=(1.0, 4.0), description="When a response to an event begins, in s after it."
    )
    latency_of: tuple[EventKind, ...] = Field(
        default=("marker",), description="Kinds of events that responses are sought for."
    )


class QualitySettings(ConfigModel):
    """When a window is too poor to be believed."""

    min_quality: Share = Field(
        default=0.5, description="Quality below which the values of a window are flagged."
    )
    min_usable_share: Share = Field(
        default=0.5, description="Share of usable signal below which they are withheld (NaN)."
    )


class ReactivitySettings(ConfigModel):
    """What is compared with the baseline."""

    baseline_window: WindowName | None = Field(
        default=None, description="Baseline window; absent: as the protocol says."
    )
    kinds: tuple[WindowKind, ...] = Field(
        default=("phase", "phase_last", "interaction"),
        min_length=1,
        description="Kinds of windows that get reactivity scores.",
    )
    min_task_readings: Count = Field(
        default=1,
        description="Valid cuff readings that a window needs for reactivity; the baseline has the "
        "protocol's rule.",
    )


class ReportSettings(ConfigModel):
    """What report.html shows."""

    ecg_strip_s: Positive = Field(default=10.0, description="Length of the zoomed ECG in seconds.")
    ecg_strips: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=6, description="Zoomed ECG strips, spread over the phases."
    )
    max_points: Annotated[int, Field(strict=True, ge=100, le=1_000_000)] = Field(
        default=4000, description="Points per line in an overview figure."
    )


class PipelineConfig(ConfigModel):
    """All settings of :func:`physio_hqc.pipeline.process_session`."""

    ecg: EcgSettings = Field(default=EcgSettings(), description="From ECG to R peaks.")
    correction: BeatSettings = Field(default=BeatSettings(), description="Corrected beats.")
    hrv: HrvSettings = Field(default=HrvSettings(), description="Heart rate variability.")
    pressure: PressureSettings = Field(default=PressureSettings(), description="Blood pressure.")
    eda: EdaSettings = Field(default=EdaSettings(), description="Electrodermal activity.")
    protocol: WindowName | None = Field(
        default=None,
        description="Protocol, by name or path, of sessions that carry none of their own.",
    )
    windows: WindowRules | None = Field(
        default=None, description="Window rules; absent: those of the session's protocol."
    )
    quality: QualitySettings = Field(default=QualitySettings(), description="Poor windows.")
    reactivity: ReactivitySettings = Field(
        default=ReactivitySettings(), description="Comparison with the baseline."
    )
    report: ReportSettings = Field(default=ReportSettings(), description="The report.")

    def to_yaml(self) -> str:
        """Write the settings as YAML that reads back to equal settings."""
        return dump_yaml(self)


def load_pipeline_config(name_or_path: str | Path | None = None) -> PipelineConfig:
    """Read pipeline settings by their shipped name or from a YAML file.

    Parameters
    ----------
    name_or_path : str, Path or None
        None is the shipped ``default``. A file need only name what it changes.

    Returns
    -------
    PipelineConfig

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> load_pipeline_config().hrv.frequency_method
    'welch'
    """
    return load_config(
        "pipelines", "default" if name_or_path is None else name_or_path, PipelineConfig
    )
