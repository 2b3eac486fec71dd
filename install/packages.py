"""`packages.py FILE ...`: whether this interpreter has the packages that the files name.

Any version will do: an environment that somebody else made is taken as it is. Exit code 0 or 1.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def missing_packages(*files: str) -> list[str]:
    """The names in requirements files that are not installed; lines of options are passed over."""
    lines = [line for file in files for line in Path(file).read_text().splitlines()]
    names = [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9][\w.-]*", line))]
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(bool(missing_packages(*sys.argv[1:])))
