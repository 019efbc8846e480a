"""From a folder of processed sessions, or one table of features, to the tables of a study."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import OutputError, PhysioError, StudyError
from physio_hqc.parallel import run_parallel
from physio_hqc.pipeline.schema import COLUMNS, conform
from physio_hqc.pipeline.store import PROVENANCE, load_result, read_provenance
from physio_hqc.reactivity import feature_courses, reactivity_scores
from physio_hqc.study.participants import session_name

Progress = Callable[[str, int, int], None]

_MAX_TABLE_BYTES = 2_000_000_000
_READ = ("windows", "features", "cuff", "ratings", "quality", "reactivity")
_NEEDED = ("participant", "window", "feature", "value")
_SEPARATORS = (",", ";", "\t")
_NOTHING = ("", "na", "nan", "n/a", "none", "null", "-")
# What a session's folder tells beyond the settings: the same settings, other data.
_NOT_SETTINGS = ("report",)
_ROLE_OF_NAME = (
    (re.compile(r"recover", re.IGNORECASE), "recovery"),
    (re.compile(r"prep|anticip", re.IGNORECASE), "preparation"),
)


@dataclass(frozen=True, eq=False)
class Collected:
    """What the sessions of a study hold, each table with session, participant, condition first.

    Attributes
    ----------
    sessions : DataFrame
        session, participant, condition: one row per session, in the order of their names.
    features, windows, courses, cuff, ratings, quality, reactivity : DataFrame
        As processing left them, one session below the other; `features`, `windows` and `quality`
        without sliding windows.
    provenance : dict
        Session name to what its numbers came from.
    inputs : dict
        File name to SHA-256 of what was read.
    failed : dict
        Session name to why its results cannot be used.
    notices : list of str
    """

    sessions: pd.DataFrame
    features: pd.DataFrame
    windows: pd.DataFrame
    courses: pd.DataFrame
    cuff: pd.DataFrame
    ratings: pd.DataFrame
    quality: pd.DataFrame
    reactivity: pd.DataFrame
    provenance: dict[str, Any]
    inputs: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def collect_sessions(
    source: str | os.PathLike[str],
    *,
    baseline: tuple[str, ...] = ("baseline",),
    quality_min: float = 0.5,
    allow_mixed: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Collected:
    """Read the results of all sessions in a folder, or a features table.

    Parameters
    ----------
    source : path-like
        A folder such as ``derivatives``, in which every session has a folder of its own; or a
        CSV file with one row per session, window and feature, such as ``features_long.csv``.
    baseline : tuple of str
        Baseline windows of a features table; sessions have that of their protocol.
    quality_min : float
        For a features table, as in :func:`physio_hqc.reactivity.reactivity_scores`.
    allow_mixed : bool
        Whether sessions may have been processed with different settings or versions.
    jobs : int
        Processes that read.
    progress : callable, optional
        Called with stage, done, total.

    Returns
    -------
    Collected

    Raises
    ------
    StudyError
        If there is nothing to read, a needed column is missing, a session holds a feature twice,
        or sessions were processed with different settings.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.simulate import simulate_feature_study
    >>> from physio_hqc.study import collect_sessions
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "features.csv"
    >>> simulate_feature_study(2, seed=1).features.to_csv(path, index=False)
    >>> collected = collect_sessions(path)
    >>> collected.sessions["condition"].value_counts().sort_index().to_dict()
    {'alone': 2, 'nonsupport': 2, 'support': 2}
    """
    path = Path(source)
    if path.is_file():
        return _from_table(path, baseline, quality_min)
    if not path.is_dir():
        raise StudyError(f"{path}: no such folder or file; process the sessions first")
    folders = list(_session_folders(path))
    if not folders:
        raise StudyError(f"{path} holds no processed sessions{_hint(path)}")
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("reading sessions", done, len(folders))

    parts = run_parallel(_read_session, [(folder,) for folder in folders], jobs, count)
    failed = {
        folder.name: str(part)
        for folder, part in zip(folders, parts, strict=True)
        if isinstance(part, PhysioError)
    }
    read = [part for part in parts if not isinstance(part, PhysioError)]
    if not read:
        raise StudyError(f"{path}: no session can be read: {next(iter(failed.values()))}")
    _refuse_mixed(read, allow_mixed)
    return _joined(read, failed)


def _session_folders(path: Path) -> Iterator[Path]:
    """Folders that hold the results of a session, by name; a study's own folder is none."""
    for folder in sorted(path.iterdir()):
        if folder.name.startswith(".") or not (folder / PROVENANCE).is_file():
            continue
        provenance = read_provenance(folder)
        if provenance is None or "study" not in provenance:
            yield folder


def _hint(path: Path) -> str:
    if any(_session_folders(path / "derivatives") if (path / "derivatives").is_dir() else ()):
        return f": did you mean {path / 'derivatives'}?"
    if any(path.glob("*.h5")):
        return ": these are session files, process them first"
    return "; process sessions into it first"


