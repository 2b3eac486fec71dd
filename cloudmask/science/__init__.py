"""Weights to answer: whole-scene masks and how they compare with the operational ones."""
