# Sourced by demo.sh and test.sh: goes to the repository, makes or reuses .venv, sets $python.
# The caller sets $wanted to what is installed: "." or ".[test]".

cd "$(dirname "$0")/.." || exit 1

if [ ! -x .venv/bin/python ]; then
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -m venv .venv || exit 1
            break
        fi
    done
fi
python=.venv/bin/python
if [ ! -x "$python" ]; then
    echo "Python 3.11 or newer with its venv module is needed, and was not found" >&2
    exit 1
fi

# Installing again takes seconds even when nothing has changed; a stamp saves them.
stamp=".venv/.installed-$(printf %s "$wanted" | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "installing physio_hqc into .venv (about a minute the first time)" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --editable "$wanted" || exit 1
    touch "$stamp"
fi
