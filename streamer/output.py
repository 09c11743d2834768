"""Safe output files: an output never overwrites an input, is never emptied without need, and errors name the file.

A format that must be complete is written beside its target and renamed at the end (`replacing`). A format that is valid
while it grows, because others follow it, is opened at the first output, after the input was found valid;
`check_outputs` checks before all work whether writing is possible.
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
    """Refuse outputs that cannot be written, before anything is done.

    outputs: the user's name for each (`--rttm`) -> its path. inputs: all files that are read: recordings, model, store,
    lists. Raises ConfigurationError for an output that is also an input, by whatever name or link, or another output;
    OSError, with the path, for a directory, for one in a missing folder, and for one that may not be written.
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
    """Whether two paths are the same regular file: through links, in file systems that ignore case, or, if it does not
    exist yet, by its location. Devices and pipes do not count."""
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
    """Add the path to system errors inside the context: "No space left on device" alone does not name the file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextmanager
def replacing(path: PathLike, *, private: bool = False) -> Iterator[Path]:
    """The path to write to, in the folder of `path`; it replaces `path` at the end.

    On a failure, `path` stays unchanged, and nothing is left over. A file that is not a regular one
    (a pipe, /dev/stdout) is written directly. Its permissions stay the same, unless `private`: then
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
            if not private:  # the new file is readable for its owner only
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
