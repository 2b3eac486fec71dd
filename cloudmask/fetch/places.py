"""Where the public data sets are."""

ENDPOINT = "https://s3.echo.stfc.ac.uk"
BUCKET = "sciml-datasets"
# The first DS1 prefix is that of the reference's configuration and README, the second that of the
# benchmark's page; those of DS2 follow the same pattern.
KNOWN_PREFIXES = {
    "ds1": ("es/cloud_slstr_ds1", "en/cloud_slstr_ds1"),
    "ds2": ("es/cloud_slstr_ds2", "en/cloud_slstr_ds2"),
}