def _read_session(folder: Path) -> dict[str, Any]:
    """Read one session's tables and shorten what is long.

    Raises
    ------
    OutputError
        If the results are incomplete, damaged or of an older version.
    """
    result = load_result(folder, _READ)
    facts = result.provenance.get("input")
    config, listing = result.provenance.get("config"), result.provenance.get("tables")
    is_ours = isinstance(facts, dict) and (config is None or isinstance(config, dict))
    is_ours &= isinstance(listing, dict) and all(isinstance(e, dict) for e in listing.values())
    if not (is_ours and isinstance(facts, dict)):
        raise OutputError(f"{folder}: provenance.json tells of no session")
    tables = result.tables
    who = {
        "session": result.name,
        "participant": str(facts.get("participant", "")),
        "condition": str(facts.get("condition", "")),
    }
    features, windows = tables["features"], tables["windows"]
    courses = feature_courses(
        features, windows.assign(session=result.name), cuff=tables["cuff"].assign(**who)
    )
    whole = {name: tables[name] for name in ("cuff", "ratings", "reactivity")}
    without = {
        "features": features[features["kind"] != "sliding"],
        "windows": windows[windows["kind"] != "sliding"],
        "quality": tables["quality"][tables["quality"]["kind"] != "sliding"],
    }
    placed = {
        name: table if name in ("features", "reactivity") else _with_who(table, who)
        for name, table in {**whole, **without}.items()
    }
    return {"who": who, "provenance": result.provenance, "courses": courses, **placed}


def _with_who(table: pd.DataFrame, who: Mapping[str, str]) -> pd.DataFrame:
    """Table with session, participant and condition in front."""
    table = table.reset_index(drop=True)
    return pd.concat([pd.DataFrame(dict(who), index=table.index), table], axis=1)


def _refuse_mixed(read: list[dict[str, Any]], allow_mixed: bool) -> None:
    """Refuse to compare numbers that were made in different ways."""
    if allow_mixed:
        return
    first, *others = read
    for other in others:
        difference = _difference(_settings(first), _settings(other))
        if difference:
            raise StudyError(
                f"{other['who']['session']} was processed with other settings than "
                f"{first['who']['session']} ({difference}): process all sessions alike, or allow "
                "mixed settings"
            )


