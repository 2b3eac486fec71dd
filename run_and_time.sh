#!/usr/bin/env bash
# One timed run: prepare, train to the target, infer, check the log, RESULT line.
#
#   [DGXSYSTEM=CPU] [DATASET=ds1] [DATADIR=dir] [LOGDIR=dir] [SEED=n] ./run_and_time.sh [FLAG ...]
#
# DGXSYSTEM names a config_<DGXSYSTEM>.sh. Without DATADIR and DATASET, synthetic scenes are made
# in SYNTHETIC_DIR (data/synthetic), with SYNTHESIZE_FLAGS if given, and used; with DATASET=ds1 or
# ds2 and an empty DATADIR, the data set is fetched first, with FETCH_FLAGS if given: inside the
# end-to-end seconds, outside the time to solution.
# DRYRUN=1 prints what every rank would get, and runs nothing; DOCTOR=1 only looks whether this
# machine can do the run. Flags go to `cloudmask train`.
# Exit code: 0 target reached and log accepted, 1 log refused, 2 bad input or log not checked,
# 3 target missed, 5 a process was lost or stood still, 128 + n stopped by signal n.
set -euo pipefail
unset CDPATH # with it, cd prints
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source "$root/environment.sh"

fail() {
    echo "cloudmask: error: $*" >&2
    exit 2
}

# run_attended COMMAND ...: a stop signal for this script is meant for the command, which then ends
# in good order. Slurm sends its signals to every process of a step: nothing to pass on then.
run_attended() {
    local child name status=0
    "$@" &
    child=$!
    for name in TERM INT USR1; do
        # shellcheck disable=SC2064  # the name is this one, the process is the one then running
        trap "[[ -n \${SLURM_STEP_ID:-} ]] || kill -$name $child 2>/dev/null || true" "$name"
    done
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # the wait was cut short by a signal
        status=0
        wait "$child" || status=$?
    done
    stop_on_signals
    return "$status"
}

# As a container's first process this shell has no default action for signals.
stop_on_signals() {
    trap 'exit 143' TERM
    trap 'exit 130' INT
    trap 'exit 138' USR1
}

stop_on_signals
systems=$(cd "$root" && printf '%s\n' config_*.sh | sed 's/^config_\(.*\)\.sh$/\1/' | paste -sd ' ')
if [[ -z ${DGXSYSTEM:-} ]]; then
    if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
        fail "this machine has GPUs: name its system with DGXSYSTEM (one of: $systems)"
    fi
    DGXSYSTEM=CPU
fi
[[ -f $root/config_$DGXSYSTEM.sh ]] ||
    fail "DGXSYSTEM is $DGXSYSTEM but there is no config_$DGXSYSTEM.sh: take one of $systems"
# shellcheck source=config_CPU.sh
source "$root/config_$DGXSYSTEM.sh"

prepare_environment "$root/requirements.txt"

export CLOUDMASK_SYSTEM=$DGXSYSTEM CLOUDMASK_NODES=$DGXNNODES
export CLOUDMASK_PROCESSES_PER_NODE=$DGXNGPU
if [[ ${DRYRUN:-0} == 1 ]]; then
    exec "$PYTHON" -m cloudmask train --dry-run "$@"
fi

synthetic=${SYNTHETIC_DIR:-data/synthetic} # also the default of datadir
[[ -z ${SYNTHETIC_DIR:-} ]] || DATADIR=$SYNTHETIC_DIR
# What is not given here may come from a flag or from a YAML file.
if [[ -n ${DATASET:-} ]]; then
    export CLOUDMASK_DATASET=$DATASET
    DATADIR=${DATADIR:-data/$DATASET}
fi
[[ -z ${DATADIR:-} ]] || export CLOUDMASK_DATADIR=$DATADIR
[[ -z ${LOGDIR:-} ]] || export CLOUDMASK_LOGDIR=$LOGDIR
[[ -z ${SEED:-} ]] || export CLOUDMASK_SEED=$SEED
if [[ ${DOCTOR:-0} == 1 ]]; then
    exec "$PYTHON" -m cloudmask doctor "$@"
fi

parameters=$("$PYTHON" -m cloudmask train "$@" --print-config)
if grep -qx "datadir: $synthetic" <<<"$parameters"; then
    ((DGXNNODES == 1)) || fail "$DGXSYSTEM has $DGXNNODES nodes: set DATADIR to a folder with" \
        "scenes that every node sees (cloudmask synthesize --dest DIR makes some)"
    [[ -n ${DATASET:-} ]] ||
        echo "DATADIR is not set: this run uses synthetic scenes, so it shows nothing about DS1"
    # shellcheck disable=SC2086  # words of SYNTHESIZE_FLAGS are flags of their own
    run_attended "$PYTHON" -m cloudmask synthesize --dest "$synthetic" ${SYNTHESIZE_FLAGS:-}
    unset CLOUDMASK_CACHES_CLEARED # what was just written is in the caches
fi

# Which result_N.txt the run has reserved: several runs may share a folder.
pointer=$(mktemp)
trap 'rm -f "$pointer"' EXIT
export CLOUDMASK_LOG_POINTER=$pointer

# The local time and its offset from UTC (ISO 8601), the same in every locale.
now() {
    LC_ALL=C date +%Y-%m-%dT%H:%M:%S%z
}

# Under Slurm the first node speaks for all.
say() {
    [[ ${SLURM_NODEID:-0} != 0 ]] || echo "$*"
}

start=$(date +%s)
start_text=$(now)
say "STARTING TIMING RUN AT $start_text"
if [[ ${DATASET:-} == ds[12] && -z $(ls -A "$DATADIR" 2>/dev/null) ]]; then
    ((DGXNNODES == 1)) || fail "DATADIR $DATADIR is empty and $DGXSYSTEM has $DGXNNODES nodes:" \
        "fetch once, before the run (cloudmask fetch $DATASET --dest $DATADIR)"
    # Words of FETCH_FLAGS are flags of their own, for instance --endpoint URL.
    # shellcheck disable=SC2086
    run_attended "$PYTHON" -m cloudmask fetch "$DATASET" --dest "$DATADIR" ${FETCH_FLAGS:-}
    export CLOUDMASK_FETCH_SECONDS=$(($(date +%s) - start))
    unset CLOUDMASK_CACHES_CLEARED
fi
status=0
run_attended "$PYTHON" -m cloudmask train "$@" || status=$?
seconds=$(($(date +%s) - start))
say "ENDING TIMING RUN AT $(now)"

log=$(<"$pointer")
[[ -n $log ]] || exit "$status" # bad input, or not the node of rank 0
refused=0
"$PYTHON" -m cloudmask check "$log" || refused=$?
"$PYTHON" -m cloudmask result "$log" --seconds "$seconds" --user "$(id -un 2>/dev/null || true)" \
    --start "$start_text" | tee -a "$log" || refused=1 # a run that broke off has no result
name_commands
((status == 0)) || exit "$status"
exit "$refused"
