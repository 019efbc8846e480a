"""De-identification: ids are replaced, dates moved, free text dropped, before anything is written.

Nothing is searched for and struck out; what is known to name nobody is taken over, and the rest is
left behind. What may stay is listed here and in ``_vocabulary.py``. On top of that, no text stays
that holds an id, a serial number or a date of the session.

Dates are moved back by whole days, one to ten years: intervals within a participant and the time
of day stay, the weekday does not. BIDS advises to put moved dates before 1926, which EDF (1985 to
2084) and FIF cannot hold; the writer of BIDS moves them on by `BIDS_DAYS`, the same for everybody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from physio_hqc.errors import ConfigError
from physio_hqc.exporters._scrub import Sensitive, texts_within
from physio_hqc.exporters._vocabulary import ROLES, UNITS, is_code, is_known
from physio_hqc.exporters.content import Content, StreamContent
from physio_hqc.exporters.key import Key, tidy
from physio_hqc.pipeline import SessionResult
from physio_hqc.protocol import Protocol, parse_protocol
from physio_hqc.protocol.models import WINDOW_KINDS
from physio_hqc.session.format import EVENT_KINDS

BIDS_DAYS = 73_050
"""200 years: with them every moved date lies before 1926, as BIDS advises."""

_DAY_NS = 86_400 * 10**9
_WITHHELD = "withheld"
_BEAT_KINDS = ("normal", "missed", "extra", "ectopic", "long", "short", "artifact")
_KINDS = frozenset((*EVENT_KINDS, *WINDOW_KINDS, *_BEAT_KINDS))
_SOFTWARE = re.compile(r"physio[_-]hqc [0-9][0-9a-z.+]{0,30}")
_PREFILTER = re.compile(
    r"(?:(?:HP|LP|N|BP|AC|DC)[ :]*[0-9.]*(?:-[0-9.]+)? *k?(?:Hz|s)?[ ;,]*)+", re.I
)
_WINDOW_END = re.compile(r"(?:_last_[0-9.e+-]+s)?(?:_slide_\d+)?(?:_\d+)?")

_PARTNERS = frozenset(
    ("partner", "partners", "participant", "participant_id", "partner_id", "with", "other", "who")
)
_LABELS = frozenset(("condition", "phase", "window", "label", "role"))
_TRUTHS = frozenset(("speech", "complete", "measuring", "irregular_pulse", "manual"))
_NUMBERS = frozenset(
    (
        *("value", "min", "max", "SBP", "DBP", "MAP", "HR", "armed_s", "percent", "battery"),
        *("session_time_s", "offsets_s", "scale", "code", "duration_s", "n", "lost", "gap_s"),
    )
)

_DEVICE_NUMBERS = frozenset(
    (
        *("resolution_bits", "channel_number", "clock_offsets", "nominal_srate", "replay_speed"),
        *("original_sfreq", "battery", "mtu", "gain", "adc_bits", "bits", "baseline", "factor"),
        *("shift",),
    )
)
_DEVICE_TEXTS = frozenset(
    (
        *("model", "firmware", "hardware", "software", "maker", "manufacturer", "kind", "type"),
        *("firmware version", "firmware_version", "hardware_version", "profile", "source_format"),
    )
)
_DEVICE_WORDS = frozenset(
    ("name", "title", "transducer", "sensor", "channel_type", "mode", "placement")
)
_STREAM_FACTS = frozenset(
    (
        *("processed", "n_samples", "nominal_sfreq_hz", "t_start_s", "t_end_s"),
        *("estimated_sfreq_hz", "clock_drift_ppm", "packets_repeated", "packets_reordered"),
        *("clock_resets", "n_gaps", "gaps_total_s", "gaps"),
    )
)


def deidentified(content: Content, key: Key) -> Content:
    """Make the content of a session hard to trace to a person.

    Replaced: session name and id, participant, dyad, partners named in events, and every name of a
    phase, interaction window, condition, rating or role that neither the protocol nor the known
    vocabulary has. Moved: the start, by whole days. Dropped: notes' texts, other markers' labels,
    unknown keys of payloads, serial numbers, addresses, names and files of devices, import notes,
    free text of the protocol. Kept: samples, times, units, models and firmware.

    Parameters
    ----------
    content : Content
    key : Key
        Grows by what is new.

    Returns
    -------
    Content
        With `deidentified` True. Content that is de-identified already is returned as it is.

    Raises
    ------
    OutputError
        If the key cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.exporters.content import read_content
    >>> from physio_hqc.exporters.key import open_key
    >>> from physio_hqc.simulate import simulate_session
    >>> path = Path(tempfile.mkdtemp()) / "mary.h5"
    >>> _ = simulate_session(path, participant_id="Mary01", time_scale=0.05, streams=["cuff"])
    >>> with open_session(path) as session, open_key(path.with_name("key.csv")) as key:
    ...     given_on = deidentified(read_content(session), key)
    >>> given_on.deidentified, "mary" in repr(given_on).lower()
    (True, False)
    """
    if content.deidentified:
        return content
    with key.extending():
        return _deidentified(content, key)


def deidentified_result(result: SessionResult, key: Key) -> SessionResult:
    """Make the results of a session hard to trace to a person, as :func:`deidentified` does.

    Numbers stay as they are. Hashes of the input and of the tables, which would link to the
    original, notices, which name files and channels, and the place of the files are left out.

    Parameters
    ----------
    result : SessionResult
    key : Key

    Returns
    -------
    SessionResult
        Without `out_dir`.

    Raises
    ------
    OutputError
        If the key cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from physio_hqc import process_session
    >>> from physio_hqc.exporters.key import open_key
    >>> from physio_hqc.simulate import simulate_session
    >>> path = Path(tempfile.mkdtemp()) / "mary.h5"
    >>> _ = simulate_session(path, participant_id="Mary01", time_scale=0.05, streams=["cuff"])
    >>> with open_key(path.with_name("key.csv")) as key:
    ...     result = deidentified_result(process_session(path), key)
    >>> "mary" in str(result).lower()
    False
    """
    with key.extending():
        return _deidentified_result(result, key)


# ---- what both share -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """How names of one session are told: kept, or replaced by the key."""

    key: Key
    sensitive: Sensitive
    shift: int
    own: frozenset[str]
    aliases: Mapping[str, str]

    @classmethod
    def of(
        cls, key: Key, ids: Mapping[str, str], protocol: Protocol | None, more: Sequence[str]
    ) -> _Names:
        """Learn who is in the session, and what its protocol names."""
        ids = {kind: tidy(text) for kind, text in ids.items()}
        shift = key.shift_days(ids["participant"], ids["dyad"], ids["session"])
        for kind, text in ids.items():
            key.replacement(kind, text)
        known = [row.original for row in key.rows if row.kind != "label"]
        own, aliases = _names_of(protocol)
        return cls(key, Sensitive([*known, *more]), shift, own, aliases)

    def label(self, text: str) -> str:
        """Name of a phase, window, condition, rating or role: as it is, or its replacement."""
        name = self.aliases.get(_slug(text), text) if text not in self.own else text
        bare = tidy(name)
        if not bare or self._is_harmless(bare):
            return bare
        return self.key.replacement("label", bare)

    def marker(self, text: str, windows: Mapping[str, str]) -> str:
        """Label of a marker: as it is where it says nothing of a person."""
        head, end, rest = text.partition("end of ")
        if end and not head and rest in windows:
            return end + windows[rest]
        return text if is_code(text) or self._is_harmless(text) else "marker"

    def words(self, text: str, otherwise: str = "") -> str:
        """Text of known words, or another."""
        return text if is_known(text) and not self.sensitive.is_in(text) else otherwise

    def person(self, text: str) -> str:
        """Somebody named in an event: a word for their part, or the replacement of an id."""
        if text.strip().casefold() in ROLES:
            return text.strip()
        return self.key.beside(text, self.shift)

    def said(self, text: str) -> str:
        """Text that processing wrote, such as a reason."""
        if not self.sensitive.is_told_in(text):
            return text
        return f"flag: {_WITHHELD}" if text.startswith("flag:") else _WITHHELD

    def _is_harmless(self, text: str) -> bool:
        if self.sensitive.is_in(text):
            return False
        return text in self.own or is_known(text) or (len(text) == 1 and text.isalnum())


def _names_of(protocol: Protocol | None) -> tuple[frozenset[str], dict[str, str]]:
    """Names that a protocol gives, and for the titles of its phases the phases' names."""
    if protocol is None:
        return frozenset(), {}
    names = [protocol.name, *(phase.name for phase in protocol.phases)]
    names += [condition.label for condition in protocol.conditions]
    names += [interaction.label for interaction in protocol.interactions]
    names += [scale.name for scale in protocol.ratings]
    titles = {_slug(phase.label): phase.name for phase in protocol.phases}
    return frozenset(names), titles


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").casefold()


