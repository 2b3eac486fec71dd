"""Checkpoints of training: file format, folder, saving and resuming."""
