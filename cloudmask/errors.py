"""Exit codes, and the exceptions of bad input and stop signals."""

import signal

EXIT_OK = 0
EXIT_INPUT = 2
EXIT_TARGET_MISSED = 3
EXIT_FAULT = 5


class InputError(Exception):
    """Bad input: the message is one sentence with the file or value, and what to do about it.

    Commands print the message without a traceback, and exit with `EXIT_INPUT`.
    """


class SceneError(InputError):
    """A scene that cannot be used; the message starts with the file's name."""


class Stopped(BaseException):
    """A stop signal arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal_name(number)}")
        self.number = number


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGTERM; `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
