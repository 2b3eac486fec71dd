"""MLPerf: event logs, their checks, scores, and submission packages."""
