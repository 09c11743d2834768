"""Files that are written: never one that is read, never emptied for nothing, and named where they cannot be written.

A format that is a whole file is written beside it and put in its place at the end (`replacing`). One that is valid
while it is written, because others follow it, is opened when there is something to write in it, which is after what is
read was found good; `check_outputs` says before all work whether that could go well.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from streamer.errors import ConfigurationError

PathLike = str | os.PathLike[str]


def check_outputs(outputs: Mapping[str, PathLike | None], inputs: Iterable[PathLike | None] = ()) -> None:
    """Refuse what cannot be written, before anything is done.

    outputs: what the user calls each (`--rttm`) -> its path. inputs: all that is read: recordings, model, store, lists.
    Raises ConfigurationError for an output that is an input, by whatever name or link, or that another output is too;
    OSError, with the path, for a directory, for one whose folder is not there, and for one that may not be written.
    """
    read = [path for path in inputs if path is not None]
    taken: dict[str, PathLike] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        for other in read:
            if same_file(path, other):
                raise ConfigurationError(
                    f"{option} {os.fspath(path)!r} is {os.fspath(other)!r}, which is read; give another name."
                )
        for named_before, other in taken.items():
            if same_file(path, other):
                raise ConfigurationError(
                    f"{option} {os.fspath(path)!r} and {named_before} {os.fspath(other)!r} are one file; "
                    "give two names."
                )
        check_writable(path)
        taken[option] = path


def same_file(one: PathLike, other: PathLike) -> bool:
    """Whether two paths are one file that holds something: by links, by upper and lower case where that is the same,
    or, where it is not there yet, by where it would be. Devices and pipes hold nothing."""
    try:
        if os.path.exists(one) and not os.path.isfile(one):
            return False
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def check_writable(path: PathLike) -> None:
    """Raise OSError, with the path in it, unless a file can be written there. Nothing is changed."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory; give the name of a file in it", os.fspath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no directory {str(target.parent)!r}", os.fspath(path))
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "no permission to write", os.fspath(path))


@contextmanager
def named(path: PathLike) -> Iterator[None]:
    """Errors of the system within say which file they are about: "No space left on device" does not by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextmanager
def replacing(path: PathLike, *, private: bool = False) -> Iterator[Path]:
    """The path to write to, in the folder of `path`, whose place it takes at the end.

    Where that fails, or what is done within does, `path` is as it was, and nothing is left over. What is no ordinary
    file (a pipe, /dev/stdout) is written to itself. Its permissions stay what they were, unless `private`: then
    nobody else may read it, not even while it is written. A link stays a link.
    """
    target = Path(os.path.realpath(path))
    with named(path):
        if target.exists() and not target.is_file():
            yield target
            return
        check_writable(path)
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".new", dir=target.parent)
        os.close(handle)
        new = Path(name)
        try:
            yield new
            if not private:  # as it was made, it is the user's alone
                new.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask())
            new.replace(target)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
