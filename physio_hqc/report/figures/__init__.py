"""Figures of a report: plain data in, a Matplotlib ``Figure`` out, nothing shown or saved."""

from physio_hqc.report.figures.conditions import conditions_figure
from physio_hqc.report.figures.ecg import (
    correction_spans,
    ecg_strips_figure,
    phase_spans,
    tachogram_figure,
)
from physio_hqc.report.figures.eda import eda_figure
from physio_hqc.report.figures.pressure import pressure_figure, pressure_strips_figure
from physio_hqc.report.figures.quality import quality_figure
from physio_hqc.report.figures.reactivity import reactivity_figure
from physio_hqc.report.figures.signals import signals_figure
from physio_hqc.report.figures.sliding import sliding_figure

__all__ = [
    "conditions_figure",
    "correction_spans",
    "ecg_strips_figure",
    "eda_figure",
    "phase_spans",
    "pressure_figure",
    "pressure_strips_figure",
    "quality_figure",
    "reactivity_figure",
    "signals_figure",
    "sliding_figure",
    "tachogram_figure",
]
