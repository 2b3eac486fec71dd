"""Sea surface temperature (SST): retrieval and consistency of masks."""
