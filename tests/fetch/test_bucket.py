"""The client: no credentials, one host, no redirects, and only sensible endpoints."""

from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from botocore.httpsession import DEFAULT_CA_BUNDLE

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


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AWS_CA_BUNDLE", "", "Invalid CA bundle"),
        ("AWS_CA_BUNDLE", "/nowhere.pem", "AWS_CA_BUNDLE is /nowhere.pem, .* [(]No such file or"),
        (
            "REQUESTS_CA_BUNDLE",
            __file__,
            "REQUESTS_CA_BUNDLE is .*test_bucket.py, which cannot",
        ),
        ("AWS_DEFAULTS_MODE", "bogus", "invalid defaults mode: bogus"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "bogus", "endpoints option bogus is invalid"),
        ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "x", 'Invalid value "x"'),
    ],
)
def test_variables_that_botocore_cannot_use_are_refused_before_any_request(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    for other in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=reason) as caught:
        client()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [DEFAULT_CA_BUNDLE, str(Path(DEFAULT_CA_BUNDLE).parent)])
def test_certificates_in_a_file_or_folder_are_accepted(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", value)
    client()


def test_profiles_and_files_of_aws_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("no configuration")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    client()


def test_a_proxy_that_is_no_url_is_reported_without_retries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "bogus:::")
    bucket = connect("https://s3.example.org", "bucket", 1, POLICY, Event())
    monkeypatch.setattr(Event, "wait", lambda event, seconds: pytest.fail("it waits"))
    with pytest.raises(TransferError, match="'bogus:::' is not a valid host"):
        list(bucket.list_objects("es"))
