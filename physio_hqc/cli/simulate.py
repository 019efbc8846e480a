"""``physio-hqc simulate``: sessions and studies whose truth is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from physio_hqc.cli._shared import console, escape, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    help="Simulate sessions and studies whose truth is known.",
    rich_markup_mode="markdown",
)

Seed = Annotated[int, typer.Option(min=0, help="Same seed, same data.")]
ProtocolName = Annotated[str, typer.Option(help="A protocol's name or YAML file.")]
Scale = Annotated[
    float, typer.Option(min=0.01, max=10.0, help="Shorten or lengthen the protocol's phases.")
]
EcgRate = Annotated[float, typer.Option(min=50, max=4000, help="ECG rate in Hz.")]
BpRate = Annotated[float, typer.Option(min=20, max=4000, help="Pressure rate in Hz.")]
EdaRate = Annotated[float, typer.Option(min=4, max=2000, help="EDA rate in Hz.")]
Poor = Annotated[bool, typer.Option("--poor", help="Motion, electrode pops, dropouts.")]


@app.command("session")
def session(
    out: Annotated[Path, typer.Option(help="Session file to write.")],
    seed: Seed = 0,
    condition: Annotated[str, typer.Option(help="alone, support or nonsupport.")] = "support",
    participant: Annotated[str, typer.Option(help="Participant's id.")] = "P01",
    protocol: ProtocolName = "lepore_1993",
    time_scale: Scale = 1.0,
    ecg_sfreq: EcgRate = 250.0,
    bp_sfreq: BpRate = 100.0,
    eda_sfreq: EdaRate = 32.0,
    poor: Poor = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Simulate one participant's session; the truth is saved beside it.

    For example:

        physio-hqc simulate session --out P01.h5 --condition nonsupport --seed 7

        physio-hqc simulate session --out noisy.h5 --ecg-sfreq 130 --poor
    """
    from physio_hqc.simulate import Noise, simulate_session

    result = simulate_session(
        out,
        seed=seed,
        protocol=protocol,
        condition=condition,
        participant_id=participant,
        time_scale=time_scale,
        ecg_sfreq=ecg_sfreq,
        bp_sfreq=bp_sfreq,
        eda_sfreq=eda_sfreq,
        noise=Noise.poor() if poor else None,
        overwrite=overwrite,
    )
    console().print(
        f"session: {escape(result.path)}\ntruth: {escape(result.truth_path)}", soft_wrap=True
    )


@app.command("study")
def study(
    out: Annotated[Path, typer.Option(help="Folder to write sessions and participants.csv to.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Participants per condition.")] = 10,
    seed: Seed = 0,
    protocol: ProtocolName = "lepore_1993",
    time_scale: Scale = 1.0,
    ecg_sfreq: EcgRate = 250.0,
    bp_sfreq: BpRate = 100.0,
    eda_sfreq: EdaRate = 32.0,
    missing: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of sessions that are missing.")
    ] = 0.0,
    poor: Annotated[
        float, typer.Option(min=0, max=1, help="Share of sessions with bad signals.")
    ] = 0.0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace sessions of the same name.")
    ] = False,
) -> None:
    """Simulate a study: participants in every condition, participants.csv, truth.

    For example:

        physio-hqc simulate study --out study --n 30 --seed 1

        physio-hqc simulate study --out small --n 3 --time-scale 0.4 --poor 0.2
    """
    from physio_hqc.simulate import simulate_study

    with progress_bar() as progress:
        task = progress.add_task("simulating", total=None)
        result = simulate_study(
            out,
            n,
            seed=seed,
            protocol=protocol,
            time_scale=time_scale,
            ecg_sfreq=ecg_sfreq,
            bp_sfreq=bp_sfreq,
            eda_sfreq=eda_sfreq,
            missing_share=missing,
            poor_share=poor,
            jobs=jobs,
            overwrite=overwrite,
            progress=lambda done, total, _: progress.update(task, completed=done, total=total),
        )
    console().print(
        f"{len(result.sessions)} sessions in {escape(result.out_dir)}; "
        f"participants: {escape(result.participants_csv)}",
        soft_wrap=True,
    )
