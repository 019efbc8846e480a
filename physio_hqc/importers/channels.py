"""What a channel is, told by its name and its unit, and how its unit becomes the session's.

Both tables of the room stand here: `_UNITS` (spellings, dimension, factor) and `_RULES` (names and
dimensions of each modality). A channel that fits no rule stays unrecognized: nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from physio_hqc.errors import RecordingError
from physio_hqc.session.format import MODALITIES


@dataclass(frozen=True)
class Unit:
    """A unit that is understood: value in base unit = value * factor + shift."""

    dimension: str
    factor: float
    shift: float = 0.0


@dataclass(frozen=True)
class Conversion:
    """Linear step from a file's unit to a session's: target = source * factor + shift."""

    source: str
    target: str
    factor: float
    shift: float = 0.0

    def as_dict(self) -> dict[str, str | float]:
        """Return the step as it is recorded in a stream's device JSON."""
        record: dict[str, str | float] = {
            "from": self.source,
            "to": self.target,
            "factor": self.factor,
        }
        return {**record, "shift": self.shift} if self.shift else record


_MMHG = 133.322387415
_GRAVITY = 9.80665

# Spellings after `_plain`: both mu code points are "u", no spaces, no brackets. Base units are
# V, S, Pa, degC, m/s2 and s. Case matters ("mS" is no "MS"); `_WORDS` is compared in lower case.
_UNITS: Final = {
    "V": Unit("voltage", 1.0),
    "mV": Unit("voltage", 1e-3),
    "uV": Unit("voltage", 1e-6),
    "nV": Unit("voltage", 1e-9),
    "S": Unit("conductance", 1.0),
    "mS": Unit("conductance", 1e-3),
    "uS": Unit("conductance", 1e-6),
    "microS": Unit("conductance", 1e-6),
    "nS": Unit("conductance", 1e-9),
    "Pa": Unit("pressure", 1.0),
    "hPa": Unit("pressure", 100.0),
    "kPa": Unit("pressure", 1000.0),
    "mmHg": Unit("pressure", _MMHG),
    "cmHg": Unit("pressure", 10 * _MMHG),
    "cmH2O": Unit("pressure", 98.0665),
    "C": Unit("temperature", 1.0),
    "K": Unit("temperature", 1.0, -273.15),
    "F": Unit("temperature", 5 / 9, -160 / 9),
    "g": Unit("acceleration", _GRAVITY),
    "G": Unit("acceleration", _GRAVITY),
    "mg": Unit("acceleration", _GRAVITY / 1000),
    "mG": Unit("acceleration", _GRAVITY / 1000),
    "m/s2": Unit("acceleration", 1.0),
    "m/s^2": Unit("acceleration", 1.0),
    "m/s²": Unit("acceleration", 1.0),
    "s": Unit("time", 1.0),
    "ms": Unit("time", 1e-3),
    "us": Unit("time", 1e-6),
    "Hz": Unit("rate", 1.0),
    "1/min": Unit("rate", 1 / 60),
    "BPM": Unit("rate", 1 / 60),
    "%": Unit("share", 0.01),
}
_WORDS: Final = {
    "v": _UNITS["V"],
    "volt": _UNITS["V"],
    "volts": _UNITS["V"],
    "mv": _UNITS["mV"],
    "millivolt": _UNITS["mV"],
    "millivolts": _UNITS["mV"],
    "mvolt": _UNITS["mV"],
    "mvolts": _UNITS["mV"],
    "uv": _UNITS["uV"],
    "microvolt": _UNITS["uV"],
    "microvolts": _UNITS["uV"],
    "uvolt": _UNITS["uV"],
    "uvolts": _UNITS["uV"],
    "siemens": _UNITS["S"],
    "mho": _UNITS["S"],
    "microsiemens": _UNITS["uS"],
    "microsiemen": _UNITS["uS"],
    "usiemen": _UNITS["uS"],
    "micromho": _UNITS["uS"],
    "umho": _UNITS["uS"],
    "umhos": _UNITS["uS"],
    "micromhos": _UNITS["uS"],
    "usiemens": _UNITS["uS"],
    "siemen": _UNITS["S"],
    "millisiemens": _UNITS["mS"],
    "msiemens": _UNITS["mS"],
    "nanosiemens": _UNITS["nS"],
    "mmho": _UNITS["mS"],
    "mmhg": _UNITS["mmHg"],
    "torr": _UNITS["mmHg"],
    "mmofhg": _UNITS["mmHg"],
    "kpa": _UNITS["kPa"],
    "hpa": _UNITS["hPa"],
    "mbar": _UNITS["hPa"],
    "cmh2o": _UNITS["cmH2O"],
    "c": _UNITS["C"],
    "°c": _UNITS["C"],
    "degc": _UNITS["C"],
    "deg.c": _UNITS["C"],
    "celsius": _UNITS["C"],
    "degcelsius": _UNITS["C"],
    "degreescelsius": _UNITS["C"],
    "°f": _UNITS["F"],
    "degf": _UNITS["F"],
    "deg.f": _UNITS["F"],
    "fahrenheit": _UNITS["F"],
    "kelvin": _UNITS["K"],
    "sec": _UNITS["s"],
    "second": _UNITS["s"],
    "seconds": _UNITS["s"],
    "msec": _UNITS["ms"],
    "milliseconds": _UNITS["ms"],
    "bpm": _UNITS["BPM"],
    "beats/min": _UNITS["BPM"],
    "hz": _UNITS["Hz"],
}

