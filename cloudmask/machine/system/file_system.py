"""Mounted file systems, and the one that a path is on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudmask.machine.system.kernel_files import ROOT, read

IN_MEMORY = ("tmpfs", "ramfs")  # nothing there is read from storage, whatever caches are dropped
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space, a tab, a newline or a backslash in a mount point


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        top: the folder of the file system that is mounted, often '/'.
        point: where it is mounted.
        kind: 'ext4', 'nfs4', 'lustre', 'tmpfs' ...
        options: those of the file system.
    """

    top: str
    point: Path
    kind: str
    options: tuple[str, ...]


def mounts(root: Path = ROOT) -> Iterator[Mount]:
    """All mounts that this process sees, from /proc/self/mountinfo (proc(5))."""
    for line in read(root / "proc/self/mountinfo").splitlines():
        fields, _, source = line.partition(" - ")
        columns = fields.split(" ")
        if len(columns) < 5 or not source:
            continue
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), columns[4]))
        kind, *_, options = source.split(" ")
        yield Mount(columns[3], point, kind, tuple(options.split(",")))


def file_system_type(path: Path, root: Path = ROOT) -> str:
    """The type of the file system that holds a path, as 'ext4', 'nfs4', 'lustre' or 'tmpfs'.

    The last of several mounts on one point is on top. '' where the kernel does not tell.
    """
    resolved = path.resolve()
    found, depth = "", -1
    for mount in mounts(root):
        if resolved.is_relative_to(mount.point) and len(mount.point.parts) >= depth:
            found, depth = mount.kind, len(mount.point.parts)
    return found
