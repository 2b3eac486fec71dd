"""The one answer of a sensor that is not there."""


class AbsentError(Exception):
    """There is no such sensor, or it cannot be read: the message says which, and why."""
