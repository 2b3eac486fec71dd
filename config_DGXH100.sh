# shellcheck shell=bash
# One DGX H100: 8 H100 of 80 GB; DS1 as float16 is 3 GB a GPU.
export DGXSYSTEM=DGXH100
export DGXNNODES=1
export DGXNGPU=8
export WALLTIME=01:00:00
# A global batch of 64, for which 970 scenes give 15488 and 3840 patches.
export CLOUDMASK_SYSTEM_DEFAULTS="
device: cuda
batch_size: 8
evaluation_batch_size: 32
epochs: 100"
