"""Read a protocol from the shipped ones, a file, or the text that a session carries."""

from __future__ import annotations

from pathlib import Path

from physio_hqc.config import load_config, parse_yaml_model
from physio_hqc.protocol.models import Protocol


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a protocol by its shipped name or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        ``"lepore_1993"`` or the path of a file.

    Returns
    -------
    Protocol

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> [phase.name for phase in load_protocol("lepore_1993").phases]
    ['baseline', 'preparation', 'speech', 'recovery']
    """
    return load_config("protocols", name_or_path, Protocol)


def parse_protocol(text: str, source: str = "protocol") -> Protocol:
    """Read a protocol from YAML text, such as the one stored in a session file.

    Parameters
    ----------
    text : str
        YAML.
    source : str
        Where the text comes from, for error messages.

    Returns
    -------
    Protocol

    Raises
    ------
    ConfigError
        When the text is not a protocol.

    Examples
    --------
    >>> tsst = load_protocol("tsst")
    >>> parse_protocol(tsst.to_yaml()) == tsst
    True
    """
    return parse_yaml_model(text, Protocol, source=source)
