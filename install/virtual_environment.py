"""The virtual environment .venv of a checkout: made, completed and, if it is ours, remade."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from install.torch_build import Build, choose_build, find_gpus

# A file in an environment whose installation has not ended.
UNFINISHED = "unfinished"
# What `python -m venv` itself installs: an environment with nothing else holds nobody's work.
SEEDS = {"pip", "setuptools", "wheel"}
UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|ConnectionRefused|Connection refused|NameResolutionError|"
    r"name resolution|Network is unreachable|Read timed out|ProxyError|Max retries exceeded"
)
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


class InstallError(Exception):
    """The packages cannot be installed; the message is one sentence with the reason."""


class VirtualEnvironment:
    """The environment `root`/.venv, with the packages of a requirements file and the project.

    Raises:
        InstallError: from `complete`.
    """

    def __init__(self, root: Path, requirements: Path) -> None:
        self.root = root
        self.requirements = requirements
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.log = self.folder / "pip.log"
        self._lock = -1

    def complete(self) -> None:
        """Install what is missing; nothing is written if nothing is."""
        if self._is_complete():
            return
        if self.folder.is_symlink():
            raise InstallError(
                f"{self.folder} is a link to {os.path.realpath(self.folder)}, which lacks packages "
                f"of {self.requirements.name}: install them there, or remove the link"
            )
        with self._locked():
            if self._is_complete():  # another node did it meanwhile
                return
            try:
                self._make()
                self._install()
                self.marker().touch()
            except OSError as error:
                raise InstallError(
                    f"{error.filename or self.folder} cannot be written ({error.strerror})"
                ) from error
            except InstallError:
                self._end()  # refused, not broken off: what is there may be completed
                raise
            self._end()

    def _is_complete(self) -> bool:
        if self.folder.is_symlink():  # somebody else's environment: any versions will do
            return self._works() and self._has_packages()
        return self.marker().exists() and not self._unfinished().exists() and self._works()

    def marker(self) -> Path:
        """The file that says that these requirements of this folder are installed."""
        digest = hashlib.sha256(os.fsencode(self.root))
        for file in (self.requirements, self.root / "requirements.txt"):
            digest.update(file.read_bytes())
        digest.update(os.environ.get("TORCH_INDEX", "").encode())
        return self.folder / f"installed-{digest.hexdigest()[:16]}"

    def _unfinished(self) -> Path:
        return self.folder / UNFINISHED

    def _end(self) -> None:
        self._unfinished().unlink(missing_ok=True)

    def _works(self) -> bool:
        """Whether its interpreter starts, is not too old, and has pip."""
        try:
            check = "import pip, sys; sys.exit(sys.version_info < (3, 10))"
            command = [str(self.python), "-c", check]
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False

    def _has_packages(self) -> bool:
        files = (self.root / "requirements.txt", self.requirements)
        script = self.root / "install" / "packages.py"
        return subprocess.run([self.python, script, *files]).returncode == 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One installation at a time, also of several nodes that share the folder."""
        try:
            file = (self.root / ".venv.lock").open("w")
        except OSError as error:
            raise InstallError(
                f"{self.root} cannot be written ({error.strerror}), so .venv cannot be made there: "
                "take a copy that can be written, or a Python that has the packages of "
                f"{self.requirements.name}"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another installation into .venv", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # some cluster file systems have no locks
                print("no locks on this file system: do not install from two nodes at once")
            self._lock = file.fileno()
            yield

    def _make(self) -> None:
        """Make the environment, or write its scripts anew where it works already.

        Raises:
            InstallError: a broken environment that others made, or no venv module.
        """
        if self.folder.exists() and (self._unfinished().exists() or not self._works()):
            self._remove()
        self.folder.mkdir(exist_ok=True)
        self._unfinished().touch()
        # The interpreter that this one is of, in case it is that of .venv.
        base = getattr(sys, "_base_executable", sys.executable)
        if self._run(base, "-m", "venv", self.folder) != 0:
            raise InstallError(
                f"{base} cannot make .venv: install its venv module (python3-venv on Debian and "
                f"Ubuntu); its output is in {self.log}"
            )

    def _remove(self) -> None:
        if not self._is_ours():
            raise InstallError(
                f"{self.folder} has no working Python with pip, and was not made by this script: "
                "move it away and start again"
            )
        print("remaking .venv, which is incomplete", flush=True)
        old = self.folder.with_name(f".venv.old-{os.getpid()}")
        self.folder.rename(old)  # at once, so that no half of it is left under its name
        shutil.rmtree(old)

    def _is_ours(self) -> bool:
        """Whether this script made it, or it holds nothing that would be lost."""
        if self._unfinished().exists() or any(self.folder.glob("installed-*")):
            return True
        found = self.folder.glob("lib/python*/site-packages/*.dist-info")
        return {path.name.partition("-")[0] for path in found} <= SEEDS

    def _install(self) -> None:
        """Install torch, the other packages, and the project as editable.

        Raises:
            InstallError: names what pip could not do.
        """
        pin = self._torch_pin()
        build = self._torch_build(pin) if pin else None
        about = f"; {build.announcement}" if build else ""
        print(f"installing {self.requirements.name} into .venv{about}", flush=True)
        if pin and build and build.index:
            self._install_torch(pin, build)
        self._pip("install", "--requirement", self.requirements)
        # setuptools is among the packages, so that no index is asked for it.
        editable = ("--no-build-isolation", "--no-deps", "--no-index", "--editable", self.root)
        self._pip("install", *editable)

    def _torch_pin(self) -> str:
        """The requirement torch==VERSION, '' if there is none."""
        pins = (self.root / "requirements.txt").read_text()
        match = re.search(r"^torch==[\w.]+", pins, re.MULTILINE)
        return match[0] if match else ""

    def _torch_build(self, pin: str) -> Build | None:
        """The build to install; None where the pinned version is there, unless of another build."""
        index = os.environ.get("TORCH_INDEX", "")
        check = "from importlib.metadata import version; print(version('torch'))"
        command = [str(self.python), "-c", check]
        done = subprocess.run(command, capture_output=True, text=True)
        version, _, label = done.stdout.strip().partition("+")
        if f"torch=={version}" == pin and not index:
            return None
        build = choose_build(find_gpus(), index)
        return None if f"torch=={version}" == pin and label == build.label else build

    def _install_torch(self, pin: str, build: Build) -> None:
        """Install this build of torch; its dependencies come with the other packages.

        Where its index cannot be reached, pip's own index has to do, unless TORCH_INDEX names it.
        """
        wanted = f"{pin}+{build.label}" if build.label else pin
        index = ("--extra-index-url", build.index)
        if build.label and self._offers(wanted):
            self._pip("install", "--no-deps", wanted)
        elif self._offers(wanted, *index):
            self._pip("install", "--no-deps", *index, wanted)
        elif os.environ.get("TORCH_INDEX"):
            raise InstallError(f"TORCH_INDEX {build.index} cannot be reached, or has no {wanted}")
        else:
            print(
                f"{build.index} cannot be reached, or has no {wanted}: torch comes from pip's own "
                "index",
                flush=True,
            )

    def _offers(self, wanted: str, *options: str) -> bool:
        """Whether pip finds this version, asking each index once."""
        quick = ("--retries", "0", "--timeout", "10")
        command = [str(self.python), *PIP, "index", "versions", *quick, *options, "torch"]
        done = subprocess.run(command, capture_output=True, text=True)
        return wanted.partition("==")[2] in re.split(r"[\s,]+", done.stdout)

    def _pip(self, *arguments: str | Path) -> None:
        if self._run(self.python, *PIP, *arguments) == 0:
            return
        output = self.log.read_text(errors="replace")
        errors = re.findall("^ERROR: (.*)", output, re.MULTILINE)
        not_found = not errors or "No matching distribution" in errors[-1]
        if not_found and UNREACHABLE.search(output):
            problem = (
                "no package index was reached; connect this machine, or set PIP_INDEX_URL to an "
                "index, or PIP_FIND_LINKS to a folder of wheels"
            )
        else:
            problem = errors[-1].rstrip(".") if errors else "pip failed"
        raise InstallError(
            f"the packages of {self.requirements.name} could not be installed into .venv: "
            f"{problem}; pip's output is in {self.log}"
        )

    def _run(self, *command: str | Path) -> int:
        """Run a command with its output in the log; returns its exit code."""
        # Without this folder, whose metadata pip would take for an installed project.
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        others = os.pathsep.join(path for path in paths if path != str(self.root))
        with self.log.open("w") as log:
            return subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": others},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=[self._lock],  # held until this command ends, if this process is killed
            ).returncode
