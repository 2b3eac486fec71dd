"""Exit codes, stop signals, and the exceptions of bad input and stop signals."""

import signal

# Slurm sends SIGUSR1 before the end of the time limit; Windows has no such signal.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
)
EXIT_OK = 0
EXIT_NO = 1
EXIT_INPUT = 2
EXIT_TARGET_MISSED = 3
EXIT_SOME_FAILED = 4
EXIT_FAULT = 5
EXIT_SIGNAL = 128  # plus the number of the signal

# The meaning of the exit codes of all commands.
EXIT_CODES = {
    str(EXIT_OK): "done",
    str(EXIT_NO): "the answer is no: log refused, machine not ready, no package made",
    str(EXIT_INPUT): "bad input: nothing was done, and one sentence says what to change",
    str(EXIT_TARGET_MISSED): "the run ended without reaching the target accuracy",
    str(EXIT_SOME_FAILED): "some files or scenes failed, and are named; the others are done",
    str(EXIT_FAULT): "a process of the run was lost or made no progress",
    f"{EXIT_SIGNAL} + n": "stopped by signal n: 130 Ctrl-C, 138 end of Slurm job, 143 terminated",
}


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


def ignore_stop_signals() -> None:
    """Go on to the end, whatever signals come: launchers send more than one."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGTERM; `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
