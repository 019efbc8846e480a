"""Walk all metadata of an unclosed session file: ``python -m physio_hqc.session.probe FILE``.

Run by the reader in a process of its own, because HDF5 may wait for ever on a damaged file.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from pathlib import Path

import h5py

from physio_hqc.session._untrusted import attribute, checked_dataset
from physio_hqc.session.format import (
    LIBVER,
    MAX_STREAMS,
    ROOT_ATTRIBUTES,
    STREAM_ATTRIBUTES,
    STREAM_PARTS,
)


def walk(group: h5py.Group, path: Path, names: Iterable[str], attributes: Iterable[str]) -> None:
    """Touch the attributes and chunk indices of what a session consists of, and nothing else.

    Other members may lead in circles, or to more than anybody can walk.
    """
    for name in attributes:
        attribute(group, name, "")
    for name in names:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        if isinstance(member, h5py.Dataset):
            checked_dataset(member, path, path.stat().st_size)
            if member.chunks:
                member.id.get_num_chunks()
                if len(member):
                    member[-1:]
        elif name == "streams" and isinstance(member, h5py.Group):
            for stream in itertools.islice(member, MAX_STREAMS):
                if isinstance(member.get(stream, getlink=True), h5py.HardLink):
                    walk(member[stream], path, STREAM_PARTS, STREAM_ATTRIBUTES)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    with h5py.File(given, "r", libver=LIBVER, swmr=True, locking=False) as file:
        walk(file, given, ("streams", "events", "facts"), ROOT_ATTRIBUTES)
