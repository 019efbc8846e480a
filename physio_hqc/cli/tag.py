"""``physio-hqc tag``: tag a running recording from another program."""

from __future__ import annotations

from typing import Annotated

import typer

from physio_hqc.acquisition._control_wire import ACTIONS, LABELED
from physio_hqc.cli._tag_now import tag_now
from physio_hqc.errors import RecordingError


def tag(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE_OR_SESSION",
            help="Session file that is being recorded: its path or name, the session id, or the "
            "participant id.",
            show_default=False,
        ),
    ],
    action: Annotated[
        str,
        typer.Argument(
            metavar="|".join(ACTIONS),
            help="**start** and **stop** an interaction window, **mark** a moment, write a "
            "**note**; go to the **next** phase, **end** the recording, show its **status**.",
            show_default=False,
        ),
    ],
    label: Annotated[
        str, typer.Argument(help="Label of the window or marker, text of the note.")
    ] = "",
    payload: Annotated[
        str | None, typer.Option(help="JSON object that is kept with the event.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON.")] = False,
) -> None:
    """Tag a recording that is running, from another program or terminal.

    The stored time is the moment at which this command was started. For example:

        physio-hqc tag P01.h5 start support --payload '{"partner": "A"}'

        physio-hqc tag P01.h5 stop support

        physio-hqc tag P01 mark "picture 12"

    A program that tags often keeps a connection instead: physio_hqc.acquisition.Tagger.
    """
    if label and action in ACTIONS and action not in LABELED:
        raise RecordingError(f"{action} takes no label")
    typer.echo(tag_now(target, action, label, payload, as_json))
