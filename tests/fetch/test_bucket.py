"""The client: no credentials, one host, no redirects, and only sensible endpoints."""

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from cloudmask.errors import InputError
from cloudmask.fetch.bucket import Bucket, connect
from cloudmask.fetch.retry import RetryPolicy, TransferError

POLICY = RetryPolicy(connect_timeout_s=12.0, read_timeout_s=34.0)


def client(endpoint: str = "https://s3.example.org", workers: int = 5) -> Any:
    return connect(endpoint, "bucket", workers, POLICY, Event()).client


def test_the_client_is_unsigned_and_retries_nothing_itself() -> None:
    config = client().meta.config
    assert config.signature_version is UNSIGNED
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (12.0, 34.0)
    assert config.max_pool_connections == 6
    assert config.proxies is None
    assert client("http://127.0.0.1:9000").meta.config.proxies == {}


@pytest.mark.parametrize(
    "url", ["https://elsewhere/bucket/key", "http://s3.example.org/bucket/key"]
)
def test_a_request_to_another_host_or_without_tls_is_refused(url: str) -> None:
    events = client().meta.events
    with pytest.raises(TransferError, match=r"instead of s3\.example\.org"):
        events.emit("before-send.s3.GetObject", request=SimpleNamespace(url=url))
    allowed = SimpleNamespace(url="https://s3.example.org/bucket/key")
    assert events.emit("before-send.s3.GetObject", request=allowed)[0][1] is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.example.org",
        "https://s3.example.org:8443",
        "http://localhost:9000",
        "http://127.0.0.1",
        "http://127.8.9.10:80",
        "http://[::1]:9000",
    ],
)
def test_endpoints_with_tls_or_on_this_machine_are_accepted(endpoint: str) -> None:
    assert client(endpoint).meta.endpoint_url == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://s3.example.org",
        "http://127.0.0.1.example.org",
        "http://10.0.0.1",
        "http://0.0.0.0:9000",
        "ftp://127.0.0.1",
        "s3.example.org",
        "https://",
        "https://user@s3.example.org",
        "https://s3.example.org?query",
        "https://s3.example.org#fragment",
        "https://s3.example.org:port",
        "https://[::1",
    ],
)
def test_other_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(InputError, match="--endpoint"):
        client(endpoint)


@pytest.mark.parametrize("name", ["abc", "sciml-datasets", "a.b_c-D", "x" * 255])
def test_bucket_names_are_accepted(name: str) -> None:
    assert connect("https://host", name, 1, POLICY, Event()).name == name


@pytest.mark.parametrize("name", ["", "ab", "-ab", "ab-", "a/b", "a b", "..", "x" * 256, "arn:a:b"])
def test_other_bucket_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="--bucket"):
        connect("https://host", name, 1, POLICY, Event())


def bucket_of(*pages: dict[str, Any]) -> Bucket:
    """A bucket whose listing has these pages."""
    remaining = iter(pages)
    tokens = iter([None, *(page.get("NextContinuationToken") for page in pages)])

    def list_objects_v2(**request: Any) -> dict[str, Any]:
        assert request.get("ContinuationToken") == next(tokens)
        assert (request["Bucket"], request["Prefix"]) == ("bucket", "en/ds1/")
        return next(remaining)

    listing = SimpleNamespace(list_objects_v2=list_objects_v2)
    return Bucket(listing, "https://host", "bucket", POLICY, Event())


def test_all_pages_are_listed_and_etags_lose_their_quotes() -> None:
    first = {"Contents": [{"Key": "a", "Size": 0, "ETag": '"e1"'}], "IsTruncated": True}
    second = {"Contents": [{"Key": "a", "Size": 0}, {"Key": "b", "Size": 2}]}
    bucket = bucket_of({**first, "NextContinuationToken": "next"}, second)
    assert list(bucket.list_objects("en/ds1")) == [("a", 0, "e1"), ("b", 2, "")]


@pytest.mark.parametrize("token", [None, "", "next"])
def test_a_listing_that_makes_no_progress_is_broken_off(token: str | None) -> None:
    page = {"Contents": [{"Key": "a", "Size": 1}], "IsTruncated": True}
    bucket = bucket_of(*[{**page, "NextContinuationToken": token}] * 3)
    with pytest.raises(TransferError, match="never ends"):
        list(bucket.list_objects("en/ds1"))


@pytest.mark.parametrize(
    "entry", [{"Size": 1}, {"Key": "a"}, {"Key": "a", "Size": -1}, {"Key": "a", "Size": "1"}]
)
def test_an_entry_without_key_or_size_breaks_the_listing_off(entry: dict[str, Any]) -> None:
    with pytest.raises(TransferError, match="entry without key or size"):
        list(bucket_of({"Contents": [entry]}).list_objects("en/ds1"))


def test_the_first_part_s_size_is_asked_for_and_may_be_unknown() -> None:
    def head_object(**request: Any) -> dict[str, Any]:
        assert request == {"Bucket": "bucket", "Key": "key", "PartNumber": 1}
        return {"ContentLength": 8 * 2**20}

    def refuse(**request: Any) -> dict[str, Any]:
        metadata = {"HTTPStatusCode": 400, "HTTPHeaders": {}}
        raise ClientError({"ResponseMetadata": metadata}, "HeadObject")

    known = Bucket(SimpleNamespace(head_object=head_object), "https://h", "bucket", POLICY, Event())
    assert known.first_part_size("key") == 8 * 2**20
    unknown = Bucket(SimpleNamespace(head_object=refuse), "https://h", "bucket", POLICY, Event())
    assert unknown.first_part_size("key") is None
