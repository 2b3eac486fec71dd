# shellcheck shell=bash disable=SC2154  # `root` is set by the script that sources this file
# Sourced by the scripts. Where the packages are installed already, as in the container, nothing
# is installed; elsewhere they go into .venv, with the build of torch that fits the machine, and
# again when the requirements change. TORCH_INDEX names another index for torch, such as
# https://download.pytorch.org/whl/cu126.

# prepare_environment REQUIREMENTS
# Sets PYTHON to an interpreter that has the packages of the file, in any version if they were there
# before, and adds this folder to PYTHONPATH. Exit code 2 where that is not possible.
prepare_environment() {
    local requirements=$1
    PYTHON=$(find_python)
    if [[ -z $PYTHON ]]; then
        echo "cloudmask: error: Python 3.10 to 3.13 is needed: install it and put it in PATH" >&2
        exit 2
    fi
    export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
    if [[ ! -e $root/.venv && ! -L $root/.venv ]] &&
        "$PYTHON" "$root/install/packages.py" "$root/requirements.txt" "$requirements"; then
        return
    fi
    "$PYTHON" "$root/install/__main__.py" "$requirements" || exit $?
    PYTHON=$root/.venv/bin/python
}

# The first interpreter of a version for which the packages are pinned: python3 of an older system
# may be too old while python3.11 is there.
find_python() {
    local name path
    for name in "$root/.venv/bin/python" python3 python python3.{13,12,11,10}; do
        path=$(command -v "$name" || true)
        if [[ -n $path ]] && "$path" -c 'import sys
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$path"
            return
        fi
    done
}

# name_commands: says how to get `cloudmask` into PATH, unless it is there.
name_commands() {
    if [[ $PYTHON == "$root/.venv/bin/python" && $(command -v cloudmask) != "$root/.venv/bin/cloudmask" ]]; then
        printf 'other commands: source %q, then cloudmask help\n' "$root/.venv/bin/activate" >&2
    fi
}
