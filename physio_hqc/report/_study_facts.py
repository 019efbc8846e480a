"""A study as its methods section needs it: tables that may be absent, facts over all sessions.

Everything here is read from the tables and from the run records of the sessions; nothing is
assumed that does not stand there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from physio_hqc.study.result import StudyResult

_MOST_TEXT = 300
_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[\\/](?:[^\s\\/]+[\\/])+")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~!{}$^])")


# ------------------------------------------------------------------------------- words


def md(text: object) -> str:
    r"""Write untrusted text so that Markdown takes none of it as markup, on one line.

    Examples
    --------
    >>> md("a|b_c") == r"a\|b\_c", md("x\n# y") == r"x \# y"
    (True, True)
    """
    escaped = _SPECIAL.sub(r"\\\1", _one_line(text).replace("&", "&amp;"))
    # Neither an address nor an e-mail address becomes a link by itself.
    return escaped.replace("://", "\\://").replace("www.", "www\\.").replace("@", "\\@")


def code(text: object) -> str:
    r"""Write a name as code, which Markdown takes as it is; pipes stay inside their cell.

    Examples
    --------
    >>> code("HRV_RMSSD"), code("a`b|c") == r"`a'b\|c`"
    ('`HRV_RMSSD`', True)
    """
    plain = _one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else ""


def _one_line(text: object) -> str:
    """Return printable text on one line, cut where nobody reads on."""
    clean = "".join(c if c.isprintable() else " " for c in str(text))
    clean = without_folders(" ".join(clean.split()))
    return clean if len(clean) <= _MOST_TEXT else clean[: _MOST_TEXT - 1] + "…"


def without_folders(text: str) -> str:
    """Leave out the folders of absolute paths, which are those of one machine.

    Examples
    --------
    >>> without_folders("lost in /home/me/study/P001: see https://doi.org/10.1/x")
    'lost in P001: see https://doi.org/10.1/x'
    """
    return _FOLDERS.sub("", text)


def listed(parts: Iterable[str]) -> str:
    """Join words as a sentence does.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    words = [part for part in parts if part]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(text: str) -> str:
    """Begin with a capital letter and end with a full stop.

    Examples
    --------
    >>> sentence("none was found")
    'None was found.'
    """
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def fixed(value: float, decimals: int) -> str:
    """Round to decimals, with a real minus sign and no minus before zero.

    Examples
    --------
    >>> fixed(-1.26, 1), fixed(-0.01, 1), fixed(float("nan"), 1)
    ('−1.3', '0.0', 'not known')
    """
    if not np.isfinite(value):
        return "not known"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def length(seconds: float) -> str:
    """Write a length of time as methods sections do.

    Examples
    --------
    >>> length(360), length(90), length(31.5), length(150)
    ('6 min', '90 s', '31.5 s', '2.5 min')
    """
    if not np.isfinite(seconds):
        return "not known"
    minutes = seconds / 60
    if seconds >= 120 and abs(minutes * 10 - round(minutes * 10)) < 1e-6:
        return f"{minutes:.1f}".removesuffix(".0") + " min"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def spread(values: Iterable[float], unit: str = "", decimals: int = 1) -> str:
    """Say median and range; one value where all are the same.

    Examples
    --------
    >>> spread([1, 2, 4], "%"), spread([2, 2], "mmHg", 0)
    ('median 2.0 %, range 1.0–4.0 %', '2 mmHg')
    """
    known = finite(values)
    if not len(known):
        return "not known"
    low, middle, high = (
        fixed(float(x), decimals) for x in (known.min(), np.median(known), known.max())
    )
    after = f" {unit}" if unit else ""
    if low == high:
        return f"{low}{after}"
    return f"median {middle}{after}, range {_to(low, high)}{after}"


def between(values: Iterable[float], unit: str = "", decimals: int = 1) -> str:
    """Say the range; one value where all are the same.

    Examples
    --------
    >>> between([129.98, 130.03], "Hz", 2), between([-1, 3], "", 0), between([3, 3])
    ('129.98–130.03 Hz', '−1 to 3', '3.0')
    """
    known = finite(values)
    if not len(known):
        return "not known"
    low, high = fixed(float(known.min()), decimals), fixed(float(known.max()), decimals)
    after = f" {unit}" if unit else ""
    return f"{low}{after}" if low == high else f"{_to(low, high)}{after}"


