"""Make a whole session file of a broken or unclosed one, and say what was lost."""

from __future__ import annotations

import json
import math
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import physio_hqc
from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.files import hidden_sibling, new_file
from physio_hqc.session._untrusted import overlapping, plain_json
from physio_hqc.session.format import (
    BLOCK_DTYPE,
    EVENT_DTYPE,
    EVENT_KINDS,
    FORMAT,
    MAX_TIME_S,
    UNKNOWN_T0,
    BlockFlag,
)
from physio_hqc.session.locks import is_being_written
from physio_hqc.session.reader import Session, is_marked_growing, learned_facts, open_session
from physio_hqc.session.timebase import MAX_RATE_ERROR, reconstruct
from physio_hqc.session.writer import SessionWriter

_STUCK_S: Final = 20.0
_MAX_RESTARTS: Final = 20
_PIECE: Final = 1 << 18
_MAX_PAYLOAD: Final = 3500
_MAX_NAMED: Final = 5
_FACTS: Final = ("session_id", "participant_id", "condition", "protocol", "t0_unix_ns", "closed")
_CONTENTS: Final = "contents.json"
_GAP: Final = np.uint32(BlockFlag.GAP_BEFORE)

Rows = NDArray[np.void]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RecoverReport:
    """What came out of a broken session file, and what did not.

    Attributes
    ----------
    path, out : Path
        The broken file and the whole one.
    was_closed : bool
        Whether the recording had been closed properly.
    lost : tuple of str
        One line for each thing that was in the file, or should have been, and could not be saved;
        empty if nothing was lost.
    notes : tuple of str
        One line for each thing that was put right.
    duration_s : float
        Length of the recovered session in seconds.
    samples : dict of str to int
        Samples of each recovered stream.
    n_events : int
        Events recovered, without the one that tells of the recovery.
    """

    path: Path
    out: Path
    was_closed: bool
    lost: tuple[str, ...]
    notes: tuple[str, ...]
    duration_s: float
    samples: dict[str, int]
    n_events: int


def recover_session(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, overwrite: bool = False
) -> RecoverReport:
    """Save all that is readable of a session file into a new, whole one.

    For recordings whose recorder died, copies that were cut short, files with damaged pages. The
    file itself is never changed. Measured times, flags, events and device facts are kept as they
    are; where samples are lost a gap is left. Phases and interaction windows of an unclosed
    recording that were still open end with its last data. A whole file is copied as it is.

    Parameters
    ----------
    path : path-like
        The broken file.
    out : path-like
        The file to make. It appears whole or not at all.
    overwrite : bool
        Replace an existing `out`.

    Returns
    -------
    RecoverReport

    Raises
    ------
    SessionFileError
        If the file is missing, is being recorded at this moment, or is beyond repair.
    OutputError
        If `out` exists or cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with SessionWriter(folder / "p01.h5") as writer:
    ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
    ...     writer.append_segment("eda", [5.0, 5.1, 5.2], t_start=0.0)
    >>> report = recover_session(folder / "p01.h5", folder / "p01_whole.h5")
    >>> report.lost, report.samples
    ((), {'eda': 3})
    """
    source, target = Path(path), Path(out)
    _check(source, target, overwrite)
    try:
        copied = _copy_if_whole(source, target)
        if copied is not None:
            return copied
        with tempfile.TemporaryDirectory(
            dir=target.absolute().parent,
            prefix=f"{hidden_sibling(target, 'salvage').name}.",
            ignore_cleanup_errors=True,
        ) as folder:
            contents = _salvage(source, Path(folder))
            return _Recovery(source, target, Path(folder), contents).write(overwrite)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {target}: {reason}") from error


def _check(source: Path, target: Path, overwrite: bool) -> None:
    if source.is_dir():
        raise SessionFileError(f"{source} is a folder, not a session file")
    try:
        size = source.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be read"
        raise SessionFileError(f"{source}: {reason}") from error
    new_file(target, overwrite=True)
    if target.exists() and target.samefile(source):
        raise OutputError(f"{source} is never changed: choose another name for --out")
    new_file(target, overwrite=overwrite)
    if not target.absolute().parent.is_dir():
        raise OutputError(f"cannot create {target}: its folder does not exist")
    if size == 0:
        raise SessionFileError(f"{source} is empty: there is nothing to recover")
    if is_being_written(source):
        raise SessionFileError(
            f"{source} is being recorded right now: 'inspect' and 'process' read it as it is"
        )


