"""From a public S3 bucket to a folder: list, plan, transfer, verify, record.

`cloudmask.fetch.command` is the way in; each module here is one step of it.
"""
