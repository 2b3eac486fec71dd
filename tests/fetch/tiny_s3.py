"""An S3 server of a page of code that lists whatever keys, sizes and ETags it is told to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape


class TinyS3(ThreadingHTTPServer):
    """Objects by key; the listing can be made to lie."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        """Empty, on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.listed_sizes: dict[str, int] = {}
        self.page_size = 1000
        self.redirect_to: str | None = None
        self.redirects_listings = False
        self.endless = False
        self.ignores_prefix = False
        self.ignores_ranges = False
        self.ignores_if_match = False
        self.content_range: str | None = None
        """Sent instead of the right one."""
        self.flips: Counter[str] = Counter()
        """How many of the next bodies of a key have a wrong last byte."""
        self.before_body: Callable[[str], object] = lambda target: None
        self.targets: list[str] = []

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.objects[key] = content
        self.etags[key] = etag(content)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up without a word."""

    def listing(self, query: dict[str, list[str]]) -> str:
        """A page of a ListObjectsV2 answer, keys URL-encoded as clients ask for."""
        prefix = "" if self.ignores_prefix else query.get("prefix", [""])[0]
        start = int(query.get("continuation-token", ["0"])[0])
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        page = keys[: self.page_size] if self.endless else keys[start : start + self.page_size]
        end = start + self.page_size
        more = self.endless or end < len(keys)
        entries = "".join(
            f"<Contents><Key>{escape(quote(key, safe='/'))}</Key>"
            f"<Size>{self.listed_sizes.get(key, len(self.objects[key]))}</Size>"
            f"<ETag>&quot;{self.etags[key]}&quot;</ETag></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{entries}</ListBucketResult>"
        )


def etag(content: bytes) -> str:
    """The ETag of an object uploaded in one go."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextmanager
def running() -> Iterator[TinyS3]:
    """A server at work."""
    server = TinyS3()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Answers(BaseHTTPRequestHandler):
    server: TinyS3
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query and not self.server.redirects_listings:
            self._send(200, self.server.listing(query).encode())
            return
        if self.server.redirect_to is not None:
            self._send(307, b"", {"Location": self.server.redirect_to})
            return
        key = unquote(parts.path).split("/", 2)[2]
        content = self.server.objects.get(key)
        if content is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        tag = f'"{self.server.etags[key]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.command == "GET":
            self.server.before_body(self.path)
        if self.server.flips[key] > 0 and self.command == "GET":
            self.server.flips[key] -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.headers.get("If-Match", tag) != tag and not self.server.ignores_if_match:
            self._send(412, b"")
        elif wanted and not self.server.ignores_ranges:
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            place = self.server.content_range or f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], {"ETag": tag, "Content-Range": place})
        else:
            self._send(200, content, {"ETag": tag})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""