def _to(low: str, high: str) -> str:
    """Write a range; the dash would look like a second minus sign."""
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def count_of(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> count_of(1, "session"), count_of(1234, "beat"), count_of(2, "index", "indices")
    ('1 session', '1,234 beats', '2 indices')
    """
    return f"{numbers(n)} {one if n == 1 else many or one + 's'}"


def numbers(n: int) -> str:
    """Write a count with commas between thousands.

    Examples
    --------
    >>> numbers(73260)
    '73,260'
    """
    return f"{n:,}"


def pipe_table(head: list[str], body: list[list[str]]) -> str:
    """Write a Markdown table; what stands in the cells is escaped by the caller."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)


def finite(values: Iterable[Any]) -> NDArray[np.float64]:
    """Return the numbers among values."""
    array = pd.to_numeric(pd.Series(list(values), dtype=object), errors="coerce").to_numpy(float)
    known: NDArray[np.float64] = array[np.isfinite(array)]
    return known


def band(limits: Any) -> str:
    """Write a frequency band with at least two decimals.

    Examples
    --------
    >>> band((0.15, 0.4)), band((0.0033, 0.04))
    ('0.15–0.40 Hz', '0.0033–0.04 Hz')
    """
    low, high = (max(f"{float(limit):g}", f"{float(limit):.2f}", key=len) for limit in limits)
    return f"{low}–{high} Hz"


def percent(share: Any) -> str:
    """Write a share from 0 to 1 in percent, as settings hold it.

    Examples
    --------
    >>> percent(0.05)
    '5 %'
    """
    return f"{100 * float(share):g} %"


def commonest(values: Iterable[Any]) -> list[Any]:
    """Return values without repetition, the commonest first, else in their order.

    Examples
    --------
    >>> commonest("abcb")
    ['b', 'a', 'c']
    """
    given = list(values)
    return sorted(dict.fromkeys(given), key=lambda kind: -given.count(kind))


# ------------------------------------------------------------------------------- sessions


@dataclass(frozen=True)
class SessionFacts:
    """The run record of one session, whatever of it is there."""

    name: str
    record: Mapping[str, Any]

    def at(self, *path: str, default: Any = None) -> Any:
        """Return what stands at a path of the record."""
        found: Any = self.record
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                return default
            found = found[key]
        return found

    def number(self, *path: str) -> float:
        """Return the number at a path; NaN where there is none."""
        return number_in(self.at(*path))

    def stage(self, name: str) -> Mapping[str, Any]:
        """Return what a stage of processing said; empty where it did not run."""
        found = self.at("stages", name)
        return found if isinstance(found, Mapping) else {}

    def used_streams(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the streams that results were computed from, with samples in them."""
        streams = self.at("streams", default={})
        streams = streams if isinstance(streams, Mapping) else {}
        return [
            (str(name), facts)
            for name, facts in streams.items()
            if isinstance(facts, Mapping) and facts.get("processed") and facts.get("n_samples")
        ]


def number_in(value: Any) -> float:
    """Return a number as float, anything else as NaN."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")


def total(sessions: Iterable[SessionFacts], *path: str) -> int:
    """Add up a count over sessions; what is not there counts nothing."""
    return int(np.nansum([0.0, *(session.number(*path) for session in sessions)]))


# ------------------------------------------------------------------------------- study


@dataclass(frozen=True)
class StudyFacts:
    """What the methods section and the checklists of a study ask for."""

    study: StudyResult

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the study; one without rows and columns where there is none."""
        return self.study.tables.get(name, pd.DataFrame())

    def of_analysed(self, name: str) -> pd.DataFrame:
        """Return the rows of a table that belong to sessions that were analysed."""
        rows = self.table(name)
        if self.analysed is None or "session" not in rows.columns:
            return rows
        return rows[rows["session"].astype(str).isin(self.analysed)]

    def column(self, table: str, name: str) -> pd.Series:
        """Return a column of a table; empty where there is none."""
        rows = self.table(table)
        return rows[name] if name in rows.columns else pd.Series(dtype=object)

    def has(self, table: str, name: str) -> bool:
        """Tell whether a column of a table holds any number."""
        return bool(len(finite(self.column(table, name))))

    @cached_property
    def analysed(self) -> list[str] | None:
        """Return the names of the sessions that were analysed; None where nothing says so."""
        flow = self.table("flow")
        if not {"session", "status"} <= set(flow.columns):
            return None
        return [str(name) for name in flow.loc[flow["status"] == "analysed", "session"] if name]

    @cached_property
    def from_table(self) -> bool:
        """Tell whether the study began from a table of features: no session has a run record."""
        has_scores = any(len(self.table(name)) for name in ("features_long", "reactivity"))
        return has_scores and not self.study.provenance.get("sessions")

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Return the hashes of the tables that were read, by file."""
        found = self.study.provenance.get("inputs")
        found = found if isinstance(found, Mapping) else {}
        return {without_folders(str(name)): str(value) for name, value in found.items()}

    @cached_property
    def sessions(self) -> list[SessionFacts]:
        """Return the run records of the sessions that were analysed."""
        records = self.study.provenance.get("sessions", {})
        records = records if isinstance(records, Mapping) else {}
        names = sorted(records if self.analysed is None else set(self.analysed) & set(records))
        return [
            SessionFacts(name, records[name])
            for name in names
            if isinstance(records[name], Mapping)
        ]

    def with_stage(self, name: str) -> list[SessionFacts]:
        """Return the sessions in which a stage of processing ran."""
        return [session for session in self.sessions if session.stage(name)]

    def with_modality(self, modality: str) -> list[SessionFacts]:
        """Return the sessions with a processed stream of a modality."""
        return [
            session
            for session in self.sessions
            if any(facts.get("modality") == modality for _, facts in session.used_streams())
        ]

    def setting(self, section: str, name: str) -> list[Any]:
        """Return the values that a setting had, without repetition, the commonest first."""
        values = [session.at("config", section, name) for session in self.sessions]
        return commonest(_plain(value) for value in values if value is not None)

    def said(self, section: str, name: str, words: Callable[[Any], str]) -> str:
        """Say a setting; where sessions differ, in how many it was what."""
        values = [session.at("config", section, name) for session in self.sessions]
        return self.differing(words(_plain(value)) for value in values if value is not None)

    def differing(self, texts: Iterable[str], noun: str = "session") -> str:
        """Say what was so in all, or in how many of them it was what.

        One text stands alone; several read ``130 Hz in 88 of 90 sessions and 250 Hz in 2``.
        """
        given = list(texts)
        kinds = commonest(given)
        if len(kinds) <= 1:
            return "".join(kinds)
        said = [f"{kinds[0]} in {given.count(kinds[0])} of {count_of(len(given), noun)}"]
        return listed(said + [f"{kind} in {given.count(kind)}" for kind in kinds[1:]])

    def clauses(self, texts: Iterable[str]) -> str:
        """Say in whole clauses what `differing` says in words."""
        given = list(texts)
        kinds = commonest(given)
        if len(kinds) <= 1:
            return "".join(kinds)
        first = f"in {given.count(kinds[0])} of {count_of(len(given), 'session')}, {kinds[0]}"
        return "; ".join([first, *(f"in {given.count(kind)}, {kind}" for kind in kinds[1:])])

    def reasons_with(self, text: str, kinds: tuple[str, ...]) -> int:
        """Count the windows of those kinds in which any feature has that in its reason."""
        rows = self.of_analysed("features_long")
        if not {"session", "window", "kind", "reason"} <= set(rows.columns):
            return 0
        said = rows["reason"].astype(str).str.contains(text, regex=False)
        found = rows[rows["kind"].isin(kinds) & said]
        return len(found[["session", "window"]].drop_duplicates())

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the settings of the study."""
        return self.study.config

    @cached_property
    def conditions(self) -> list[str]:
        """Return the conditions in the order of the settings, the protocol, the participants."""
        present = [str(name) for name in self.column("participants", "condition") if str(name)]
        present = present or [str(n) for n in self.column("features_long", "condition") if str(n)]
        wanted = [str(name) for name in self.config.get("conditions") or ()]
        for protocol in self.protocols[:1]:
            entries = protocol.get("conditions") or ()
            wanted += [str(e.get("label", "")) for e in entries if isinstance(e, Mapping)]
        return list(dict.fromkeys([name for name in wanted if name in present] + present))

    @cached_property
    def protocols(self) -> list[Mapping[str, Any]]:
        """Return the protocols of the sessions, one per session that has one."""
        found = [session.at("protocol") for session in self.sessions]
        return [protocol for protocol in found if isinstance(protocol, Mapping)]

    def definition(self, kind: str) -> Mapping[str, Any]:
        """Return the definition of the proxy or the scale that was used; empty where unknown."""
        found = self.study.provenance.get("definitions", {})
        found = found.get(kind) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def features(self) -> set[str]:
        """Return the features that have a value in any window."""
        rows = self.of_analysed("features_long")
        if not {"feature", "value"} <= set(rows.columns):
            return set()
        return set(rows.loc[pd.to_numeric(rows["value"]).notna(), "feature"].astype(str))

    def any_feature(self, *starts: str) -> bool:
        """Tell whether any feature with a value begins so."""
        return any(name.startswith(starts) for name in self.features)

    @property
    def windows(self) -> pd.DataFrame:
        """Return the windows of the sessions that were analysed."""
        return self.of_analysed("windows")

    @cached_property
    def phase_names(self) -> list[str]:
        """Return the phases in the order of time."""
        rows = self.windows
        if not {"window", "kind", "onset"} <= set(rows.columns):
            return []
        phases = rows[rows["kind"] == "phase"]
        order = phases.groupby(phases["window"].astype(str))["onset"].median()
        return [str(name) for name in order.sort_values(kind="stable").index]

    @cached_property
    def speech_phases(self) -> list[str]:
        """Return the phases in which participants spoke, in the order of time."""
        rows = self.windows
        if not {"window", "kind", "speech"} <= set(rows.columns):
            return []
        spoken = set(rows.loc[rows["speech"].astype(bool), "window"].astype(str))
        return [name for name in self.phase_names if name in spoken]


def _plain(value: Any) -> Any:
    """Return a setting in a form that can be counted."""
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value
