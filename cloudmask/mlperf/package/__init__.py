"""Submission packages: validation, layouts, documents and the official package checker."""
