"""Finding the data set in the bucket: under its configured prefix, or saying where else it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudmask.errors import InputError
from cloudmask.fetch.bucket import Source
from cloudmask.fetch.retry import TransferError
from cloudmask.fetch.selection import Selection
from cloudmask.scenes.layout import SUBSET_FOLDERS

# The documented layout; other names of the same subsets belong to older copies.
LAYOUT = {folders[0] for folders in SUBSET_FOLDERS.values()}
OLDER_LAYOUT = {folder for folders in SUBSET_FOLDERS.values() for folder in folders[1:]}

Objects = Sequence[tuple[str, int, str]]


def find_scenes(
    source: Source,
    prefix: str,
    known_prefixes: Sequence[str],
    pick: Callable[[Objects, str], Selection],
    say: Callable[[str], None],
) -> tuple[str, Selection]:
    """The prefix that holds the data set, and what `pick` selects from the objects below it.

    An empty prefix is replaced by another known one if that has the documented layout
    (training/, inference/), and `say` is told so.

    Raises:
        InputError: nothing is found, or only a copy in another layout; or the bucket cannot be
            listed; or none of what is there was asked for; or a subset is there twice.
    """
    objects = _list(source, prefix)
    if not objects:
        prefix, objects = _elsewhere(source, prefix, known_prefixes, pick, say)
    selection = pick(objects, prefix)
    if not selection.scenes and not selection.refused:
        raise InputError(
            f"{prefix}/ holds {len(objects)} objects in {_named(selection.folders)}, but none "
            f"that was asked for; check --subset and --include, or give a --prefix with scenes in "
            f"{_named(LAYOUT)}"
        )
    _refuse_doubles(selection, prefix)
    return prefix, selection


def _elsewhere(
    source: Source,
    empty: str,
    known_prefixes: Sequence[str],
    pick: Callable[[Objects, str], Selection],
    say: Callable[[str], None],
) -> tuple[str, Objects]:
    others = [prefix for prefix in known_prefixes if prefix != empty]
    odd: list[str] = []
    for prefix in others:
        objects = _list(source, prefix)
        folders = pick(objects, prefix).folders
        if folders & LAYOUT and not folders & OLDER_LAYOUT:
            say(f"{empty}/ is empty; taking {prefix}/, which holds {_named(folders)}")
            return prefix, objects
        if objects:
            odd.append(f"{prefix}/ holds {_named(folders)}")
    place = f"bucket {source.bucket} at {source.endpoint}"
    if odd:
        raise InputError(
            f"{empty}/ is empty in {place}; {'; '.join(odd)}: a layout other than "
            f"{_named(LAYOUT)} is taken only if named with --prefix"
        )
    tried = f", and so is {', '.join(f'{prefix}/' for prefix in others)}" if others else ""
    raise InputError(f"{empty}/ is empty in {place}{tried}; give the right --prefix")


def _list(source: Source, prefix: str) -> Objects:
    try:
        return list(source.objects(prefix))
    except TransferError as error:
        raise InputError(
            f"{prefix}/ in bucket {source.bucket} at {source.endpoint} cannot be listed: {error}; "
            "check --endpoint, --bucket, --prefix and the network"
        ) from error


def _refuse_doubles(selection: Selection, prefix: str) -> None:
    """A subset under both of its names would be trained on twice."""
    taken = {scene.path.partition("/")[0] for scene in selection.scenes}
    for subset, folders in SUBSET_FOLDERS.items():
        if taken.issuperset(folders):
            raise InputError(
                f"{prefix}/ holds {subset} scenes in both {_named(folders)}; "
                f"choose with --include '{folders[0]}/*'"
            )


def _named(folders: Sequence[str] | set[str]) -> str:
    return ", ".join(f"{folder}/" for folder in sorted(folders)) or "no folder"
