#!/usr/bin/env bash
# Every test, from a bare clone: the fast ones first, then the real runs (marked slow).
#
#   ./run_tests.sh [pytest arguments ...]      with arguments, just what they select
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
source ./environment.sh
prepare_environment requirements-test.txt \
    torch h5py jsonargparse mlperf_logging psutil safetensors scipy tqdm pytest hypothesis sklearn
if (($#)); then
    exec "$PYTHON" -m pytest "$@"
fi
exec "$PYTHON" -m pytest -m "slow or not slow" --durations=10
