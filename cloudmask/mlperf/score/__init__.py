"""Scores of systems from their runs: `summarize` and `compare`."""
