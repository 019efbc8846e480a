"""No byte of a de-identified export leads to a person."""

import gzip
import zlib
from pathlib import Path
from runpy import run_path

import pytest
import typer
from typer.testing import CliRunner

from physio_hqc import process_session
from physio_hqc.cli.export import export
from physio_hqc.exporters import export_session
from physio_hqc.exporters.key import open_key

made = run_path(str(Path(__file__).with_name("hostile_made.py")))
DATES, hostile_session = made["DATES"], made["hostile_session"]

# Person, dyad, file, partner, serial number, a name in free text.
SECRETS = ["Qwert1967", "Zdyad4711", "Xsession0815", "Wpartner31", "QSER123456", "Zaphodine7"]
# EDF+ states dates like this as well, and the header of FIF holds seconds since 1970.
SECONDS = (1_705_309_261).to_bytes(4, "big")
FORMATS = ("bids", "edf", "fif", "csv")
OUT = {"bids": "set", "edf": "one.edf", "fif": "one_raw.fif", "csv": "tables"}


def readings(path: Path) -> list[bytes]:
    """The bytes of a file as they are and as they unpack."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        # A gzip header may name the file and the time.
        return [data, gzip.decompress(data)]
    try:
        return [data, zlib.decompress(data)]
    except zlib.error:
        return [data]


def assert_clean(folder: Path, secrets: tuple[str, ...]) -> None:
    """Search names and bytes of all files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        name = str(path.relative_to(folder)).casefold()
        for data in readings(path):
            small = data.lower()
            for secret in secrets:
                assert secret.casefold() not in name, path
                for coding in ("utf-8", "utf-16-le", "latin-1"):
                    assert secret.lower().encode(coding) not in small, (path, secret)
            assert SECONDS not in data, path
            assert SECONDS[::-1] not in data, path


@pytest.mark.parametrize("to", FORMATS)
def test_no_secret_is_in_the_files(tmp_path: Path, to: str) -> None:
    source = hostile_session(tmp_path, SECRETS)
    result = process_session(source, out_dir=tmp_path / "derivatives")
    out = tmp_path / "given"
    with open_key(tmp_path / "key.csv") as key:
        export_session(
            source,
            out / OUT[to],
            to=to,
            derivatives=tmp_path / "derivatives" if to == "bids" else None,
            deidentify=key,
        )
    digest = result.provenance["input"]["sha256"]
    more = (digest, "11111111-2222-4333", "a0:9e:1a", "4917012345", "was late", "coughs")
    assert_clean(out, (*SECRETS, *DATES, str(tmp_path), *more))


@pytest.mark.parametrize("to", FORMATS)
def test_no_secret_is_in_what_the_command_writes_and_says(tmp_path: Path, to: str) -> None:
    sources = [hostile_session(tmp_path, SECRETS)]
    second = [*SECRETS[:2], "Xsession0816", *SECRETS[3:]]
    sources.append(hostile_session(tmp_path, second, "22222222-2222-4333-8444-555555555555"))
    app = typer.Typer()
    app.command()(export)
    given, key = tmp_path / "given", tmp_path / "key.csv"
    said = CliRunner().invoke(
        app,
        [
            *map(str, sources),
            *("--to", to, "--out", str(given), "--deidentify", "--key", str(key)),
        ],
    )
    assert said.exit_code == 0, said.output
    assert key.is_file()
    assert_clean(given, (*SECRETS, "Xsession0816", *DATES, "a0:9e:1a", "was late"))
    refused = CliRunner().invoke(
        app,
        [
            *(str(sources[0]), "--to", to, "--out", str(given)),
            *("--deidentify", "--key", str(given / "key.csv")),
        ],
    )
    assert refused.exit_code != 0
    assert not (given / "key.csv").exists()
