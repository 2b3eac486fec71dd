# shellcheck shell=bash
# The headline system: two DGX-2 nodes, 32 V100 of 32 GB.
export DGXSYSTEM=DGX2_2x16
export DGXNNODES=2
export DGXNGPU=16
export WALLTIME=01:00:00
# A global batch of 64, for which 970 scenes give 15488 and 3840 patches.
export CLOUDMASK_BATCH_SIZE=${CLOUDMASK_BATCH_SIZE:-2}
export CLOUDMASK_EVALUATION_BATCH_SIZE=${CLOUDMASK_EVALUATION_BATCH_SIZE:-32}
export CLOUDMASK_EPOCHS=${CLOUDMASK_EPOCHS:-100}
