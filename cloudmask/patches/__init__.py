"""Training patches: geometry, split, resident store and staging."""
