"""Walk all metadata of an unclosed session file: ``python -m physio_hqc.session.probe FILE``.

Run by the reader in a process of its own, because HDF5 may wait for ever on a damaged file.
"""

from __future__ import annotations

import sys

import h5py

from physio_hqc.session.format import LIBVER


def walk(group: h5py.Group) -> None:
    """Touch the attributes and chunk indices of everything that lives in this file."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        dict(member.attrs)
        if isinstance(member, h5py.Group):
            walk(member)
        elif member.chunks:
            member.id.get_num_chunks()
            if len(member):
                member[-1:]


if __name__ == "__main__":
    with h5py.File(sys.argv[1], "r", libver=LIBVER, swmr=True, locking=False) as file:
        dict(file.attrs)
        walk(file)
