"""Sea surface temperature (SST): retrieval, and consistency of cloud masks with it."""
