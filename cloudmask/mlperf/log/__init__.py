"""The MLPerf event log of a run: writing and reading."""
