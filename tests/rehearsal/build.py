"""The CUDA build of torch, and stand-ins for NVIDIA's libraries that it loads, in a cache folder.

The stand-ins have every symbol that torch's libraries want (`nm -D`): those of `stand_ins/` by
hand, the others return 0.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

SOURCES = Path(__file__).parent / "stand_ins"
DOWNLOAD_TIMEOUT = 300  # s; the wheel has 530 MB
HEADERS = ("nvidia-cuda-runtime>=13,<14", "nvidia-cuda-crt>=13,<14")
NVIDIA_SYMBOL = re.compile(r"_{0,2}cu[A-Za-z]|nccl|nvrtc|nvshmem")
# By name of the library without version: the part of libraries.c that is compiled into it.
PARTS = {"libcuda": "DRIVER", "libcublas": "CUBLAS", "libcudnn": "CUDNN", "libnccl": "NCCL"}
# Symbols without a version are looked up in these libraries.
UNVERSIONED = {
    "libnccl.so.2": "nccl",
    "libcufile.so.0": "cuFile",
    "libcusparseLt.so.0": "cusparseLt",
    "libcuda.so.1": "cu(?!File)[A-Z]",
}
LOOKED_UP_AT_RUN_TIME = {"libcuda.so.1": {"cuInit", "cuGetProcAddress_v2", "cuDriverGetVersion"}}
DEFINITION = re.compile(r"^(?:EXPORT )?\w[\w ]*?[ *]+(\w+)\(|^KERNEL\((\w+)\)", re.MULTILINE)


class BuildError(Exception):
    """The stand-ins cannot be built here; the message says why."""


def build(cache: Path) -> tuple[Path, Path]:
    """Build in `cache` what is not there yet.

    Returns:
        The folder for PYTHONPATH, with torch's CUDA build, and the one for LD_LIBRARY_PATH.

    Raises:
        BuildError: the wheel cannot be had, or there is no compiler.
    """
    version = torch.__version__.partition("+")[0]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    site = cache / f"torch-{version}-{python}"
    _install(site, f"torch=={version}")
    if "+cu" not in (site / "torch" / "version.py").read_text():
        raise BuildError(f"the wheel of torch {version} that pip finds is no CUDA build")
    headers = cache / "headers"
    _install(headers, *HEADERS)

    source = b"".join(path.read_bytes() for path in (Path(__file__), *sorted(SOURCES.iterdir())))
    libraries = cache / f"stand-ins-{python}-{hashlib.sha256(source).hexdigest()[:12]}"
    if not libraries.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            (include,) = {path.parent for path in headers.rglob("cuda_runtime_api.h")}
            _Builder(site, include, Path(folder)).build()
            Path(folder).rename(libraries)
            Path(folder).mkdir()  # for its removal
    return site, libraries


def _install(target: Path, *requirements: str) -> None:
    """Install wheels without their dependencies; the target is there only when it is whole."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        site, no_links = Path(folder, "site"), Path(folder, "no-links")
        no_links.mkdir()
        _run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
            *("--disable-pip-version-check", "--target", site, *requirements),
            # A folder of local wheels may have a build for CPUs of the same version.
            PIP_FIND_LINKS=str(no_links),
        )
        site.rename(target)


