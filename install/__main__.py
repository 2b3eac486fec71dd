"""Make .venv beside this folder complete, or say why not.

Started by path, with the folder above in PYTHONPATH: `python -m install` would take an install.py
of the current folder.
"""

import sys
from pathlib import Path

from install.virtual_environment import InstallError, VirtualEnvironment

ROOT = Path(__file__).absolute().parents[1]


def main(requirements: str) -> int:
    """Returns the exit code: 2 if the packages could not be installed, 130 after Ctrl-C."""
    try:
        VirtualEnvironment(ROOT, Path(requirements)).complete()
    except InstallError as error:
        print(f"cloudmask: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
