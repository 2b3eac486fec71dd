"""A TCP proxy in front of a real S3 server that spoils some of its answers."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

CHUNK = 16384


@dataclass(frozen=True)
class Fault:
    """What happens to one answer once `after` bytes of its body have gone through."""

    kind: Literal["reset", "truncate", "stall", "flip", "answer", "gate"]
    after: int = 0
    answer: bytes = b""
    """For 'answer': what is sent instead of asking the server."""
    wait: Callable[[], object] = lambda: None
    """Called before a reset or stall, and for 'gate' before each chunk of 16 KiB."""


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    target: str
    head: str

    @property
    def is_download(self) -> bool:
        """Whether it is a GET of an object, not of a listing."""
        return self.method == "GET" and "list-type" not in self.target

    @property
    def first_byte(self) -> int:
        """Where the range asked for begins."""
        found = re.search(r"(?im)^range: bytes=(\d+)-", self.head)
        return int(found[1]) if found else 0


def answer(status: str, headers: str = "") -> bytes:
    """A complete answer without a body."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n".encode()


class FaultyProxy:
    """Forwards to `upstream`; `fault` decides for each request what goes wrong, if anything.

    The server must close the connection after each answer, as moto's does.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        """Nothing goes wrong until `fault` says so."""
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.requests: list[Request] = []
        self.downloaded_bytes = 0
        """Bytes of objects that have been sent."""
        self.fault: Callable[[Request], Fault | None] = lambda request: None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def downloads(self) -> list[Request]:
        """The GETs of objects so far."""
        return [request for request in self.requests if request.is_download]

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting; stalled connections end."""
        self._closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connection(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = _read_head(client)
            method, target = head.split(" ", 2)[:2]
            request = Request(method, target, head)
            with self._lock:
                fault = self.fault(request)
                self.requests.append(request)
            if fault is not None and fault.kind == "answer":
                client.sendall(fault.answer)
                return
            with socket.create_connection(self._upstream) as server:
                server.sendall(re.sub(r"(?im)^connection:.*\r\n", "", head).encode("latin-1"))
                self._forward(server, client, fault, request)

    def _forward(
        self,
        server: socket.socket,
        client: socket.socket,
        fault: Fault | None,
        request: Request,
    ) -> None:
        fault = fault if request.is_download else None
        client.sendall(_read_head(server).encode("latin-1"))
        sent = 0
        while chunk := server.recv(CHUNK):
            if fault is not None and sent + len(chunk) > fault.after:
                at = max(fault.after - sent, 0)
                if fault.kind == "flip" and sent <= fault.after:
                    chunk = chunk[:at] + bytes([chunk[at] ^ 16]) + chunk[at + 1 :]
                elif fault.kind == "gate":
                    fault.wait()
                elif fault.kind in ("reset", "truncate", "stall"):
                    client.sendall(chunk[:at])
                    self._break(client, fault)
                    return
            client.sendall(chunk)
            sent += len(chunk)
            if request.is_download:
                with self._lock:
                    self.downloaded_bytes += len(chunk)

    def _break(self, client: socket.socket, fault: Fault) -> None:
        fault.wait()
        if fault.kind == "stall":
            self._closed.wait()
        if fault.kind == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def running(upstream: tuple[str, int]) -> Iterator[FaultyProxy]:
    """A proxy at work."""
    proxy = FaultyProxy(upstream)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)


def _read_head(stream: socket.socket) -> str:
    """Up to and with the blank line, byte by byte: what follows belongs to somebody else."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            raise ConnectionError("closed before the end of the head")
        head += byte
    return head.decode("latin-1")
