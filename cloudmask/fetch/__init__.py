"""Fetch of the public data set from an S3 bucket: list, plan, transfer, verify, record.

`cloudmask.fetch.command` is the entry point; each module here is one step.
"""
