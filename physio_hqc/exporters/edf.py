"""A session as an EDF+ file with annotations, written through edfio."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError
from physio_hqc.exporters._companion import companion, companion_texts
from physio_hqc.exporters._edf_plan import RecordPlan, plan_records
from physio_hqc.exporters._edf_signals import HIGHEST, LOWEST, Digital, digital_channels
from physio_hqc.exporters._grid import Grid, grid_rate, on_grid
from physio_hqc.exporters.content import Content, StreamContent
from physio_hqc.files import replaced_file
from physio_hqc.importers._edf_companion import shown

if TYPE_CHECKING:
    import edfio

_YEARS: Final = (1985, 2084)  # what the two digits of the header's year can mean
_NEAR_S: Final = 1e-6
_MOST_RECORDS: Final = 99_999_999
_MORE_RECORDS: Final = 500
_MOST_SIGNALS: Final = 4095


def write_edf(content: Content, path: Path) -> tuple[list[Path], list[str]]:
    """Write a session as one EDF+ file, every stream at its own rate.

    Parameters
    ----------
    content : Content
    path : Path
        Replaced if it exists, once the new file is whole.

    Returns
    -------
    paths : list of Path
    notices : list of str
        Resolution of streams that are no 16-bit integers, fillers, values left out.

    Raises
    ------
    OutputError
        If the session holds no samples, or the file cannot be written.

    Notes
    -----
    The samples of a stream stand on one even grid at the nearest points. In gaps the signal is at
    its lowest digital value under an annotation ``BAD_gap <stream>``; irregular streams are
    annotations. Onsets of annotations are written to the last digit of a double, about 1e-13 s.
    What the format has no field for (measured time base, payloads, protocol, device) stands as
    JSON in annotations named ``physio_hqc``, which importing reads back.

    References
    ----------
    Kemp B, Olivan J (2003), European data format 'plus' (EDF+), Clin Neurophysiol 114:1755-1761,
    https://doi.org/10.1016/S1388-2457(03)00123-8

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.exporters.content import read_content
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = simulate_session(folder / "p01.h5", time_scale=0.05, streams=["ecg"])
    >>> with open_session(folder / "p01.h5") as session:
    ...     paths, notices = write_edf(read_content(session), folder / "p01.edf")
    >>> import edfio
    >>> edfio.read_edf(paths[0]).labels
    ('ECG',)
    """
    if not any(stream.n_samples for stream in content.streams.values()):
        raise OutputError(f"{content.name} holds no samples: there is nothing to export")
    notices: list[str] = []
    regular = [s for s in content.streams.values() if s.sfreq and s.n_samples]
    if sum(len(stream.channels) for stream in regular) > _MOST_SIGNALS:
        raise OutputError(f"{content.name}: more than {_MOST_SIGNALS} signals do not fit into EDF")
    file = _edf(content, regular, notices)
    with replaced_file(path) as part:
        file.write(part)
    return [path], notices


def _edf(content: Content, regular: list[StreamContent], notices: list[str]) -> edfio.Edf:
    import edfio

    origin = math.floor(
        min((float(s.segments["t_start"].iloc[0]) for s in regular), default=0.0) + _NEAR_S
    )
    origin_s = float(min(origin, 0))
    plan, n_records = _layout(regular, origin_s)
    signals: list[edfio.EdfSignal] = []
    first: dict[str, tuple[int, list[Digital]]] = {}
    gaps: list[tuple[float, float, str]] = []
    labels: set[str] = set()
    for stream, count in zip(regular, plan.counts, strict=True):
        grid = on_grid(stream, count / plan.duration, start_s=origin_s)
        length = n_records * count
        channels = digital_channels(stream)
        first[stream.name] = (len(signals), channels)
        gaps += _gaps(stream, grid, length, channels)
        for name, digital in zip(_names(stream), channels, strict=True):
            values = np.full(length, LOWEST, dtype=np.int16)
            values[: grid.n] = grid.spread(digital.values, LOWEST)
            signal = _signal(values, plan.duration, n_records, digital, _label(name, labels))
            signals.append(signal)
        _tell(stream, grid, channels, notices)
    begin = _begin(content, origin_s)
    annotations = [
        *_events(content, n_records * plan.duration + origin_s),
        *_readings(content),
        *((onset, length, f"BAD_gap {name}") for onset, length, name in gaps),
    ]
    texts = companion_texts(companion(content, first, origin_s))
    spread = _spread(texts, n_records, plan.duration)
    return edfio.Edf(
        signals,
        patient=edfio.Patient(code=_code(content.participant_id)),
        recording=edfio.Recording(
            startdate=None if begin is None else begin.date(), equipment_code="physio_hqc"
        ),
        starttime=None if begin is None else begin.time().replace(tzinfo=None),
        data_record_duration=plan.duration if signals else None,
        annotations=[
            *(
                edfio.EdfAnnotation(onset - origin_s, duration, shown(text))
                for onset, duration, text in annotations
            ),
            *(edfio.EdfAnnotation(onset, None, text) for onset, text in spread),
        ],
    )


# --- signals -----------------------------------------------------------------------------------


def _layout(regular: list[StreamContent], origin_s: float) -> tuple[RecordPlan, int]:
    """Record duration, samples of each stream in a record, and the number of records."""
    if not regular:
        return RecordPlan(1.0, ()), 1
    end = max(float(stream.segments["t_end"].iloc[-1]) for stream in regular) - origin_s
    rates = [grid_rate(stream) for stream in regular]
    plan = plan_records(rates, end)
    places = [
        on_grid(stream, count / plan.duration, start_s=origin_s).n
        for stream, count in zip(regular, plan.counts, strict=True)
    ]
    n = max(math.ceil(k / count) for k, count in zip(places, plan.counts, strict=True))
    for n_records in range(n, n + _MORE_RECORDS):
        if n_records > _MOST_RECORDS:
            break
        if all(_stated_rate(n_records, k, plan.duration) for k in set(plan.counts)):
            return plan, n_records
    raise OutputError(f"{n} records of {plan.duration} s do not fit into an EDF file")


def _stated_rate(n_records: int, count: int, duration: float) -> float | None:
    """Return the rate from which edfio finds the number of records again; None if there is none.

    It divides floats and asks for whole numbers: the rate next to the true one may be needed.
    """
    total = float(Decimal(repr(duration)) * n_records)
    near = n_records * count / total
    for rate in (near, math.nextafter(near, 0.0), math.nextafter(near, math.inf)):
        if round(n_records * count / rate, 12) == total:
            return rate
    return None


def _signal(
    values: NDArray[np.int16], duration: float, n_records: int, digital: Digital, label: str
) -> edfio.EdfSignal:
    import edfio

    rate = _stated_rate(n_records, len(values) // n_records, duration)
    assert rate is not None
    signal = edfio.EdfSignal.from_digital(
        values,
        rate,
        label=label,
        physical_dimension=digital.units,
        physical_range=(digital.low, digital.high),
        digital_range=(LOWEST, HIGHEST),
    )
    return signal


def _names(stream: StreamContent) -> list[str]:
    """Names as :meth:`Session.to_mne_raw` gives them."""
    if len(stream.channels) == 1:
        return [stream.name.upper()]
    return [f"{stream.name.upper()}_{channel}" for channel in stream.channels]


def _label(name: str, taken: set[str]) -> str:
    """Name in sixteen ASCII characters that no other signal has."""
    plain = _ascii(name, " ")[:16].strip() or "signal"
    if plain == "EDF Annotations":
        plain = "signal"
    label, number = plain, 2
    while label in taken:
        label, number = f"{plain[: 15 - len(str(number))]}_{number}", number + 1
    taken.add(label)
    return label


def _gaps(
    stream: StreamContent, grid: Grid, length: int, channels: list[Digital]
) -> list[tuple[float, float, str]]:
    """Onset, duration and stream of what holds no samples: gaps, missing values, the rest."""
    spans = [*grid.gaps.tolist()]
    if grid.n < length:
        spans.append([grid.n, length])
    missing = np.zeros(stream.n_samples, dtype=bool)
    for channel in channels:
        if not channel.is_exact:
            missing |= channel.values == LOWEST
    if missing.any():
        laid = np.zeros(grid.n + 1, dtype=bool)
        laid[: grid.n] = grid.spread(missing, False)
        edges = np.flatnonzero(np.diff(laid.astype(np.int8), prepend=0))
        spans += edges.reshape(-1, 2).tolist()
    return [
        (grid.start_s + a / grid.sfreq, (b - a) / grid.sfreq, stream.name) for a, b in sorted(spans)
    ]


def _tell(stream: StreamContent, grid: Grid, channels: list[Digital], notices: list[str]) -> None:
    if grid.n_fillers:
        notices.append(
            f"{stream.name}: its clock is slower than the grid of {grid.sfreq:.7g} Hz; "
            f"{grid.n_fillers} of {grid.n} points repeat the sample before them"
        )
    rounded = [channel for channel in channels if not channel.is_exact]
    if rounded:
        step = max(channel.resolution for channel in rounded)
        notices.append(f"{stream.name}: rounded to 16 bits, steps of {step:.3g} {stream.units}")
    unusable = sum(channel.n_unusable for channel in channels)
    if unusable:
        notices.append(f"{stream.name}: {unusable} values are no numbers and are marked BAD_gap")


# --- annotations -------------------------------------------------------------------------------


def _events(content: Content, end_s: float) -> list[tuple[float, float | None, str]]:
    """Events as ``kind/label``; one still open lasts until the recording ends."""
    found = []
    for onset, duration, kind, label in zip(
        *(content.events[key] for key in ("onset", "duration", "kind", "label")), strict=True
    ):
        length = max(end_s - onset, 0.0) if math.isnan(duration) else float(duration)
        found.append((float(onset), length or None, f"{kind}/{label}"))
    return found


def _readings(content: Content) -> list[tuple[float, float | None, str]]:
    """Samples of irregular streams as ``cuff SBP=120 DBP=80``."""
    found: list[tuple[float, float | None, str]] = []
    for stream in content.streams.values():
        if stream.sfreq:
            continue
        rows = stream.samples.reshape(stream.n_samples, len(stream.channels))
        for time, row in zip(stream.times.tolist(), rows.tolist(), strict=True):
            if len(row) == 1:
                text = f"{stream.name} {row[0]:.6g} {stream.units}"
            else:
                cells = zip(stream.channels, row, strict=True)
                said = " ".join(f"{name}={x:.6g}" for name, x in cells if not math.isnan(x))
                text = f"{stream.name} {said}"
            found.append((time, None, text))
    return found


def _spread(texts: list[str], n_records: int, duration: float) -> list[tuple[float, str]]:
    """Give each record its share: the longest one sets the length of all."""
    return [(k * n_records // len(texts) * duration, text) for k, text in enumerate(texts)]


def _ascii(text: str, blank: str) -> str:
    split = unicodedata.normalize("NFKD", text)
    kept = "".join(c for c in split if not unicodedata.combining(c))
    return "".join(c if "!" <= c <= "~" else blank if c.isspace() else "?" for c in kept)


def _code(participant_id: str) -> str:
    return _ascii(participant_id.strip(), "_")[:60] or "X"


def _begin(content: Content, origin_s: float) -> datetime | None:
    """Start of the file, to the microsecond; None where it is not known or no header holds it."""
    if content.t0_unix_ns is None:
        return None
    epoch = datetime.fromtimestamp(0, tz=UTC)
    try:
        begin = epoch + timedelta(seconds=origin_s, microseconds=content.t0_unix_ns // 1000)
    except OverflowError:
        return None
    return begin if _YEARS[0] <= begin.year <= _YEARS[1] else None
