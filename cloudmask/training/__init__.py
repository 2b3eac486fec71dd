"""Logits to weights: the distributed, timed training run."""
