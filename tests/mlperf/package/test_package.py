"""Packages in both layouts: complete, reproducible, and accepted by the official checker."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cloudmask.config import configure
from cloudmask.mlperf.package.command import package
from cloudmask.mlperf.package.official_checker import package_errors
from tests.mlperf.package.submission_files import SubmissionFiles, head, write_evaluation
from tests.mlperf.timed_logs import set_value
from tests.paths import ROOT

pytestmark = pytest.mark.slow


def digests(folder: Path) -> dict[str, str]:
    """The content of every file by its path, and whether it may be executed."""
    return {
        f"{path.relative_to(folder)} {os.access(path, os.X_OK)}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SubmissionFiles:
    """Two systems, each with five good runs."""
    shop = SubmissionFiles(tmp_path_factory.mktemp("shop"))
    for name in ("Big", "Small"):
        shop.system(name)
    write_evaluation(shop.folder / "evaluation.json")
    return shop


@pytest.fixture(scope="module")
def hpc(shop: SubmissionFiles) -> Path:
    """The package of both in the HPC layout."""
    request = shop.request(shop.folder / "Big", shop.folder / "Small", out=shop.folder / "hpc")
    assert package(request) == 0
    return shop.folder / "hpc" / "Acme"


@pytest.fixture(scope="module")
def science(shop: SubmissionFiles) -> Path:
    """The entry of one in the Science layout."""
    request = shop.request(
        shop.folder / "Big",
        layout="science",
        out=shop.folder / "science",
        evaluation=shop.folder / "evaluation.json",
    )
    assert package(request) == 0
    return shop.folder / "science" / "Acme" / "cloudmask" / "Big" / "ds1-reference"


def test_hpc_layout_holds_logs_descriptions_parameters_and_the_source_that_ran(
    hpc: Path, shop: SubmissionFiles
) -> None:
    for name in ("Big", "Small"):
        results = hpc / "results" / name / "strong" / "cloudmask"
        assert sorted(path.name for path in results.iterdir()) == [
            f"result_{number}.txt" for number in range(5)
        ]
        original = (shop.folder / name / "result_3.txt").read_bytes()
        assert (results / "result_3.txt").read_bytes() == original
        assert json.loads((hpc / "systems" / f"{name}.json").read_text())["system_name"] == name
    implementation = hpc / "benchmarks" / "cloudmask" / "implementations" / "cloudmask"
    assert (implementation / "cloudmask" / "cli.py").is_file()
    assert os.access(implementation / "run_and_time.sh", os.X_OK)
    assert (implementation / "SOURCE_COMMIT").read_text().strip() == head()


def test_its_parameters_are_ones_that_the_program_takes(hpc: Path) -> None:
    path = hpc / "benchmarks" / "cloudmask" / "Big" / "Big.yaml"
    assert yaml.safe_load(path.read_text())["recipe"] == "reference"
    command = [sys.executable, "-m", "cloudmask", "train", "--config", str(path), "--print-config"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "dataset: ds1" in done.stdout


def test_its_readme_gives_the_scores_and_the_commands(hpc: Path) -> None:
    text = (hpc / "README.md").read_text()
    assert text.count("Score 100.0 s") == 2
    assert "| result_0.txt | 100 | 100.000 | 3 |" in text
    assert (
        "MASTER_ADDR=FIRST NODE_RANK=0 DATADIR=/path/to/ds1 SEED=100 ../../Big/run_and_time.sh"
        in text
    )
    assert "synthetic" not in text
    assert str(hpc.parent) not in text


def test_a_system_has_the_files_that_the_rules_name(hpc: Path) -> None:
    """submission_rules.adoc: metadata of the combination, README, three scripts."""
    folder = hpc / "benchmarks" / "cloudmask" / "Big"
    scripts = ["init_datasets.sh", "run_and_time.sh", "setup.sh"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["Big.yaml", "Big_cloudmask.json", "README.md", *scripts]
    )
    assert all(os.access(folder / script, os.X_OK) for script in scripts)
    metadata = json.loads((folder / "Big_cloudmask.json").read_text())
    assert metadata["Input data type(s)"] == "float16"


def test_its_scripts_run_the_source_that_is_packaged(hpc: Path, tmp_path: Path) -> None:
    folder = hpc / "benchmarks" / "cloudmask" / "Big"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DATADIR": str(tmp_path)}

    def run(script: str, *flags: str, **variables: str) -> str:
        done = subprocess.run(
            [folder / script, *flags],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return f"{done.stdout}{done.stderr}exit {done.returncode}"

    assert run("setup.sh").endswith("exit 0")
    # Port 1 answers nobody: the command is that of the package, with its destination.
    asked = run("init_datasets.sh", "--endpoint", "http://127.0.0.1:1", "--dry-run")
    assert "127.0.0.1:1" in asked
    assert asked.endswith("exit 2")
    help_text = run("run_and_time.sh", "--help")
    assert "One timed run: prepare, train to the target" in help_text
    assert help_text.endswith("exit 0")


def test_the_official_checker_accepts_it_and_has_looked_into_the_logs(
    hpc: Path, tmp_path: Path
) -> None:
    assert package_errors(hpc) == []
    copy = tmp_path / "Acme"
    subprocess.run(["cp", "-r", str(hpc), str(copy)], check=True)
    results = copy / "results" / "Small" / "strong" / "cloudmask"
    (results / "result_4.txt").rename(results / "result_4.bak")
    assert any("found 4, expected 5" in text for text in package_errors(copy))
    (results / "result_4.bak").rename(results / "result_4.txt")
    for number in (0, 1):
        log = results / f"result_{number}.txt"
        log.write_text(
            log.read_text().replace('"patch_size", "value": 256', '"patch_size", "value": 9')
        )
    assert any("2 files do not comply" in text for text in package_errors(copy))


def test_the_readmes_command_for_the_official_checker_works(hpc: Path) -> None:
    command = [sys.executable, "-m", "cloudmask.mlperf.package.official_checker", str(hpc)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, f"SUCCESS  {hpc}\n"), done.stderr
    command[-1] = str(hpc / "systems")
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100).returncode == 1


def test_science_layout_holds_everything_of_a_system(science: Path) -> None:
    names = sorted(path.name for path in science.iterdir())
    logs = [f"result-{number}.txt" for number in range(5)]
    documents = ["README.md", "sientific_contribution.md", "sientific_contribution.pdf"]
    assert names == sorted(
        [*logs, *documents, "config.yaml", "evaluation.json", "scripts", "system.json"]
    )
    assert (science / "scripts" / "run_and_time.sh").is_file()


def test_the_scientific_contribution_holds_the_measured_comparison(science: Path) -> None:
    text = (science / "sientific_contribution.md").read_text()
    assert "| `network` | 0.9100 (0.9000 to 0.9200) |" in text
    assert "| `bayes` | -0.0400 (-0.0500 to -0.0300) |" in text
    assert "No findings from 1 scene;" in text
    assert "| 4 | 0.9050 | 0.9400 |" in text  # what the fifth run logged


def test_the_scientific_contribution_is_what_the_policy_asks_for(science: Path) -> None:
    """policy.adoc: first the table, then the average difference, model, augmentation, citations."""
    text = (science / "sientific_contribution.md").read_text()
    _, table, difference, *_ = text.split("\n\n")
    assert table.splitlines() == [
        "| Measurement name | Reference model value | Submitted model value |",
        "| --- | ---: | ---: |",
        "| validation accuracy | 0.8876 | 0.9100 |",
        "| inference accuracy | 0.8900 | 0.9050 |",
    ]
    # The mean of 0.9100 - 0.8876 and 0.9050 - 0.8900.
    assert difference.startswith(
        "Average difference between submitted and reference values: +0.0187"
    )
    for part in ("1,948,609 parameters", "Augmentation: none.", "## Citations", "Adam; binary"):
        assert part in text
    assert "| `inference_accuracy` | share of all pixels" in text


def test_the_scientific_contribution_is_a_pdf_too(science: Path) -> None:
    content = (science / "sientific_contribution.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


def test_the_configuration_names_source_and_data_and_can_be_run(science: Path) -> None:
    """submit.adoc: blocks `github` and `data`; the program passes over them."""
    values = yaml.safe_load((science / "config.yaml").read_text())
    assert values["github"]["tag"] == head()
    assert values["github"]["branch"] == "main"
    assert values["data"][0] == "cloudmask fetch ds1 --dest data/ds1"
    assert values["data"][1].startswith(
        "aws s3 sync --no-sign-request --endpoint-url https://s3.echo"
    )
    found = configure(["--config", str(science / "config.yaml")])
    assert (found.recipe, found.dataset) == ("reference", "ds1")


def test_the_readme_accounts_for_the_fixed_seed_of_the_rules(science: Path) -> None:
    assert "`SEED=1234` makes the run of the list" in (science / "README.md").read_text()


def test_the_same_request_makes_the_same_bytes(
    hpc: Path, science: Path, shop: SubmissionFiles
) -> None:
    again = shop.folder / "again"
    folders = (shop.folder / "Big", shop.folder / "Small")
    assert package(shop.request(*folders, out=again)) == 0
    assert digests(again / "Acme") == digests(hpc)
    evaluation = shop.folder / "evaluation.json"
    entry = shop.request(folders[0], layout="science", out=again / "science", evaluation=evaluation)
    assert package(entry) == 0
    assert digests(again / "science" / "Acme") == digests(science.parents[2])


def test_synthetic_runs_are_packaged_as_what_they_are(submission: SubmissionFiles) -> None:
    folder = submission.system("Toy", set_value("dataset", "synthetic"))
    evaluation = write_evaluation(submission.folder / "evaluation.json", reference="truth")
    request = submission.request(
        folder, layout="science", dataset="synthetic", evaluation=evaluation
    )
    assert package(request) == 0
    entry = submission.folder / "out" / "Acme" / "cloudmask" / "Toy" / "synthetic-reference"
    for name in ("README.md", "sientific_contribution.md"):
        assert "**These results are of synthetic scenes." in (entry / name).read_text()
    text = (entry / "sientific_contribution.md").read_text()
    assert "| validation accuracy | - | 0.9100 |" in text
    assert "Average difference: none, because the reference has no published values" in text
