"""GET requests for parts of objects, without what botocore does for each request of any kind.

A request of botocore takes 2.4 ms of a processor, for endpoint rules, events and parsing; one of
these takes 0.9 ms (benchmarks/README.md). Connections, time-outs, proxies, certificates and errors
are botocore's.
"""

from __future__ import annotations

from typing import Any

import botocore.parsers
from botocore.awsrequest import AWSPreparedRequest
from botocore.endpoint import convert_to_response_dict
from botocore.exceptions import ClientError
from botocore.utils import percent_encode

from cloudmask.fetch.retry import TransferError, quote

OPERATION = "GetObject"


class ObjectRequests:
    """Sends GET requests over the connections of a botocore client; threads may share it."""

    def __init__(self, client: Any, endpoint: str, bucket: str) -> None:
        """Requests to `endpoint` for objects of `bucket`, in path style."""
        self._session = client._endpoint.http_session
        self._url = f"{endpoint.rstrip('/')}/{bucket}/"
        self._user_agent = client.meta.config.user_agent
        self._operation = client.meta.service_model.operation_model(OPERATION)
        self._parser = botocore.parsers.create_parser("rest-xml")

    def send(self, key: str, etag: str, start: int, end: int) -> dict[str, Any]:
        """Request bytes `start` to `end` (exclusive) of an object that must have this ETag.

        Returns `ETag`, `ContentLength`, `ContentRange` if the server sent it, and the open `Body`.

        Raises:
            TransferError: the server redirects.
            botocore.exceptions.ClientError: the server answers with an error.
            botocore.exceptions.BotoCoreError: the request failed.
        """
        headers = {
            "If-Match": f'"{etag}"',
            "Range": f"bytes={start}-{end - 1}",
            "User-Agent": self._user_agent,
        }
        url = self._url + percent_encode(key, safe="/~")
        request = AWSPreparedRequest("GET", url, headers, None, stream_output=True)
        answer = convert_to_response_dict(self._session.send(request), self._operation)
        status, fields = answer["status_code"], answer["headers"]
        if status >= 400:
            parsed = self._parser.parse(answer, self._operation.output_shape)
            raise ClientError(parsed, OPERATION)
        if status >= 300:
            raise redirected(fields.get("Location"))
        response = {"ETag": fields.get("ETag", ""), "Body": answer["body"]}
        if "Content-Length" in fields:
            response["ContentLength"] = int(fields["Content-Length"])
        if "Content-Range" in fields:
            response["ContentRange"] = fields["Content-Range"]
        return response


def redirected(location: str | None) -> TransferError:
    """The error of a redirect, which is never followed: it could lead to another host."""
    target = quote(location or "another address")
    return TransferError(f"the server redirects to {target}, which is not followed")
