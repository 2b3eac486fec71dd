"""Which failures are worth another attempt, and how long to wait before it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

Result = TypeVar("Result")

LONGEST_QUOTE = 300
TRANSIENT_STATUS = {408, 425, 429}
TRANSIENT_CODES = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "Throttling",
    "ServiceUnavailable",
}


class TransferError(Exception):
    """An object could not be fetched; the message says why, in half a sentence."""


class ObjectChangedError(Exception):
    """The object is not, or no longer, what the listing said."""


class StoppedError(Exception):
    """The whole fetch is being stopped."""


@dataclass(frozen=True)
class RetryPolicy:
    """How patient to be with the network."""

    attempts: int = 10
    """Attempts in a row without a single new block before an object is given up."""
    first_pause_s: float = 0.5
    """Longest wait before the second attempt; each further wait may be twice as long."""
    longest_pause_s: float = 30.0
    """No wait is longer, not even one that the server asks for."""
    connect_timeout_s: float = 10.0
    """Time to establish a connection."""
    read_timeout_s: float = 30.0
    """Silence after which a connection counts as dead."""

    def pause_s(self, failures: int, asked_s: float = 0.0) -> float:
        """Seconds to wait after `failures` in a row: exponential, the upper half random.

        The jitter keeps many workers that failed together from coming back together.
        """
        longest = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(failures - 1, 30))
        wait = longest * random.uniform(0.5, 1.0)
        return max(wait, min(asked_s, self.longest_pause_s))


class Attempts:
    """The attempts at one thing: counts failures in a row and waits between them."""

    def __init__(self, policy: RetryPolicy, stop: Event) -> None:
        """Waiting ends at once when `stop` is set."""
        self._policy = policy
        self._stop = stop
        self._failures = 0

    def progressed(self) -> None:
        """Something was achieved: the next failure counts as the first."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Wait before the next attempt.

        Raises:
            TransferError: another attempt is pointless, or there have been enough.
            StoppedError: the fetch is being stopped.
        """
        if not is_transient(error):
            raise TransferError(reason(error)) from error
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise TransferError(f"{reason(error)}, {self._failures} times in a row") from error
        if self._stop.wait(self._policy.pause_s(self._failures, _asked_pause_s(error))):
            raise StoppedError


def persist(policy: RetryPolicy, stop: Event, request: Callable[[], Result]) -> Result:
    """The result of `request`, attempted as often as the policy allows.

    Raises:
        TransferError: see `Attempts.failed`.
        StoppedError: the fetch is being stopped.
    """
    attempts = Attempts(policy, stop)
    while True:
        try:
            return request()
        except (TransferError, ObjectChangedError, StoppedError):
            raise
        except Exception as error:
            attempts.failed(error)


def is_transient(error: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    if isinstance(error, ClientError):
        return (
            status(error) in TRANSIENT_STATUS
            or status(error) >= 500
            or error.response.get("Error", {}).get("Code") in TRANSIENT_CODES
        )
    if isinstance(error, SSLError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(
        error,
        (
            HTTPClientError,
            IncompleteReadError,
            ResponseParserError,
            HTTPError,
        ),
    )


def reason(error: Exception) -> str:
    """What went wrong, in half a sentence fit for a message."""
    if not isinstance(error, ClientError):
        text = quoted(str(error))
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    described = error.response.get("Error", {})
    said = " ".join(str(part) for part in (described.get("Code"), described.get("Message")) if part)
    return f"the server answers {status(error)} ({quoted(said)})"


def status(error: ClientError) -> int:
    """The HTTP status of an error answer; 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def quoted(text: str) -> str:
    """What somebody else has said: on one line, in ASCII, and not too much of it."""
    line = ascii(" ".join(text.split()))[1:-1]
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."


def _asked_pause_s(error: Exception) -> float:
    """Seconds the server asks to wait; 0 if it does not, or gives a date."""
    if not isinstance(error, ClientError):
        return 0.0
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    asked = headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0
