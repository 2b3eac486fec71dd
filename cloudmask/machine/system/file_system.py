"""The file system that a path is on."""

import re
from pathlib import Path

from cloudmask.machine.system.kernel_files import ROOT, read

IN_MEMORY = ("tmpfs", "ramfs")  # nothing there is read from storage, whatever caches are dropped
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space, a tab, a newline or a backslash in a mount point


def file_system_type(path: Path, root: Path = ROOT) -> str:
    """The type of the file system that holds a path, as 'ext4', 'nfs4', 'lustre' or 'tmpfs'.

    From /proc/self/mountinfo (proc(5)), in which the last of several mounts on one point is on top.
    '' where the kernel does not tell.
    """
    resolved = path.resolve()
    found, depth = "", -1
    for line in read(root / "proc/self/mountinfo").splitlines():
        fields, _, source = line.partition(" - ")
        columns = fields.split(" ")
        if len(columns) < 5 or not source:
            continue
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), columns[4]))
        if resolved.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = source.split(" ")[0], len(point.parts)
    return found
