"""One GET of one range: the bytes of exactly the object asked for, or an exception.

The request goes through botocore's transport (its TLS, proxies and time-outs), not through
`client.get_object`: with small scenes, building and parsing that call takes more time than the
transfer itself.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from cloudmask.fetch.retry import ObjectChangedError, RetryPolicy, TransferError

OK, PARTIAL = 200, 206
PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 412, 416
# An error's description is short; whoever sends more has something else in mind.
LONGEST_DESCRIPTION = 4096


def transport(endpoint: str, loopback: bool, workers: int, policy: RetryPolicy) -> URLLib3Session:
    """Connections for `open_body`, with certificates checked and no redirect followed."""
    authorities = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return URLLib3Session(
        verify=authorities or True,
        proxies={} if loopback else get_environ_proxies(endpoint),
        timeout=(policy.connect_timeout_s, policy.read_timeout_s),
        max_pool_connections=workers + 1,
    )


def open_body(
    session: URLLib3Session, url: str, etag: str, size: int, start: int, stop: int
) -> Any:
    """A file-like body whose next bytes are `start` to `stop` of an object of `size` bytes.

    Raises:
        ObjectChangedError: what is at `url` has another ETag, or another size.
        TransferError: the server answers with other bytes than those asked for.
        ClientError: it answers with an error, or with a redirect.
        botocore.exceptions.HTTPClientError: it does not answer.
    """
    headers = {"Accept-Encoding": "identity", "If-Match": f'"{etag}"', "User-Agent": "cloudmask"}
    if start > 0 or stop < size:
        headers["Range"] = f"bytes={start}-{stop - 1}"
    request = AWSPreparedRequest("GET", url, HeadersDict(headers), None, stream_output=True)
    answer = session.send(request)
    try:
        if answer.status_code in (PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE):
            raise ObjectChangedError
        if answer.status_code not in (OK, PARTIAL):
            raise _error(answer)
        _check(answer, etag, size, start, stop)
    except BaseException:
        answer.raw.close()
        raise
    return answer.raw


def object_url(endpoint: str, bucket: str, key: str) -> str:
    """The address of an object, whatever characters its key holds."""
    return f"{endpoint.rstrip('/')}/{bucket}/{quote(key, safe='/~')}"


def _check(answer: Any, etag: str, size: int, start: int, stop: int) -> None:
    """The answer is about the object expected, and its body begins and ends as asked for."""
    if answer.headers.get("ETag", "").strip('"') != etag:
        raise ObjectChangedError
    if answer.status_code == PARTIAL:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if said is None or int(said[1]) != start:
            raise TransferError("the server sends another range than the one asked for")
        if said[2] not in ("*", str(size)):
            raise ObjectChangedError
    elif answer.headers.get("Content-Length", str(size)) != str(size):
        raise ObjectChangedError
    elif start != 0 or stop != size:
        raise TransferError("the server ignores ranges")


def _error(answer: Any) -> ClientError:
    """What `client.get_object` would have raised."""
    text = answer.raw.read(LONGEST_DESCRIPTION).decode("utf-8", "replace")
    described = {
        name: found[1]
        for name in ("Code", "Message")
        if (found := re.search(f"<{name}>([^<]*)</{name}>", text))
    }
    metadata = {
        "HTTPStatusCode": answer.status_code,
        "HTTPHeaders": {name.lower(): value for name, value in answer.headers.items()},
    }
    return ClientError({"Error": described, "ResponseMetadata": metadata}, "GetObject")
