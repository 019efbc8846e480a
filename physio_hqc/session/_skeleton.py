"""A session file as it is before the first packet: everything declared, nothing in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import h5py

from physio_hqc.errors import SessionFileError
from physio_hqc.session._stream_writer import StreamWriter
from physio_hqc.session._untrusted import plain_json
from physio_hqc.session.format import EVENT_DTYPE, MAX_TEXT_BYTES

_MAX_FIXED_BYTES: Final = 60_000


def skeleton(
    attrs: Mapping[str, Any],
    declared: Mapping[str, Mapping[str, Any]],
    streams: Mapping[str, StreamWriter],
    compressed: Collection[str],
) -> bytes:
    """Content of a file with these attributes and streams.

    Parameters
    ----------
    attrs : mapping
        Attributes of the root.
    declared : mapping of str to mapping
        Attributes of every stream.
    streams : mapping of str to StreamWriter
    compressed : collection of str
        Streams with compression.

    Returns
    -------
    bytes
    """
    with _in_memory() as file:
        _describe(file, attrs)
        root = file.create_group("streams")
        for name, declared_attrs in declared.items():
            group = root.create_group(name)
            _describe(
                group, {**declared_attrs, "device": json_text(declared_attrs["device"], name)}
            )
            streams[name].create(group, name in compressed)
        file.create_dataset(
            "events",
            shape=(0,),
            maxshape=(None,),
            chunks=(16,),
            dtype=EVENT_DTYPE,
            compression="gzip",
            compression_opts=1,
        )
        file.create_dataset("facts", shape=(0,), maxshape=(None,), chunks=(4096,), dtype="u1")
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def json_text(content: dict[str, Any], what: str) -> str:
    """Write facts as JSON text; `what` they are, for the error."""
    try:
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False)
        plain_json(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise SessionFileError(f"{what} cannot be written as JSON: {error}") from error
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise SessionFileError(f"{what} is too long")
    return text


def _in_memory() -> h5py.File:
    """Create an HDF5 file that exists in memory only."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fapl_core(backing_store=False)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    # All attributes in the header of the root, not in structures of their own that can break.
    creation.set_attr_phase_change(64, 32)
    # No time of creation: the same session is the same bytes whenever it is written.
    creation.set_obj_track_times(False)
    return h5py.File(h5py.h5f.create(b"skeleton", h5py.h5f.ACC_TRUNC, creation, access))


def _describe(group: h5py.Group, attrs: Mapping[str, Any]) -> None:
    """Write attributes, texts in full beside their names where these are not too long for it.

    Texts of variable length stand in a heap that all of them share: one damaged page there, and
    nobody knows any more whose recording this is.
    """
    for name, value in attrs.items():
        if isinstance(value, str) and len(value.encode()) <= _MAX_FIXED_BYTES:
            content = value.encode()
            fixed = h5py.string_dtype("utf-8", max(1, len(content)))
            group.attrs.create(name, content, dtype=fixed)
        else:
            group.attrs[name] = value
