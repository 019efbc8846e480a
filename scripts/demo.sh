#!/bin/sh
# Set up and run the main job: a simulated support study from signals to reports.
set -eu
wanted=".[virtual]"
. "$(dirname "$0")/environment.sh"
exec .venv/bin/physio-hqc demo "$@"
