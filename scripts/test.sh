#!/bin/sh
# Set up and pass the tests: format, lint, types, tests. With --slow the slow ones too;
# further arguments go to pytest.
set -eu
wanted=".[test,cvxeda,bench,lsl,virtual]"
. "$(dirname "$0")/environment.sh"
selection="not slow"
if [ "${1:-}" = "--slow" ]; then
    selection=""
    shift
fi
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy
# One thread of linear algebra per worker: the workers fill the cores.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
"$python" -m pytest --numprocesses "${PYTEST_WORKERS:-auto}" --dist loadscope -m "$selection" "$@"
