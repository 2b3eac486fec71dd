"""A run becomes evidence: its MLPerf event log, the rules for it, the check and the summary."""
