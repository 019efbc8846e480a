"""Participants with known physiology: sessions and studies whose truth is known."""

from physio_hqc.simulate.breathing import breathing_waveform, true_breaths
from physio_hqc.simulate.effects import (
    EFFECTS,
    ConditionEffect,
    PhaseChange,
    effect_of,
    load_effects,
)
from physio_hqc.simulate.feature_study import FeatureStudy, simulate_feature_study
from physio_hqc.simulate.noise import Noise
from physio_hqc.simulate.participant import simulate_truth
from physio_hqc.simulate.person import Person, draw_person
from physio_hqc.simulate.render import (
    render_ecg,
    render_eda,
    render_pressure,
    render_respiration,
)
from physio_hqc.simulate.session import SimulatedSession, simulate_session
from physio_hqc.simulate.study import SimulatedStudy, simulate_study
from physio_hqc.simulate.study_truth import (
    StudyTruth,
    load_study_truth,
    save_study_truth,
)
from physio_hqc.simulate.truth import (
    PhaseTruth,
    SimulatedTruth,
    load_truth,
    save_truth,
    truth_path_for,
)
from physio_hqc.simulate.waveforms import ecg_waveform, pressure_waveform, scr_waveform

__all__ = [
    "EFFECTS",
    "ConditionEffect",
    "FeatureStudy",
    "Noise",
    "Person",
    "PhaseChange",
    "PhaseTruth",
    "SimulatedSession",
    "SimulatedStudy",
    "SimulatedTruth",
    "StudyTruth",
    "breathing_waveform",
    "draw_person",
    "ecg_waveform",
    "effect_of",
    "load_effects",
    "load_study_truth",
    "load_truth",
    "pressure_waveform",
    "render_ecg",
    "render_eda",
    "render_pressure",
    "render_respiration",
    "save_study_truth",
    "save_truth",
    "scr_waveform",
    "simulate_feature_study",
    "simulate_session",
    "simulate_study",
    "simulate_truth",
    "true_breaths",
    "truth_path_for",
]
