"""Report: logs, an evaluation and scenes on one HTML page."""