def _parsed(text: str) -> Protocol | None:
    """Protocol of a session, or None: what cannot be read is left out."""
    if not text.strip():
        return None
    try:
        return parse_protocol(text)
    except ConfigError:
        return None


def _protocol(protocol: Protocol, names: _Names) -> Protocol:
    """Rename and drop all words for people; numbers and order stay."""
    data = protocol.model_dump()
    data |= {"name": names.label(protocol.name), "title": "", "description": "", "references": ()}
    for entry in (*data["conditions"], *data["interactions"]):
        entry |= {"label": names.label(entry["label"]), "meaning": ""}
    for phase in data["phases"]:
        phase |= {"name": names.label(phase["name"]), "label": "", "instructions": ""}
        phase["ratings"] = [names.label(name) for name in phase["ratings"]]
    for scale in data["ratings"]:
        scale |= {"name": names.label(scale["name"]), "label": "", "anchors": {}}
    for rule in data["windows"]["phase_last"]:
        if rule["phases"] is not None:
            rule["phases"] = [names.label(name) for name in rule["phases"]]
    sliding = data["windows"]["sliding"]
    if sliding is not None:
        sliding["within"] = [
            names.label(name) if name in names.own else name for name in sliding["within"]
        ]
    data["baseline"]["phase"] = names.label(protocol.baseline.phase)
    return Protocol.model_validate(data)


