"""One scene, whatever its file: HDF5, Sentinel-3 products, and masks that are written."""
