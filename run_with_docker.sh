#!/usr/bin/env bash
# NEXP timed runs in the container, each with a seed of its own, from cleared caches.
#
#   CONT=cloudmask DATADIR=dir LOGDIR=dir DGXSYSTEM=DGX2 [NEXP=5] ./run_with_docker.sh [FLAG ...]
#
# CONT is the image, DATADIR the folder with the scenes; results are numbered on in LOGDIR and none
# is overwritten. DATASET, SEED (of the first run), FETCH_FLAGS, SYNTHESIZE_FLAGS and CLOUDMASK_*
# reach the run. CLEAR_CACHES=0 leaves the caches. DOCKER names the engine (docker, podman) and
# DOCKER_FLAGS its flags, quoted as for a shell: by default all GPUs if there are any, and shared
# memory without limit.
# The container runs as the owner of LOGDIR.
# Exit code: 0 if every run reached the target, 1 if one did not, 2 bad input, 125 to 127 if the
# engine cannot start a container, 128 + n after signal n.
set -euo pipefail

fail() {
    echo "run_with_docker.sh: error: $*" >&2
    exit 2
}

for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        echo "Parameters of the run: cloudmask train --help, or docs/parameters.md"
        exit
    fi
done
for variable in CONT DATADIR LOGDIR; do
    [[ -n ${!variable:-} ]] || fail "$variable is not set; see the head of this script"
done
: "${NEXP:=5}" "${DOCKER:=docker}" "${CLEAR_CACHES:=1}" "${SEED:=}"
[[ $NEXP =~ ^[1-9][0-9]*$ ]] || fail "NEXP is $NEXP: give a number of runs, 1 or more"
[[ -z $SEED || $SEED =~ ^[1-9][0-9]*$ ]] || fail "SEED is $SEED: give a number, 1 or more"
[[ -d $DATADIR ]] || fail "DATADIR $DATADIR is not a folder: give the one with the scenes"
mkdir -p "$LOGDIR" || fail "LOGDIR $LOGDIR cannot be made: choose another folder"
command -v "$DOCKER" >/dev/null || fail "there is no $DOCKER here: name the engine with DOCKER"
if [[ -z ${DOCKER_FLAGS+set} ]]; then
    DOCKER_FLAGS="--ipc=host --ulimit memlock=-1 --ulimit stack=67108864"
    ! nvidia-smi -L >/dev/null 2>&1 || DOCKER_FLAGS+=" --gpus all"
fi
words=$(xargs -r printf '%s\n' <<<"$DOCKER_FLAGS" 2>/dev/null) ||
    fail "DOCKER_FLAGS is $DOCKER_FLAGS: close its quotation mark"
mapfile -t engine_flags < <(printf %s "$words")

# Drawn without replacement: no two runs share a seed.
mapfile -t seeds < <(if [[ -n $SEED ]]; then seq "$SEED" $((SEED + NEXP - 1)); else
    shuf -i 1-2147483647 -n "$NEXP"
fi)
mapfile -t passed < <(compgen -e | grep -E '^(CLOUDMASK_|DGXSYSTEM$|DATASET$|(FETCH|SYNTHESIZE)_FLAGS$)' |
    grep -v '^CLOUDMASK_CACHES_CLEARED$')
name=cloudmask-$$

# The kernel keeps file caches for all containers, and only the host can drop them.
clear_caches() {
    local drop="echo 3 >/proc/sys/vm/drop_caches"
    [[ $CLEAR_CACHES == 1 ]] && sync &&
        { sh -c "$drop" || sudo -n sh -c "$drop"; } 2>/dev/null
}

engine=
stop() {
    if [[ -n $engine ]]; then
        "$DOCKER" stop --time 60 "$name" >/dev/null 2>&1 || true # the run ends its log as aborted
        wait "$engine" 2>/dev/null || true
    fi
    exit "$1"
}

# Unlike --volume, --mount takes a folder whose name has a colon; its fields are those of CSV.
mount() {
    echo "--mount=type=bind,\"source=$(realpath "$1")\",target=$2"
}

remove_container() {
    "$DOCKER" rm --force "$name" >/dev/null 2>&1 || true
}
trap remove_container EXIT
trap 'stop 143' TERM
trap 'stop 130' INT

failed=0
for ((run = 1; run <= NEXP; run++)); do
    cleared=()
    if clear_caches; then
        cleared=(--env CLOUDMASK_CACHES_CLEARED=true)
    else
        echo "caches are not cleared (that takes root): cache_clear will be false in the log" >&2
    fi
    seed=${seeds[run - 1]}
    echo "run $run of $NEXP, seed $seed"
    status=0
    "$DOCKER" run --rm --name "$name" "${engine_flags[@]}" \
        --user "$(stat -c %u:%g "$LOGDIR")" \
        "$(mount "$DATADIR" /data)" "$(mount "$LOGDIR" /logs)" \
        "${passed[@]/#/--env=}" "${cleared[@]}" --env "SEED=$seed" "$CONT" "$@" &
    engine=$!
    wait "$engine" || status=$?
    engine=
    if ((status == 2)); then
        fail "bad input, which the other runs would meet too"
    elif ((status >= 125 && status <= 127)); then # of the engine itself
        echo "run_with_docker.sh: error: $DOCKER could not start the container" >&2
        exit "$status"
    elif ((status != 0)); then
        failed=$((failed + 1))
        echo "run $run ended with exit code $status" >&2
    fi
done
runs=runs
((NEXP > 1)) || runs=run
echo "$((NEXP - failed)) of $NEXP $runs reached the target; logs in $LOGDIR"
((failed == 0))
