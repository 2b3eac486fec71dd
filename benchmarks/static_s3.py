"""A public bucket on loopback, served from one file: the fastest server that a benchmark can have.

    python -m benchmarks.static_s3 FILE COUNT PART_BYTES    # prints its port; serves until killed

Each of COUNT objects has the content of FILE, which stays in the page cache and is sent with
sendfile(2), so that the server costs its clients little of the processors that they share. ETags
are those of uploads in parts of PART_BYTES, or in one piece where the file is no larger. Listings,
GET with a range, HEAD and If-Match work; nothing else does.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cloudmask.fetch.etag import sha256_and_etag

BUCKET = "sciml-datasets"
PREFIX = "es/cloud_slstr_ds1"
PAGE = 1000
DATE = "Sat, 28 Nov 2026 12:00:00 GMT"
REQUEST = re.compile(rb"(GET|HEAD) (\S+) HTTP/1\.1\r\n")
RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d*)", re.IGNORECASE)
IF_MATCH = re.compile(rb'\r\nif-match: "?([0-9a-f-]+)"?', re.IGNORECASE)


def main() -> None:
    """Serve until the process is killed."""
    path, count, part_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    objects = Objects(path, count, part_bytes)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=objects.answer, args=(connection,), daemon=True).start()


class Objects:
    """The bucket's objects, which all have the same content."""

    def __init__(self, path: Path, count: int, part_bytes: int) -> None:
        """Open the file and compute its ETag."""
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = path.stat().st_size
        part = part_bytes if self.size > part_bytes else None
        self.etag = sha256_and_etag(self.descriptor, self.size, part)[1]
        names = (f"S3A_SL_1_RBT____20190101T{index:06d}.hdf" for index in range(count))
        self.keys = [f"{PREFIX}/training/{name}" for name in names]

    def answer(self, connection: socket.socket) -> None:
        """Answer the requests of one connection until the client closes it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    block = connection.recv(65536)
                    if not block:
                        return
                    received += block
                head, _, received = received.partition(b"\r\n\r\n")
                try:
                    self._answer_one(connection, head)
                except OSError:  # the client has hung up
                    return

    def _answer_one(self, connection: socket.socket, head: bytes) -> None:
        request = REQUEST.match(head + b"\r\n")
        if request is None:
            connection.sendall(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n")
            return
        is_get, target = request[1] == b"GET", urlsplit(request[2].decode())
        if target.path.rstrip("/") == f"/{BUCKET}":
            page = self._listing(parse_qs(target.query)).encode()
            fields = f"Content-Type: application/xml\r\nContent-Length: {len(page)}\r\n"
            connection.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + page)
            return
        matched = IF_MATCH.search(head)
        if matched is not None and matched[1].decode() != self.etag:
            connection.sendall(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
            return
        ranged = RANGE.search(head)
        first, end, status, fields = 0, self.size, "200 OK", ""
        if ranged is not None:
            first = int(ranged[1])
            end = min(int(ranged[2]) + 1 if ranged[2] else self.size, self.size)
            status = "206 Partial Content"
            fields = f"Content-Range: bytes {first}-{end - 1}/{self.size}\r\n"
        connection.sendall(
            f'HTTP/1.1 {status}\r\nETag: "{self.etag}"\r\nLast-Modified: {DATE}\r\n'
            f"Accept-Ranges: bytes\r\nContent-Length: {end - first}\r\n{fields}\r\n".encode(),
            socket.MSG_MORE if is_get else 0,
        )
        while is_get and first < end:
            first += os.sendfile(connection.fileno(), self.descriptor, first, end - first)

    def _listing(self, query: dict[str, list[str]]) -> str:
        prefix = query.get("prefix", [""])[0]
        start = int(query.get("continuation-token", ["0"])[0])
        keys = [key for key in self.keys if key.startswith(prefix)]
        page, end = keys[start : start + PAGE], start + PAGE
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-28T12:00:00.000Z</LastModified>"
            f"<ETag>&quot;{self.etag}&quot;</ETag><Size>{self.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        more = end < len(keys)
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{entries}</ListBucketResult>"
        )


if __name__ == "__main__":
    main()
