"""The file system of a path, from the kernel's table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmask.machine.system.file_system import file_system_type

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /scratch rw - tmpfs tmpfs rw,size=8g
24 22 0:41 / /data rw master:2 - nfs4 server:/data rw
25 24 0:42 / /data rw - lustre 10.0.0.1@tcp:/fs rw
26 22 0:43 / /my\\040disk rw - xfs /dev/vdb rw
a line that the kernel does not write
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/scratch/patches", "tmpfs"),
        ("/scratch2", "ext4"),  # not below /scratch
        ("/data/training", "lustre"),  # the later mount hides the earlier one
        ("/my disk/a", "xfs"),
        ("/", "ext4"),
    ],
)
def test_the_deepest_and_last_mount_holds_a_path(tmp_path, add, path, kind):
    add({"proc/self/mountinfo": MOUNTS})
    assert file_system_type(Path(path), root=tmp_path) == kind


def test_a_link_is_followed_to_where_its_files_are(tmp_path):
    (tmp_path / "processes").symlink_to("/proc")
    assert file_system_type(tmp_path / "processes" / "self") == "proc"


def test_without_the_kernels_table_it_is_unknown(tmp_path):
    assert file_system_type(Path("/data"), root=tmp_path) == ""
