"""The scripts around the image, without a container: an engine and a run that only take notes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

NOBODY = 65534  # who starts the entrypoint where the tests run as root
# The fake run prints how it was called; as health check it ends with the code $HEALTH.
FAKE_RUN = """#!/usr/bin/env bash
echo "run_and_time.sh ${DOCTOR:+doctor }${SYNTHETIC_DIR:+in $SYNTHETIC_DIR }$*"
[[ " $* " != *" --health "* ]] || exit "${HEALTH:-0}"
"""
FAKE_PYTHON = """#!/usr/bin/env bash
echo "python3 $*"
"""
FAKE_MOUNTPOINT = """#!/usr/bin/env bash
grep -qx "$2" "$(dirname "$0")/mounted"
"""
# The fake engine notes the flags of every container, and ends them with the codes $CODES in turn.
FAKE_ENGINE = """#!/usr/bin/env bash
[[ $1 == run ]] || exit 0
echo "$*" >>"$NOTES"
read -ra codes <<<"$CODES"
exit "${codes[$(wc -l <"$NOTES") - 1]}"
"""


def write_program(path: Path, text: str) -> None:
    """A program of this text."""
    path.write_text(text)
    path.chmod(0o755)


class Container:
    """The entrypoint with a folder in the place of the image's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs, self.data, self.programs = root / "logs", root / "data", root / "bin"
        for folder in (self.logs, self.data, self.programs):
            folder.mkdir()
        script = (ROOT / "container_entrypoint.sh").read_text()
        for folder in (self.logs, self.data):
            script = script.replace(f"/{folder.name}", str(folder))
        write_program(root / "container_entrypoint.sh", script)
        shutil.copy(ROOT / "system.sh", root)
        write_program(root / "run_and_time.sh", FAKE_RUN)
        write_program(self.programs / "python3", FAKE_PYTHON)
        write_program(self.programs / "mountpoint", FAKE_MOUNTPOINT)
        (self.programs / "mounted").touch()

    def mount(self, folder: Path, *files: str, writable: bool = True) -> None:
        """Mount `logs` or `data`, with these files in it."""
        for name in files:
            (folder / name).touch()
        folder.chmod(0o777 if writable else 0o555)
        with (self.programs / "mounted").open("a") as mounted:
            mounted.write(f"{folder}\n")

    def start(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The entrypoint, not as root."""
        folders = {"LOGDIR": str(self.logs), "DATADIR": str(self.data)}
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", self.root / "container_entrypoint.sh", *arguments],
            cwd=self.root,
            env={"PATH": path, **folders, **variables},
            user=NOBODY if os.getuid() == 0 else None,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def container() -> Iterator[Container]:
    """A container with nothing mounted."""
    # Not in the folder of pytest, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="cloudmask-entrypoint-") as folder:
        Path(folder).chmod(0o755)
        yield Container(Path(folder))


def assert_refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    """Exit code 2, one sentence, and nothing run."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_run_follows_its_health_check(container):
    container.mount(container.logs)
    container.mount(container.data, "scene.hdf", writable=False)
    done = container.start("--epochs=3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "run_and_time.sh doctor --epochs=3 --health",
        "run_and_time.sh --epochs=3",
    ]


def test_a_failed_health_check_is_the_end(container):
    container.mount(container.logs)
    container.mount(container.data, "scene.hdf")
    done = container.start("--epochz=3", HEALTH="2")
    assert done.returncode == 2
    assert done.stdout.splitlines() == ["run_and_time.sh doctor --epochz=3 --health"]


def test_without_a_folder_for_logs_nothing_runs(container):
    container.mount(container.data, "scene.hdf")
    assert_refused(container.start(), f"nothing is mounted at {container.logs}")


def test_logs_that_cannot_be_written_are_refused(container):
    container.mount(container.logs, writable=False)
    container.mount(container.data, "scene.hdf")
    assert_refused(container.start(), f"{container.logs} cannot be written by user")


def test_without_scenes_nothing_runs(container):
    container.mount(container.logs)
    assert_refused(container.start(), f"nothing is mounted at {container.data}")
    container.mount(container.data)
    assert_refused(container.start(), f"the folder at {container.data} is empty")


def test_scenes_that_cannot_be_read_are_refused(container):
    container.mount(container.logs)
    container.data.chmod(0)
    assert_refused(container.start(), f"{container.data} cannot be read by user")


@pytest.mark.parametrize("dataset", ["ds1", "ds2"])
def test_a_data_set_is_fetched_only_where_it_can_be_written(container, dataset):
    container.mount(container.logs)
    container.mount(container.data, writable=False)
    message = f"{container.data} is empty and cannot be written by user"
    assert_refused(container.start(DATASET=dataset), message)
    container.data.chmod(0o777)
    assert container.start(DATASET=dataset).stdout.splitlines()[-1] == "run_and_time.sh "


@pytest.mark.parametrize("writable", [True, False])
def test_synthetic_scenes_go_where_they_can_be_written(container, writable):
    container.mount(container.logs)
    container.mount(container.data, writable=writable)
    place = f"{container.data}/synthetic" if writable else "/tmp/synthetic"
    done = container.start(DATASET="synthetic")
    assert done.stdout.splitlines()[-1] == f"run_and_time.sh in {place} "


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (["check", "result_0.txt"], "python3 -m cloudmask check result_0.txt"),
        (["doctor", "--epochs=3"], "run_and_time.sh doctor --epochs=3"),
    ],
)
def test_other_commands_need_no_mounts(container, arguments, called):
    assert container.start(*arguments).stdout.splitlines() == [called]