SESSION_UNITS: Final = {
    "ecg": "mV",
    "bp": "mmHg",
    "cuff": "mmHg",
    "eda": "µS",
    "temp": "°C",
    "acc": "g",
    "rr": "s",
}
"""Unit in which a session keeps each modality; the others stay in the file's own unit."""

# Said of a channel that was computed from another one: it is not the waveform its name suggests.
_DERIVED: Final = re.compile(
    r"filtered|filter|filt|unfiltered|differentiated|differential|derived|derivative|"
    r"derivate|deriv|integrated|integral|rectified|smoothed|smooth|average|averaged|mean|"
    r"median|calc|calculated|computed|rate|bpm|hr|envelope|rms|std|variance|phasic|tonic|"
    r"driver|peak|peaks|interval|intervals|amplitude|spectrum|spectral|fft|psd|normalized|"
    r"normalised|quality|status|resampled|interpolated|lowpass|highpass|bandpass|notch|"
    r"detrended|threshold|trigger|marker|markers|event|events|lag|template|residual"
)

_LEAD = re.compile(
    r"(i|ii|iii|av[rlf]|v[1-9]?r?|m?cl[1-6]?|ml(i|ii|iii)|mv[1-6]|mcl[1-6]|cm[1-6]|cs12)"
)


@dataclass(frozen=True)
class _Rule:
    """Names (whole words, lower case) and dimensions that make a channel this modality."""

    modality: str
    words: re.Pattern[str]
    dimensions: frozenset[str]
    any_unit: bool = False  # belts and pulse sensors come in V, ohm, counts or no unit at all
    refused: frozenset[str] = frozenset()


def _rule(
    modality: str, words: str, dimensions: str, *, any_unit: bool = False, refused: str = ""
) -> _Rule:
    return _Rule(
        modality,
        re.compile(rf"(?:{words})(?:\d+[a-z]?)?"),
        frozenset(dimensions.split()),
        any_unit,
        frozenset(refused.split()),
    )


