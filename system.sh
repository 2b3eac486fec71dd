# shellcheck shell=bash disable=SC2154  # `root` is set by the script that sources this file
# Sourced by the scripts: which system this is, and its configuration.

# load_system: sources the file of DGXSYSTEM or, without it, that of this machine: config_GPU.sh if
# it has GPUs, else config_CPU.sh. A name such as 8xH100, which config_GPU.sh gives, needs them here.
load_system() {
    local asked=${DGXSYSTEM:-} gpus systems file
    if [[ -z $asked ]]; then
        gpus=$(visible_gpus)
        DGXSYSTEM=${gpus:+GPU}
        DGXSYSTEM=${DGXSYSTEM:-CPU}
    fi
    file=$root/config_$DGXSYSTEM.sh
    [[ ! $DGXSYSTEM =~ ^[0-9]+x ]] || file=$root/config_GPU.sh
    if [[ ! -f $file ]]; then
        systems=$(cd "$root" && LC_ALL=C && printf '%s\n' config_*.sh | sed 's/^config_\(.*\)\.sh$/\1/' | paste -sd ' ')
        fail "DGXSYSTEM is $DGXSYSTEM but there is no config_$DGXSYSTEM.sh: take one of $systems"
    fi
    unset CLOUDMASK_SYSTEM_DEFAULTS # of another system
    # shellcheck source=config_GPU.sh
    source "$file"
    [[ ! $asked =~ ^[0-9]+x || $asked == "$DGXSYSTEM" ]] ||
        fail "DGXSYSTEM is $asked but this machine is $DGXSYSTEM"
}

# visible_gpus: a line `UUID, MIB OF MEMORY, NAME` for each GPU that CUDA_VISIBLE_DEVICES leaves
# visible, which names them by number or by the start of their UUID; all without it.
visible_gpus() {
    local listing item line found
    listing=$(nvidia-smi --query-gpu=index,uuid,memory.total,name --format=csv,noheader,nounits \
        2>/dev/null) || return 0
    if [[ -z ${CUDA_VISIBLE_DEVICES+set} ]]; then
        cut -d ' ' -f 2- <<<"$listing"
        return
    fi
    for item in ${CUDA_VISIBLE_DEVICES//,/ }; do
        [[ $item != -1 ]] || break # CUDA ends its list there
        found=
        while read -r line; do
            if [[ ${line%%,*} == "$item" || ($item == GPU-* && ${line#*, } == "$item"*) ]]; then
                found=${line#*, }
            fi
        done <<<"$listing"
        [[ -n $found ]] || fail "CUDA_VISIBLE_DEVICES is $CUDA_VISIBLE_DEVICES but nvidia-smi" \
            "lists no GPU $item: correct it, or name a system with DGXSYSTEM"
        echo "$found"
    done
}

fail() {
    echo "cloudmask: error: $*" >&2
    exit 2
}

# print_usage SCRIPT: the comment at its head.
print_usage() {
    sed -n '2,/^[^#]/{/^#SBATCH/d;s/^# \{0,1\}//p}' "$1"
    echo "Parameters of the run: cloudmask train --help, or docs/parameters.md"
}
