"""What ends a command in good order, bad input or a stop signal, and the exit codes of a run."""

import signal

EXIT_OK = 0
EXIT_INPUT = 2
EXIT_TARGET_MISSED = 3
EXIT_FAULT = 5


class InputError(Exception):
    """Bad input: the message is one sentence that names the file or value and says what to do.

    Commands print the message alone, without a traceback, and exit with `EXIT_INPUT`.
    """


class SceneError(InputError):
    """A scene that cannot be used; the message starts with the file's name."""


class Stopped(BaseException):
    """A stop signal arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
