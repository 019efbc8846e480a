"""Live sources by name: every module in this folder is one kind of source.

A specification is ``kind:text`` (``lsl:type='EEG'``, ``replay:P01.h5@10``, ``simulator:``), or the
name of a device profile for a Bluetooth wearable. A module `kind` has a function
``from_spec(text: str, options: SourceOptions) -> Source``; that is all it takes to add one.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import cast

from physio_hqc.acquisition.source import Source, SourceOptions
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError

_KIND = re.compile(r"([a-z][a-z0-9_]+):(.*)", re.DOTALL)


def source_kinds() -> list[str]:
    """Name the kinds of sources that are known: what stands before the colon of a specification.

    Returns
    -------
    list of str

    Examples
    --------
    >>> source_kinds()
    ['ble', 'lsl', 'replay', 'simulator']
    """
    return sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


def make_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Make a source from its specification.

    Parameters
    ----------
    spec : str
        ``"polar_h10"``, ``"./my_band.yaml"``, ``"lsl:name='markers'"``, ``"replay:P01.h5@10"``.
    options : SourceOptions, optional

    Returns
    -------
    Source

    Raises
    ------
    ConfigError
        If the kind or the profile is unknown, or the specification makes no sense.

    Examples
    --------
    >>> make_source("polar_h10").name
    'polar_h10'
    """
    found = _KIND.fullmatch(spec)
    # A single letter before the colon is a Windows drive: the pattern wants two.
    kind, text = (found[1], found[2]) if found else ("ble", spec)
    kinds = source_kinds()
    if kind not in kinds:
        raise ConfigError(f"no source of the kind {kind!r}; {nearest(kind, kinds)}")
    module = importlib.import_module(f"physio_hqc.acquisition.sources.{kind}")
    return cast(Source, module.from_spec(text, options or SourceOptions()))
