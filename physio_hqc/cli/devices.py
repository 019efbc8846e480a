"""``physio-hqc devices``: the wearables that are known, that are in the air, and one of them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from physio_hqc.cli._shared import console, escape, table
from physio_hqc.errors import RecordingError

if TYPE_CHECKING:
    from rich.table import Table

    from physio_hqc.acquisition._trial import Trial, TrialStream, TrialView
    from physio_hqc.acquisition.ble import FoundDevice
    from physio_hqc.acquisition.source import BleBackend

app = typer.Typer(
    no_args_is_help=True,
    help="Wearables and their profiles: list the known ones, scan the air, test one.\n\n"
    "For example: physio-hqc devices scan. A profile is a YAML file that says how to talk to a "
    "device; its name is what record --device takes.",
    rich_markup_mode="markdown",
)

_T = TypeVar("_T")
_BASE_UUID = "-0000-1000-8000-00805f9b34fb"
_FACTS = ("name", "address", "manufacturer", "model", "serial", "firmware", "software", "mtu")
_Json = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]
_Virtual = Annotated[
    bool, typer.Option("--virtual", help="Rehearse with virtual devices instead of Bluetooth.")
]
_Seconds = Annotated[float, typer.Option("--seconds", help="How long.", min=0.5, max=3600)]


@app.callback()
def devices() -> None:
    """Wearables and their profiles."""


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """List the device profiles that are known.

    Their names are what test and **record --device** take. No Bluetooth is needed.

    For example:

        physio-hqc devices list

        physio-hqc devices list --json
    """
    from physio_hqc.acquisition import list_device_profiles

    profiles = list_device_profiles()
    if as_json:
        content = [profile.model_dump(mode="json") for profile in profiles]
        typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
        return
    rows = table("profile", "device", "streams", "not verified", right=("not verified",))
    for profile in profiles:
        streams = ", ".join(
            f"{s.name} [{s.units}]" + (f" {s.sfreq:g} Hz" if s.sfreq else "")
            for s in profile.streams
        )
        count = len(profile.not_verified)
        rows.add_row(
            profile.name, escape(profile.title), escape(streams), f"{count} points" if count else ""
        )
    console().print(rows)


@app.command("scan")
def scan(seconds: _Seconds = 10.0, virtual: _Virtual = False, as_json: _Json = False) -> None:
    """List what is in the air, and which profile fits.

    Put the strap on or wake the device first: most send nothing otherwise. Without Bluetooth it
    says what is missing; --virtual shows how it looks.

    For example:

        physio-hqc devices scan

        physio-hqc devices scan --seconds 20 --json

        physio-hqc devices scan --virtual
    """
    found = asyncio.run(_scan(seconds, virtual))
    if as_json:
        content = [vars(device) | {"use": _use(device)} for device in found]
        typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo(
            f"Nothing in the air for {seconds:g} s. Straps advertise only while they are worn, and"
            " no device does while it is connected to a phone."
        )
        return
    rows = table("name", "address", "RSSI dBm", "services", "profile", "use", right=("RSSI dBm",))
    for device in found:
        rows.add_row(
            escape(device.name or "(no name)"),
            device.address,
            "" if device.rssi is None else str(device.rssi),
            ", ".join(_short_uuid(uuid) for uuid in device.services),
            ", ".join(device.profiles) or "fits no profile",
            escape(_use(device)),
        )
    console().print(rows)


@app.command("test")
def try_(
    name: Annotated[
        str,
        typer.Argument(
            help="Device profile, or its YAML file; also polar_h10=SERIAL.", show_default=False
        ),
    ],
    serial: Annotated[
        str, typer.Option("--serial", help="Serial number, end of the name, or address.")
    ] = "",
    seconds: _Seconds = 10.0,
    virtual: _Virtual = False,
    as_json: _Json = False,
) -> None:
    """Show some seconds of a device: live values, then rates, lag, gaps and troubles.

    Nothing is recorded: it is the check before a session.

    For example:

        physio-hqc devices test polar_h10

        physio-hqc devices test blood_pressure --seconds 60

        physio-hqc devices test polar_h10 --serial A1B2C3D4 --seconds 20 --json

        physio-hqc devices test polar_h10 --virtual
    """
    with _live(quiet=as_json) as show:
        trial = asyncio.run(_stoppable(_test(name, serial, seconds, virtual, show)))
    if as_json:
        typer.echo(json.dumps(_as_json(trial), ensure_ascii=False, indent=2))
    else:
        _report(trial)
    if trial.missing:
        raise RecordingError(f"{name}: nothing arrived of {', '.join(trial.missing)}")


async def _scan(seconds: float, virtual: bool) -> list[FoundDevice]:
    from physio_hqc.acquisition.ble import find_devices

    async with AsyncExitStack() as stack:
        backend = await _rehearse(stack, ()) if virtual else None
        return await find_devices(seconds, backend=backend)


async def _test(
    name: str,
    serial: str,
    seconds: float,
    virtual: bool,
    show: Callable[[TrialView], None] | None,
) -> Trial:
    from physio_hqc.acquisition import SourceOptions, make_source
    from physio_hqc.acquisition._trial import try_source

    async with AsyncExitStack() as stack:
        # A profile that does not exist is told before anything is started.
        source = make_source(name, SourceOptions(serial=serial))
        if virtual:
            profile = name.split("=")[0].removeprefix("ble:")
            backend = await _rehearse(stack, (profile,))
            source = make_source(name, SourceOptions(serial=serial, backend=backend))
        return await try_source(source, seconds, show)


async def _stoppable(work: Coroutine[Any, Any, _T]) -> _T:
    """Do something; a closed terminal ends it as Ctrl-C does, so that the device is stopped."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    told = False

    def tell() -> None:
        nonlocal told
        told = True
        task.cancel()

    for name in ("SIGTERM", "SIGHUP"):
        # Windows has neither handlers on its loop nor the second signal.
        with suppress(NotImplementedError, AttributeError, RuntimeError):
            loop.add_signal_handler(getattr(signal, name), tell)
    try:
        return await task
    except asyncio.CancelledError:
        if told:
            raise KeyboardInterrupt from None
        raise


