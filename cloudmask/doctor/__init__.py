"""The `doctor` command: checks that this machine can do a run, before anything is timed."""
