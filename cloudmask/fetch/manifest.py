"""`manifest.json`: the files fetched and verified, so that no file is fetched twice."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any, get_type_hints

from cloudmask.errors import InputError
from cloudmask.fetch.destination import Destination, UnsafePathError

NAME = "manifest.json"
FORMAT = 1
SAVE_INTERVAL_S = 10.0  # after a kill, files verified since the last save are read again


@dataclass(frozen=True)
class ManifestEntry:
    """One verified file."""

    key: str
    size: int
    etag: str
    sha256: str
    mtime_ns: int
    """Modification time when verified; with the size, it shows that the file is unchanged."""
    checked_by: str
    """'etag', or 'two identical transfers' where the ETag cannot be recomputed."""

    def describes(self, status: os.stat_result) -> bool:
        """Whether size and modification time are those of the verified file."""
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


class Manifest:
    """Entries by path, saved to disk. If the file is lost, files are read again, not fetched."""

    def __init__(self, destination: Destination, dataset: str, source: dict[str, str]) -> None:
        """Read the manifest of the destination, if there is one.

        Raises:
            InputError: the destination holds another data set, or manifest.json is not a
                plain file or cannot be read.
        """
        self._destination = destination
        self._dataset = dataset
        self._source = source
        self._saved_at = time.monotonic()
        self._changed = False
        self.entries: dict[str, ManifestEntry] = {}
        document = _read_document(destination)
        if document.get("format") != FORMAT:
            return
        if document.get("dataset") != dataset:
            raise InputError(
                f"--dest {destination.path} holds {document.get('dataset')!a}, not {dataset}: "
                "give each data set a folder of its own"
            )
        files = document.get("files")
        for path, fields in files.items() if isinstance(files, dict) else ():
            entry = _parse_entry(fields)
            if entry is not None:
                self.entries[path] = entry

    def add(self, path: str, entry: ManifestEntry) -> None:
        """Add a verified file; saves at intervals, so call `save` at the end."""
        self.entries[path] = entry
        self._changed = True
        if time.monotonic() - self._saved_at >= SAVE_INTERVAL_S:
            self.save()

    def remove(self, path: str) -> None:
        """Remove the entry of a file, if there is one."""
        self._changed = self.entries.pop(path, None) is not None or self._changed

    def save(self) -> bool:
        """Write the manifest atomically if it has changed; False if it cannot be written."""
        if not self._changed:
            return True
        try:
            self._destination.write(NAME, self._document().encode())
            self._changed = False
        except (OSError, UnsafePathError):
            pass  # The disk may be full; later calls try again.
        self._saved_at = time.monotonic()
        return not self._changed

    def _document(self) -> str:
        """JSON with one line per file; `json.dumps(indent=...)` is slow for 10,000s of files."""
        head = {"format": FORMAT, "dataset": self._dataset, "source": self._source}
        files = ",\n".join(
            f"{json.dumps(path)}: {json.dumps(vars(self.entries[path]))}"
            for path in sorted(self.entries)
        )
        return f'{json.dumps(head)[:-1]},\n"files": {{\n{files}\n}}}}\n'


def _read_document(destination: Destination) -> dict[str, Any]:
    try:
        document = json.loads(destination.read(NAME))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}  # Files without an entry are read and compared with the server's ETags.
    except UnsafePathError as error:
        raise InputError(f"--dest {destination.path}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{destination.path / NAME}: {error.strerror}; make it readable or remove it"
        ) from error
    return document if isinstance(document, dict) else {}


def _parse_entry(fields: Any) -> ManifestEntry | None:
    if not isinstance(fields, dict):
        return None
    types = {name: type(value) for name, value in fields.items()}
    return ManifestEntry(**fields) if types == get_type_hints(ManifestEntry) else None
