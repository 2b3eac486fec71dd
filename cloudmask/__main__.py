"""`python -m cloudmask COMMAND`."""

import sys

from cloudmask.cli import main

sys.exit(main())
