"""Package indexes on loopback, one for pip and one in PyTorch's place, and an empty checkout."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest

from install import torch_build

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "cloudmask"
version = "1"
scripts = { cloudmask = "cloudmask:main" }
[tool.setuptools]
packages = ["cloudmask"]
"""


def write_torch(folder: Path, version: str) -> None:
    """A wheel of a torch of this version, with nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"torch-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")


def write_setuptools(folder: Path) -> str:
    """A wheel of the setuptools that is installed here; returns its requirement."""
    folder.mkdir(parents=True, exist_ok=True)
    found = distribution("setuptools")
    name = f"setuptools-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for file in found.files or ():
            if "__pycache__" not in file.parts and file.parts[0] != "..":
                archive.write(file.locate(), str(file))
    return f"setuptools=={found.version}"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves folders; their listings are what an index is made of."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A folder that is served on loopback, whose address is in its file URL."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    (folder / "URL").write_text(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def checkout(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to install, with torch in pip's index and two builds of it in PyTorch's.

    The machine has no GPU.
    """
    root = tmp_path / "a folder"
    (root / "cloudmask").mkdir(parents=True)
    (root / "cloudmask" / "__init__.py").write_text("def main(): print('cloudmask itself')\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    setuptools = write_setuptools(served / "pypi" / "setuptools")
    (root / "requirements.txt").write_text(f"{setuptools}\ntorch==2.13.0\n")
    write_torch(served / "pypi" / "torch", "2.13.0")
    for label in ("cpu", "cu126"):
        write_torch(served / "whl" / label / "torch", f"2.13.0+{label}")
    for name in os.environ:
        if name.startswith("PIP_") or name.lower().endswith("_proxy") or name == "TORCH_INDEX":
            monkeypatch.delenv(name)
    url = (served / "URL").read_text()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/pypi")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setattr(torch_build, "PYTORCH_INDEX", f"{url}/whl")
    nvidia_smi(tmp_path, monkeypatch, "exit 9")
    return root


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put an nvidia-smi of this shell text before all others."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "nvidia-smi").write_text(f"#!/bin/bash\n{text}\n")
    (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
