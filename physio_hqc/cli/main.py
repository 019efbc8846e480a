"""``physio-hqc``: the commands put together, and errors as one line with exit code 2."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

import physio_hqc
from physio_hqc.cli import (
    INTERRUPTED,
    UNHARMED,
    batch,
    demo,
    devices,
    export,
    import_,
    inspect,
    process,
    record,
    recover,
    simulate,
    study,
    tag,
)
from physio_hqc.cli._shared import shown
from physio_hqc.errors import PhysioError

app = typer.Typer(
    name="physio-hqc",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "From recordings of ECG, blood pressure and EDA to cardiovascular reactivity.\n\n"
        "Begin with **physio-hqc demo**. With your own data: **import** a vendor file, "
        "**inspect** the session file, **process** it to tables and a report; **study** compares "
        "the conditions of many sessions. Hundreds of files: **batch**. Other tools: **export**. "
        "In the laboratory: "
        "**record** a session from wearables; **record --virtual** rehearses it without any.\n\n"
        "Exit codes: 0 done; 2 an error, told in one line, or one session of several failed; "
        "130 stopped by Ctrl-C."
    ),
)
app.command("batch")(batch.batch)
app.command("demo")(demo.demo)
app.command("export")(export.export)
app.command("import")(import_.import_)
app.command("inspect")(inspect.inspect)
app.command("process")(process.process)
app.command("record")(record.record)
app.command("recover")(recover.recover)
app.command("study")(study.study)
app.command("tag")(tag.tag)
app.add_typer(simulate.app, name="simulate")
app.add_typer(devices.app, name="devices")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"physio_hqc {physio_hqc.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that belong to no command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _print_anything()
    try:
        code = app(
            args=None if arguments is None else list(arguments),
            prog_name="physio-hqc",
            standalone_mode=False,
        )
    except PhysioError as error:
        return _fail(str(error))
    except TyperException as error:
        return _fail(error.format_message())
    except (KeyboardInterrupt, Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if code == INTERRUPTED:
        typer.echo(UNHARMED, err=True)
    return code if isinstance(code, int) else 0


def _print_anything() -> None:
    """Let names through that this terminal has no letters for, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str) -> int:
    typer.echo(f"error: {shown(' '.join(message.split()))}", err=True)
    return 2
