"""``physio-hqc simulate``: sessions and studies whose truth is known."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from physio_hqc.cli._shared import console, escape, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    help="Simulate sessions and studies whose truth is known.\n\n"
    "For example: physio-hqc simulate session --out P01.h5. Try a design before the laboratory has "
    "data, or see what processing makes of known beats.",
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

    Leaves OUT, a session file to inspect and process, and OUT's name with _truth.npz: true beats,
    pressure and responses, to compare with what processing finds.

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


def numbers(option: str, given: list[str]) -> dict[str, float]:
    """Read ``NAME=NUMBER`` pairs."""
    from physio_hqc.errors import ConfigError

    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name.strip() or not math.isfinite(value):
            raise ConfigError(f"{option} {text!r}: write CONDITION=NUMBER, as in alone=20")
        if name.strip() in found:
            raise ConfigError(f"{option}: condition {name.strip()!r} is given twice")
        found[name.strip()] = value
    return found


def cells(given: list[str]) -> int | dict[str, int]:
    """Read participants per condition: one number, or ``CONDITION=NUMBER`` pairs."""
    from physio_hqc.errors import ConfigError

    if len(given) == 1 and "=" not in given[0]:
        if not given[0].isascii() or not given[0].isdigit() or int(given[0]) < 1:
            raise ConfigError(f"--n {given[0]!r}: write a number from 1, or CONDITION=NUMBER")
        return int(given[0])
    found = numbers("--n", given)
    wrong = [name for name, number in found.items() if number < 0 or number != int(number)]
    if wrong:
        raise ConfigError(f"--n {wrong[0]}={found[wrong[0]]:g}: write a whole number of people")
    return {name: int(number) for name, number in found.items()}


@app.command("study")
def study(
    out: Annotated[Path, typer.Option(help="Folder to write the study to.")],
    n: Annotated[
        list[str] | None,
        typer.Option(
            "--n",
            metavar="NUMBER | CONDITION=NUMBER",
            help="Participants per condition [default: 10]; for unequal cells repeat it.",
        ),
    ] = None,
    seed: Seed = 0,
    protocol: ProtocolName = "lepore_1993",
    effects: Annotated[
        str,
        typer.Option(
            help="What conditions do: lepore, none, reverse, or a YAML file (like configs/effects)."
        ),
    ] = "",
    sex_effect: Annotated[
        float, typer.Option(help="mmHg by which men react more than women (SBP).")
    ] = 4.0,
    sex_interaction: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION=MMHG", help="... and in this condition more than that."),
    ] = None,
    sex_resting: Annotated[
        float, typer.Option(help="mmHg by which men rest higher than women (SBP).")
    ] = 8.0,
    resting_shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION=MMHG", help="A true difference between conditions at rest (SBP)."
        ),
    ] = None,
    rating_effect: Annotated[
        float,
        typer.Option(
            min=-4,
            max=4,
            help="mmHg of reactivity per SD of the quality of the connection, within conditions.",
        ),
    ] = -2.0,
    rating_missing: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of rating items not answered.")
    ] = 0.02,
    missing: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of sessions that are missing.")
    ] = 0.0,
    poor: Annotated[
        float, typer.Option(min=0, max=1, help="Share of sessions with bad signals.")
    ] = 0.0,
    dyads: Annotated[
        bool, typer.Option("--dyads", help="Pair participants; for protocols of two people.")
    ] = False,
    laboratory: Annotated[
        bool, typer.Option("--laboratory", help="Laboratory values in participants.csv.")
    ] = False,
    time_scale: Scale = 1.0,
    ecg_sfreq: EcgRate = 250.0,
    bp_sfreq: BpRate = 100.0,
    eda_sfreq: EdaRate = 32.0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace sessions of the same name.")
    ] = False,
) -> None:
    r"""Simulate a study: sessions, participants.csv, ratings.csv, and what is true of them.

    Leaves in OUT a session file per participant with its truth, participants.csv and ratings.csv.
    Then: physio-hqc process OUT/\*.h5, and physio-hqc study.

    For example:

        physio-hqc simulate study --out study --n 30 --seed 1

        physio-hqc simulate study --out null --effects none --n alone=9 --n support=12

        physio-hqc simulate study --out small --n 3 --time-scale 0.4 --poor 0.2 --missing 0.1
    """
    from physio_hqc.simulate import simulate_study

    with progress_bar() as progress:
        task = progress.add_task("simulating", total=None)
        result = simulate_study(
            out,
            cells(n or ["10"]),
            seed=seed,
            protocol=protocol,
            effects=effects or None,
            sex_effect=sex_effect,
            sex_interaction=numbers("--sex-interaction", sex_interaction or []),
            sex_resting=sex_resting,
            resting_shift=numbers("--resting-shift", resting_shift or []),
            rating_effect=rating_effect,
            rating_missing=rating_missing,
            missing_share=missing,
            poor_share=poor,
            dyads=dyads,
            laboratory=laboratory,
            time_scale=time_scale,
            ecg_sfreq=ecg_sfreq,
            bp_sfreq=bp_sfreq,
            eda_sfreq=eda_sfreq,
            jobs=jobs,
            overwrite=overwrite,
            progress=lambda done, total, _: progress.update(task, completed=done, total=total),
        )
    console().print(
        f"{len(result.sessions)} sessions in {escape(result.out_dir)}; "
        f"participants: {escape(result.participants_csv)}; "
        f"ratings: {escape(result.ratings_csv)}; truth: {escape(result.truth_path)}",
        soft_wrap=True,
    )
