"""`cloudmask COMMAND`, and `python -m cloudmask COMMAND`."""

from typing import NoReturn

from cloudmask import cli
from cloudmask.timed_run.launch import exit_process


def main() -> NoReturn:
    """Run the command of the command line, and end this process with its exit code."""
    exit_process(cli.main())


if __name__ == "__main__":
    main()
