# shellcheck shell=bash
# One DGX-2: 16 V100 of 32 GB. V100 has no bfloat16, so precision auto takes float16 with loss
# scaling; DS1 as float16 is 1.5 GB a GPU.
export DGXSYSTEM=DGX2
export DGXNNODES=1
export DGXNGPU=16
export WALLTIME=01:00:00
# A global batch of 64, for which 970 scenes give 15488 and 3840 patches.
export CLOUDMASK_SYSTEM_DEFAULTS="
device: cuda
batch_size: 4
evaluation_batch_size: 32
epochs: 100"