# To teach the program a new name, add it to the words of its modality. A trailing number and
# letter (ECG2, RSP100C) is understood everywhere.
_RULES: Final = (
    _rule("ecg", r"(?:ecg|ekg)i{0,3}", "voltage"),
    _rule(
        "bp",
        r"abp|art|ibp|bp|nibp|blood pressure|arterial|finapres|finap|fiap|rebap|portapres|"
        r"finometer|nexfin|cnap|cnbp|nibpa|nibpd|pressure",
        "pressure",
        refused="cuff airway venous central cvp icp pap pulmonary intracranial wedge sys systolic "
        "dia diastolic map sbp dbp ambient barometric atmospheric",
    ),
    _rule(
        "eda",
        r"eda|gsr|sc|scl|conductance|skin conductance|electrodermal|galvanic skin|"
        r"electrodermal activity",
        "conductance",
    ),
    _rule(
        "resp",
        r"resp|rsp|respiration|respiratory|breathing|breath|respband|rip|pneumo|pneumogram",
        "voltage",
        any_unit=True,
        refused="temp temperature co2 etco2",
    ),
    _rule(
        "ppg",
        r"ppg|pleth|bvp|plethysmogram|plethysmograph|plethysmography|photoplethysmogram|"
        r"finger pulse",
        "voltage",
        any_unit=True,
        refused="impedance",
    ),
    _rule("temp", r"temp|temperature|skt|skintemp|skin temperature", "temperature"),
    _rule("acc", r"acc|accel|accelerometer|acceleration", "acceleration"),
)
_BEAT_WORDS = re.compile(r"rr|rri|ibi|nn|nni|rr interval|rr intervals")
_NAMED_DIMENSIONS: Final = frozenset({"voltage", "conductance", "pressure"})
_NOT_A_WAVEFORM: Final = frozenset({"rate", "time"})


def _plain(units: str) -> str:
    """Bring a unit as typed into a file to the spelling of the tables."""
    text = units.strip().strip("[]()").strip()
    for mu in ("\u03bc", "\u00b5", "\x83\xca", "\u00c2\u00b5"):
        text = text.replace(mu, "u")
    # A hyphen inside a word ("micro-Siemens") says nothing; one before a number is a sign.
    return re.sub(r"\s+|(?<=[A-Za-z])-(?=[A-Za-z])", "", text.replace("\u00c2", ""))


def parse_unit(units: str) -> Unit | None:
    """Return what a unit means, or None where it is empty or not understood.

    Examples
    --------
    >>> parse_unit("microsiemens") == parse_unit("µS") == parse_unit("uS")
    True
    >>> parse_unit("mm Hg").dimension
    'pressure'
    >>> parse_unit("furlong") is None
    True
    """
    text = _plain(units)
    return _UNITS.get(text) or _WORDS.get(text.lower())


def conversion(units: str, target: str) -> Conversion | None:
    """Return the step from `units` to `target`, or None where it cannot be known.

    Examples
    --------
    >>> conversion("uV", "mV").factor
    0.001
    >>> round(conversion("kPa", "mmHg").factor, 4)
    7.5006
    >>> conversion("V", "mmHg") is None
    True
    """
    have, want = parse_unit(units), parse_unit(target)
    if have is None or want is None or have.dimension != want.dimension:
        return None
    # Decimal prefixes divide exactly only after rounding away the last bits (1e-6 / 1e-3).
    factor = float(f"{have.factor / want.factor:.15g}")
    shift = float(f"{(have.shift - want.shift) / want.factor:.15g}")
    return Conversion(units, target, factor, shift)


def unit_in_name(name: str) -> str:
    """Return the unit that a name states at its end ("ABP (mmHg)", "ecg_mV"), or "".

    Units of one letter are not taken: they are as often the name of an electrode.

    Examples
    --------
    >>> unit_in_name("ABP (mmHg)"), unit_in_name("GSR [µS]"), unit_in_name("ECG (II)")
    ('mmHg', 'µS', '')
    """
    match = re.search(r"[\[(]\s*([^\[\]()]{2,20}?)\s*[\])]\s*$", name) or re.search(
        r"_([munµμ][VS]|mmHg|kPa)$", name
    )
    unit = parse_unit(match[1]) if match else None
    return match[1] if match and unit and unit.dimension in _NAMED_DIMENSIONS else ""


def _words(name: str) -> list[str]:
    """Split a channel name into lower-case words, at punctuation and at lower-to-upper case."""
    spaced = re.sub(r"(?<=[a-z]{2})(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[a-z0-9]+", spaced.lower())


def _says(pattern: re.Pattern[str], words: list[str]) -> bool:
    """Tell whether a word, or two neighbors, match a rule."""
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return any(pattern.fullmatch(word) for word in (*words, *pairs))


