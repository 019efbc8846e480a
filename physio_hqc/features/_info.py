"""What a feature is: the entry of the catalog."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """One column that a feature function can return.

    Attributes
    ----------
    name : str
        Column name, in NeuroKit2's spelling where it has the feature.
    unit : str
        Unit of the value; ``"1"`` for a pure number.
    description : str
        One sentence: what it is and which definition was taken.
    source : str
        Author, year and DOI.
    """

    name: str
    unit: str
    description: str
    source: str
