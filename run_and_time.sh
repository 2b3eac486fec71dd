#!/usr/bin/env bash
# One timed run: prepare, train to the target, infer, check the log, RESULT line.
#
#   [DGXSYSTEM=DGX2] [DATASET=ds1] [DATADIR=dir] [LOGDIR=dir] [SEED=n] ./run_and_time.sh [FLAG ...]
#
# DGXSYSTEM names a config_<DGXSYSTEM>.sh; without it this machine is taken, with its visible GPUs
# if it has any. Without DATADIR and DATASET, synthetic scenes are made in SYNTHETIC_DIR
# (data/synthetic), with SYNTHESIZE_FLAGS if given, and used; with DATASET=ds1 or ds2 and an empty
# DATADIR (data/<DATASET>), the data set is fetched first, with FETCH_FLAGS if given: inside the
# end-to-end seconds, outside the time to solution.
# DRYRUN=1 prints what every rank would get, and runs nothing; DOCTOR=1 only looks whether this
# machine can do the run. Flags go to `cloudmask train`. The first start installs into .venv what
# is missing; TORCH_INDEX overrides the package index that torch comes from.
# Exit code: 0 target reached and log accepted, 1 log refused, 2 bad input or log not checked,
# 3 target missed, 5 a process was lost or stood still, 128 + n stopped by signal n.
set -euo pipefail
unset CDPATH # with it, cd prints
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source "$root/environment.sh"
source "$root/system.sh"
source "$root/stop_signals.sh"
for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        print_usage "${BASH_SOURCE[0]}"
        exit
    fi
done

heed_stop_signals
# It prepares, starts the processes of its node and checks the log, all of which is done once a node.
started=${RANK:+torchrun}
if [[ -n ${OMPI_COMM_WORLD_SIZE:-} && $OMPI_COMM_WORLD_LOCAL_SIZE != 1 ]]; then
    started=mpirun
elif ((${SLURM_STEP_NUM_TASKS:-1} > ${SLURM_STEP_NUM_NODES:-1})); then
    started=srun
fi
if [[ -n $started ]]; then
    [[ ${RANK:-${OMPI_COMM_WORLD_RANK:-${SLURM_PROCID:-0}}} == 0 ]] || exit 2 # the first one says it
    fail "$started started several of this script on a node: start one task per node" \
        "(srun --ntasks-per-node=1), or let $started start cloudmask train"
fi
if [[ -n ${TMPDIR:-} && ! -w $TMPDIR ]]; then
    echo "TMPDIR $TMPDIR cannot be written: /tmp is used" >&2
    unset TMPDIR
fi
named=${DGXSYSTEM:-}
load_system
[[ -n $named ]] || echo "system $DGXSYSTEM (nodes x processes: $DGXNNODES x $DGXNGPU)"
prepare_environment "$root/requirements.txt"

# What the system gives is a default: YAML files, variables and flags override it.
CLOUDMASK_SYSTEM_DEFAULTS="${CLOUDMASK_SYSTEM_DEFAULTS:-}
system: $DGXSYSTEM
nodes: $DGXNNODES
processes_per_node: $DGXNGPU
${DATASET:+datadir: data/$DATASET}"
export CLOUDMASK_SYSTEM_DEFAULTS CLOUDMASK_SYSTEM=$DGXSYSTEM
synthetic=${SYNTHETIC_DIR:-data/synthetic} # also the default of datadir
[[ -z ${SYNTHETIC_DIR:-} ]] || DATADIR=$SYNTHETIC_DIR
[[ -z ${DATASET:-} ]] || export CLOUDMASK_DATASET=$DATASET
[[ -z ${DATADIR:-} ]] || export CLOUDMASK_DATADIR=$DATADIR
[[ -z ${LOGDIR:-} ]] || export CLOUDMASK_LOGDIR=$LOGDIR
[[ -z ${SEED:-} ]] || export CLOUDMASK_SEED=$SEED
if [[ ${DRYRUN:-0} == 1 ]]; then
    exec "$PYTHON" -m cloudmask train --dry-run "$@"
fi
if [[ ${DOCTOR:-0} == 1 ]]; then
    exec "$PYTHON" -m cloudmask doctor "$@"
fi

# The values in effect, whether from a flag, a variable or a YAML file.
parameters=$("$PYTHON" -m cloudmask train "$@" --print-config)
names=(datadir dataset nodes processes_per_node batch_size patch_size)
mapfile -d '' -t values < <("$PYTHON" -c 'import sys, yaml
values = yaml.safe_load(sys.stdin)
print(*(values[name] for name in sys.argv[1:]), sep="\0", end="\0")' "${names[@]}" <<<"$parameters")
for index in "${!names[@]}"; do
    declare "${names[index]}=${values[index]}"
done
# shellcheck disable=SC2154  # assigned by declare
if [[ $datadir == "$synthetic" && $dataset == ds[12] ]]; then
    datadir=data/$dataset
    export CLOUDMASK_DATADIR=$datadir
fi
if [[ $datadir == "$synthetic" ]]; then
    # shellcheck disable=SC2154
    ((nodes == 1)) || fail "$DGXSYSTEM has $nodes nodes: set DATADIR to a folder with scenes that" \
        "every node sees (cloudmask synthesize --dest DIR makes some)"
    [[ -n ${DATASET:-} ]] ||
        echo "DATADIR is not set: this run uses synthetic scenes, so it shows nothing about DS1"
    # shellcheck disable=SC2086,SC2154  # words of SYNTHESIZE_FLAGS are flags of their own
    run_attended "$PYTHON" -m cloudmask synthesize --dest "$synthetic" --patch-size "$patch_size" \
        --global-batch $((nodes * processes_per_node * batch_size)) ${SYNTHESIZE_FLAGS:-}
    unset CLOUDMASK_CACHES_CLEARED # what was just written is in the caches
fi

# Which result_N.txt the run has reserved: several runs may share a folder.
pointer=$(mktemp 2>/dev/null) ||
    fail "no file can be made in ${TMPDIR:-/tmp}: set TMPDIR to a folder that can be written"
trap 'rm -f "$pointer"' EXIT
export CLOUDMASK_LOG_POINTER=$pointer

# The local time and its offset from UTC (ISO 8601), the same in every locale.
now() {
    LC_ALL=C date +%Y-%m-%dT%H:%M:%S%z
}

# Under Slurm the first task speaks for all.
say() {
    [[ ${SLURM_PROCID:-0} != 0 ]] || echo "$*"
}

start=$(date +%s)
start_text=$(now)
say "STARTING TIMING RUN AT $start_text"
if [[ $dataset == ds[12] && -z $(ls -A "$datadir" 2>/dev/null) ]]; then
    ((nodes == 1)) || fail "DATADIR $datadir is empty and $DGXSYSTEM has $nodes nodes: fetch once," \
        "before the run (cloudmask fetch $dataset --dest $datadir)"
    # Words of FETCH_FLAGS are flags of their own, for instance --endpoint URL.
    # shellcheck disable=SC2086
    run_attended "$PYTHON" -m cloudmask fetch "$dataset" --dest "$datadir" ${FETCH_FLAGS:-}
    export CLOUDMASK_FETCH_SECONDS=$(($(date +%s) - start))
    unset CLOUDMASK_CACHES_CLEARED
fi
status=0
run_attended "$PYTHON" -m cloudmask train "$@" || status=$?
# After a failure on another node, a launcher may end all tasks: this one still ends in order.
((status == 0)) || trap '' TERM INT USR1
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
