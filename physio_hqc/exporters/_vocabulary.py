"""Words that name no person: what may stay of the texts in a de-identified session."""

from __future__ import annotations

import re
from functools import cache

from physio_hqc.config import list_configs
from physio_hqc.protocol import load_protocol

_WORDS = """
    a and at after before by during end ended ending early early entered for from hand in into late
    main new next no of off on or out part part per phase phases start started starting stop stopped
    the then to trial trials block blocks run runs session window windows with without whole last
    first second third pre post practice test item total score mean marker markers event events
    trigger stimulus response onset offset begin task tasks condition control group run rating
    ratings note gap clock reset reconnect overlap duplicate dropped saturated missing
    baseline rest resting recovery preparation anticipation instruction instructions habituation
    speech speaking talk talking silent silence reading listening writing arithmetic math maths
    mental stroop tsst cold pressor cpt handgrip grip breathing paced deep slow valsalva standing
    stand supine sitting sit seated tilt orthostatic walking walk cycling exercise video film movie
    neutral positive negative relaxation relax meditation stressor stress stressful social support
    nonsupport supportive alone together conversation discussion disagreement conflict disclosure
    interaction contact touch hug laughter eye gaze shared connection mutuality regard
    responsiveness responsive felt warmth closeness affect mood anxiety arousal valence effort
    difficulty control pain happy sad anger angry fear calm tired acquainted strangers stranger
    friend friends partner partners spouse couple mother father parent child infant sibling
    confederate experimenter observer interviewer therapist patient client speaker listener
    participant audience actor dyad role other left right upper lower high low
    ecg bp cuff eda rr ppg resp acc temp other hr hrv sbp dbp map pp bvp gsr scl scr icg emg eog eeg
    pulse pressure blood heart rate skin conductance respiration temperature acceleration lead
    channel chest arm wrist finger hand foot leg belt analog digital input aux raw filtered x y z
    i ii iii avr avl avf mlii v sensor signal abp nibp spo pleth
    recording recorder recorded protocol complete recovered battery device devices lost connected
    connecting connecting disconnected searching found waiting ready delivering trouble problem
    malformed lsl offsets simulator keyboard tag manual button
    imported events csv physio hqc recover polar bitalino nordic uart
    panas stai vas sam hqc gap begin true false yes no none
"""

_PARTS = re.compile(r"[^\W\d_]+|\d+")
_CODES = re.compile(r"(?:(?:Stimulus|Response)/)?[SR] +\d{1,2}|\d{1,3}", re.IGNORECASE)

_ROLES = """
    a b confederate experimenter stranger friend partner spouse mother father parent child infant
    sibling observer interviewer therapist patient client speaker listener
"""
_UNITS = """
    V mV uV µV μV nV mmHg kPa Pa hPa cmH2O S mS uS µS μS nS s ms us µs min g mg m/s2 m/s² m/s^2
    °C degC C °F degF K 1/min bpm beats/min 1/s Hz kHz % a.u. au arb. n/a NU nu adu ADU counts
    count bit bits L l mL ml L/s mL/s L/min deg rad °/s deg/s rad/s mA uA µA nA A Ohm kOhm ohm Ω
    kΩ m cm mm 1 uT µT T N kg lux dB Volts volts mmhg points
"""

ROLES = frozenset(_ROLES.split())
"""Words for somebody's part in an interaction; they name nobody."""

UNITS = frozenset(_UNITS.split())
"""Units that may stay."""


@cache
def words() -> frozenset[str]:
    """All known words, small: those above and those of the protocols that come with the package."""
    found = set(_WORDS.split())
    for name in list_configs("protocols"):
        protocol = load_protocol(name)
        texts = [protocol.name, *(phase.name for phase in protocol.phases)]
        texts += [phase.label for phase in protocol.phases]
        texts += [condition.label for condition in protocol.conditions]
        texts += [interaction.label for interaction in protocol.interactions]
        texts += [scale.name for scale in protocol.ratings]
        found |= {part.casefold() for text in texts for part in _PARTS.findall(text)}
    found |= {part for name in list_configs("devices") for part in _PARTS.findall(name)}
    return frozenset(word for word in found if not word.isdigit())


def is_known(text: str) -> bool:
    """Whether a text consists of known words and numbers of at most two digits.

    Examples
    --------
    >>> is_known("cold_pressor_2"), is_known("with Mary"), is_known("P0123")
    (True, False, False)
    """
    parts = _PARTS.findall(text)
    return bool(parts) and all(
        len(part) <= 2 if part.isdigit() else part.casefold() in words() for part in parts
    )


def is_code(text: str) -> bool:
    """Whether a text is a trigger code such as ``Stimulus/S 12`` or ``255``."""
    return _CODES.fullmatch(text) is not None
