"""CloudMask: a U-Net that marks cloud in Sentinel-3 SLSTR scenes, as a timed MLPerf-style run."""

__version__ = "1.0.0"
