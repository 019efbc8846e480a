"""``physio-hqc record``: a session, from wearables to the session file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physio_hqc.cli._shared import console, escape
from physio_hqc.errors import ConfigError

if TYPE_CHECKING:
    from physio_hqc.acquisition import Recording, RecordingResult
    from physio_hqc.acquisition.setup import SetupDevice
    from physio_hqc.acquisition.source import BleBackend
    from physio_hqc.protocol import Protocol

_REHEARSAL = ("polar_h10", "blood_pressure", "nordic_uart_eda")


def record(
    protocol: Annotated[
        str, typer.Argument(help="Protocol: a shipped name or a YAML file.", show_default=False)
    ],
    participant: Annotated[
        str, typer.Option("--participant", help="Participant id.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Session file to make.", show_default=False)],
    condition: Annotated[str, typer.Option("--condition", help="Condition of the design.")] = "",
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            help="Device profile (see 'devices list'), with its serial number where several are "
            "in the room: polar_h10=A1B2C3D4. Also lsl:QUERY, replay:FILE@SPEED, simulator:. "
            "Repeat it for more.",
        ),
    ] = None,
    setup: Annotated[
        str, typer.Option("--setup", help="YAML file with the devices of this laboratory.")
    ] = "",
    role: Annotated[str, typer.Option("--role", help="Role of the participant in a dyad.")] = "",
    dyad: Annotated[str, typer.Option("--dyad", help="Dyad id that joins two sessions.")] = "",
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual", help="Rehearse with virtual devices and a simulated participant."
        ),
    ] = False,
    no_screen: Annotated[
        bool,
        typer.Option(
            "--no-screen",
            help="For scripts: log lines instead of the screen; starts when everything flows.",
        ),
    ] = False,
    override_after: Annotated[
        float | None,
        typer.Option(
            "--override-after",
            help="Start after this many seconds although something is missing; it is recorded.",
            min=0.0,
        ),
    ] = None,
    time_scale: Annotated[
        float, typer.Option("--time-scale", help="Factor on all times, to rehearse faster.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated participant.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: how it ended, as JSON.")
    ] = False,
) -> None:
    """Record a session: live screen, tags from the keyboard, and nothing lost.

    PROTOCOL gives phases, their times and ratings; each --device is one source. Leaves OUT, a
    session file for inspect and process. Pre-flight first waits until every stream flows. Stop with Q, Ctrl-C, or by closing the
    terminal: the file is closed cleanly. Tag it from another program with 'physio-hqc tag'.

    For example:

        physio-hqc record lepore_1993 --participant P01 --condition support --device polar_h10 --device blood_pressure --out P01.h5

        physio-hqc record lepore_1993 --participant T01 --condition alone --virtual --time-scale 0.1 --out rehearsal.h5
    """  # noqa: E501 - a command to copy stands on one line
    from physio_hqc.protocol import load_protocol

    if not no_screen and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("the screen needs a terminal: use --no-screen in scripts")
    if not participant.strip():
        raise ConfigError("--participant needs an id")
    design = load_protocol(protocol)
    if design.conditions and not condition:
        labels = ", ".join(entry.label for entry in design.conditions)
        raise ConfigError(f"protocol {design.name} needs --condition: {labels}")
    if condition:
        design.condition(condition)
    if time_scale != 1.0:
        design = design.scaled(time_scale)
    devices = _devices(device or [], setup, role, virtual=virtual)
    options: dict[str, Any] = {
        "out": out,
        "protocol": design,
        "participant_id": participant,
        "condition": condition,
        "dyad_id": dyad,
        "role": role,
        "begin": "auto" if no_screen else "key",
        "override_after_s": override_after,
        "wait_for_ratings": not no_screen,
    }
    with_screen = not no_screen
    result = asyncio.run(_record(options, devices, virtual, seed, with_screen=with_screen))
    try:
        if as_json:
            typer.echo(json.dumps({**asdict(result), "path": str(result.path)}, ensure_ascii=False))
        else:
            _report(result)
    except OSError:
        # The terminal was closed, which ended the recording: nobody is left to be told.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _devices(names: list[str], setup: str, role: str, *, virtual: bool) -> tuple[SetupDevice, ...]:
    """Devices from the setup and from the command line."""
    from physio_hqc.acquisition.setup import device_from_text, load_setup

    found = load_setup(setup).for_role(role) if setup else ()
    found += tuple(device_from_text(name) for name in names)
    if not found and virtual:
        found = tuple(device_from_text(name) for name in _REHEARSAL)
    if not found:
        raise ConfigError(
            "nothing to record from: name a --device (see 'physio-hqc devices list'), a --setup, "
            "or rehearse with --virtual"
        )
    return found


async def _record(
    options: dict[str, Any],
    devices: tuple[SetupDevice, ...],
    virtual: bool,
    seed: int,
    *,
    with_screen: bool,
) -> RecordingResult:
    from physio_hqc.acquisition import RecordingPlan, record_session
    from physio_hqc.acquisition.setup import make_sources

    async with AsyncExitStack() as stack:
        backend, on_begin = None, None
        if virtual:
            backend, on_begin = await _rehearsal(stack, options, devices, seed)
        plan = RecordingPlan(sources=make_sources(devices, backend), **options)
        if with_screen:
            return await record_session(plan, screen=_show, on_begin=on_begin, handle_signals=True)
        return await record_session(plan, on_log=_log, on_begin=on_begin, handle_signals=True)


async def _rehearsal(
    stack: AsyncExitStack, options: dict[str, Any], devices: tuple[SetupDevice, ...], seed: int
) -> tuple[BleBackend, Any]:
    """Virtual devices for the profiles asked for, on one simulated participant."""
    from physio_hqc.acquisition.virtual import VirtualAir, VirtualParticipant, rehearsal

    design: Protocol = options["protocol"]
    participant = VirtualParticipant(seed=seed, protocol=design, condition=options["condition"])
    air = await stack.enter_async_context(VirtualAir())
    profiles = [
        f"{entry.device}={entry.serial}" if entry.serial else entry.device
        for entry in devices
        if ":" not in entry.device
    ]
    await rehearsal(air, participant, profiles)
    return air.backend, participant.begin


async def _show(recording: Recording) -> None:
    """Show the screen; a terminal that went away ends the recording cleanly."""
    from physio_hqc.cli._screen import run_screen

    await run_screen(recording, protocol=recording.plan.protocol)
    if not recording.finished:
        recording.stop("the terminal was closed")


def _log(line: str) -> None:
    typer.echo(line, err=True)


def _report(result: RecordingResult) -> None:
    """Say how it ended, and what to do next."""
    minutes, seconds = divmod(round(result.duration_s), 60)
    screen = console()
    if not result.path.exists():
        screen.print(f"{escape(result.reason)} before any sample arrived: there is no file")
        return
    counts = ", ".join(f"{name} {n}" for name, n in result.n_samples.items())
    screen.print(
        f"[bold]{escape(result.path)}[/bold]: {minutes}:{seconds:02d} min recorded, "
        f"{escape(result.reason)}; samples: {escape(counts)}",
        soft_wrap=True,
    )
    if not result.complete:
        screen.print("[yellow]the protocol did not run to its end[/yellow]")
    for kind, count in sorted(result.troubles.items()):
        screen.print(f"{count} × {escape(kind)}", soft_wrap=True)
    screen.print(f"next: physio-hqc inspect {escape(result.path)}", soft_wrap=True)
