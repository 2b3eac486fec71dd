"""`python -m cloudmask COMMAND`."""

from cloudmask.cli import main
from cloudmask.training.launch import leave_process

leave_process(main())
