"""Catalog entries of the blood pressure, baroreflex and electrodermal features."""

from __future__ import annotations

from physio_hqc.features._info import FeatureInfo

_SHAPIRO = "Shapiro et al. 1996, doi:10.1111/j.1469-8986.1996.tb02103.x"
_BERTINIERI = "Bertinieri et al. 1985, J Hypertens 3 (Suppl 3):S79-S81"
_DI_RIENZO = "Di Rienzo et al. 2001, doi:10.1152/ajpregu.2001.280.3.R744"
_BOUCSEIN = "Boucsein et al. 2012, doi:10.1111/j.1469-8986.2012.01384.x"

CATALOG: tuple[FeatureInfo, ...] = (
    FeatureInfo(
        "BP_SBP_Mean", "mmHg", "Mean systolic pressure (beat maximum) of the valid beats.", _SHAPIRO
    ),
    FeatureInfo(
        "BP_DBP_Mean",
        "mmHg",
        "Mean diastolic pressure (foot before the upstroke) of the valid beats.",
        _SHAPIRO,
    ),
    FeatureInfo(
        "BP_MAP_Mean",
        "mmHg",
        "Mean over the valid beats of mean arterial pressure, the area from foot to foot.",
        _SHAPIRO,
    ),
    FeatureInfo("BP_PP_Mean", "mmHg", "Mean pulse pressure of the valid beats.", _SHAPIRO),
    FeatureInfo("BP_SBP_SD", "mmHg", "Standard deviation (n - 1) of systolic pressure.", _SHAPIRO),
    FeatureInfo("BP_DBP_SD", "mmHg", "Standard deviation (n - 1) of diastolic pressure.", _SHAPIRO),
    FeatureInfo("BP_N", "1", "Number of valid pressure beats.", _SHAPIRO),
    FeatureInfo(
        "BP_RPP_Mean",
        "mmHg/min",
        "Rate pressure product: mean systolic pressure times heart rate of the window.",
        _SHAPIRO,
    ),
    FeatureInfo(
        "CUFF_SBP_Mean", "mmHg", "Mean systolic pressure of the valid cuff readings.", _SHAPIRO
    ),
    FeatureInfo(
        "CUFF_DBP_Mean", "mmHg", "Mean diastolic pressure of the valid cuff readings.", _SHAPIRO
    ),
    FeatureInfo(
        "CUFF_MAP_Mean",
        "mmHg",
        "Mean arterial pressure of the valid cuff readings, as sent or (SBP + 2 DBP) / 3.",
        _SHAPIRO,
    ),
    FeatureInfo(
        "CUFF_PP_Mean", "mmHg", "Mean pulse pressure of the valid cuff readings.", _SHAPIRO
    ),
    FeatureInfo("CUFF_HR_Mean", "1/min", "Mean heart rate of the valid cuff readings.", _SHAPIRO),
    FeatureInfo(
        "CUFF_RPP_Mean",
        "mmHg/min",
        "Rate pressure product: mean over the readings of SBP times heart rate.",
        _SHAPIRO,
    ),
    FeatureInfo("CUFF_N", "1", "Number of valid cuff readings.", _SHAPIRO),
    FeatureInfo(
        "CUFF_MAP_Computed_N",
        "1",
        "Number of valid cuff readings whose mean pressure was computed, not sent.",
        _SHAPIRO,
    ),
    FeatureInfo(
        "BRS_Sequence",
        "ms/mmHg",
        "Baroreflex sensitivity: mean slope of RR on SBP over rising and falling sequences.",
        _BERTINIERI,
    ),
    FeatureInfo("BRS_Up", "ms/mmHg", "Baroreflex sensitivity over rising sequences.", _BERTINIERI),
    FeatureInfo(
        "BRS_Down", "ms/mmHg", "Baroreflex sensitivity over falling sequences.", _BERTINIERI
    ),
    FeatureInfo("BRS_N_Sequences", "1", "Number of baroreflex sequences.", _BERTINIERI),
    FeatureInfo(
        "BRS_BEI",
        "1",
        "Baroreflex effectiveness index: share of SBP ramps that the RR interval follows.",
        _DI_RIENZO,
    ),
    FeatureInfo(
        "EDA_Tonic_Mean", "µS", "Skin conductance level: mean of the tonic part.", _BOUCSEIN
    ),
    FeatureInfo("EDA_Tonic_SD", "µS", "Standard deviation (n - 1) of the tonic part.", _BOUCSEIN),
    FeatureInfo("EDA_Tonic_Slope", "µS/min", "Least-squares slope of the tonic part.", _BOUCSEIN),
    FeatureInfo("EDA_Phasic_SD", "µS", "Standard deviation (n - 1) of the phasic part.", _BOUCSEIN),
    FeatureInfo("SCR_Peaks_N", "1", "Number of skin conductance responses.", _BOUCSEIN),
    FeatureInfo(
        "SCR_Rate",
        "1/min",
        "Skin conductance responses per minute of usable signal.",
        _BOUCSEIN,
    ),
    FeatureInfo(
        "SCR_Peaks_Amplitude_Mean",
        "µS",
        "Mean amplitude (trough to peak) of the responses that are there.",
        _BOUCSEIN,
    ),
    FeatureInfo(
        "SCR_Peaks_Amplitude_Sum", "µS", "Sum of the amplitudes of the responses.", _BOUCSEIN
    ),
    FeatureInfo(
        "SCR_RiseTime_Mean", "s", "Mean time from onset to peak of the responses.", _BOUCSEIN
    ),
    FeatureInfo(
        "SCR_RecoveryTime_Mean",
        "s",
        "Mean time from peak until half the amplitude is lost.",
        _BOUCSEIN,
    ),
)
