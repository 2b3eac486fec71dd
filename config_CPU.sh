# shellcheck shell=bash
# Any machine without a GPU: one process that uses all cores, or as many nodes and processes of
# each as are asked for. The defaults of the parameters (cloudmask/config.py) are this system's.
export DGXSYSTEM=CPU
export DGXNNODES=${DGXNNODES:-1}
export DGXNGPU=${DGXNGPU:-1}
export WALLTIME=00:30:00
