"""The heart-rate-variability part of the feature catalog."""

from __future__ import annotations

from physio_hqc.features._info import FeatureInfo

_TASK_FORCE = "Task Force 1996, doi:10.1161/01.CIR.93.5.1043"
_SHAFFER = "Shaffer & Ginsberg 2017, doi:10.3389/fpubh.2017.00258"
_BRENNAN = "Brennan et al. 2001, doi:10.1109/10.959330"
_RICHMAN = "Richman & Moorman 2000, doi:10.1152/ajpheart.2000.278.6.H2039"
_PINCUS = "Pincus 1991, doi:10.1073/pnas.88.6.2297"
_PENG = "Peng et al. 1995, doi:10.1063/1.166141"

CATALOG: tuple[FeatureInfo, ...] = (
    FeatureInfo("ECG_Rate_Mean", "1/min", "Heart rate, 60000 / HRV_MeanNN.", _TASK_FORCE),
    FeatureInfo("HRV_MeanNN", "ms", "Mean beat interval.", _TASK_FORCE),
    FeatureInfo("HRV_SDNN", "ms", "Standard deviation (n - 1) of beat intervals.", _TASK_FORCE),
    FeatureInfo(
        "HRV_RMSSD", "ms", "Root mean square of differences of touching intervals.", _TASK_FORCE
    ),
    FeatureInfo("HRV_lnRMSSD", "ln(ms)", "Natural logarithm of HRV_RMSSD.", _SHAFFER),
    FeatureInfo(
        "HRV_SDSD", "ms", "Standard deviation (n - 1) of successive differences.", _TASK_FORCE
    ),
    FeatureInfo("HRV_CVNN", "1", "HRV_SDNN / HRV_MeanNN.", _SHAFFER),
    FeatureInfo("HRV_MedianNN", "ms", "Median beat interval.", _SHAFFER),
    FeatureInfo(
        "HRV_MadNN", "ms", "Median absolute deviation of beat intervals, times 1.4826.", _SHAFFER
    ),
    FeatureInfo("HRV_IQRNN", "ms", "Interquartile range of beat intervals.", _SHAFFER),
    FeatureInfo(
        "HRV_pNN50", "%", "Share of successive differences larger than 50 ms.", _TASK_FORCE
    ),
    FeatureInfo(
        "HRV_pNN20", "%", "Share of successive differences larger than 20 ms.", _TASK_FORCE
    ),
    FeatureInfo("HRV_MinNN", "ms", "Shortest beat interval.", _SHAFFER),
    FeatureInfo("HRV_MaxNN", "ms", "Longest beat interval.", _SHAFFER),
    FeatureInfo(
        "HRV_HTI",
        "1",
        "Triangular index: intervals divided by the count of the fullest bin of 1/128 s.",
        _TASK_FORCE,
    ),
    FeatureInfo(
        "HRV_TINN",
        "ms",
        "Base of the triangle that fits the histogram (bins of 1/128 s) best.",
        _TASK_FORCE,
    ),
    FeatureInfo(
        "HRV_VLF", "ms²", "Power of beat intervals, 0.0033 to 0.04 Hz by default.", _TASK_FORCE
    ),
    FeatureInfo(
        "HRV_LF", "ms²", "Power of beat intervals, 0.04 to 0.15 Hz by default.", _TASK_FORCE
    ),
    FeatureInfo(
        "HRV_HF",
        "ms²",
        "Power of beat intervals, 0.15 to 0.40 Hz by default; not vagal where speech slows "
        "breathing.",
        _TASK_FORCE,
    ),
    FeatureInfo("HRV_TP", "ms²", "HRV_VLF + HRV_LF + HRV_HF.", _TASK_FORCE),
    FeatureInfo("HRV_LFHF", "1", "HRV_LF / HRV_HF.", _TASK_FORCE),
    FeatureInfo("HRV_LFn", "1", "HRV_LF / HRV_TP.", _SHAFFER),
    FeatureInfo("HRV_HFn", "1", "HRV_HF / HRV_TP.", _SHAFFER),
    FeatureInfo("HRV_LFnu", "%", "100 HRV_LF / (HRV_LF + HRV_HF).", _TASK_FORCE),
    FeatureInfo("HRV_HFnu", "%", "100 HRV_HF / (HRV_LF + HRV_HF).", _TASK_FORCE),
    FeatureInfo(
        "HRV_LnHF",
        "ln(ms²)",
        "Natural logarithm of HRV_HF; not vagal where speech slows breathing.",
        _SHAFFER,
    ),
    FeatureInfo("HRV_SD1", "ms", "Poincare plot, spread across the diagonal.", _BRENNAN),
    FeatureInfo("HRV_SD2", "ms", "Poincare plot, spread along the diagonal.", _BRENNAN),
    FeatureInfo("HRV_SD1SD2", "1", "HRV_SD1 / HRV_SD2.", _BRENNAN),
    FeatureInfo("HRV_S", "ms²", "Area of the Poincare ellipse, pi HRV_SD1 HRV_SD2.", _BRENNAN),
    FeatureInfo(
        "HRV_SampEn", "1", "Sample entropy, 2 intervals, 0.2 standard deviations.", _RICHMAN
    ),
    FeatureInfo(
        "HRV_ApEn", "1", "Approximate entropy, 2 intervals, 0.2 standard deviations.", _PINCUS
    ),
    FeatureInfo(
        "HRV_DFA_alpha1", "1", "Detrended fluctuation exponent, boxes of 4 to 16 beats.", _PENG
    ),
    FeatureInfo(
        "HRV_DFA_alpha2", "1", "Detrended fluctuation exponent, boxes of 16 to 64 beats.", _PENG
    ),
)
