"""The data set's place in the bucket: its configured prefix, or another known one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudmask.errors import InputError
from cloudmask.fetch.bucket import Bucket
from cloudmask.fetch.retry import TransferError
from cloudmask.fetch.selection import LAYOUT, ListedObject, join_folders, top_folders
from cloudmask.scenes.layout import SUBSET_FOLDERS

OLDER_LAYOUT = {folder for folders in SUBSET_FOLDERS.values() for folder in folders[1:]}


def list_data_set(
    bucket: Bucket, prefix: str, known_prefixes: Sequence[str], say: Callable[[str], None]
) -> tuple[str, Sequence[ListedObject]]:
    """The prefix that holds the data set, and all objects below it.

    An empty prefix is replaced by another known one if that has the documented layout
    (training/, inference/); `say` gets a line about it.

    Raises:
        InputError: there are no objects, or only in another layout; or the bucket cannot be listed.
    """
    objects = _list(bucket, prefix)
    if objects:
        return prefix, objects
    others = [known for known in known_prefixes if known != prefix]
    other_layouts: list[str] = []
    for other in others:
        objects = _list(bucket, other)
        folders = top_folders(objects, other)
        if folders & LAYOUT and not folders & OLDER_LAYOUT:
            say(f"{prefix}/ is empty; taking {other}/, which holds {join_folders(folders)}")
            return other, objects
        if objects:
            other_layouts.append(f"{other}/ holds {join_folders(folders)}")
    place = f"bucket {bucket.name} at {bucket.endpoint}"
    if other_layouts:
        raise InputError(
            f"{prefix}/ is empty in {place}; {'; '.join(other_layouts)}: a layout other than "
            f"{join_folders(LAYOUT)} is taken only if named with --prefix"
        )
    tried = f", and so is {', '.join(f'{other}/' for other in others)}" if others else ""
    raise InputError(f"{prefix}/ is empty in {place}{tried}; give the right --prefix")


def _list(bucket: Bucket, prefix: str) -> Sequence[ListedObject]:
    try:
        return list(bucket.list_objects(prefix))
    except TransferError as error:
        raise InputError(
            f"{prefix}/ in bucket {bucket.name} at {bucket.endpoint} cannot be listed: {error}; "
            "check --endpoint, --bucket, --prefix and the network"
        ) from error
