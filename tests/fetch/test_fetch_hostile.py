"""A server, or a destination, that means harm: nothing is written outside, nothing is believed."""

import datetime
import http.server
import ipaddress
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloudmask.errors import InputError
from cloudmask.fetch.destination import Destination
from tests.fetch.scene_bucket import PREFIX, files_below, name, run_fetch, scene
from tests.fetch.tiny_s3 import TinyS3

Fetch = Callable[..., int]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("training/../../../outside/S3A_1.hdf", "'..' folder"),
        ("../S3A_1.hdf", "'..' folder"),
        ("training/./S3A_1.hdf", "'..' folder"),
        ("training//S3A_1.hdf", "'..' folder"),
        ("/outside/S3A_1.hdf", "absolute"),
        ("training/S3A_1\0.hdf", "control character"),
        ("training/S3A_\x1b[2J.hdf", "control character"),
        ("training\\..\\..\\S3A_1.hdf", "backslash"),
        ("training/S3A_1.hdf/", "slash"),
        (f"training/S3A_{'x' * 990}.hdf", "longer than 240"),
    ],
)
def test_an_unsafe_key_is_refused_and_named_and_the_others_come(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: str,
    reason: str,
) -> None:
    hostile.put(f"{PREFIX}/{path}", scene(0))
    hostile.put(f"{PREFIX}/{name(1)}", scene(1))
    assert fetch_hostile() == 4
    assert files_below(tmp_path) == {"dest/manifest.json", f"dest/{name(1)}"}
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.startswith("failed: "))
    assert reason in line
    assert line.isprintable()


def test_deep_keys_and_odd_characters_arrive(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    deep = "/".join(["training", *["d" * 120] * 7, "S3A_1.hdf"])
    odd = "training/S3A_ä + %2e%2e?#&'\".hdf"
    for path in (deep, odd):
        hostile.put(f"{PREFIX}/{path}", scene(0))
    assert fetch_hostile() == 0
    assert files_below(tmp_path / "dest") == {"manifest.json", deep, odd}


def test_of_names_that_differ_only_in_case_one_is_taken(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.put(f"{PREFIX}/training/S3A_ABC.hdf", scene(0))
    hostile.put(f"{PREFIX}/training/S3A_abc.hdf", scene(1))
    assert fetch_hostile() == 4
    assert (tmp_path / "dest/training/S3A_ABC.hdf").read_bytes() == scene(0)
    assert "failed: training/S3A_abc.hdf: its name differs only in case" in capsys.readouterr().out


def test_a_scene_and_a_folder_of_the_same_name_do_no_harm(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/training/S3A_1.hdf", scene(0))
    hostile.put(f"{PREFIX}/training/S3A_1.hdf/S3A_2.hdf", scene(1))
    assert fetch_hostile() == 4
    assert files_below(tmp_path / "dest") >= {"manifest.json"}


@pytest.mark.parametrize("kind", ["folder", "file", "part", "manifest", "quarantine"])
def test_links_that_lead_outside_are_not_followed(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    dest = tmp_path / "dest"
    dest.mkdir()
    hostile.put(f"{PREFIX}/{name(0)}", scene(0, 300_000))
    if kind in ("folder", "quarantine"):
        (dest / ("training" if kind == "folder" else kind)).symlink_to(outside)
    else:
        (dest / "training").mkdir()
        place = {"file": name(0), "part": f"{name(0)}.part", "manifest": "manifest.json"}[kind]
        (dest / place).symlink_to(outside / "file")
    if kind == "quarantine":
        (dest / "training").mkdir()
        (dest / name(0)).write_bytes(b"corrupt")
    if kind == "manifest":
        with pytest.raises(InputError, match=r"manifest\.json"):
            fetch_hostile()
    else:
        # A link in place of a part is simply replaced, as a stale part would be.
        assert fetch_hostile() == (0 if kind == "part" else 4)
    assert (outside / "file").read_bytes() == b"mine"
    assert files_below(outside) == {"file"}


def test_hard_links_and_pipes_in_the_way_are_not_written_to(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    training = tmp_path / "dest/training"
    training.mkdir(parents=True)
    os.link(tmp_path / "mine", tmp_path / f"dest/{name(0)}.part")
    os.mkfifo(tmp_path / f"dest/{name(1)}.part")
    os.mkfifo(tmp_path / f"dest/{name(2)}")
    for index in range(3):
        hostile.put(f"{PREFIX}/{name(index)}", scene(index))
    assert fetch_hostile() == 4
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / f"dest/{name(0)}").read_bytes() == scene(0)
    assert (tmp_path / f"dest/{name(1)}").read_bytes() == scene(1)


@pytest.mark.parametrize("said", [10, 10_000])
def test_a_listing_that_lies_about_a_size_is_found_out(
    hostile: TinyS3,
    fetch_hostile: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    said: int,
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.listed_sizes[f"{PREFIX}/{name(0)}"] = said
    assert fetch_hostile() == 4
    assert not (tmp_path / "dest" / name(0)).exists()
    assert f"the listing says {said} bytes, the object has {len(scene(0))}" in (
        capsys.readouterr().out
    )


def test_more_than_the_disk_holds_is_refused_with_both_numbers(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.listed_sizes[f"{PREFIX}/{name(0)}"] = 10**17
    with pytest.raises(InputError, match=rf"{10**17} bytes are to be fetched but \d+ bytes"):
        fetch_hostile()
    with pytest.raises(InputError, match=f"{10**17}"):
        fetch_hostile(dry_run=True)


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
    hostile.heed_prefix = False
    assert fetch_hostile() == 0
    assert files_below(tmp_path / "dest") == {"manifest.json", name(1)}


def test_a_server_that_ignores_ranges_does_not_spoil_a_resumed_file(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0, 17 * 2**20))
    hostile.ignore_ranges = True
    assert fetch_hostile() == 4
    assert not (tmp_path / "dest" / name(0)).exists()


def test_an_endless_listing_is_broken_off(hostile: TinyS3, fetch_hostile: Fetch) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    hostile.endless = True
    with pytest.raises(InputError, match="never ends"):
        fetch_hostile()


def test_ten_thousand_keys_are_listed_whole(
    hostile: TinyS3, fetch_hostile: Fetch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = scene(0)
    for index in range(10_000):
        hostile.put(f"{PREFIX}/{name(index)}", content)
    started = time.monotonic()
    assert fetch_hostile(dry_run=True) == 0
    assert time.monotonic() - started < 20
    said = capsys.readouterr().out
    assert "10000 scenes asked for" in said
    assert f"would fetch {name(9_999)}" in said
    assert sum("list-type" in target for target in hostile.targets) == 10


def test_two_fetches_into_one_folder_exclude_each_other(
    hostile: TinyS3, fetch_hostile: Fetch, tmp_path: Path
) -> None:
    hostile.put(f"{PREFIX}/{name(0)}", scene(0))
    assert fetch_hostile() == 0
    other = Destination(tmp_path / "dest", create=False)
    other.lock()
    with pytest.raises(InputError, match="another fetch"):
        fetch_hostile()
    other.close()
    assert fetch_hostile() == 0


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