def recognize(name: str, units: str, sfreq: float = 1.0) -> str | None:
    """Tell what a channel is from its name and its unit.

    Parameters
    ----------
    name : str
        Channel name as in the file.
    units : str
        Unit as in the file.
    sfreq : float
        Rate in Hz; 0 for an irregular channel, which alone can be beat intervals.

    Returns
    -------
    str or None
        A modality; None where name and unit do not settle it: a derived channel ("EDA filtered"),
        a name that nobody knows, or a unit that does not belong to the name.

    Examples
    --------
    >>> recognize("EKG - ERS100C", "mV"), recognize("MLII", "mV"), recognize("reBAP", "mmHg")
    ('ecg', 'ecg', 'bp')
    >>> recognize("EDA - GSR100C", "microsiemens"), recognize("RESP - RSP100C", "Volts")
    ('eda', 'resp')
    >>> recognize("EDA filtered, differentiated", "microsiemens") is None
    True
    >>> recognize("ECG", "") is None
    True
    """
    words = _words(name)
    if not words or any(_DERIVED.fullmatch(word) for word in words):
        return None
    unit = parse_unit(units)
    dimension = unit.dimension if unit else ""
    if sfreq == 0:
        return "rr" if dimension == "time" and _says(_BEAT_WORDS, words) else None
    found = {rule.modality for rule in _RULES if _fits(rule, words, dimension)}
    if not found and dimension == "voltage" and _is_lead(words):
        return "ecg"
    return found.pop() if len(found) == 1 else None


def _fits(rule: _Rule, words: list[str], dimension: str) -> bool:
    if rule.refused.intersection(words) or not _says(rule.words, words):
        return False
    return dimension in rule.dimensions or (rule.any_unit and dimension not in _NOT_A_WAVEFORM)


def _is_lead(words: list[str]) -> bool:
    """Tell whether a name is nothing but an electrocardiogram lead ("II", "Lead V5", "aVR")."""
    rest = [word for word in words if word not in ("lead", "limb", "chest")]
    return len(rest) == 1 and _LEAD.fullmatch(rest[0]) is not None


_STREAM = re.compile(rf"({'|'.join(MODALITIES)})(?:_\d+)?")


def modality_of_stream(stream: str) -> str:
    """Return the modality that a stream name stands for: the part before ``_<number>``.

    Raises
    ------
    RecordingError
        If the name does not begin with a modality.

    Examples
    --------
    >>> modality_of_stream("ecg_2")
    'ecg'
    """
    match = _STREAM.fullmatch(stream)
    if match is None:
        raise RecordingError(
            f"{stream!r} is no stream name to map to: use one of {', '.join(MODALITIES)}, "
            f"with a number for a second one (ecg_2), or ignore"
        )
    return match.group(1)


def session_conversion(units: str, modality: str) -> Conversion | None:
    """Return the step from a file's unit to the session's for a modality.

    A modality that a session keeps in the file's own unit gets a step of factor 1; None means
    that the two units cannot be brought together.

    Examples
    --------
    >>> session_conversion("µV", "ecg").as_dict()
    {'from': 'µV', 'to': 'mV', 'factor': 0.001}
    >>> session_conversion("Volts", "resp").target
    'Volts'
    """
    target = SESSION_UNITS.get(modality)
    if target is None:
        return Conversion(units, units, 1.0)
    return conversion(units, target)


def safe_stream_name(channel: str, taken: frozenset[str] | set[str] = frozenset()) -> str:
    """Turn the name of an unrecognized channel into a stream name that is still free.

    Examples
    --------
    >>> safe_stream_name("EDA filtered, differentiated"), safe_stream_name("2nd ch."), \
safe_stream_name("ECG")
    ('eda_filtered_differentiated', 'ch_2nd_ch', 'other_ecg')
    """
    slug = re.sub(r"[^a-z0-9]+", "_", channel.lower()).strip("_")[:56].strip("_") or "channel"
    if slug[0].isdigit():
        slug = f"ch_{slug}"
    if _STREAM.fullmatch(slug):
        slug = f"other_{slug}"
    return free_name(slug, taken)


def free_name(base: str, taken: frozenset[str] | set[str]) -> str:
    """Return `base`, or `base` with the first number from 2 on that is not taken.

    Examples
    --------
    >>> free_name("ecg", {"ecg", "ecg_2"})
    'ecg_3'
    """
    if base not in taken:
        return base
    number = 2
    while f"{base}_{number}" in taken:
        number += 1
    return f"{base}_{number}"
