"""Which errors are retried, how often, and how long the waits are."""

import random
from threading import Event

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import ProtocolError

from cloudmask.fetch.retry import (
    Retries,
    RetryPolicy,
    StoppedError,
    TransferError,
    describe_error,
    is_transient,
    retry,
)


def answer(status: int, code: str = "", headers: dict[str, str] | None = None) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "GetObject")


class RecordedWaits(Event):
    """An event that is never waited for: it records the time-outs."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599])
def test_transient_statuses_are_retried(status: int) -> None:
    assert is_transient(answer(status))


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 409, 410, 412, 416, 499])
def test_other_statuses_are_not_retried(status: int) -> None:
    assert not is_transient(answer(status))


@pytest.mark.parametrize("code", ["RequestTimeout", "SlowDown", "Throttling"])
def test_transient_codes_are_retried_whatever_the_status(code: str) -> None:
    assert is_transient(answer(400, code))
    assert not is_transient(answer(400, "InvalidRequest"))


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://host"),
        ConnectTimeoutError(endpoint_url="https://host"),
        ProxyConnectionError(proxy_url="http://proxy"),
        ReadTimeoutError(endpoint_url="https://host"),
        ConnectionClosedError(endpoint_url="https://host"),
        HTTPClientError(error="reset"),
        ResponseStreamingError(error="reset"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("no XML"),
        ProtocolError("reset"),
        SSLError(endpoint_url="https://host", error="EOF occurred"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_network_errors_are_retried(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        SSLError(endpoint_url="https://host", error="CERTIFICATE_VERIFY_FAILED"),
        ParamValidationError(report="bad"),
        OSError("disk"),
        ValueError("bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_bad_certificates_and_errors_of_our_own_are_not_retried(error: Exception) -> None:
    assert not is_transient(error)


def test_waits_double_from_half_a_second_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = RetryPolicy()
    bounds: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", longest)
    waits = [policy.wait_s(failures) for failures in range(1, 10)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert set(bounds) == {(0.5, 1.0)}
    assert policy.wait_s(100_000) == 30.0
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    assert policy.wait_s(3) == 1.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("0", 0.5), ("100", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.5), ("²", 0.5)],
)
def test_retry_after_is_respected_up_to_the_longest_wait(
    monkeypatch: pytest.MonkeyPatch, header: str, expected: float
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    stop = RecordedWaits()
    Retries(RetryPolicy(), stop).wait_after(answer(503, headers={"retry-after": header}))
    assert stop.waits == [expected]


def test_the_tenth_failure_in_a_row_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    stop = RecordedWaits()
    attempts: list[None] = []

    def request() -> None:
        attempts.append(None)
        raise answer(503, "SlowDown")

    with pytest.raises(TransferError, match=r"answers 503 \(SlowDown\), 10 times in a row"):
        retry(RetryPolicy(), stop, request)
    assert len(attempts) == 10
    assert stop.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_time_outs_of_the_default_policy() -> None:
    policy = RetryPolicy()
    assert (policy.connect_timeout_s, policy.read_timeout_s) == (10.0, 30.0)


def test_a_request_that_succeeds_after_failures_gives_its_result() -> None:
    failures = [answer(500), answer(500)]
    stop = RecordedWaits()

    def request() -> str:
        if failures:
            raise failures.pop()
        return "result"

    assert retry(RetryPolicy(), stop, request) == "result"
    assert len(stop.waits) == 2


def test_permanent_errors_and_transfer_errors_are_raised_at_once() -> None:
    stop = RecordedWaits()

    def forbidden() -> None:
        raise answer(403, "AccessDenied")

    def refused() -> None:
        raise TransferError("refused")

    with pytest.raises(TransferError, match=r"^the server answers 403 \(AccessDenied\)$"):
        retry(RetryPolicy(), stop, forbidden)
    with pytest.raises(TransferError, match=r"^refused$"):
        retry(RetryPolicy(), stop, refused)
    assert stop.waits == []


def test_a_stop_ends_the_wait() -> None:
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError):
        Retries(RetryPolicy(first_wait_s=3600.0, max_wait_s=3600.0), stop).wait_after(answer(503))


def test_what_a_server_says_is_quoted_on_one_line_in_ascii_and_shortened() -> None:
    described = describe_error(answer(500, "\x1b[2J\n" + "x" * 1000))
    assert described.startswith("the server answers 500 (\\x1b[2J xxx")
    assert len(described) < 340
    assert described.isprintable()
    assert describe_error(ValueError()) == "ValueError"
    assert describe_error(ValueError("bad")) == "ValueError: bad"
