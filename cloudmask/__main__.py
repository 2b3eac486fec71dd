"""`python -m cloudmask COMMAND`."""

from cloudmask.cli import main
from cloudmask.timed_run.launch import leave_process

leave_process(main())
