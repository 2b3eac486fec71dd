#!/usr/bin/env bash
# The tests, from a bare clone.
#
#   ./run_tests.sh                 the quick part: what needs only Python and bash, with one timed
#                                  run to the target; says at the end what it left out
#   ./run_tests.sh --all [...]     every test; fails where one is skipped unexpectedly, for
#                                  instance because podman, Slurm or Chromium is missing
#   ./run_tests.sh ARGUMENT ...    pytest's arguments select from every test
set -euo pipefail
unset CDPATH # with it, cd prints
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' run_tests.sh
    exit
fi
source ./environment.sh
prepare_environment requirements-test.txt
case ${1:-} in
    "") set -- -m "not slow" ;;
    --all) set -- --fail-on-skip "${@:2}" ;;
esac
exec "$PYTHON" -m pytest --durations=10 --durations-min=1 "$@"
