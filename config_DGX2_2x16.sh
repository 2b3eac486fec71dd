# shellcheck shell=bash
# The headline system: two DGX-2 nodes, 32 V100 of 32 GB.
export DGXSYSTEM=DGX2_2x16
export DGXNNODES=2
export DGXNGPU=16
export WALLTIME=01:00:00
# A global batch of 64, for which 970 scenes give 15488 and 3840 patches.
export CLOUDMASK_SYSTEM_DEFAULTS="
device: cuda
batch_size: 2
evaluation_batch_size: 32
epochs: 100"
