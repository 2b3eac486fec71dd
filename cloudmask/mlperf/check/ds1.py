"""The counts of DS1-Cloud, by which its real copies are recognised.

The rules of the closed division (`rules/`) hold the same numbers.
"""

# Training scenes of the public copy, and of that of the runs of 2022; split by scene as
# scikit-learn does, into 776 or 772 and 194; 20 patches of 256 pixels each.
SCENES = (970, 966)
TRAINING_PATCHES = (15520, 15440)
VALIDATION_PATCHES = (3880, 3880)


def is_ds1(train_samples: int, eval_samples: int, global_batch_size: int) -> bool:
    """Whether patches are those of a copy of DS1: all, or all whole global batches of them."""

    def possible(patches: int) -> tuple[int, int]:
        return patches, patches - patches % max(global_batch_size, 1)

    return any(
        train_samples in possible(training) and eval_samples in possible(validation)
        for training, validation in zip(TRAINING_PATCHES, VALIDATION_PATCHES, strict=True)
    )
