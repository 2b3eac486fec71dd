# shellcheck shell=bash
# Sourced by the scripts. A stop signal is never lost: it ends the command that runs, which may end
# in good order, and otherwise the script.

# heed_stop_signals: from now on. As a container's first process, and where a program signals the
# script alone, a shell would not pass signals on.
heed_stop_signals() {
    signalled="" attending="" child=""
    local name
    for name in TERM INT USR1; do
        # shellcheck disable=SC2064  # the name is this one
        trap "heed $name" "$name"
    done
}

heed() {
    signalled=$1
    [[ -n $attending ]] || exit $((128 + $(kill -l "$1")))
    # It heeds only the first one: some launchers signal every process.
    [[ -z $child ]] || kill -"$1" "$child" 2>/dev/null || true
}

# run_attended COMMAND ...: run a command to which stop signals for the script are passed on; exit
# code 128 + n after signal n. After a failure, signals only end the next attended command, if any,
# because a launcher may end all tasks while this one reports the failure.
run_attended() {
    local status=0
    attending=true child=""
    "$@" &
    child=$!
    [[ -z $signalled ]] || kill -"$signalled" "$child" 2>/dev/null || true # it came before the number
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # the wait was cut short by a signal
        status=0
        wait "$child" || status=$?
    done
    if [[ -n $signalled ]] && ((status == 0)); then
        status=$((128 + $(kill -l "$signalled")))
    fi
    ((status)) || attending=""
    return "$status"
}
