"""Throughput of the run's stages against plain baselines in the same process."""
