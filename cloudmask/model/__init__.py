"""Patches to logits: the U-Net, its loss and the pixel metrics."""
