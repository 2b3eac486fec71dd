"""A server that answers wrongly, on purpose or not: nothing it says is believed unchecked."""

import datetime
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloudmask.errors import InputError
from cloudmask.fetch.retry import RetryPolicy
from tests.fetch.scene_bucket import PREFIX, files_below, manifest, name, run_fetch, scene
from tests.fetch.tiny_s3 import TinyS3, etag

Fetch = Callable[..., int]


def test_a_redirect_to_another_host_is_not_followed(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reached: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, args=(0.05,), daemon=True).start()
        hostile.put(f"{PREFIX}/{name(0)}", scene(0))
        hostile.redirect_to = f"http://127.0.0.1:{elsewhere.server_address[1]}/stolen"
        assert fetch_hostile() == 4
        elsewhere.shutdown()
    assert reached == []
    assert "redirects to http://127.0.0.1" in capsys.readouterr().out


def test_keys_listed_from_elsewhere_are_left_alone(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put("training/S3A_elsewhere.hdf", scene(0))
    hostile.put(f"{PREFIX}/{name(1)}", scene(1))
    hostile.ignores_prefix = True
    assert fetch_hostile() == 0
    assert files_below(tmp_path / "dest") == {"manifest.json", name(1)}


def test_a_server_that_ignores_ranges_does_not_spoil_a_resumed_file(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0, 17 * 2**20))
    hostile.ignores_ranges = True
    assert fetch_hostile() == 4
    assert not (tmp_path / "dest" / name(0)).exists()


@pytest.mark.parametrize("content_range", ["bytes 1-{last}/{size}", "bytes */{size}", "nonsense"])
def test_another_range_than_the_requested_one_is_refused(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content_range: str,
) -> None:
    content = scene(0)
    hostile.put(f"{PREFIX}/{name(0)}", content)
    hostile.content_range = content_range.format(last=len(content) - 1, size=len(content))
    assert fetch_hostile() == 4
    assert not (tmp_path / "dest" / name(0)).exists()
    assert "the server sends another range than the one requested" in capsys.readouterr().out


def test_a_range_of_a_longer_object_means_that_the_object_has_changed(
    hostile: TinyS3, fetch_hostile: Fetch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = scene(0)
    hostile.put(f"{PREFIX}/{name(0)}", content)
    hostile.content_range = f"bytes 0-{len(content) - 1}/{len(content) + 1}"
    assert fetch_hostile() == 4
    assert "the object keeps changing" in capsys.readouterr().out


def test_a_range_of_unknown_total_is_accepted(hostile: TinyS3, fetch_hostile: Fetch) -> None:
    content = scene(0)
    hostile.put(f"{PREFIX}/{name(0)}", content)
    hostile.content_range = f"bytes 0-{len(content) - 1}/*"
    assert fetch_hostile() == 0


def test_other_content_is_noticed_even_if_the_server_ignores_if_match(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.ignores_if_match = True
    listing = hostile.listing

    def list_and_replace(query: dict[str, list[str]]) -> str:
        page = listing(query)
        hostile.put(f"{PREFIX}/{name(0)}", scene(1))
        return page

    hostile.listing = list_and_replace  # type: ignore[method-assign]
    assert fetch_hostile() == 0
    assert (tmp_path / "dest" / name(0)).read_bytes() == scene(1)
    assert "changed since the listing" in capsys.readouterr().err


def gets(server: TinyS3) -> int:
    """Number of transfers of the first scene; its part size is asked for with a query."""
    return sum(target.endswith(name(0)) for target in server.targets)


def multipart_etag(*parts: bytes) -> str:
    digests = b"".join(bytes.fromhex(etag(part)) for part in parts)
    return f"{etag(digests)}-{len(parts)}"


UNEVEN = multipart_etag(scene(0)[:1000], scene(0)[1000:1100], scene(0)[1100:])


@pytest.mark.parametrize("etag", ["opaque", UNEVEN])
def test_an_etag_that_cannot_be_recomputed_is_replaced_by_a_second_transfer(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    etag: str,
) -> None:
    key = f"{PREFIX}/{name(0)}"
    hostile.put(key, scene(0))
    hostile.etags[key] = etag
    assert fetch_hostile() == 0
    assert manifest(tmp_path / "dest")[name(0)]["checked_by"] == "two identical transfers"
    assert gets(hostile) == 2
    assert "fetching it twice to compare" in capsys.readouterr().err
    assert fetch_hostile(verify=True) == 0
    assert gets(hostile) == 2


@pytest.mark.parametrize(("flips", "code"), [(1, 0), (2, 4)])
def test_two_transfers_that_differ_are_followed_by_one_more(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flips: int,
    code: int,
) -> None:
    key = f"{PREFIX}/{name(0)}"
    hostile.put(key, scene(0))
    hostile.etags[key] = "opaque"
    bodies = iter([1, 0, flips - 1])

    def flip_some(target: str) -> None:
        hostile.flips[key] = next(bodies)

    hostile.before_body = flip_some
    assert fetch_hostile() == code
    assert gets(hostile) == 3
    said = capsys.readouterr()
    assert "two transfers brought different content" in said.err
    assert (tmp_path / "dest" / name(0)).exists() == (code == 0)
    if code == 0:
        assert (tmp_path / "dest" / name(0)).read_bytes() == scene(0)
    else:
        assert "two transfers brought different content, twice; kept as quarantine/" in said.out


def test_a_listing_that_redirects_is_not_followed(hostile: TinyS3, fetch_hostile: Fetch) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.redirect_to = "http://127.0.0.1:9/stolen"
    hostile.redirects_listings = True
    with pytest.raises(InputError, match="cannot be listed: the server redirects to http://127"):
        fetch_hostile()
    assert len(hostile.targets) == 1


def test_a_server_that_cannot_be_reached_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_wait(*_: object) -> float:
        raise AssertionError("there must be no second attempt")

    monkeypatch.setattr(RetryPolicy, "wait_s", no_wait)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        with pytest.raises(InputError, match=r"EndpointConnectionError.*check --endpoint"):
            run_fetch(f"http://127.0.0.1:{bound.getsockname()[1]}", tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_an_endless_listing_is_broken_off(hostile: TinyS3, fetch_hostile: Fetch) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.endless = True
    with pytest.raises(InputError, match="never ends"):
        fetch_hostile()


def test_a_listing_of_many_pages_is_read_whole(
    hostile: TinyS3, fetch_hostile: Fetch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = scene(0)
    hostile.page_size = 100
    for index in range(1_000):
        hostile.put(f"{PREFIX}/{name(index)}", content)
    assert fetch_hostile(dry_run=True) == 0
    said = capsys.readouterr().out
    assert "1000 scenes asked for" in said
    assert all(f"would fetch {name(index)} " in said for index in range(1_000))
    assert sum("list-type" in target for target in hostile.targets) == 10


@pytest.fixture
def imposter(tmp_path: Path) -> Iterator[str]:
    """An https:// server with a certificate that nobody vouches for; gives its endpoint."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    with TinyS3() as server:
        server.put(f"{PREFIX}/{name(0)}", scene(0))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.endpoint.replace("http://", "https://")
        server.shutdown()


def test_a_certificate_nobody_vouches_for_is_refused(
    imposter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
        run_fetch(imposter, tmp_path / "dest")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "pem"))
    assert run_fetch(imposter, tmp_path / "dest") == 0
