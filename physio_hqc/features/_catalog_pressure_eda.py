"""Catalog entries of the blood pressure, baroreflex and electrodermal features."""

from __future__ import annotations

from physio_hqc.features._info import FeatureInfo

_SHAPIRO = "Shapiro et al. 1996, doi:10.1111/j.1469-8986.1996.tb02103.x"
_BERTINIERI = "Bertinieri et al. 1985, J Hypertens 3 (Suppl 3):S79-S81"
_DI_RIENZO = "Di Rienzo et al. 2001, doi:10.1152/ajpregu.2001.280.3.R744"
_WESTERHOF = "Westerhof et al. 2004, doi:10.1097/01.hjh.0000125439.28861.ed"
_ROBBE = "Robbe et al. 1987, doi:10.1161/01.HYP.10.5.538"
_GOBEL = "Gobel et al. 1978, doi:10.1161/01.CIR.57.3.549"
_MUKKAMALA = "Mukkamala et al. 2015, doi:10.1109/TBME.2015.2441951"
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
        "Rate pressure product: mean over the beats of systolic pressure times 60 / RR; without "
        "beats, mean systolic pressure times heart rate of the window.",
        _GOBEL,
    ),
    FeatureInfo(
        "BP_PAT_Mean",
        "ms",
        "Mean pulse arrival time, from R peak to the foot of the pulse.",
        _MUKKAMALA,
    ),
    FeatureInfo("BP_PAT_SD", "ms", "Standard deviation (n - 1) of pulse arrival time.", _MUKKAMALA),
    FeatureInfo(
        "BP_PAT_N",
        "1",
        "Number of valid pulses with an R peak 50 to 600 ms before.",
        _MUKKAMALA,
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
    FeatureInfo("BRS_N_Up", "1", "Number of rising sequences.", _BERTINIERI),
    FeatureInfo("BRS_N_Down", "1", "Number of falling sequences.", _BERTINIERI),
    FeatureInfo("BRS_R", "1", "Mean correlation of SBP and RR in the sequences.", _BERTINIERI),
    FeatureInfo(
        "BRS_BEI",
        "1",
        "Baroreflex effectiveness index: share of SBP ramps that the RR interval follows.",
        _DI_RIENZO,
    ),
    FeatureInfo(
        "BRS_Lag",
        "1",
        "Parameter of the sequence method: beats by which RR follows SBP.",
        _BERTINIERI,
    ),
    FeatureInfo(
        "BRS_SBP_Step_Min",
        "mmHg",
        "Parameter of the sequence method: smallest change of SBP per beat.",
        _BERTINIERI,
    ),
    FeatureInfo(
        "BRS_RR_Step_Min",
        "ms",
        "Parameter of the sequence method: smallest change of RR per beat.",
        _BERTINIERI,
    ),
    FeatureInfo(
        "BRS_Beats_Min",
        "1",
        "Parameter of the sequence method: fewest beats of a sequence.",
        _BERTINIERI,
    ),
    FeatureInfo(
        "BRS_R_Min",
        "1",
        "Parameter of the sequence method: correlation that a sequence exceeds.",
        _BERTINIERI,
    ),
    FeatureInfo(
        "BRS_xBRS",
        "ms/mmHg",
        "Cross-correlation baroreflex sensitivity: geometric mean of SD(RR) / SD(SBP) over "
        "stretches of 10 s whose correlation at the best delay has p < 0.01.",
        _WESTERHOF,
    ),
    FeatureInfo("BRS_xBRS_N", "1", "Number of xBRS estimates, at most one a second.", _WESTERHOF),
    FeatureInfo(
        "BRS_xBRS_Share",
        "1",
        "Share of the tested seconds that gave an xBRS estimate.",
        _WESTERHOF,
    ),
    FeatureInfo(
        "BRS_xBRS_Delay",
        "s",
        "Mean delay of RR behind SBP in the xBRS estimates.",
        _WESTERHOF,
    ),
    FeatureInfo(
        "BRS_xBRS_R",
        "1",
        "Mean correlation of SBP and RR in the xBRS estimates.",
        _WESTERHOF,
    ),
    FeatureInfo(
        "BRS_TF_LF",
        "ms/mmHg",
        "Gain of the transfer function from SBP to RR, mean over the frequencies of LF "
        "(0.04-0.15 Hz) with a coherence of 0.5 and more.",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_LF_Coherence",
        "1",
        "Mean coherence of SBP and RR over LF (0.04-0.15 Hz).",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_LF_Share",
        "1",
        "Share of the frequencies of LF that enter BRS_TF_LF.",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_HF",
        "ms/mmHg",
        "Gain of the transfer function from SBP to RR, mean over the frequencies of HF "
        "(0.15-0.40 Hz) with a coherence of 0.5 and more.",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_HF_Coherence",
        "1",
        "Mean coherence of SBP and RR over HF (0.15-0.40 Hz).",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_HF_Share",
        "1",
        "Share of the frequencies of HF that enter BRS_TF_HF.",
        _ROBBE,
    ),
    FeatureInfo(
        "BRS_TF_N_Segments",
        "1",
        "Segments of 60 s without a gap behind the transfer function.",
        _ROBBE,
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
    FeatureInfo(
        "SCR_Latency",
        "s",
        "From an event to the onset of the first response that begins in its latency window.",
        _BOUCSEIN,
    ),
    FeatureInfo(
        "SCR_Amplitude", "µS", "Amplitude of the response that an event evoked.", _BOUCSEIN
    ),
    FeatureInfo(
        "SCR_RiseTime",
        "s",
        "Time from onset to peak of the response that an event evoked.",
        _BOUCSEIN,
    ),
)
