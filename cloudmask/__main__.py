"""`python -m cloudmask COMMAND`."""

from cloudmask.cli import main
from cloudmask.timed_run.launch import exit_process

exit_process(main())
