# shellcheck shell=bash disable=SC2154  # `root` is set by the script that sources this file
# Sourced by the scripts. Where the packages are importable already, as in the container, nothing
# is installed; elsewhere they go into .venv, and again when the requirements change.

# prepare_environment REQUIREMENTS MODULE...
# Sets PYTHON to an interpreter that has what the file pins and can import the modules and ours.
prepare_environment() {
    local requirements=$1 marker
    shift
    PYTHON=$(command -v python3 || command -v python || true)
    if [[ -z $PYTHON ]] || ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "cloudmask: error: Python 3.10 or newer is needed: install it and put it in PATH" >&2
        exit 2
    fi
    export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
    if [[ ! -e $root/.venv ]] && "$PYTHON" - "$@" <<'END'; then
import importlib.util, sys
sys.exit(not all(importlib.util.find_spec(module) for module in sys.argv[1:]))
END
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
