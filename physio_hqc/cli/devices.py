"""``physio-hqc devices``: the wearables that are known."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from physio_hqc.cli._shared import console, escape, table

app = typer.Typer(
    no_args_is_help=True, help="Wearables and their profiles.", rich_markup_mode="markdown"
)


@app.callback()
def devices() -> None:
    """Wearables and their profiles."""


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON.")] = False,
) -> None:
    """List the device profiles that are known.

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
