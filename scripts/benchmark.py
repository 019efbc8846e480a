"""Measure accuracy and speed of physio_hqc and its peers in one run.

    python scripts/benchmark.py [--quick] [--only NAME ...] [--out FOLDER] [--data FOLDER]

Prints a table for each part and writes benchmark.json, benchmark.md and figures to the folder.
The extra `bench` brings the peers; one that is not installed is left out and named. `--quick` is
smaller everywhere and ends within two minutes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

# One thread of linear algebra for all, set before NumPy is loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from benchmarks.common import NotRunError, Options, PartResult  # noqa: E402
from benchmarks.report import environment, fail, prepare, show, write  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]

# Name on the command line, module in scripts/benchmarks/.
PARTS = {
    "rpeaks": "r_peaks",
    "noise": "noise_curve",
    "positions": "positions",
    "correction": "correction",
    "hrv": "hrv_windows",
    "pressure": "pressure",
    "eda": "eda",
    "session": "whole_session",
    "memory": "memory",
}


def main() -> int:
    """Run the parts asked for; 0 if none failed."""
    options, wanted = _arguments()
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=140)
    about = environment(["scripts/benchmark.py", *sys.argv[1:]])
    prepare(options.out)
    results: list[PartResult] = []
    failed = 0
    start = time.perf_counter()
    for name in wanted:
        try:
            results.append(_run(name, options))
        except NotRunError as reason:
            results.append(PartResult(name, "not run", notes=[f"Not run: {reason}."]))
            failed += 1
        except Exception as error:  # noqa: BLE001  # one broken part takes no other with it
            text = "".join(traceback.format_exception(error)).strip()
            print(text, file=sys.stderr)
            note = f"Failed: {type(error).__name__}: {error}"
            results.append(PartResult(name, "failed", notes=[note]))
            failed += 1
        show(results[-1], console)
        # After every part, so that a run that is cut short leaves what it had.
        write(results, about, options.out)
    took = time.perf_counter() - start
    console.print(f"{took:.0f} s in all; written to {options.out / 'benchmark.md'}")
    return 1 if failed else 0


def _run(name: str, options: Options) -> PartResult:
    module = importlib.import_module(f"benchmarks.{PARTS[name]}")
    start = time.perf_counter()
    result: PartResult = module.run(options)
    result.seconds = time.perf_counter() - start
    return result


def _arguments() -> tuple[Options, list[str]]:
    parser = argparse.ArgumentParser(description="Benchmark physio_hqc beside its peers.")
    parser.add_argument("--quick", action="store_true", help="smaller, within two minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmark_results")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="real recordings"
    )
    given = parser.parse_args()
    unknown = [name for name in given.only or () if name not in PARTS]
    if unknown:
        fail(f"there is no part {unknown[0]!r}; use {', '.join(PARTS)}")
    wanted = [name for name in PARTS if name in (given.only or PARTS)]
    return Options(given.quick, given.data.resolve(), given.out.resolve()), wanted


if __name__ == "__main__":
    sys.exit(main())