def _software(text: str) -> str:
    return text if _SOFTWARE.fullmatch(text) else ""


def _units(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    return text if all(not part or part in UNITS for part in parts) else "n/a"


def _device(facts: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    """Facts that hold for every device of a model."""
    return {name: value for name, value in facts.items() if _may_stay(name, value, names)}


def _may_stay(name: str, value: Any, names: _Names) -> bool:
    """Whether a fact tells nothing of one device or of whoever used it."""
    if name in _DEVICE_NUMBERS:
        return _is_number(value)
    if not isinstance(value, str):
        return False
    if name in _DEVICE_TEXTS:
        return names.sensitive.is_plain(value)
    if name in _DEVICE_WORDS:
        return bool(names.words(value))
    return name == "prefilter" and _PREFILTER.fullmatch(value) is not None


def _identifying(facts: Mapping[str, Any]) -> list[str]:
    """Texts of a device that must not stand anywhere else: serial number, address, name, file."""
    told = {name: value for name, value in facts.items() if name in _IDENTIFYING}
    return [text for text in texts_within(told) if len(text) > 2]


_IDENTIFYING = frozenset(
    (
        *("serial", "serial_number", "address", "source_id", "hostname", "uid", "source_file"),
        *("replayed_from", "system_id", "device name", "user"),
    )
)


def _stream_names(modalities: Mapping[str, str], names: _Names) -> dict[str, str]:
    """Names of streams: as they are, or what they are with a number."""
    kept = {name: name for name in modalities if names.words(name)}
    taken, told = set(kept), {}
    for name, modality in modalities.items():
        if name in kept:
            told[name] = name
            continue
        number = 1
        while f"{modality}_{number}" in taken:
            number += 1
        told[name] = f"{modality}_{number}"
        taken.add(told[name])
    return told


def _channels(channels: Sequence[str], stream: str, new: str, names: _Names) -> tuple[str, ...]:
    if len(channels) == 1:
        return (new if channels[0] == stream else names.words(channels[0], new),)
    told = [names.words(name, f"ch{number}") for number, name in enumerate(channels, start=1)]
    return tuple(told if len(set(told)) == len(told) else (f"ch{k + 1}" for k in range(len(told))))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ---- content -------------------------------------------------------------------------------------


def _deidentified(content: Content, key: Key) -> Content:
    protocol = _parsed(content.protocol)
    ids = {
        "participant": content.participant_id,
        "dyad": content.dyad_id,
        "session": content.name,
        "session_id": content.session_id,
    }
    devices = [text for stream in content.streams.values() for text in _identifying(stream.device)]
    names = _Names.of(key, ids, protocol, [*devices, *_partners(content.events)])
    streams = _stream_names({name: s.modality for name, s in content.streams.items()}, names)
    start = content.t0_unix_ns
    return Content(
        name=key.replacement("session", content.name),
        session_id=key.replacement("session_id", content.session_id),
        participant_id=key.replacement("participant", content.participant_id),
        condition=names.label(content.condition),
        dyad_id=key.replacement("dyad", content.dyad_id),
        role=names.label(content.role),
        protocol="" if protocol is None else _protocol(protocol, names).to_yaml(),
        t0_unix_ns=None if start is None else start - names.shift * _DAY_NS,
        software=_software(content.software),
        streams={
            streams[name]: _stream(stream, streams[name], names)
            for name, stream in content.streams.items()
        },
        events=_events(content.events, names),
        deidentified=True,
    )


def _partners(events: pd.DataFrame) -> list[str]:
    """Whoever is named in payloads, so that their ids stay nowhere else."""
    found = [
        text
        for payload in events["payload"]
        if isinstance(payload, Mapping)
        for name in _PARTNERS & payload.keys()
        for text in texts_within(payload[name])
    ]
    return [text for text in found if text.strip().casefold() not in ROLES]


def _stream(stream: StreamContent, name: str, names: _Names) -> StreamContent:
    reasons = [names.words(str(text)) for text in stream.segments["reason"]]
    return replace(
        stream,
        name=name,
        units=_units(stream.units),
        channels=_channels(stream.channels, stream.name, name, names),
        device=_device(stream.device, names),
        segments=stream.segments.assign(reason=pd.Series(reasons, dtype=object)),
    )


def _events(events: pd.DataFrame, names: _Names) -> pd.DataFrame:
    """Events at the same times, with labels and payloads that name nobody."""
    kinds = [str(kind) for kind in events["kind"]]
    labels = [str(label) for label in events["label"]]
    windows = {
        label: names.label(label)
        for kind, label in zip(kinds, labels, strict=True)
        if kind == "interaction"
    }
    tellers: dict[str, Callable[[str], str]] = {
        "phase": names.label,
        "interaction": names.label,
        "rating": names.label,
        "marker": lambda text: names.marker(text, windows),
        "system": lambda text: names.words(text, "system"),
        "note": lambda _: "note",
    }
    known = [kind if kind in EVENT_KINDS else "marker" for kind in kinds]
    return pd.DataFrame(
        {
            "onset": events["onset"].to_numpy(),
            "duration": events["duration"].to_numpy(),
            "kind": pd.Series(known, dtype=object),
            "label": pd.Series(
                [tellers[kind](text) for kind, text in zip(known, labels, strict=True)],
                dtype=object,
            ),
            "source": pd.Series([names.words(str(s)) for s in events["source"]], dtype=object),
            "payload": pd.Series(
                [
                    {} if kind == "note" else _payload(payload, label, names)
                    for kind, label, payload in zip(known, labels, events["payload"], strict=True)
                ],
                dtype=object,
            ),
        }
    )


def _payload(payload: Any, label: str, names: _Names) -> dict[str, Any]:
    """What is known of an event's payload; the rest may be anything."""
    if not isinstance(payload, Mapping):
        return {}
    kept: dict[str, Any] = {}
    for name, value in payload.items():
        if name in _PARTNERS:
            kept |= _told(name, _people(value, names))
        elif name in ("dyad", "dyad_id") and isinstance(value, str):
            kept[name] = names.key.replacement("dyad", value)
        elif name in _LABELS and isinstance(value, str):
            kept[name] = names.label(value)
        elif name in _TRUTHS and isinstance(value, bool):
            kept[name] = value
        elif name in _NUMBERS:
            kept |= _told(name, _numbers(value))
        elif name == "ratings" and isinstance(value, Mapping):
            given = {names.label(str(scale)): _numbers(points) for scale, points in value.items()}
            kept[name] = {scale: points for scale, points in given.items() if points is not None}
        elif name in names.own or name == label:
            kept |= _told(names.label(str(name)), _numbers(value))
    return kept


def _told(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _people(value: Any, names: _Names) -> Any:
    if isinstance(value, str):
        return names.person(value)
    if isinstance(value, list | tuple):
        return [names.person(str(text)) for text in value if isinstance(text, str | int)]
    return names.person(str(value)) if isinstance(value, int) else None


def _numbers(value: Any) -> Any:
    """A number, a list of numbers, or None for whatever else stands there."""
    if isinstance(value, list | tuple):
        return [item for item in value if _is_number(item)]
    if isinstance(value, str) and len(value) <= 12:
        try:
            value = float(value)
        except ValueError:
            return None
    return value if _is_number(value) else None


# ---- results -------------------------------------------------------------------------------------


def _deidentified_result(result: SessionResult, key: Key) -> SessionResult:
    facts = result.provenance
    about = _mapping(facts.get("input"))
    protocol = _modelled(facts.get("protocol"))
    ids = {
        "participant": str(about.get("participant", "")) or _only(result, "participant"),
        "dyad": str(about.get("dyad", "")),
        "session": result.name,
        "session_id": str(about.get("session_id", "")),
    }
    streams = {name: _mapping(told) for name, told in _mapping(facts.get("streams")).items()}
    partners = [
        str(text) for text in result.tables.get("ratings", pd.DataFrame()).get("partner", ())
    ]
    secret = [text for text in partners if text.strip().casefold() not in ROLES]
    secret += [
        text for told in streams.values() for text in _identifying(_mapping(told.get("device")))
    ]
    names = _Names.of(key, ids, protocol, secret)
    called = _stream_names(
        {n: str(told.get("modality", "other")) for n, told in streams.items()}, names
    )
    windows = _window_names(result.windows, names)
    tell = _Tables(names, called, windows, names.key.replacement("session", result.name))
    return SessionResult(
        name=tell.session,
        path=Path(tell.session),
        out_dir=None,
        up_to_date=False,
        tables={name: tell.table(table) for name, table in result.tables.items()},
        windows=tell.table(result.windows),
        provenance=_provenance(facts, about, protocol, tell),
        traces={
            name: trace.select_dtypes(include="number") for name, trace in result.traces.items()
        },
    )


@dataclass(frozen=True)
class _Tables:
    """How the texts of result tables are told."""

    names: _Names
    streams: Mapping[str, str]
    windows: Mapping[str, str]
    session: str

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """Tell every text of a table; numbers stay."""
        told = table.copy()
        told.attrs = {}
        for name in told.columns:
            column = told[name]
            if column.dtype.kind in "iufb":
                continue
            teller = self._teller(str(name), set(told.columns))
            known = {value: teller(str(value)) for value in column.dropna().unique()}
            told[name] = column.map(known).where(column.notna(), "").astype(object)
        return told

    def _teller(self, name: str, columns: set[str]) -> Callable[[str], str]:
        names = self.names
        tellers: dict[str, Callable[[str], str]] = {
            "session": lambda _: self.session,
            "participant": lambda text: names.key.replacement("participant", text),
            "partner": names.person,
            "condition": names.label,
            "label": names.label,
            "phase": names.label,
            "role": names.label,
            "window": self.window,
            "baseline_window": lambda text: ", ".join(map(self.window, text.split(", "))),
            "stream": self.stream,
            "source": names.words if "partner" in columns else self.stream,
            "kind": lambda text: text if text in _KINDS else _WITHHELD,
        }
        if name == "label" and {"latency_s", "kind"} <= columns:
            return lambda text: names.marker(text, {})
        return tellers.get(name, names.said)

    def window(self, text: str) -> str:
        """Name of a window."""
        if text in self.windows or not text:
            return self.windows.get(text, "")
        return self.names.label(text)

    def stream(self, text: str) -> str:
        """Name of a stream."""
        return self.streams.get(text) or self.names.words(text, "other")


def _window_names(windows: pd.DataFrame, names: _Names) -> dict[str, str]:
    """Names of windows follow from those of their phases or labels."""
    told: dict[str, str] = {}
    for row in windows.itertuples():
        window = str(row.window)
        bases = {_stem(str(text)): names.label(str(text)) for text in (row.phase, row.label)}
        told[window] = next(
            (
                _stem(new) + window[len(stem) :]
                for stem, new in bases.items()
                if stem and window.startswith(stem) and _WINDOW_END.fullmatch(window, len(stem))
            ),
            "",
        ) or names.label(window)
    return told


def _stem(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_")


def _provenance(
    facts: Mapping[str, Any], about: Mapping[str, Any], protocol: Protocol | None, tell: _Tables
) -> dict[str, Any]:
    """What the numbers came from, without what leads back to the original file."""
    names, key = tell.names, tell.names.key
    given = _mapping(facts.get("windows"))
    return {
        "package": _plain(facts.get("package"), names),
        "config": _plain({**_mapping(facts.get("config")), "protocol": None}, names),
        "python": names.said(str(facts.get("python", ""))),
        "libraries": _plain(facts.get("libraries"), names),
        "input": {
            "file": tell.session,
            "session_id": key.replacement("session_id", str(about.get("session_id", ""))),
            "participant": key.replacement("participant", str(about.get("participant", ""))),
            "condition": names.label(str(about.get("condition", ""))),
            "dyad": key.replacement("dyad", str(about.get("dyad", ""))),
            "role": names.label(str(about.get("role", ""))),
            "recorded_by": _software(str(about.get("recorded_by", ""))),
            "closed": about.get("closed") is True,
            "recording": about.get("recording") is True,
            "started_utc": _moved(about.get("started_utc"), names.shift),
            "duration_s": _numbers(about.get("duration_s")),
        },
        "protocol": None
        if protocol is None
        else _protocol(protocol, names).model_dump(mode="json"),
        "windows": {
            "n": _numbers(given.get("n")),
            "by_kind": _plain(given.get("by_kind"), names),
            "phases": [
                {**_plain(phase, names), "window": tell.window(str(_mapping(phase).get("window")))}
                for phase in given.get("phases", [])
            ],
        },
        "streams": {
            tell.stream(name): _stream_facts(_mapping(told), str(name), tell)
            for name, told in _mapping(facts.get("streams")).items()
        },
        "stages": {
            str(stage): _plain(told, names) | {"stream": tell.stream(str(told.get("stream", "")))}
            for stage, told in _mapping(facts.get("stages")).items()
            if isinstance(told, Mapping) and is_known(str(stage))
        },
        "notices": [],
        "deidentified": True,
    }


def _stream_facts(told: Mapping[str, Any], name: str, tell: _Tables) -> dict[str, Any]:
    new = tell.stream(name)
    channels = [str(channel) for channel in told.get("channels", [])]
    return {
        "modality": tell.names.words(str(told.get("modality", "")), "other"),
        "units": _units(str(told.get("units", ""))),
        "channels": list(_channels(channels, name, new, tell.names)),
        "device": _device(_mapping(told.get("device")), tell.names),
        **{key: value for key, value in told.items() if key in _STREAM_FACTS},
    }


def _plain(value: Any, names: _Names) -> Any:
    """Plain data that processing wrote, without what holds an id."""
    if isinstance(value, Mapping):
        return {
            str(key): _plain(item, names)
            for key, item in value.items()
            if not names.sensitive.is_told_in(str(key))
        }
    if isinstance(value, list | tuple):
        return [_plain(item, names) for item in value]
    return names.said(value) if isinstance(value, str) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _modelled(data: Any) -> Protocol | None:
    try:
        return Protocol.model_validate(data)
    except ValueError:
        return None


def _only(result: SessionResult, column: str) -> str:
    """Who the tables are about, where the provenance does not say."""
    table = result.tables.get("features", pd.DataFrame())
    found = [str(text) for text in table.get(column, pd.Series(dtype=object)).unique()]
    return found[0] if len(found) == 1 else ""


def _moved(started: Any, days: int) -> str | None:
    """Date and time of the start, moved back."""
    try:
        moved = datetime.fromisoformat(str(started)).astimezone(UTC) - timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return moved.isoformat(timespec="seconds")
