"""A run that is small enough for two nodes on one machine, and reaches the target."""

from tests.runs import narrow_to_target

# One thread a rank, because two "nodes" share the cores here.
SMALL_RUN = narrow_to_target(OMP_NUM_THREADS="1", CLOUDMASK_CLEAR_CACHES="false")
