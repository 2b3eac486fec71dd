# shellcheck shell=bash
# The GPUs of this machine, or those that CUDA_VISIBLE_DEVICES leaves visible: one process each.
# The system is named after them, such as 1xH100, and the batch is as large as they allow, up to a
# global batch of 64, for which 970 scenes give 15488 and 3840 patches.
# shellcheck source=system.sh
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
gpus=$(visible_gpus)
[[ -n $gpus ]] || fail "DGXSYSTEM is GPU but nvidia-smi lists no visible GPU: take CPU"
# NVIDIA H100 80GB HBM3 is H100, Tesla V100-SXM3-32GB is V100, NVIDIA GeForce RTX 4090 is RTX4090.
model=$(sed -E 's/^[^,]*, *[^,]*, *//
    s/^((NVIDIA|Tesla|GeForce|Quadro) )*//
    s/[- ](SXM[0-9]*|PCI-?E|NVL|[0-9]+GB|HBM[0-9A-Z]*|Generation)\b//Ig
    s/[^A-Za-z0-9]//g' <<<"$gpus" | sort -u)
[[ $model != *$'\n'* ]] || fail "this machine has GPUs of several kinds ($(paste -sd ' ' <<<"$model")):" \
    "choose those of one kind with CUDA_VISIBLE_DEVICES"
DGXNGPU=$(wc -l <<<"$gpus")
export DGXNNODES=1 DGXNGPU DGXSYSTEM=${DGXNGPU}x$model WALLTIME=01:00:00
# A patch keeps 53 MB of activations in 16 bits for the backward pass (measured), which with its
# temporaries is about half of the memory at 3 patches per GiB; the other half is for the data.
batch=$(awk -F ', *' -v gpus="$DGXNGPU" '
    NR == 1 || $2 < least { least = $2 }
    END {
        batch = int(64 / gpus); room = int(3 * least / 1024)
        if (batch > room) batch = room
        print batch < 1 ? 1 : batch
    }' <<<"$gpus")
export CLOUDMASK_SYSTEM_DEFAULTS="
device: cuda
batch_size: $batch
evaluation_batch_size: $((batch < 8 ? 8 : batch))
epochs: 100"
unset gpus model batch
