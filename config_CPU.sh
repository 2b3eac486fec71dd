# shellcheck shell=bash
# Any machine, without its GPUs: one process that uses all cores, or as many nodes and processes of
# each as are asked for. Other parameters have the defaults of cloudmask/config.py.
export DGXSYSTEM=CPU
export DGXNNODES=${DGXNNODES:-1}
export DGXNGPU=${DGXNGPU:-1}
export WALLTIME=00:30:00
export CLOUDMASK_SYSTEM_DEFAULTS="device: cpu"