def _settings(part: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and version behind a session, flat: dotted key to value."""
    provenance = part["provenance"]
    config = {
        key: value
        for key, value in dict(provenance.get("config") or {}).items()
        if key not in _NOT_SETTINGS
    }
    return dict(_flat({"package": provenance.get("package"), **config}))


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the first setting that differs, in words."""
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            return f"{key}: {other.get(key)} instead of {one.get(key)}"
    return ""


def _joined(read: list[dict[str, Any]], failed: dict[str, str]) -> Collected:
    """Put the sessions below each other."""

    def table(name: str) -> pd.DataFrame:
        parts = [part[name] for part in read]
        filled = [part for part in parts if len(part)]
        return pd.concat(filled or parts[:1], ignore_index=True)

    names = [part["who"]["session"] for part in read]
    return Collected(
        sessions=pd.DataFrame([part["who"] for part in read]),
        features=table("features"),
        windows=table("windows"),
        courses=table("courses"),
        cuff=table("cuff"),
        ratings=table("ratings"),
        quality=table("quality"),
        reactivity=table("reactivity"),
        provenance=dict(zip(names, (part["provenance"] for part in read), strict=True)),
        inputs={
            f"{part['who']['session']}/{name}": str(entry.get("sha256", ""))
            for part in read
            for name, entry in part["provenance"].get("tables", {}).items()
        },
        failed=failed,
    )


def _from_table(path: Path, baseline: tuple[str, ...], quality_min: float) -> Collected:
    """Read a features table that was made elsewhere."""
    table = _features_of(path)
    missing = [name for name in baseline if not (table["window"] == name).any()]
    if len(missing) == len(baseline):
        known = ", ".join(map(str, table["window"].unique()[:8]))
        raise StudyError(
            f"{path}: no window is called {' or '.join(map(repr, baseline))}, so there is no "
            f"baseline; windows: {known}"
        )
    windows = _windows_of(table, baseline)
    features = conform(table[table["kind"] != "sliding"], "features")
    courses = feature_courses(_timed(table), _timed(windows))
    sessions = table[["session", "participant", "condition"]].drop_duplicates("session")
    nothing = {
        name: pd.DataFrame(
            columns=["session", "participant", "condition", *(c.name for c in COLUMNS[name])]
        )
        for name in ("cuff", "ratings", "quality")
    }
    return Collected(
        sessions=sessions.reset_index(drop=True),
        features=features,
        windows=windows[windows["kind"] != "sliding"].reset_index(drop=True),
        courses=courses,
        reactivity=reactivity_scores(
            features, baseline=baseline, quality_min=quality_min, courses=courses
        ),
        provenance={},
        inputs={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
        notices=[
            f"the sessions come from the table {path.name}: how they were made is not known",
            "roles of windows are taken from their names: "
            + ", ".join(f"{w} ({r})" for w, r in _roles(windows).items()),
        ],
        **nothing,
    )


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that say when they are; a hand-made table need not."""
    return table[np.isfinite(table["onset"]) & (table["duration"] > 0)]


def _features_of(path: Path) -> pd.DataFrame:
    """Read and check a tidy features table; what separates its cells is seen from its header."""
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise StudyError(f"{path} is larger than {_MAX_TABLE_BYTES // 10**9} GB: refused")
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(_SEPARATORS, key=header.count)
        # As text: an id such as 007 or NA stays what it is.
        table = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        first = str(error).splitlines()[0]
        raise StudyError(f"{path}: no table in UTF-8 with commas ({first})") from error
    table.columns = [str(name).strip() for name in table.columns]
    if "participant" not in table.columns and "session" in table.columns:
        table = table.assign(participant=table["session"])
    lacking = [name for name in _NEEDED if name not in table.columns]
    if lacking:
        raise StudyError(
            f"{path}: the column '{lacking[0]}' is missing; needed: {', '.join(_NEEDED)}"
        )
    if table.empty:
        raise StudyError(f"{path}: there is no row below the header")
    decimal = "," if separator == ";" else "."
    return _completed(table, path, decimal)


def _numbers(texts: pd.Series, path: Path, name: str, decimal: str) -> pd.Series:
    """Column as numbers; the first cell that is none is named."""
    cells = texts.astype(str).str.strip()
    given = ~cells.str.casefold().isin(_NOTHING)
    numbers = pd.to_numeric(cells.str.replace(decimal, ".", regex=False), errors="coerce")
    wrong = given & ~np.isfinite(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        raise StudyError(f"{path}, line {row + 2}: {name} '{texts.iloc[row][:60]}' is no number")
    return numbers.where(given).astype(np.float64)


def _words(cells: pd.Series) -> pd.Series:
    """Words with single blanks between them: neither ends nor line breaks count."""
    return cells.astype(str).str.split().str.join(" ")


def _completed(table: pd.DataFrame, path: Path, decimal: str) -> pd.DataFrame:
    """Bring cells to their types and fill the columns that a hand-made table may leave out."""
    for name in ("participant", "window", "feature"):
        table = table.assign(**{name: _words(table[name])})
        empty = table[name] == ""
        if empty.any():
            row = int(np.flatnonzero(empty.to_numpy())[0])
            raise StudyError(f"{path}, line {row + 2}: {name} is empty")
    fill = {"condition": "", "kind": "phase", "unit": "", "reason": ""}
    for name, value in fill.items():
        column = _words(table[name]) if name in table.columns else pd.Series("", table.index)
        table = table.assign(**{name: column.replace("", value)})
    for name in ("value", "onset", "duration", "quality"):
        cells = table[name] if name in table.columns else pd.Series("", table.index)
        table = table.assign(**{name: _numbers(cells, path, name, decimal)})
    session = table["session"] if "session" in table.columns else table["participant"]
    names = _words(session).map(session_name)
    table = table.assign(session=names.where(names != "", table["participant"]))
    missing = table["value"].isna() & (table["reason"] == "")
    table.loc[missing, "reason"] = "no value in the table"
    return _checked(table, path)


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Refuse a feature that is there twice, and a quality that is none."""
    twice = table.duplicated(["session", "window", "feature"])
    if twice.any():
        row = table[twice].iloc[0]
        raise StudyError(
            f"{path}, line {int(np.flatnonzero(twice.to_numpy())[0]) + 2}: session "
            f"'{row['session']}' holds {row['feature']} of window '{row['window']}' twice"
        )
    outside = (table["quality"] < 0) | (table["quality"] > 1)
    if outside.any():
        row_number = int(np.flatnonzero(outside.to_numpy())[0])
        raise StudyError(
            f"{path}, line {row_number + 2}: quality {table['quality'].iloc[row_number]:g} does "
            "not lie between 0 and 1"
        )
    owners = table.groupby("session", sort=False)["participant"].nunique()
    if (owners > 1).any():
        name = owners.index[int((owners > 1).to_numpy().argmax())]
        raise StudyError(f"{path}: session '{name}' belongs to {owners[name]} participants")
    return table


def _windows_of(table: pd.DataFrame, baseline: tuple[str, ...]) -> pd.DataFrame:
    """Windows of a features table, their roles guessed from their names."""
    places = ["session", "participant", "condition", "window", "kind", "onset", "duration"]
    windows = table[places].drop_duplicates(["session", "window"]).reset_index(drop=True)
    roles = {name: _role(name, baseline) for name in windows["window"].unique()}
    return windows.assign(
        label=windows["window"],
        phase=windows["window"],
        role=windows["window"].map(roles),
        speech=windows["window"].str.contains("speech", case=False, regex=False),
        breathing_in_hf=False,
    )


def _role(window: str, baseline: tuple[str, ...]) -> str:
    if window in baseline:
        return "baseline"
    found = (role for pattern, role in _ROLE_OF_NAME if pattern.search(window))
    return next(found, "task")


def _roles(windows: pd.DataFrame) -> dict[str, str]:
    rows = windows[windows["kind"] != "sliding"].drop_duplicates("window").head(8)
    return dict(zip(rows["window"], rows["role"], strict=True))
