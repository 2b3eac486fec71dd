"""`manifest.json`: what has been fetched and verified, so that nothing is fetched twice."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any

from cloudmask.errors import InputError
from cloudmask.fetch.destination import Folder, UnsafePathError

NAME = "manifest.json"
FORMAT = 1
SHORTEST_INTERVAL_S = 2.0
# Writing takes at most one part in this many of the time, however long the manifest grows.
WRITING_SHARE = 50


@dataclass(frozen=True)
class Entry:
    """One verified file."""

    key: str
    size: int
    etag: str
    sha256: str
    mtime_ns: int
    """Modification time when verified: with the size, it tells that nobody has touched it."""
    checked_by: str
    """'etag', or 'two identical transfers' where the ETag cannot be recomputed."""

    def describes(self, status: os.stat_result) -> bool:
        """Whether the file still looks as it did when it was verified."""
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


class Manifest:
    """The entries by path, kept on disk; losing the file costs reading, never transfers."""

    def __init__(self, folder: Folder | None, dataset: str, source: dict[str, str]) -> None:
        """Reads what is there; None stands for a destination that does not exist yet.

        Raises:
            InputError: the folder holds another data set, or manifest.json is not a plain file.
        """
        self._folder = folder
        self._dataset = dataset
        self._source = source
        self._saved_at = time.monotonic()
        self._interval_s = SHORTEST_INTERVAL_S
        self._changed = False
        self.entries: dict[str, Entry] = {}
        document = self._read()
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            return
        if folder is not None and document.get("dataset") != dataset:
            raise InputError(
                f"--dest {folder.path} holds {document.get('dataset')!a}, not {dataset}: "
                "give each data set a folder of its own"
            )
        files = document.get("files")
        for path, fields in files.items() if isinstance(files, dict) else ():
            entry = _entry(fields)
            if entry is not None:
                self.entries[path] = entry

    def record(self, path: str, entry: Entry) -> None:
        """Note a verified file; it is on disk soon, at the latest with `try_to_save`."""
        self.entries[path] = entry
        self._changed = True
        if time.monotonic() - self._saved_at >= self._interval_s:
            self.try_to_save()

    def forget(self, path: str) -> None:
        """A file is not, or not any more, what the manifest says."""
        self._changed = self.entries.pop(path, None) is not None or self._changed

    def try_to_save(self) -> bool:
        """Write the manifest, atomically, if it has changed; False leaves the old one as it was."""
        if self._folder is None or not self._changed:
            return True
        started = time.monotonic()
        content = self._document().encode()
        try:
            self._folder.write(NAME, content)
            self._changed = False
        except (OSError, UnsafePathError):
            pass  # The disk is full, say. There will be another occasion, and a last one.
        self._saved_at = time.monotonic()
        self._interval_s = max(SHORTEST_INTERVAL_S, WRITING_SHARE * (self._saved_at - started))
        return not self._changed

    def _document(self) -> str:
        """A line for each file: the encoder that can indent is too slow for tens of thousands."""
        head = {"format": FORMAT, "dataset": self._dataset, "source": self._source}
        files = ",\n".join(
            f"{json.dumps(path)}: {json.dumps(vars(self.entries[path]))}"
            for path in sorted(self.entries)
        )
        return f'{json.dumps(head)[:-1]},\n"files": {{\n{files}\n}}}}\n'

    def _read(self) -> Any:
        if self._folder is None:
            return None
        try:
            return json.loads(self._folder.read(NAME))
        except (FileNotFoundError, ValueError, RecursionError):
            return None  # Files without an entry are read and compared with the server's ETags.
        except UnsafePathError as error:
            raise InputError(f"--dest {self._folder.path}: {error}") from error
        except OSError as error:
            raise InputError(
                f"{self._folder.path / NAME}: {error.strerror}; make it readable or remove it"
            ) from error


def _entry(fields: Any) -> Entry | None:
    try:
        entry = Entry(**fields)
    except TypeError:
        return None
    texts = (entry.key, entry.etag, entry.sha256, entry.checked_by)
    numbers = (entry.size, entry.mtime_ns)
    sound = all(isinstance(text, str) for text in texts) and all(
        isinstance(number, int) for number in numbers
    )
    return entry if sound else None
