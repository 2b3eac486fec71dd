"""Bytes to patches: scenes on disk become normalised training patches and inference tiles."""
