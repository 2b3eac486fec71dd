"""The error of a sensor that cannot be read."""


class SensorError(Exception):
    """The sensor does not exist or cannot be read; the message says which one and why."""
