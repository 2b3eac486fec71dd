"""The benchmarks take from the package only what it has."""

import importlib

import pytest

from tests.paths import ROOT

MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_benchmark_is_imported(module):
    importlib.import_module(f"benchmarks.{module}")
