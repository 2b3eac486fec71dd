"""A real container engine with storage of its own, and the image built in it, once a session."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.paths import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The run's user in the container, whom the mounted folders belong to.
USER = 1000


class Engine:
    """podman, with images and containers in a folder that goes with the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = 4096
        # podman's own defaults ask for more than a sandbox may grant.
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", '
            f'"nproc={processes}:{processes}"]\nnetns = "none"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/store"\n'
            f'runroot = "{folder}/run"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __call__(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """One podman command."""
        return subprocess.run(
            ["podman", *map(str, arguments)],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=900,
        )

    def must(self, *arguments: object) -> str:
        """One podman command that has to work; returns its output."""
        done = self(*arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def build(self, tag: str, context: Path, file: Path, arguments: Mapping[str, str]) -> None:
        """Build an image, with the host's ways to packages."""
        self.must(
            *("build", "--isolation", "chroot", "--network", "host", "--tag", tag),
            *(f"--env={name}={value}" for name, value in os.environ.items() if "PIP_" in name),
            *(f"--volume={path}:{path}:ro" for path in _package_sources()),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *("--file", file, context),
        )


def _package_sources() -> list[str]:
    """Files and folders of this host from which pip takes settings, certificates and packages."""
    pip = [sys.executable, "-m", "pip", "config"]
    settings = subprocess.run([*pip, "list"], capture_output=True, text=True).stdout
    places = subprocess.run([*pip, "debug"], capture_output=True, text=True).stdout
    paths = re.findall(r"(/[^\s',]+), exists: True", places)
    paths += re.findall(r"'(/[^\s']+)'", settings)
    # The pages of an index on disk lead to files beside it.
    paths += [str(Path(index).parent) for index in re.findall(r"file://(/[^\s']+)", settings)]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine; without it, or without the rights it needs, the tests are skipped."""
    for tool in ("podman", "runc", "debootstrap"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if os.getuid() != 0:
        pytest.skip("a system of its own for the base image takes root")
    # Gigabytes, not to be kept as pytest keeps the folders of past sessions.
    with tempfile.TemporaryDirectory(prefix="cloudmask-engine-") as folder:
        engine = Engine(Path(folder))
        yield engine
        engine("system", "reset", "--force")


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """Debian with Python and the torch of requirements.txt, as built for the CPU."""
    folder = engine.folder / "base"
    folder.mkdir()
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", packages, "bookworm", folder / "system"],
        check=True,
        capture_output=True,
        timeout=600,
    )
    archive = folder / "system.tar"
    subprocess.run(["tar", "-C", folder / "system", "-cf", archive, "."], check=True)
    engine.must("import", archive, "bare")
    archive.unlink()
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    torch = next(line for line in pins if line.startswith("torch=="))
    here = Path(__file__).parent
    engine.build("base", here, here / "base.Dockerfile", {"TORCH": torch})
    return "localhost/base"


@pytest.fixture(scope="session")
def image(engine: Engine, base_image: str) -> str:
    """The project's image on that base."""
    arguments = {"FROM_IMAGE_NAME": base_image, "SOURCE_COMMIT": COMMIT}
    engine.build("cloudmask", ROOT, ROOT / "Dockerfile", arguments)
    return "localhost/cloudmask"


@pytest.fixture(scope="session")
def scenes(two_scenes: Path) -> Path:
    """Two training scenes and an inference scene, readable to everybody."""
    two_scenes.chmod(0o755)
    return two_scenes


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of the run's user."""
    folder = tmp_path / "logs"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder
