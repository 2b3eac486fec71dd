"""Synthetic scenes from a physical model."""

# Stated wherever results of synthetic scenes are published.
SYNTHETIC_NOTICE = (
    "These results are of synthetic scenes. They show that the system runs the benchmark, and how "
    "fast, but nothing about DS1 or the real sky."
)
