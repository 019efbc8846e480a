"""What a session file may hold at all: looked at before any of it is read into memory.

A file of some kilobytes can ask for gigabytes in many ways. Everything here judges by what HDF5
says of a thing (its type, its shape, the bytes it takes on the disk), never by reading it.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SessionFileError
from physio_hqc.session.format import MAX_CHANNELS, MAX_COMPRESSION_RATIO, MAX_TEXT_BYTES

_MIN_DECLARED_BYTES: Final = 1 << 26
_MAX_CHUNK_BYTES: Final = 1 << 26
_MAX_INFLATED: Final = 1 << 26
_MIN_CHUNKS: Final = 10_000
_MAX_DEPTH: Final = 64
_MAX_INT: Final = 2**64
# DEFLATE, shuffle, Fletcher's checksum, LZF: any other would be looked for outside of the file.
_KNOWN_FILTERS: Final = (1, 2, 3, 32000)
_DEFLATE: Final = 1
_NUMBERS: Final = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)
_MAX_TYPE_MEMBERS: Final = 64


def attribute(item: h5py.Group, name: str, otherwise: Any = None) -> Any:
    """Value of an attribute: a text, a number, or numbers one per channel.

    Parameters
    ----------
    item : h5py Group, File or Dataset
    name : str
    otherwise : object
        Value where there is no such attribute; it must be there if None.

    Raises
    ------
    SessionFileError
        If it is of another type, or absurdly long.
    """
    key = name.encode()
    if not h5py.h5a.exists(item.id, key):
        if otherwise is None:
            raise SessionFileError(f"the attribute {name!r} is missing")
        return otherwise
    found = h5py.h5a.open(item.id, key)
    kind, shape = found.get_type(), found.shape
    if isinstance(kind, h5py.h5t.TypeStringID):
        if shape != () or found.get_storage_size() > MAX_TEXT_BYTES:
            raise SessionFileError(f"the attribute {name!r} is not one short text: refused")
        return clean_text(item.attrs[name])
    if kind.get_class() not in _NUMBERS or shape is None or len(shape) > 1:
        raise SessionFileError(f"the attribute {name!r} is neither text nor number: refused")
    if math.prod(shape) > MAX_CHANNELS:
        raise SessionFileError(f"the attribute {name!r} is absurdly long: refused")
    return item.attrs[name]


def clean_text(value: Any) -> str:
    """Text that can be written again: bytes that are no UTF-8 become a replacement character."""
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    if len(raw) > MAX_TEXT_BYTES:
        raise SessionFileError("a text attribute is absurdly long: refused")
    return raw.decode("utf-8", "replace")


def plain_json(text: str | bytes) -> Any:
    r"""Content of JSON text that other programs can hold as well.

    Raises
    ------
    ValueError
        If it is no JSON, nested deeper than any session nests, or holds a number that no
        computation takes (NaN, infinity, integers of hundreds of digits).

    Examples
    --------
    >>> plain_json('{"partner": "C2\\ud800"}')
    {'partner': 'C2?'}
    """
    try:
        content = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"JSON nested deeper than {_MAX_DEPTH} levels") from None
    level: list[Any] = [content]
    for _ in range(_MAX_DEPTH):
        _refuse_numbers(level)
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            break
    else:
        raise ValueError(f"JSON nested deeper than {_MAX_DEPTH} levels")
    if "\\u" in (text if isinstance(text, str) else text.decode("utf-8", "replace")):
        # Half of a character, which nothing can write again.
        whole = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        content = json.loads(whole)
    return content


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_numbers(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            _no_number("a number out of range")
        if isinstance(value, int) and abs(value) > _MAX_INT:
            _no_number("an integer out of range")


def _no_number(what: str) -> NoReturn:
    raise ValueError(f"JSON holds {what}, which is no number")


def checked_dataset(
    dataset: h5py.Dataset, path: Path, file_size: int, ratio: int = MAX_COMPRESSION_RATIO
) -> h5py.Dataset:
    """Refuse a data set that reads other files, or claims more than the file can hold.

    Parameters
    ----------
    dataset : h5py.Dataset
    path : Path
        The file, for messages.
    file_size : int
        Bytes of the file.
    ratio : int
        How many times smaller than in memory such data can be in a file.
    """
    where = f"{path}: {dataset.name}"
    filters = checked_layout(dataset, where)
    declared = math.prod(dataset.shape) * dataset.id.get_type().get_size()
    held = dataset.id.get_storage_size() * (ratio if filters else 1)
    if declared > max(_MIN_DECLARED_BYTES, min(held, file_size * ratio)):
        raise SessionFileError(f"{where} claims {declared / 1e6:.0f} MB, more than the file holds")
    if dataset.chunks is None:
        return dataset
    n_chunks = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    if n_chunks > most_chunks(file_size):
        raise SessionFileError(f"{where} is cut into {n_chunks} chunks: refused")
    if filters and n_chunks:
        large: list[Any] = []
        dataset.id.chunk_iter(lambda info: large.append(info) if may_inflate(info) else None)
        for info in large:
            check_chunk(dataset, info, where)
    return dataset


def most_chunks(file_size: int) -> int:
    """How many chunks a data set may be cut into: the index names every one that is there."""
    return _MIN_CHUNKS + file_size // 8


def checked_layout(dataset: h5py.Dataset, where: str) -> list[int]:
    """Refuse what is kept in other files, in no form that a session has; return its filters."""
    creation = dataset.id.get_create_plist()
    layout = creation.get_layout()
    if layout == h5py.h5d.VIRTUAL or creation.get_external_count():
        raise SessionFileError(f"{where} refers to other files: refused")
    filters = [creation.get_filter(k)[0] for k in range(creation.get_nfilters())]
    if any(number not in _KNOWN_FILTERS for number in filters) or filters.count(_DEFLATE) > 1:
        raise SessionFileError(f"{where} uses an unknown filter: refused")
    kind = dataset.id.get_type()
    if kind.get_class() == h5py.h5t.COMPOUND and kind.get_nmembers() > _MAX_TYPE_MEMBERS:
        raise SessionFileError(f"{where} is not laid out as format 1 says")
    if dataset.id.get_space().get_simple_extent_type() != h5py.h5s.SIMPLE:
        raise SessionFileError(f"{where} is not laid out as format 1 says")
    if layout == h5py.h5d.CHUNKED:
        size = math.prod(creation.get_chunk()) * kind.get_size()
        if size > _MAX_CHUNK_BYTES:
            raise SessionFileError(f"{where} has chunks of {size / 1e6:.0f} MB: refused")
    return filters


def may_inflate(info: Any) -> bool:
    """Whether a compressed chunk is so large that it could inflate to what no memory takes."""
    return bool(info.size * MAX_COMPRESSION_RATIO > _MAX_INFLATED)


def check_chunk(dataset: h5py.Dataset, info: Any, where: str) -> None:
    """Refuse a compressed chunk that inflates to more than its place: HDF5 would take it all in."""
    nominal = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    # Incompressible data grow by a fraction of a percent.
    if info.size > nominal + nominal // 50 + 1024:
        raise SessionFileError(f"{where} has a chunk larger than it can be: refused")
    _, raw = dataset.id.read_direct_chunk(info.chunk_offset)
    try:
        n = len(zlib.decompressobj().decompress(raw, nominal + 64))
    except zlib.error:
        # Not DEFLATE, or damaged: then reading it says so.
        return
    if n > nominal + 8:
        raise SessionFileError(f"{where} has a chunk that holds more than its place: refused")


def overlapping(rows: NDArray[np.void]) -> bool:
    """Whether packets share stored samples without being the same packet again."""
    rows = rows[rows["n_samples"] > 0]
    first, n = rows["first_sample"], rows["n_samples"]
    if np.all(first[1:] >= first[:-1] + n[:-1]):
        return False
    order = np.lexsort((n, first))
    first, n = first[order], n[order]
    again = (np.diff(first) == 0) & (np.diff(n) == 0)
    return bool(np.any((first[1:] < first[:-1] + n[:-1]) & ~again))
