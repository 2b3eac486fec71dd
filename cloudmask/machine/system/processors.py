"""Processors of the node, from /proc/cpuinfo and the kernel's topology."""

from pathlib import Path

from cloudmask.machine.system.kernel_files import ROOT, gib, read, read_number


def describe_processors(root: Path = ROOT) -> dict[str, str]:
    """The host_processor fields; numbers of cores and threads are per processor."""
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"), key=_number)
    topology = [
        (read(cpu / "topology/physical_package_id"), read(cpu / "topology/core_id"))
        for cpu in cpus
        if (cpu / "topology").is_dir()  # only online CPUs have one
    ]
    packages = {package for package, _ in topology}
    counts = ["", "", ""]
    if topology:
        cores, threads = len(set(topology)) // len(packages), len(topology) // len(packages)
        counts = [str(count) for count in (len(packages), cores, threads)]
    information = cpu_information(root)
    return {
        "host_processors_per_node": counts[0],
        "host_processor_model_name": information.get("model name", ""),
        "host_processor_core_count": counts[1],
        "host_processor_vcpu_count": counts[2],
        "host_processor_frequency": _frequency(cpus[0], information) if cpus else "",
        "host_processor_caches": _caches(cpus, len(packages)),
        "host_processor_interconnect": "",
        # No field of the official description; the speed of a CPU in training hangs on it.
        "host_processor_bfloat16": _bfloat16(information),
    }


def cpu_information(root: Path = ROOT) -> dict[str, str]:
    """The entries of /proc/cpuinfo for the first processor."""
    first = read(root / "proc/cpuinfo").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _bfloat16(information: dict[str, str]) -> str:
    """The bfloat16 instructions: 'AMX', 'AVX-512', 'ARM', 'none'; '' if the kernel lists no flags.

    Names of flags: arch/x86/include/asm/cpufeatures.h and arch/arm64/kernel/cpuinfo.c of Linux.
    """
    flags = (information.get("flags") or information.get("Features") or "").split()
    kinds = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512", "bf16": "ARM"}
    return next((kind for flag, kind in kinds.items() if flag in flags), "none" if flags else "")


def _number(cpu: Path) -> int:
    return int(cpu.name.removeprefix("cpu"))


def _frequency(cpu: Path, information: dict[str, str]) -> str:
    base = read_number(cpu / "cpufreq/base_frequency")
    highest = read_number(cpu / "cpufreq/cpuinfo_max_freq")
    parts = [f"{base / 1e6:.2f} GHz base"] if base else []
    parts += [f"{highest / 1e6:.2f} GHz maximum"] if highest else []
    if not parts and "cpu MHz" in information:
        parts = [f"{float(information['cpu MHz']) / 1000:.2f} GHz when this was written"]
    return ", ".join(parts)


def _caches(cpus: list[Path], packages: int) -> str:
    """Size and number per processor of each cache."""
    caches: dict[str, set[str]] = {}
    for cpu in cpus:
        for index in sorted(cpu.glob("cache/index[0-9]*")):
            kind = {"Data": "d", "Instruction": "i"}.get(read(index / "type"), "")
            size = read(index / "size")
            if size.endswith("K"):
                size = gib(1024 * int(size[:-1]))
            name = f"L{read(index / 'level')}{kind} {size}"
            caches.setdefault(name, set()).add(read(index / "shared_cpu_list"))
    return ", ".join(
        f"{len(sharers) // packages} x {name}" for name, sharers in sorted(caches.items())
    )
