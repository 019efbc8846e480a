"""Catalog entries of respiratory sinus arrhythmia and of respiration."""

from __future__ import annotations

from physio_hqc.features._info import FeatureInfo

_LEWIS = "Porges & Bohrer 1990; Lewis et al. 2012, doi:10.1016/j.biopsycho.2011.11.009"
_GROSSMAN = "Grossman et al. 1990, doi:10.1111/j.1469-8986.1990.tb03198.x"
_RITZ = "Ritz et al. 2002, Psychophysiology 39:546-567"
_CHARLTON = "Charlton et al. 2016, doi:10.1088/0967-3334/37/4/610"
_BAND = "Grossman & Taylor 2007, doi:10.1016/j.biopsycho.2005.11.014"

CATALOG: tuple[FeatureInfo, ...] = (
    FeatureInfo(
        "RSA_PorgesBohrer",
        "ln(ms²)",
        "Respiratory sinus arrhythmia: mean log variance of 30 s epochs of the beat intervals "
        "after a moving cubic polynomial and a band-pass of 0.12 to 0.40 Hz.",
        _LEWIS,
    ),
    FeatureInfo(
        "RSA_PorgesBohrer_N", "1", "Number of 30 s epochs behind RSA_PorgesBohrer.", _LEWIS
    ),
    FeatureInfo(
        "RSA_P2T_Mean",
        "ms",
        "Mean over the breaths of the longest interval in expiration minus the shortest in "
        "inspiration; a negative difference counts as 0.",
        _GROSSMAN,
    ),
    FeatureInfo(
        "RSA_P2T_SD", "ms", "Standard deviation (n - 1) of peak to valley over breaths.", _GROSSMAN
    ),
    FeatureInfo("RSA_P2T_N", "1", "Number of breaths behind RSA_P2T_Mean.", _GROSSMAN),
    FeatureInfo(
        "RSA_P2T_NoRSA",
        "1",
        "Number of breaths without a beat interval in both phases, or with a gap in the beats.",
        _GROSSMAN,
    ),
    FeatureInfo(
        "RSP_Rate",
        "1/min",
        "Breaths per minute of the time that breaths cover; without a recording of respiration "
        "the mean of the rates estimated from the ECG.",
        f"{_RITZ}; {_CHARLTON}",
    ),
    FeatureInfo(
        "RSP_Rate_SD", "1/min", "Standard deviation (n - 1) of the rates of single breaths.", _RITZ
    ),
    FeatureInfo("RSP_N_Breaths", "1", "Number of valid breaths that start in the window.", _RITZ),
    FeatureInfo(
        "RSP_Amplitude_Mean",
        "as recorded",
        "Mean size of the breaths, from the start of inspiration to that of expiration.",
        _RITZ,
    ),
    FeatureInfo(
        "RSP_Phase_Duration_Inspiration", "s", "Mean time from inspiration to expiration.", _RITZ
    ),
    FeatureInfo(
        "RSP_Phase_Duration_Expiration",
        "s",
        "Mean time from expiration to the next inspiration, the rest between them included.",
        _RITZ,
    ),
    FeatureInfo(
        "RSP_HF_Share",
        "1",
        "Share of the breathing time in breaths whose frequency lies in the HF band.",
        _BAND,
    ),
)
