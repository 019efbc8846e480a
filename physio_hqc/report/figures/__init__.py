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
from physio_hqc.report.figures.study_courses import courses_figure, recovery_figure
from physio_hqc.report.figures.study_flow import flow_figure
from physio_hqc.report.figures.study_forest import forest_figure, forest_pages
from physio_hqc.report.figures.study_proxy import proxy_figure
from physio_hqc.report.figures.study_quality import study_quality_figure
from physio_hqc.report.figures.study_ratings import rating_pairs, ratings_figure
from physio_hqc.report.figures.study_reactivity import reactivity_pages, study_reactivity_figure
from physio_hqc.report.figures.study_sensitivity import sensitivity_figure

__all__ = [
    "conditions_figure",
    "correction_spans",
    "courses_figure",
    "ecg_strips_figure",
    "eda_figure",
    "flow_figure",
    "forest_figure",
    "forest_pages",
    "phase_spans",
    "pressure_figure",
    "pressure_strips_figure",
    "proxy_figure",
    "quality_figure",
    "rating_pairs",
    "ratings_figure",
    "reactivity_figure",
    "reactivity_pages",
    "recovery_figure",
    "sensitivity_figure",
    "signals_figure",
    "sliding_figure",
    "study_quality_figure",
    "study_reactivity_figure",
    "tachogram_figure",
]