class _Builder:
    """Compiles the stand-ins for one build of torch into a folder."""

    def __init__(self, site: Path, include: Path, target: Path) -> None:
        self.include, self.target = include, target
        self.libraries = sorted((site / "torch" / "lib").glob("*.so"))
        self.wanted = self._wanted_symbols()
        (self.runtime,) = (name for name in self.wanted if name.startswith("libcudart.so"))

    def build(self) -> None:
        """Compile the runtime, and then the libraries that count through it."""
        self._build_runtime(self.wanted.pop(self.runtime))
        plain = self.wanted.pop("")
        for soname, pattern in UNVERSIONED.items():
            names = {name for name in plain if re.match(pattern, name)}
            self._build_library(soname, names | LOOKED_UP_AT_RUN_TIME.get(soname, set()), "")
        shared = self.wanted.pop("NVSHMEM", set())
        for soname in self._needed() - {self.runtime, *UNVERSIONED}:
            if soname.startswith("libnvshmem"):
                self._build_library(soname, shared, "NVSHMEM")
            else:
                self._build_library(soname, self.wanted.pop(soname, set()), soname)

    def _wanted_symbols(self) -> dict[str, set[str]]:
        """What torch's libraries want of NVIDIA's, by the version of the symbol."""
        wanted, defined = defaultdict[str, set[str]](set), set[str]()
        for library in self.libraries:
            for line in _run("nm", "-D", library).splitlines():
                *_, kind, symbol = line.split()
                name, _, version = symbol.partition("@")
                if kind != "U":
                    defined.add(name)
                elif NVIDIA_SYMBOL.match(name):
                    wanted[version.lstrip("@")].add(name)
        return {version: names - defined for version, names in wanted.items()}

    def _needed(self) -> set[str]:
        """The libraries of NVIDIA that torch's are linked with, or have symbols of."""
        needed = {name for name in self.wanted if name.startswith("lib")}
        for library in self.libraries:
            dynamic = _run("readelf", "-d", library)
            needed.update(re.findall(r"NEEDED.*\[(lib(?:cu|nv|nccl)[^\]]*)\]", dynamic))
        return needed

    def _build_runtime(self, wanted: set[str]) -> None:
        sources = sorted(SOURCES.glob("*.cpp"))
        by_rote = wanted - _defined_in(sources)
        stub = self._write(
            "by_rote.c",
            "extern void stand_in_count(const char *, const char *, unsigned long);\n",
            *(
                f'long {name}(void) {{ return stand_in_count("by rote", "{name}", 0), 0; }}\n'
                for name in sorted(by_rote)
            ),
        )
        _run("gcc", "-c", "-w", "-fPIC", "-o", self.target / "by_rote.o", stub)
        exports = f"{self.runtime} {{ global: cuda*; __cuda*; stand_in_*; local: *; }};\n"
        _run(
            *("g++", "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{self.include}"),
            *("-o", self.target / self.runtime, *sources, self.target / "by_rote.o"),
            *(f"-Wl,-soname,{self.runtime}", f"-Wl,--version-script={self._map(exports)}"),
        )

    def _build_library(self, soname: str, names: set[str], version: str) -> None:
        part = PARTS.get(soname.partition(".")[0])
        code = SOURCES / "libraries.c"
        source = self._write(
            f"{soname}.c",
            code.read_text() if part else "",
            *(
                f"long {name}(void) {{ return 0; }}\n"
                for name in sorted(names - (_defined_in([code]) if part else set()))
            ),
        )
        _run(
            *("gcc", "-w", "-O1", "-fPIC", "-shared", "-o", self.target / soname, source),
            *(f"-Wl,-soname,{soname}", f"-L{self.target}", f"-l:{self.runtime}"),
            *([f"-D{part}"] if part else []),
            *([f"-Wl,--version-script={self._map(_everything(version))}"] if version else []),
        )

    def _write(self, name: str, *lines: str) -> Path:
        path = self.target / name
        path.write_text("".join(lines))
        return path

    def _map(self, text: str) -> Path:
        return self._write("exports.map", text)


def _everything(version: str) -> str:
    return f"{version} {{ global: *; }};\n"


def _defined_in(sources: Iterable[Path]) -> set[str]:
    found = [match for source in sources for match in DEFINITION.findall(source.read_text())]
    return {name or kernel for name, kernel in found}


def _run(*command: object, **variables: str) -> str:
    environment: Mapping[str, str] = {**os.environ, **variables}
    words = list(map(str, command))
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{words[0]}: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"{' '.join(words[:4])}: {reason}")
    return done.stdout
