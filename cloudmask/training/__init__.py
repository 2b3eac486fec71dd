"""Training: trainer, optimizers, learning-rate schedule, augmentation, weight averaging."""
