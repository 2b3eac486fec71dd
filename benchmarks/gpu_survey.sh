#!/usr/bin/env bash
# All that is worth measuring on a machine with one GPU, in under 9 minutes:
#
#   OUT=FOLDER benchmarks/gpu_survey.sh
#
# leaves in OUT: machine.txt, stages.json and stages.txt (every stage beside a plain version and the
# floor), steps.jsonl (training and evaluation by precision and batch size, with and without CUDA
# graphs), kernels.txt (times by name), result_0.txt (the log of a timed run) and survey.txt (what
# each part printed, took and returned). A part that fails or takes too long does not end the others.
#
# PYTHON (python3) has the requirements. DATADIR has scenes; without it, SCENES (194) are made.
# BATCHES ("16 2 4 8 32 64"; the run takes the first), REPETITIONS (5 of steps, 3 of stages),
# STAGED_SCENES (24) and EPOCHS (20) make it shorter. LIMIT_FACTOR (1) multiplies the limits of time.
set -euo pipefail
unset CDPATH # with it, cd prints
mkdir -p "${OUT:?set OUT to the folder for the results}"
OUT=$(cd -- "$OUT" && pwd)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3} scenes=${SCENES:-194}
read -ra batches <<<"${BATCHES:-16 2 4 8 32 64}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# part SECONDS NAME COMMAND ...: run a part, with a limit
part() {
    local limit=$(($1 * ${LIMIT_FACTOR:-1})) name=$2 began=$SECONDS code=0
    shift 2
    echo "== $name: $*" >>"$OUT/survey.txt"
    timeout "$limit" "$@" >"$work/printed" 2>&1 || code=$?
    tail -n 40 "$work/printed" >>"$OUT/survey.txt"
    echo "== $name: exit code $code after $((SECONDS - began)) s" | tee -a "$OUT/survey.txt"
}

: >"$OUT/survey.txt"
{
    nvidia-smi || echo "no nvidia-smi"
    lscpu || true
    "$python" -m torch.utils.collect_env || true
} >"$OUT/machine.txt" 2>&1
if [[ -z ${DATADIR:-} ]]; then
    DATADIR=$work/data
    part 120 scenes "$python" -m cloudmask synthesize --dest "$DATADIR" \
        --training-scenes "$scenes" --inference-scenes 4
fi
part 150 steps "$python" -m benchmarks.gpu_steps "$OUT" "${REPETITIONS:-5}" "${batches[@]}"
part 90 stages "$python" -m benchmarks --repetitions "${REPETITIONS:-3}" \
    --staged-scenes "${STAGED_SCENES:-24}" --scenes "$DATADIR" --output "$OUT/stages.json"
cp "$work/printed" "$OUT/stages.txt"
part 120 run "$python" -m cloudmask train --datadir "$DATADIR" --logdir "$work/log" \
    --system "${SYSTEM:-survey}" --seed 1 --epochs "${EPOCHS:-20}" \
    --no-clear-caches --batch-size "${batches[0]}" --evaluation-batch-size 64
cp "$work/log/result_0.txt" "$OUT/" || true
ls -l "$OUT"
