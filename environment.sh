# shellcheck shell=bash disable=SC2154  # `root` is set by the script that sources this file
# Sourced by the scripts. Where the packages are installed already, as in the container, nothing
# is installed; elsewhere they go into .venv, and again when the requirements change.

# prepare_environment REQUIREMENTS
# Sets PYTHON to an interpreter that has the packages of the file, in any version if they were there
# before, and adds this folder to PYTHONPATH.
prepare_environment() {
    local requirements=$1 marker
    PYTHON=$(command -v python3 || command -v python || true)
    if [[ -z $PYTHON ]] || ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "cloudmask: error: Python 3.10 or newer is needed: install it and put it in PATH" >&2
        exit 2
    fi
    export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
    if [[ ! -e $root/.venv ]] && packages_are_installed "$root/requirements.txt" "$requirements"; then
        return
    fi
    if [[ ! -x $root/.venv/bin/python ]]; then
        if ! "$PYTHON" -m venv "$root/.venv"; then
            echo "cloudmask: error: $PYTHON cannot make .venv: install its venv module" >&2
            exit 2
        fi
    fi
    PYTHON=$root/.venv/bin/python
    marker=$root/.venv/installed-$(cat "$requirements" "$root/requirements.txt" | sha256sum | cut -c1-16)
    if [[ ! -e $marker ]]; then
        echo "installing $(basename "$requirements") into .venv"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        touch "$marker"
    fi
}

# Whether PYTHON has every package that the requirements files name, in any version.
packages_are_installed() {
    "$PYTHON" - "$@" <<'END' 2>/dev/null
import re
import sys
from importlib.metadata import distribution

for path in sys.argv[1:]:
    for line in open(path):
        if name := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line):
            distribution(name[0])
END
}