def _copy_if_whole(source: Path, target: Path) -> RecoverReport | None:
    """Copy a closed file all of which can be read; None for any other."""
    if is_marked_growing(source):
        return None
    try:
        with open_session(source) as session:
            if not session.closed:
                return None
            _read_all(session)
            report = RecoverReport(
                source,
                target,
                True,
                (),
                ("the file is whole and was copied as it is",),
                session.duration,
                {name: stream.n_samples for name, stream in session.streams.items()},
                len(session.events),
            )
    except SessionFileError:
        return None
    fresh = hidden_sibling(target, f"{uuid.uuid4().hex[:8]}.part")
    try:
        shutil.copyfile(source, fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return report


def _read_all(session: Session) -> None:
    """Read every sample once; raises where one is damaged."""
    for stream in session.streams.values():
        n, step = stream.n_samples, max(1, _PIECE // len(stream.channels))
        _ = stream.times if stream.sfreq == 0 else stream.timebase
        for start in range(0, n, step if stream.sfreq else n or 1):
            stream.physical(start, min(n, start + step) if stream.sfreq else n)


def _salvage(source: Path, folder: Path) -> dict[str, Any]:
    """Have another process read what can be read, anew behind whatever it gets stuck at."""
    skip: dict[str, list[int]] = {}
    for _ in range(_MAX_RESTARTS):
        stuck = _run_once(source, folder, skip)
        if stuck is None:
            break
        name, row = stuck
        skip.setdefault(name, []).append(row)
    else:
        raise SessionFileError(f"{source} is beyond repair: HDF5 gets stuck everywhere in it")
    contents: dict[str, Any] = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
    if "problem" in contents:
        raise SessionFileError(f"{source} is beyond repair: {contents['problem']}")
    # Without any attribute left it is judged by its streams.
    if contents["attrs"].get("format", FORMAT) != FORMAT or not contents["streams"]:
        raise SessionFileError(f"{source} is beyond repair, or it is no physio_hqc session")
    return contents


def _run_once(source: Path, folder: Path, skip: dict[str, list[int]]) -> tuple[str, int] | None:
    """Run the reading process; return where it got stuck or crashed, None if it came to its end."""
    module = "physio_hqc.session.salvage"
    places = (source, folder / _CONTENTS, folder)
    command = [sys.executable, "-m", module, *map(str, places), json.dumps(skip)]
    said: queue.Queue[str] = queue.Queue()
    at = ("", -1)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as reader:
        assert reader.stdout is not None
        listener = threading.Thread(target=_listen, args=(reader.stdout, said), daemon=True)
        listener.start()
        try:
            while line := said.get(timeout=_STUCK_S):
                name, row = json.loads(line)
                at = (str(name), int(row))
            reader.wait(timeout=_STUCK_S)
        except (queue.Empty, subprocess.TimeoutExpired):
            reader.kill()
        finally:
            if reader.poll() is None:
                reader.kill()
            listener.join()
    return None if reader.returncode == 0 else at


def _listen(lines: Any, said: queue.Queue[str]) -> None:
    """Hand over what the reading process says; an empty text at its end."""
    for line in lines:
        said.put(line)
    said.put("")


@dataclass
class _Table:
    """Rows that were read, and the ranges of them that are not there, (r, 2), ascending."""

    rows: NDArray[Any]
    lost: Ints

    @property
    def n_lost(self) -> int:
        """Rows that are not there."""
        return int((self.lost[:, 1] - self.lost[:, 0]).sum())

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which rows are there."""
        there = np.ones(len(self.rows), dtype=bool)
        for start, stop in self.lost:
            there[start:stop] = False
        return there


@dataclass
class _Recovery:
    """Puts the pieces together again."""

    source: Path
    target: Path
    folder: Path
    contents: dict[str, Any]
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def write(self, overwrite: bool) -> RecoverReport:
        """Write the whole file."""
        attrs = self.contents["attrs"]
        self.was_closed = bool(attrs.get("closed", False))
        if not self.was_closed:
            self.notes.append("the recording was never closed")
        if self.contents["missing_bytes"]:
            self.notes.append(f"the file is {self.contents['missing_bytes']:,} bytes too short")
        missing = [name for name in _FACTS if name not in attrs]
        if missing:
            self.lost.append(f"facts of the session: {', '.join(missing)}")
        recorded_by = str(attrs.get("software", "")) or "unknown software"
        texts = ("participant_id", "condition", "dyad_id", "role", "protocol")
        with SessionWriter(
            self.target,
            **{name: str(attrs.get(name, "")) for name in texts},
            t0_unix_ns=_int(attrs.get("t0_unix_ns")),
            session_id=str(attrs.get("session_id", "")) or None,
            created_utc=str(attrs.get("created_utc", "")) or None,
            software=f"{recorded_by}; recovered by physio_hqc {physio_hqc.__version__}",
            overwrite=overwrite,
            atomic=True,
        ) as writer:
            samples = self._streams(writer)
            n_events = self._events(writer)
            if self.lost and not (n_events or any(samples.values())):
                raise SessionFileError(
                    f"{self.source} is beyond repair: no sample and no event can be read"
                )
        return RecoverReport(
            self.source,
            self.target,
            self.was_closed,
            tuple(self.lost),
            tuple(self.notes),
            max(self.ends, default=0.0),
            samples,
            n_events,
        )

    def _table(self, found: dict[str, Any] | None) -> _Table | None:
        """Rows of a data set; None where nothing of it could be read."""
        if found is None or "problem" in found:
            return None
        dtype = _dtype(found["dtype"])
        shape = tuple(found["shape"])
        lost = np.array(found["lost"], dtype=np.int64).reshape(-1, 2)
        if math.prod(shape) == 0:
            return _Table(np.empty(shape, dtype), lost)
        rows = np.memmap(self.folder / found["file"], dtype=dtype, mode="r", shape=shape)
        return _Table(rows, lost)

    def _streams(self, writer: SessionWriter) -> dict[str, int]:
        """Declare all streams, then copy them."""
        facts = self._table(self.contents["facts"])
        learned = {} if facts is None else learned_facts(facts.rows[facts.there].tobytes())
        usable = {}
        for name, found in self.contents["streams"].items():
            problem = found.get("problem") or self._declare(writer, name, found, learned)
            if problem:
                self.lost.append(f"stream '{name}': all of it ({problem})")
            else:
                usable[name] = found
        return {name: self._copy(writer, name, found) for name, found in usable.items()}

    def _declare(
        self,
        writer: SessionWriter,
        name: str,
        found: dict[str, Any],
        learned: dict[str, dict[str, Any]],
    ) -> str:
        """Declare a stream; return why it cannot be saved, if so."""
        attrs = found["attrs"]
        samples = found.get("samples")
        if samples is None or "problem" in samples:
            return "its samples are not readable"
        try:
            channels = plain_json(str(attrs["channels"]))
            device = plain_json(str(attrs["device"]))
            if not isinstance(channels, list) or not isinstance(device, dict):
                return "its description is not readable"
            writer.add_stream(
                name,
                modality=attrs["modality"],
                units=attrs["units"],
                sfreq=attrs["sfreq"],
                dtype=_dtype(samples["dtype"]),
                channels=channels,
                scale=attrs["scale"],
                offset=attrs["offset"],
                device=device | learned.get(name, {}),
            )
        except (KeyError, ValueError, TypeError, SessionFileError):
            return "its description is not readable"
        n_channels = 1 if len(samples["shape"]) == 1 else samples["shape"][1]
        if n_channels != len(channels):
            return "its description does not fit its samples"
        return ""

    def _copy(self, writer: SessionWriter, name: str, found: dict[str, Any]) -> int:
        """Copy the packets of a stream that are there; return how many samples these have."""
        samples, blocks = self._table(found["samples"]), self._table(found["blocks"])
        assert samples is not None
        sfreq = float(found["attrs"]["sfreq"])
        packets = _packets(blocks, len(samples.rows))
        if sfreq == 0:
            times = self._table(found["times"])
            if times is None or times.rows.dtype != np.float64 or times.rows.ndim != 1:
                self.lost.append(f"{name}: all {len(samples.rows):,} values, without their times")
                return 0
            return self._copy_irregular(writer, name, samples, times, packets, blocks)
        if blocks is None or blocks.n_lost:
            rows = "all" if blocks is None else f"{blocks.n_lost:,}"
            self.lost.append(f"{name}: {rows} packet rows are not readable")
        n_without = 0 if blocks is None else int(blocks.there.sum()) - len(packets)
        if n_without and self.was_closed:
            self.lost.append(
                f"{name}: {n_without:,} packet rows point to samples that are not there"
            )
        n_measured = int(packets["n_samples"].sum())
        packets = _bridged(packets, sfreq)
        n_bridged = int(packets["n_samples"].sum()) - n_measured
        if n_bridged:
            self.lost.append(
                f"{name}: the measured times of {n_bridged:,} samples, which are placed between "
                "their neighbors"
            )
        self._tell_untold(name, samples, packets, sfreq)
        told = int(packets["n_samples"].sum())
        parts = _readable_parts(packets, samples.lost, sfreq)
        kept = int(parts["n_samples"].sum())
        if told > kept:
            self.lost.append(
                f"{name}: {told - kept:,} samples ({(told - kept) / sfreq:.1f} s) are not "
                "readable and leave a gap"
            )
        writer.copy_packets(name, samples.rows, parts)
        if kept:
            base = reconstruct(parts, sfreq)
            self.ends.append(float(base.times(base.n_samples - 1, base.n_samples)[0]))
        return kept

    def _tell_untold(self, name: str, samples: _Table, packets: Rows, sfreq: float) -> None:
        """Report samples without a packet row, which have no time."""
        untold = len(samples.rows) - int(packets["n_samples"].sum())
        if untold > 0:
            self.lost.append(
                f"{name}: {untold:,} samples ({untold / sfreq:.1f} s) whose times had not been "
                "written, or are not readable"
            )

    def _copy_irregular(
        self,
        writer: SessionWriter,
        name: str,
        samples: _Table,
        times: _Table,
        packets: Rows,
        blocks: _Table | None,
    ) -> int:
        """Copy the values that have a time; the rows of their packets where these are there."""
        n_all = max(len(samples.rows), len(times.rows))
        n = min(len(samples.rows), len(times.rows))
        there = np.zeros(n_all, dtype=bool)
        there[:n] = samples.there[:n] & times.there[:n] & (np.abs(times.rows[:n]) <= MAX_TIME_S)
        if not self.was_closed and blocks is not None and not blocks.n_lost:
            # Only a packet row says that values and times are complete.
            n_told = int((packets["first_sample"] + packets["n_samples"]).max(initial=0))
            there[n_told:] = False
        untold = there.copy()
        for first, count in zip(packets["first_sample"], packets["n_samples"], strict=True):
            untold[first : first + count] = False
        parts = np.concatenate(
            [
                _readable_parts(packets, _ranges(~there), 0.0),
                _rows_for(untold, times.rows),
            ]
        )
        parts = parts[np.argsort(parts["first_sample"], kind="stable")]
        kept = int(parts["n_samples"].sum())
        if n_all > kept:
            self.lost.append(f"{name}: {n_all - kept:,} of {n_all:,} values are not complete")
        writer.copy_packets(name, samples.rows, parts, times.rows)
        if kept:
            self.ends.append(float(times.rows[:n][there[:n]].max()))
        return kept

    def _events(self, writer: SessionWriter) -> int:
        """Copy the events, end those that were open, and tell of the recovery."""
        table = self._table(self.contents["events"])
        rows = np.zeros(0, dtype=EVENT_DTYPE)
        if table is None or table.rows.dtype != EVENT_DTYPE:
            self.lost.append("events: all of them, they are not readable")
        else:
            if table.n_lost:
                self.lost.append(f"events: {table.n_lost} are not readable")
            rows = np.asarray(table.rows)[table.there]
        known = np.isin(rows["kind"], [kind.encode() for kind in EVENT_KINDS])
        fine = known & (np.abs(rows["onset"]) <= MAX_TIME_S) & ~(rows["duration"] < 0)
        fine &= ~(rows["duration"] > MAX_TIME_S)
        cut = int(np.count_nonzero(~fine))
        if cut:
            self.lost.append(f"events: {cut} had not been written to their end")
        rows = rows[fine]
        if len(rows):
            self.ends.append(float((rows["onset"] + np.nan_to_num(rows["duration"])).max()))
        end = max(self.ends, default=0.0)
        for row in rows:
            self._event(writer, row, end)
        if self.ended:
            more = len(self.ended) - _MAX_NAMED
            names = ", ".join(self.ended[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
            self.notes.append(f"still open, ended with the last data at {end:.1f} s: {names}")
        writer.add_event(
            end, "system", "recovered", source="physio-hqc recover", payload=self._account()
        )
        return len(rows)

    def _event(self, writer: SessionWriter, row: np.void, end: float) -> None:
        """Copy one event."""
        kind, label = (row[name].decode("utf-8", "replace") for name in ("kind", "label"))
        payload, duration = _payload(row["payload"]), float(row["duration"])
        if math.isnan(duration) and not self.was_closed:
            duration = max(0.0, end - float(row["onset"]))
            self.ended.append(f"{kind} '{label}'")
            if len(row["payload"]) < _MAX_PAYLOAD:
                payload = payload | {"ended_by": "recover"}
        writer.add_event(
            float(row["onset"]),
            kind,
            label,
            duration=duration,
            source=row["source"].decode("utf-8", "replace"),
            payload=payload,
        )

    def _account(self) -> dict[str, Any]:
        """What was lost, as far as the payload of an event can hold it."""
        lost = list(self.lost)
        while len(json.dumps({"lost": lost}).encode()) > _MAX_PAYLOAD:
            lost.pop()
        return {"file": self.source.name[:200], "lost": lost}


def _packets(blocks: _Table | None, n_samples: int) -> Rows:
    """Rows of packets that make sense, in their order."""
    if blocks is None or blocks.rows.dtype != BLOCK_DTYPE:
        return np.zeros(0, dtype=BLOCK_DTYPE)
    rows = np.asarray(blocks.rows).copy()
    first, count = rows["first_sample"], rows["n_samples"]
    fine = blocks.there & (first >= 0) & (count > 0) & (np.abs(rows["t_received"]) <= MAX_TIME_S)
    fine &= (first <= n_samples) & (count <= n_samples)
    fine[fine] = (first[fine] + count[fine]) <= n_samples
    result: Rows = rows[fine]
    if overlapping(result):
        # No recorder wrote that; what is kept first keeps its samples.
        result = result[np.argsort(result["first_sample"], kind="stable")]
        reach = np.maximum.accumulate(result["first_sample"] + result["n_samples"])
        result = result[np.append(True, result["first_sample"][1:] >= reach[:-1])]
    return result


def _bridged(packets: Rows, sfreq: float) -> Rows:
    """Packets, and one more for each stretch of lost rows whose samples fill the time between.

    Before any other jump the next packet is marked as coming after a gap.
    """
    packets = packets[np.argsort(packets["first_sample"], kind="stable")]
    if len(packets) < 2:
        return packets
    stop = packets["first_sample"] + packets["n_samples"]
    missing = packets["first_sample"][1:] - stop[:-1]
    jumps = np.flatnonzero(missing > 0)
    by_device = np.isfinite(packets["t_device"][:-1]) & np.isfinite(packets["t_device"][1:])
    added = [packets]
    for k in jumps.tolist():
        before, after, n = packets[k], packets[k + 1], int(missing[k])
        clock = "t_device" if by_device[k] else "t_received"
        steps = n + int(after["n_samples"])
        elapsed = float(after[clock]) - float(before[clock])
        # Clocks of wearables are off by far less than a percent; arrivals vary by a packet.
        packet_s = max(int(before["n_samples"]), int(after["n_samples"]), 2) / sfreq
        if not abs(elapsed - steps / sfreq) <= 0.01 * steps / sfreq + 0.5 * packet_s:
            packets["flags"][k + 1] |= _GAP
            continue
        row = np.zeros(1, dtype=BLOCK_DTYPE)
        row["first_sample"], row["n_samples"] = stop[k], n
        for name in ("t_received", "t_device"):
            begin, end = float(before[name]), float(after[name])
            row[name] = begin + (end - begin) * n / steps
        added.append(row)
    together = np.concatenate(added)
    return together[np.argsort(together["first_sample"], kind="stable")]


def _readable_parts(packets: Rows, lost: Ints, sfreq: float) -> Rows:
    """Packets without the samples that are lost, with the times of what remains of them."""
    first = packets["first_sample"]
    stop = first + packets["n_samples"]
    # A range that begins before the packet's end and has not ended at its beginning.
    touched = np.searchsorted(lost[:, 0], stop) > np.searchsorted(lost[:, 1], first, side="right")
    if not touched.any():
        return packets
    period = _periods(packets, sfreq)
    parts = [packets[:0]]
    end = 0
    for k in range(len(packets)):
        row = packets[k : k + 1].copy()
        for piece in _split(row, lost, float(period[k])) if touched[k] else [row]:
            begin = int(piece["first_sample"][0])
            if begin > end:
                piece["flags"] |= _GAP
            end = begin + int(piece["n_samples"][0])
            parts.append(piece)
    return np.concatenate(parts)


def _split(row: Rows, lost: Ints, period: float) -> list[Rows]:
    """Stretches of one packet that are there; both times belong to the last sample."""
    start, n = int(row["first_sample"][0]), int(row["n_samples"][0])
    edges = np.clip(lost, start, start + n).ravel().tolist()
    pieces = []
    for a, b in zip([start, *edges[1::2]], [*edges[::2], start + n], strict=True):
        if a < b:
            piece = row.copy()
            piece["first_sample"], piece["n_samples"] = a, b - a
            piece["t_received"] -= (start + n - b) * period
            piece["t_device"] -= (start + n - b) * period
            pieces.append(piece)
    return pieces


def _ranges(marked: NDArray[np.bool_]) -> Ints:
    """Ranges [start, stop) of marked places, (r, 2)."""
    edges = np.flatnonzero(np.diff(marked.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)


def _periods(packets: Rows, sfreq: float) -> NDArray[np.float64]:
    """Time from sample to sample in every packet, by the clock that its rows carry."""
    if sfreq == 0:
        return np.zeros(len(packets))
    stamp = np.where(np.isnan(packets["t_device"]), packets["t_received"], packets["t_device"])
    period = np.full(len(packets), 1 / sfreq)
    measured = np.diff(stamp) / packets["n_samples"][1:]
    plausible = np.abs(measured * sfreq - 1) < MAX_RATE_ERROR
    period[1:][plausible] = measured[plausible]
    return period


def _rows_for(untold: NDArray[np.bool_], times: NDArray[np.float64]) -> Rows:
    """Packet rows for values of an irregular stream whose own rows are lost: one each."""
    index = np.flatnonzero(untold)
    rows = np.zeros(len(index), dtype=BLOCK_DTYPE)
    rows["first_sample"], rows["n_samples"] = index, 1
    rows["t_received"], rows["t_device"] = times[index], math.nan
    return rows


def _dtype(description: Any) -> np.dtype[Any]:
    """Number type from its description in JSON."""
    if isinstance(description, str):
        return np.dtype(description)
    return np.dtype([tuple(part) for part in description])


def _payload(text: bytes) -> dict[str, Any]:
    try:
        content = plain_json(text) if text else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {"value": content}


def _int(value: Any) -> int:
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else UNKNOWN_T0
