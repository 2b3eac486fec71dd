"""Installation: the pinned packages, the torch build for this machine, and the project in .venv.

It needs nothing but Python's standard library. `environment.sh` calls it.
"""
