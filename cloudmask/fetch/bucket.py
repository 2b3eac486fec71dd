"""The public bucket: an unsigned S3 client that talks to one host and follows no redirect."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
)

from cloudmask.errors import InputError
from cloudmask.fetch.object_requests import ObjectRequests, redirected
from cloudmask.fetch.retry import (
    ObjectChangedError,
    RetryPolicy,
    TransferError,
    describe_error,
    http_status,
    retry,
)
from cloudmask.fetch.selection import ListedObject, SceneObject

BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 412, 416


@dataclass(frozen=True)
class Bucket:
    """A public bucket; listings and HEAD requests are retried by the policy until `stop` is set."""

    client: Any
    endpoint: str
    name: str
    policy: RetryPolicy
    stop: Event

    def open_range(self, scene: SceneObject, start: int, end: int) -> Any:
        """Request bytes `start` to `end` (exclusive) of a scene once; returns the open stream.

        Raises:
            ObjectChangedError: the object has another ETag or size than in the listing.
            TransferError: the server sends other bytes than those requested.
            botocore.exceptions.BotoCoreError, ClientError: the request failed.
        """
        try:
            response = self._requests.send(scene.key, scene.etag, start, end)
        except ClientError as error:
            if http_status(error) in (PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE):
                raise ObjectChangedError from error
            raise
        problem = _range_problem(response, scene, start, end)
        if problem is not None:
            response["Body"].close()
            raise problem
        return response["Body"]

    def list_objects(self, prefix: str) -> Iterator[ListedObject]:
        """All objects below `prefix`, page by page.

        Raises:
            TransferError: the bucket cannot be listed, or the listing does not end.
        """
        keys: set[str] = set()
        token: str | None = None
        while True:
            page = self._list_page(prefix, token)
            previous_count = len(keys)
            for entry in page.get("Contents", []):
                key, size = entry.get("Key"), entry.get("Size")
                if not isinstance(key, str) or not isinstance(size, int) or size < 0:
                    raise TransferError("the server's listing has an entry without key or size")
                if key not in keys:
                    keys.add(key)
                    yield ListedObject(key, size, _unquoted_etag(entry))
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if len(keys) == previous_count or not token:
                raise TransferError("the server's listing repeats itself and never ends")

    def size_and_etag(self, key: str) -> tuple[int, str]:
        """Current size and ETag of an object.

        Raises:
            TransferError: the object does not exist, or the server does not answer.
        """
        response = self._head(Key=key)
        return int(response["ContentLength"]), _unquoted_etag(response)

    def first_part_size(self, key: str) -> int | None:
        """Bytes of the first part of a multipart upload; None if the server does not say."""
        try:
            return int(self._head(Key=key, PartNumber=1)["ContentLength"])
        except TransferError:
            return None

    @cached_property
    def _requests(self) -> ObjectRequests:
        return ObjectRequests(self.client, self.endpoint, self.name)

    def _head(self, **request: Any) -> Any:
        return retry(
            self.policy, self.stop, lambda: self.client.head_object(Bucket=self.name, **request)
        )

    def _list_page(self, prefix: str, token: str | None) -> Any:
        continuation = {} if token is None else {"ContinuationToken": token}

        def request() -> Any:
            try:
                return self.client.list_objects_v2(
                    Bucket=self.name, Prefix=prefix + "/", **continuation
                )
            except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError) as error:
                if token is None:  # First contact: report a wrong endpoint without retries.
                    raise TransferError(describe_error(error)) from error
                raise

        return retry(self.policy, self.stop, request)


def connect(endpoint: str, bucket: str, workers: int, policy: RetryPolicy, stop: Event) -> Bucket:
    """Make a client that sends no credentials, whatever the environment and ~/.aws hold.

    Raises:
        InputError: the endpoint is not https:// (or http:// on this machine), the bucket's name is
            invalid, or a variable of the environment is, which configures botocore.
    """
    is_loopback = _validate_endpoint(endpoint)
    if not BUCKET_NAME.fullmatch(bucket):
        raise InputError(f"--bucket {bucket!r} is not a valid bucket name; give the name alone")
    _validate_certificates()
    try:
        client = _unsigned_client(endpoint, is_loopback, workers, policy)
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"the environment's settings for S3 are wrong: {error}") from error
    _restrict_to_host(client, endpoint)
    return Bucket(client, endpoint, bucket, policy, stop)


def _unsigned_client(endpoint: str, is_loopback: bool, workers: int, policy: RetryPolicy) -> Any:
    # AWS_PROFILE and ~/.aws could break or redirect a public download.
    no_file = (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": no_file,
            "credentials_file": no_file,
        }
    )
    return boto3.session.Session(botocore_session=session).client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        config=Config(
            signature_version=UNSIGNED,
            s3={"addressing_style": "path", "use_accelerate_endpoint": False},
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            # `retry` does it: botocore does not retry a body that breaks off.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Whole files are compared with their ETags.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=policy.connect_timeout_s,
            read_timeout=policy.read_timeout_s,
            max_pool_connections=workers + 1,
            tcp_keepalive=True,
            proxies={} if is_loopback else None,
        ),
    )


def _validate_certificates() -> None:
    """Refuse what botocore would take for a lost connection, and try again and again."""
    name = "AWS_CA_BUNDLE" if "AWS_CA_BUNDLE" in os.environ else "REQUESTS_CA_BUNDLE"
    path = os.environ.get(name, "")
    if not path.strip():  # botocore refuses an empty one itself
        return
    try:
        if Path(path).is_dir():
            ssl.create_default_context(capath=path)
        else:
            ssl.create_default_context(cafile=path)
    except OSError as error:
        raise InputError(
            f"{name} is {path}, which cannot be read as certificates ({error.strerror}): unset it, "
            "or give a file of certificates in PEM format"
        ) from error


def _unquoted_etag(response: Any) -> str:
    return str(response.get("ETag", "")).strip('"')


def _range_problem(response: Any, scene: SceneObject, start: int, end: int) -> Exception | None:
    if _unquoted_etag(response) != scene.etag:
        return ObjectChangedError()
    if "ContentRange" not in response:  # the whole object
        if response.get("ContentLength", scene.size) != scene.size:
            return ObjectChangedError()
        is_whole = (start, end) == (0, scene.size)
        return None if is_whole else TransferError("the server ignores ranges")
    sent = CONTENT_RANGE.fullmatch(response["ContentRange"])
    if sent is None or int(sent[1]) != start:
        return TransferError("the server sends another range than the one requested")
    return None if sent[2] in ("*", str(scene.size)) else ObjectChangedError()


def _validate_endpoint(endpoint: str) -> bool:
    """True for http:// on loopback, False for https://; raises InputError for all others."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--endpoint {endpoint!r} is not a URL ({error})") from error
    if not host or parts.username or parts.query or parts.fragment:
        raise InputError(f"--endpoint {endpoint!r}: give https://HOST or https://HOST:PORT")
    if parts.scheme == "https":
        return False
    with suppress(ValueError):  # The host is no IP address.
        if parts.scheme == "http" and (
            host == "localhost" or ipaddress.ip_address(host).is_loopback
        ):
            return True
    raise InputError(
        f"--endpoint {endpoint!r}: http:// is accepted for this machine only; "
        "give an https:// endpoint"
    )


def _restrict_to_host(client: Any, endpoint: str) -> None:
    trusted = urlsplit(endpoint)

    def refuse_other_hosts(request: Any, **_: Any) -> None:
        target = urlsplit(request.url)
        if (target.scheme, target.netloc) != (trusted.scheme, trusted.netloc):
            raise TransferError(f"a request to {target.netloc} instead of {trusted.netloc}")

    def refuse_redirects(response: Any, **_: Any) -> None:
        # Without this, botocore asks the server for the bucket's region and tries again.
        if response is not None and 300 <= response[0].status_code < 400:
            raise redirected(response[0].headers.get("Location"))

    client.meta.events.register_first("before-send.s3", refuse_other_hosts)
    client.meta.events.register_first("needs-retry.s3", refuse_redirects)
