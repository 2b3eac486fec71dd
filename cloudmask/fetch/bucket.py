"""The public bucket: an unsigned S3 client that talks to one host and follows no redirect."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudmask.errors import InputError
from cloudmask.fetch.retry import (
    ObjectChangedError,
    RetryPolicy,
    TransferError,
    persist,
    quoted,
    status,
)
from cloudmask.fetch.selection import Scene

BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 412, 416


@dataclass(frozen=True)
class Source:
    """A bucket, and how patiently it is asked."""

    client: Any
    endpoint: str
    bucket: str
    policy: RetryPolicy
    stop: Event

    def body(self, scene: Scene, start: int, stop: int) -> Any:
        """A stream of bytes `start` to `stop` (exclusive) of a scene, requested once.

        Raises:
            ObjectChangedError: the object has another ETag or size than in the listing.
            TransferError: the server sends other bytes than those requested.
            botocore.exceptions.BotoCoreError, ClientError: the request failed.
        """
        try:
            response = self.client.get_object(
                Bucket=self.bucket,
                Key=scene.key,
                IfMatch=f'"{scene.etag}"',
                Range=f"bytes={start}-{stop - 1}",
            )
        except ClientError as error:
            if status(error) in (PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE):
                raise ObjectChangedError from error
            raise
        problem = _range_problem(response, scene, start, stop)
        if problem is not None:
            response["Body"].close()
            raise problem
        return response["Body"]

    def objects(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and ETag of every object below `prefix`, however many there are.

        Raises:
            TransferError: the listing cannot be had, or does not come to an end.
        """
        seen: set[str] = set()
        token: str | None = None
        while True:
            page = self._page(prefix, token)
            before = len(seen)
            for entry in page.get("Contents", []):
                key, size = entry.get("Key"), entry.get("Size")
                if not isinstance(key, str) or not isinstance(size, int) or size < 0:
                    raise TransferError("the server's listing has an entry without key or size")
                if key not in seen:
                    seen.add(key)
                    yield key, size, _bare(entry)
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if len(seen) == before or not token:
                raise TransferError("the server's listing repeats itself and never ends")

    def look(self, key: str) -> tuple[int, str]:
        """Size and ETag of an object as it is now.

        Raises:
            TransferError: the object is gone, or the server does not answer.
        """
        answer = persist(
            self.policy,
            self.stop,
            lambda: self.client.head_object(Bucket=self.bucket, Key=key),
        )
        return int(answer["ContentLength"]), _bare(answer)

    def first_part_size(self, key: str) -> int | None:
        """Bytes of the first part of an object uploaded in parts; None if the server won't say."""
        try:
            answer = persist(
                self.policy,
                self.stop,
                lambda: self.client.head_object(Bucket=self.bucket, Key=key, PartNumber=1),
            )
        except TransferError:
            return None
        return int(answer["ContentLength"])

    def _page(self, prefix: str, token: str | None) -> Any:
        request = {"Bucket": self.bucket, "Prefix": prefix + "/"}
        if token is not None:
            request["ContinuationToken"] = token
        return persist(self.policy, self.stop, lambda: self.client.list_objects_v2(**request))


def connect(endpoint: str, bucket: str, workers: int, policy: RetryPolicy, stop: Event) -> Source:
    """A source that sends no credentials, whatever the environment and ~/.aws hold.

    Raises:
        InputError: the endpoint is not https:// (or http:// on this machine), or the bucket's
            name is none.
    """
    loopback = _check_endpoint(endpoint)
    if not BUCKET_NAME.fullmatch(bucket):
        raise InputError(f"--bucket {bucket!r} is not the name of a bucket; give its bare name")
    session = boto3.session.Session(botocore_session=_without_personal_settings())
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        config=Config(
            signature_version=UNSIGNED,
            s3={"addressing_style": "path", "use_accelerate_endpoint": False},
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            # Attempts are ours: botocore's know nothing of a body that breaks off.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Whole files are checked against their ETags.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=policy.connect_timeout_s,
            read_timeout=policy.read_timeout_s,
            max_pool_connections=workers + 1,
            tcp_keepalive=True,
            proxies={} if loopback else None,
        ),
    )
    _keep_to_one_host(client, endpoint)
    return Source(client, endpoint, bucket, policy, stop)


def _bare(answer: Any) -> str:
    """The ETag of an answer without its quotes."""
    return str(answer.get("ETag", "")).strip('"')


def _range_problem(response: Any, scene: Scene, start: int, stop: int) -> Exception | None:
    if _bare(response) != scene.etag:
        return ObjectChangedError()
    if "ContentRange" not in response:  # the whole object
        if response.get("ContentLength", scene.size) != scene.size:
            return ObjectChangedError()
        whole = (start, stop) == (0, scene.size)
        return None if whole else TransferError("the server ignores ranges")
    sent = CONTENT_RANGE.fullmatch(response["ContentRange"])
    if sent is None or int(sent[1]) != start:
        return TransferError("the server sends another range than the one requested")
    return None if sent[2] in ("*", str(scene.size)) else ObjectChangedError()


def _check_endpoint(endpoint: str) -> bool:
    """True for http:// on loopback, False for https://; everything else is refused."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--endpoint {endpoint!r} is not a URL ({error})") from error
    if not host or parts.username or parts.query or parts.fragment:
        raise InputError(f"--endpoint {endpoint!r}: give https://HOST or https://HOST:PORT")
    if parts.scheme == "https":
        return False
    if parts.scheme == "http" and _is_loopback(host):
        return True
    raise InputError(
        f"--endpoint {endpoint!r}: only https:// is trusted beyond this machine; "
        "give an https:// endpoint"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_personal_settings() -> botocore.session.Session:
    """A session that reads no profile, no ~/.aws/config and no credentials.

    A missing profile or an odd setting there would break or redirect a public download.
    """
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


def _keep_to_one_host(client: Any, endpoint: str) -> None:
    trusted = urlsplit(endpoint)

    def refuse_other_hosts(request: Any, **_: Any) -> None:
        asked = urlsplit(request.url)
        if (asked.scheme, asked.netloc) != (trusted.scheme, trusted.netloc):
            raise TransferError(f"a request to {asked.netloc} instead of {trusted.netloc}, refused")

    def refuse_redirects(response: Any, **_: Any) -> None:
        # Without this, botocore asks the server for the bucket's region and tries again.
        if response is not None and 300 <= response[0].status_code < 400:
            target = quoted(response[0].headers.get("Location", "another address"))
            raise TransferError(f"the server redirects to {target}, which is not followed")

    client.meta.events.register_first("before-send.s3", refuse_other_hosts)
    client.meta.events.register_first("needs-retry.s3", refuse_redirects)