def test_help_is_that_of_the_container_and_of_the_commands(container):
    lines = container.start("--help").stdout.splitlines()
    assert lines[0] == "The container's main process."
    assert lines[-1] == "python3 -m cloudmask --help"


def test_the_version_is_that_of_the_commands(container):
    assert container.start("--version").stdout == "python3 -m cloudmask --version\n"


def test_a_dry_run_needs_no_mounts(container):
    done = container.start("--epochs=3", DRYRUN="1")
    assert done.stdout.splitlines() == ["run_and_time.sh --epochs=3"]


@pytest.fixture
def series(tmp_path: Path):
    """A function that starts run_with_docker.sh with a fake engine that ends with these codes."""
    write_program(tmp_path / "engine", FAKE_ENGINE)
    notes = tmp_path / "notes"

    def start(*flags: str, codes: str = "0 0", **variables: str):
        usual = {
            "CONT": "image",
            "DATADIR": str(tmp_path),
            "LOGDIR": str(tmp_path / "logs"),
            "NEXP": "2",
            "DOCKER": str(tmp_path / "engine"),
            "DOCKER_FLAGS": "--ipc=host",
            "CLEAR_CACHES": "0",
        }
        done = subprocess.run(
            [ROOT / "run_with_docker.sh", *flags],
            env={**os.environ, **usual, **variables, "CODES": codes, "NOTES": str(notes)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = notes.read_text().splitlines() if notes.exists() else []
        return done, [line.split() for line in lines]

    return start


def test_runs_of_a_series_have_seeds_in_turn_and_folders_of_the_host(series, tmp_path):
    variables = {"SEED": "7", "CLOUDMASK_EPOCHS": "3", "DATASET": "ds1"}
    done, starts = series("--batch-size=2", **variables, CLOUDMASK_CACHES_CLEARED="true")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs reached the target" in done.stdout
    for seed, flags in zip((7, 8), starts, strict=True):
        assert flags[-2:] == ["image", "--batch-size=2"]
        assert f"SEED={seed}" in flags
        assert f'--mount=type=bind,"source={tmp_path}",target=/data' in flags
        assert f'--mount=type=bind,"source={tmp_path}/logs",target=/logs' in flags
        assert {"--ipc=host", "--env=CLOUDMASK_EPOCHS", "--env=DATASET"} <= set(flags)
        # The caches were not cleared, whatever a variable of the caller says.
        assert not any("CACHES_CLEARED" in flag for flag in flags)
        assert flags[flags.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"


def test_flags_of_the_engine_may_be_quoted(series):
    _, starts = series(DOCKER_FLAGS="--ipc=host '--volume=/a folder:/data'", codes="0 0")
    assert starts[0][starts[0].index("--volume=/a") + 1] == "folder:/data"


def test_drawn_seeds_differ(series):
    _, starts = series(NEXP="5", codes="0 0 0 0 0")
    seeds = [flag for flags in starts for flag in flags if flag.startswith("SEED=")]
    assert len(set(seeds)) == len(seeds) == 5


def test_one_run_is_no_plural(series):
    done, _ = series(NEXP="1", codes="0")
    assert "1 of 1 run reached the target" in done.stdout


def test_a_run_that_misses_the_target_does_not_stop_the_series(series):
    done, starts = series(codes="3 0")
    assert done.returncode == 1
    assert len(starts) == 2
    assert "run 1 ended with exit code 3" in done.stderr
    assert "1 of 2 runs reached the target" in done.stdout


def test_bad_input_stops_the_series(series):
    done, starts = series(codes="2 0")
    assert done.returncode == 2
    assert len(starts) == 1
    assert "bad input, which the other runs would meet too" in done.stderr


def test_an_engine_that_cannot_start_a_container_stops_the_series(series):
    done, starts = series(codes="125 0")
    assert done.returncode == 125
    assert len(starts) == 1
    assert "could not start the container" in done.stderr


def test_a_signal_before_the_first_container_is_no_error(series, tmp_path):
    # It comes while the file systems are synced, before the caches are cleared.
    write_program(tmp_path / "sync", "#!/usr/bin/env bash\nkill -INT $PPID\n")
    done, starts = series(CLEAR_CACHES="1", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert (starts, done.stderr) == ([], "")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CONT": ""}, "CONT is not set"),
        ({"DATADIR": ""}, "DATADIR is not set"),
        ({"LOGDIR": ""}, "LOGDIR is not set"),
        ({"DATADIR": "/nowhere"}, "DATADIR /nowhere is not a folder"),
        ({"NEXP": "many"}, "NEXP is many"),
        ({"NEXP": "0"}, "NEXP is 0"),
        ({"SEED": "-1"}, "SEED is -1"),
        ({"DOCKER_FLAGS": "'--ipc=host"}, "DOCKER_FLAGS is '--ipc=host: close its quotation mark"),
        ({"DOCKER": "no-such-engine"}, "there is no no-such-engine"),
    ],
)
def test_a_series_refuses_bad_input_before_it_starts(series, variables, message):
    done, starts = series(**variables)
    assert_refused(done, message)
    assert starts == []
