#!/usr/bin/env bash
# The container's main process.
#
#   docker run ... IMAGE [FLAG ...]               one timed run; flags go to `cloudmask train`
#   docker run ... IMAGE COMMAND [ARGUMENT ...]   any command of `cloudmask`
#
# The scenes are mounted at /data and the logs go to the folder mounted at /logs. DGXSYSTEM,
# DATASET, SEED, FETCH_FLAGS, SYNTHESIZE_FLAGS and DRYRUN mean what they do in run_and_time.sh.
# Every step replaces this process or is stopped with it, so that a stop signal is never lost.
set -euo pipefail
unset CDPATH # with it, cd prints
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# A first process gets no default action for signals.
trap 'exit 143' TERM
trap 'exit 130' INT

source "$root/system.sh"

check_logs() {
    mountpoint -q /logs ||
        fail "nothing is mounted at /logs, so the log would be lost with the container: add -v LOGDIR:/logs"
    [[ -w /logs ]] ||
        fail "/logs cannot be written by user $(id -u): mount it without :ro, and give the folder to that user or start with --user \"\$(id -u):\$(id -g)\""
}

check_data() {
    if [[ ${DATASET:-} == synthetic ]]; then
        export SYNTHETIC_DIR=/tmp/synthetic
        [[ ! -w /data ]] || SYNTHETIC_DIR=/data/synthetic
        return
    fi
    [[ -r /data && -x /data ]] ||
        fail "/data cannot be read by user $(id -u): open the folder to that user, or start with --user"
    [[ -z $(ls -A /data) ]] || return 0
    mountpoint -q /data ||
        fail "nothing is mounted at /data: add -v DATADIR:/data with the folder of the scenes, or -e DATASET=synthetic for a run on synthetic ones"
    case ${DATASET:-} in
        ds1 | ds2)
            [[ -w /data ]] ||
                fail "/data is empty and cannot be written by user $(id -u), so $DATASET cannot be fetched: mount it without :ro, owned by that user"
            ;;
        *)
            fail "the folder at /data is empty: mount the one with the scenes, or fetch them with -e DATASET=ds1, or use synthetic ones with -e DATASET=synthetic"
            ;;
    esac
}

case ${1:-} in
    -h | --help)
        print_usage "${BASH_SOURCE[0]}"
        exec python3 -m cloudmask --help
        ;;
    --version) exec python3 -m cloudmask --version ;;
    "" | -*) ;;
    doctor)
        shift
        export DOCTOR=1 # for the parameters of the system that DGXSYSTEM names
        exec "$root/run_and_time.sh" "$@"
        ;;
    *) exec python3 -m cloudmask "$@" ;;
esac

if [[ ${DRYRUN:-0} != 1 ]]; then
    # Other folders than the image's own are the trainer's to judge.
    [[ $LOGDIR != /logs ]] || check_logs
    [[ $DATADIR != /data ]] || check_data
    DOCTOR=1 "$root/run_and_time.sh" "$@" --health
fi
exec "$root/run_and_time.sh" "$@"