async def _rehearse(stack: AsyncExitStack, profiles: tuple[str, ...]) -> BleBackend:
    """Put virtual devices on an air of their own."""
    from physio_hqc.acquisition.virtual import (
        REHEARSED,
        VirtualAir,
        VirtualParticipant,
        rehearsal,
    )

    air = await stack.enter_async_context(VirtualAir())
    # In a hurry: a cuff that takes half a minute would have nothing to show.
    await rehearsal(air, VirtualParticipant(time_scale=0.1), profiles or REHEARSED)
    return air.backend


@contextmanager
def _live(*, quiet: bool) -> Iterator[Callable[[TrialView], None] | None]:
    """Show live values: in place on a terminal, else a line a second on standard error."""
    if quiet:
        yield None
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda view: screen.print(escape(_line(view)))
        return
    from rich.live import Live

    with Live(console=screen, transient=True, auto_refresh=False) as live:
        yield lambda view: live.update(_now(view), refresh=True)


def _line(view: TrialView) -> str:
    """How it stands, in one line."""
    values = [f"{stream.name} {stream.value}" for stream in view.streams if stream.value]
    return f"{view.t:6.1f} s  {view.state:<10} " + (", ".join(values) or view.text)


def _now(view: TrialView) -> Table:
    """How it stands, as a table."""
    rows = table(
        "stream", "value", "rate", "lag", title=f"{view.state}  {escape(view.text)}",
        right=("rate", "lag"),
    )  # fmt: skip
    for stream in view.streams:
        rows.add_row(
            stream.name,
            stream.value or ("" if stream.n_samples else "waiting"),
            _rate(stream.rate if stream.sfreq else None),
            _number(stream.lag_s, "{:.2f} s"),
        )
    return rows


def _report(trial: Trial) -> None:
    """What came of it: a table, and what the device said."""
    columns = ("samples", "rate", "nominal", "lag", "gaps", "range", "last")
    rows = table("stream", *columns, right=columns[:5])
    for stream in trial.streams:
        view = stream.view
        rows.add_row(
            view.name,
            str(stream.n_samples),
            _rate(stream.rate),
            _rate(view.sfreq or None),
            _number(stream.lag_s, "{:.2f} s"),
            f"{view.n_gaps} ({view.gap_s:.1f} s)" if view.n_gaps else "none",
            escape(_range(stream)),
            escape(view.value if stream.n_samples else "nothing arrived"),
        )
    screen = console()
    screen.print(rows)
    facts = trial.facts
    said = [f"{key} {facts[key]}" for key in _FACTS if facts.get(key) not in (None, "")]
    screen.print(escape(", ".join(said)))
    battery = f"{facts['battery']} %" if facts.get("battery") is not None else "not told"
    known = facts.get("contact")
    contact = "not told" if known is None else "yes" if known else "no"
    screen.print(f"battery {battery}, skin contact {contact}, {trial.seconds:.1f} s listened to")
    for label in trial.events:
        screen.print(escape(f"event: {label}"))
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(trial.troubles.items()))
    screen.print(f"troubles: {counted or 'none'}")
    for text in trial.texts[:10]:
        screen.print(escape(f"  {text}"))


def _as_json(trial: Trial) -> dict[str, Any]:
    """The same for programs."""
    return {
        "seconds": round(trial.seconds, 3),
        "device": trial.facts,
        "streams": [_stream_json(stream) for stream in trial.streams],
        "troubles": trial.troubles,
        "trouble_texts": list(trial.texts),
        "events": list(trial.events),
        "missing": list(trial.missing),
    }


def _stream_json(stream: TrialStream) -> dict[str, Any]:
    """One stream for programs."""
    view = stream.view
    return {
        "name": view.name,
        "modality": view.modality,
        "units": view.units,
        "n_samples": stream.n_samples,
        "sfreq_nominal": view.sfreq,
        "sfreq_measured": stream.rate,
        "lag_s": stream.lag_s,
        "n_gaps": view.n_gaps,
        "gap_s": round(view.gap_s, 3),
        "min": stream.low,
        "max": stream.high,
        "last": view.value,
        "quality": view.quality,
    }


def _use(device: FoundDevice) -> str:
    """Write how a device is named to the recorder."""
    if not device.profiles:
        return ""
    return f"--device {device.profiles[0]}={device.serial or device.address}"


def _short_uuid(uuid: str) -> str:
    """Four digits of a standard UUID, eight and dots of another."""
    if uuid.startswith("0000") and uuid.endswith(_BASE_UUID):
        return uuid[4:8].upper()
    return f"{uuid[:8]}…"


def _range(stream: TrialStream) -> str:
    """Range of the values with their unit."""
    if stream.low is None or stream.high is None:
        return ""
    units = set(stream.view.units.split(","))
    return f"{stream.low:.4g} to {stream.high:.4g} {units.pop() if len(units) == 1 else ''}".strip()


def _rate(rate: float | None) -> str:
    """Rate in Hz."""
    return _number(rate, "{:.2f} Hz")


def _number(value: float | None, form: str) -> str:
    """Write a number; nothing for an unknown one."""
    return "" if value is None else form.format(value)
