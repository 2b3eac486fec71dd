"""Whether this machine can do a run, found out before anything is timed."""
