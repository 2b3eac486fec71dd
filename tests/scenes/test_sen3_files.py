"""The files of products in folders and archives, honest ones and others."""

import zipfile

import pytest

from cloudmask.errors import SceneError
from cloudmask.scenes import sen3_files as package
from cloudmask.scenes.sen3_files import is_sen3, open_product

NAME = "S3A_SL_1_RBT____X.SEN3"


def archive_of(path, *members):
    """An archive with some members, each a name or a ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, b"content " * 100)
    return path


def test_an_archive_gives_the_files_of_its_folder(tmp_path):
    path = archive_of(tmp_path / "x.zip", f"{NAME}/S7_BT_in.nc", f"{NAME}/xfdumanifest.xml")
    with open_product(path) as files:
        assert list(files) == ["S7_BT_in.nc", "xfdumanifest.xml"]
        assert files["S7_BT_in.nc"]().read() == b"content " * 100


def test_a_folder_gives_its_files(tmp_path):
    (tmp_path / "S7_BT_in.nc").write_bytes(b"content")
    with open_product(tmp_path) as files:
        assert {name: source() for name, source in files.items()} == {
            "S7_BT_in.nc": tmp_path / "S7_BT_in.nc"
        }


def test_products_are_known_by_kind_and_name(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / "data").mkdir()
    assert is_sen3(tmp_path / NAME)
    assert is_sen3(tmp_path / "x.zip")
    assert not is_sen3(tmp_path / "data")
    assert not is_sen3(tmp_path / "S3A.hdf")


def symbolic_link():
    info = zipfile.ZipInfo(f"{NAME}/S7_BT_in.nc")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "member",
    ["../S7_BT_in.nc", f"{NAME}/../../x.nc", "/etc/x.nc", "..\\x.nc", symbolic_link()],
    ids=["parent", "parent inside", "absolute", "backslash", "link"],
)
def test_members_that_point_elsewhere_are_refused(tmp_path, member):
    path = archive_of(tmp_path / "trick.zip", member)
    with pytest.raises(SceneError, match=r"trick.zip: member .* refused"), open_product(path):
        pass


def test_archives_of_several_products_are_refused(tmp_path):
    path = archive_of(tmp_path / "two.zip", "a.SEN3/S7_BT_in.nc", "b.SEN3/S7_BT_in.nc")
    with pytest.raises(SceneError, match=r"two.zip: holds 2 folders"), open_product(path):
        pass


def test_members_too_large_or_encrypted_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = archive_of(tmp_path / "large.zip", f"{NAME}/S7_BT_in.nc")
    monkeypatch.setattr(package, "LARGEST_FILE_BYTES", 799)
    with (
        open_product(path) as files,
        pytest.raises(SceneError, match=r"large.zip: .*S7_BT_in.nc unpacks to 800 bytes"),
    ):
        files["S7_BT_in.nc"]()
    monkeypatch.undo()
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption in the directory
    path.write_bytes(data)
    with open_product(path) as files, pytest.raises(SceneError, match="is encrypted"):
        files["S7_BT_in.nc"]()


def test_a_member_that_unpacks_to_more_than_the_archive_declares_is_not_read_on(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}/S7_BT_in.nc", bytes(1 << 24))
    data = path.read_bytes().replace((1 << 24).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    with (
        pytest.raises(SceneError, match=r"bomb.zip: the file cannot be read"),
        open_product(path) as files,
    ):
        files["S7_BT_in.nc"]()


def test_damaged_archives_are_named(tmp_path):
    path = archive_of(tmp_path / "cut.zip", f"{NAME}/S7_BT_in.nc")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SceneError, match=r"cut.zip: the file cannot be read"), open_product(path):
        pass
    damaged = bytearray(data)
    damaged[80] ^= 0xFF  # inside of the compressed content
    path.write_bytes(damaged)
    with (
        pytest.raises(SceneError, match=r"cut.zip: the file cannot be read"),
        open_product(path) as files,
    ):
        files["S7_BT_in.nc"]()
