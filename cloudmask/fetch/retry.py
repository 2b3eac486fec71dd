"""Retries of failed requests: which errors are transient, and the exponential back-off."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import botocore.exceptions
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, SSLError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

Result = TypeVar("Result")

MAX_QUOTED_CHARACTERS = 300
TRANSIENT_STATUSES = {408, 425, 429}  # and 500 to 599
TRANSIENT_CODES = {"RequestTimeout", "SlowDown", "Throttling"}  # sent with status 400
TRANSIENT_ERRORS = (
    botocore.exceptions.ConnectionError,  # no connection: refused, timed out, or name not resolved
    HTTPClientError,  # connection lost or timed out later
    IncompleteReadError,
    ResponseParserError,
    HTTPError,  # urllib3's, while a body is read
)


class TransferError(Exception):
    """An object cannot be fetched; the message gives the reason."""


class ObjectChangedError(Exception):
    """The object has another ETag or size than in the listing."""


class StoppedError(Exception):
    """The fetch, or the transfer of this object, is being stopped."""


@dataclass(frozen=True)
class RetryPolicy:
    """Number of attempts, waits between them, and time-outs."""

    attempts: int = 10
    """Attempts in a row without a new block before an object is given up."""
    first_wait_s: float = 0.5
    """Longest wait before the second attempt; it doubles with each further attempt."""
    max_wait_s: float = 30.0
    """Limit of every wait, also of one that the server asks for with Retry-After."""
    connect_timeout_s: float = 10.0
    """Time to establish a connection."""
    read_timeout_s: float = 30.0
    """Time without a byte after which a connection counts as lost."""

    def wait_s(self, failures: int, retry_after_s: float = 0.0) -> float:
        """Seconds to wait after `failures` in a row: exponential, the upper half random.

        The jitter spreads the retries of workers whose requests failed together.
        """
        longest = min(self.max_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
        wait = longest * random.uniform(0.5, 1.0)
        return max(wait, min(retry_after_s, self.max_wait_s))


@dataclass
class Retries:
    """Counts failures in a row and waits after each; `stop` ends a wait at once."""

    policy: RetryPolicy
    stop: Event
    failures: int = 0

    def wait_after(self, error: Exception) -> None:
        """Count a failure and wait before the next attempt.

        Raises:
            TransferError: the error is not transient, or the attempts are used up.
            StoppedError: `stop` was set.
        """
        if not is_transient(error):
            raise TransferError(describe_error(error)) from error
        self.failures += 1
        if self.failures >= self.policy.attempts:
            raise TransferError(f"{describe_error(error)}, {self.failures} times in a row") from (
                error
            )
        if self.stop.wait(self.policy.wait_s(self.failures, _retry_after_s(error))):
            raise StoppedError


def retry(policy: RetryPolicy, stop: Event, request: Callable[[], Result]) -> Result:
    """Call `request` until it succeeds, as often as the policy allows.

    Raises:
        TransferError: the error is not transient, or the attempts are used up.
        StoppedError: `stop` was set.
    """
    retries = Retries(policy, stop)
    while True:
        try:
            return request()
        except TransferError:
            raise
        except Exception as error:
            retries.wait_after(error)


def is_transient(error: Exception) -> bool:
    """Whether a repetition of the request may succeed."""
    if isinstance(error, ClientError):
        return (
            http_status(error) in TRANSIENT_STATUSES
            or http_status(error) >= 500
            or error.response.get("Error", {}).get("Code") in TRANSIENT_CODES
        )
    if isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError):
        return False  # the URL of a proxy is none
    if isinstance(error, SSLError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(error, TRANSIENT_ERRORS)


def describe_error(error: Exception) -> str:
    """The reason of a failure, as part of a sentence."""
    if not isinstance(error, ClientError):
        text = quote(str(error))
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    details = error.response.get("Error", {})
    text = " ".join(str(details[name]) for name in ("Code", "Message") if details.get(name))
    return f"the server answers {http_status(error)} ({quote(text)})"


def http_status(error: ClientError) -> int:
    """The HTTP status of an error response."""
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def quote(text: str) -> str:
    """A server's text on one line, in ASCII, shortened to `MAX_QUOTED_CHARACTERS`."""
    line = ascii(" ".join(text.split()))[1:-1]
    return line if len(line) <= MAX_QUOTED_CHARACTERS else f"{line[:MAX_QUOTED_CHARACTERS]}..."


def _retry_after_s(error: Exception) -> float:
    """Retry-After in seconds; 0 if it is missing or a date."""
    if not isinstance(error, ClientError):
        return 0.0
    value = error.response["ResponseMetadata"]["HTTPHeaders"].get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0
