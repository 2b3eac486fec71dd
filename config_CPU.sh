# shellcheck shell=bash
# Any machine without a GPU: one process that uses all cores. The defaults of the parameters
# (cloudmask/config.py) are this system's.
export DGXNNODES=1
export DGXNGPU=1
export WALLTIME=00:30:00
