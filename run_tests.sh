#!/usr/bin/env bash
# Every test, from a bare clone, the real runs (marked slow) included.
#
#   ./run_tests.sh                   all of them
#   ./run_tests.sh -m "not slow"     pytest arguments select
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
source ./environment.sh
prepare_environment requirements-test.txt \
    torch h5netcdf h5py jinja2 jsonargparse matplotlib mlperf_logging packaging psutil pynvml \
    safetensors scipy tqdm pytest hypothesis selenium sklearn xarray
exec "$PYTHON" -m pytest --durations=10 "$@"
