"""Synthetic scenes from a physical model."""
