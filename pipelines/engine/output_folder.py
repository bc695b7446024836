"""The folder that a stage writes to: whether it may be, and how it is emptied."""

import os
from pathlib import Path

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lease import LEASE


def checked_folder(folder: str) -> str:
    """Refuses a folder that contains other files, is a link or holds one; gives it back.

    A user's files are never mixed with ours, or removed; and what is written here is written nowhere else.
    """
    names = storage.list_names(folder)
    if names and state.STATE not in names and state.MANIFEST not in names:
        raise UserError("this folder contains other files", where=folder, hint="use a new folder for the output")
    if not storage.is_url(folder):
        _refuse_links(folder)
        for parent in Path(storage.absolute(folder)).parents:
            if (parent / state.STATE).is_dir() or (parent / state.MANIFEST).exists():
                what = f"this folder lies in the output of another stage, {parent}"
                raise UserError(what, where=folder, hint="use a folder next to it")
    return folder


def clear_folder(folder: str) -> None:
    """Empties a folder of ours: manifest, then markers, then outputs, and the plan last.

    Killed in between, what is left is an unfinished stage of the old plan, never markers without their outputs.
    """
    storage.remove(storage.join(folder, state.MANIFEST))
    for name in storage.list_names(storage.join(folder, state.STATE)):
        if name not in ("driver.lock", LEASE, "plan.json"):
            storage.remove(storage.join(folder, state.STATE, name))
    for name in storage.list_names(folder):
        if name != state.STATE:
            storage.remove(storage.join(folder, name))
    storage.remove(storage.join(folder, state.STATE, "plan.json"))


def _refuse_links(folder: str) -> None:
    """Raises UserError for a local folder that is a link, or has one anywhere in it.

    Files of ours are opened by their names below the folder; a link among these would lead to somebody else's. (What
    leads to the folder is the user's own way of naming it.)
    """
    if os.path.islink(folder.rstrip("/")):  # noqa: PTH114
        what, hint = f"the output is a link, to {os.path.realpath(folder)}", "name the folder that is meant"
        raise UserError(what, where=folder, hint=hint)
    pending = [folder] if os.path.isdir(folder) else []  # noqa: PTH112
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise UserError("a link in the output folder", where=entry.path, hint="remove it")
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
