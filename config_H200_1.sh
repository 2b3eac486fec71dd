# shellcheck shell=bash
# One H200 of 141 GB in one node: all of DS1 as float16 (24 GB) lies in its memory.
export DGXSYSTEM=H200_1
export DGXNNODES=1
export DGXNGPU=1
export WALLTIME=01:00:00
# A global batch of 64, for which 970 scenes give 15488 and 3840 patches.
export CLOUDMASK_SYSTEM_DEFAULTS="
device: cuda
batch_size: 64
evaluation_batch_size: 128
epochs: 100"
