"""Authorisation: bearer tokens, hashed at rest, each with its scopes.

A token file has one token a line: a name for the logs, the scopes, and the SHA-256 of the token.

    # made by: streamer serve --new-token kitchen --scopes stream,enroll
    kitchen  stream,enroll  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

Tokens are 32 random bytes, so a fast hash is as safe as a slow one: no dictionary contains them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import ConfigurationError
from streamer.protocol import BEARER_PREFIX
from streamer.server.secret import read_file

SCOPES = ("stream", "enroll", "admin", "watch")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Access:
    """A client's access: a name for the logs, and its scopes."""

    name: str
    scopes: frozenset[str]


EVERYBODY = Access("local", frozenset(SCOPES))


@dataclass(frozen=True, slots=True)
class _Entry:
    access: Access
    digest: bytes


class Tokens:
    """The tokens of a file.

    `load` raises ConfigurationError if the file can't be read or a line is invalid.
    """

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def scopes(self) -> frozenset[str]:
        """What at least one of them may do."""
        return frozenset().union(*(entry.access.scopes for entry in self._entries))

    @classmethod
    def load(cls, path: Path) -> Tokens:
        entries = [
            _parse(line, f"{path}:{number}")
            for number, line in enumerate(read_file("token_file", path).splitlines(), start=1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
        if not entries:
            raise ConfigurationError(
                f"token_file: {path} has no token, so nobody could connect; make one: streamer serve --new-token NAME."
            )
        return cls(entries)

    def find(self, token: str | None) -> Access | None:
        """The access of a token, or None. Every entry is compared, in constant time each."""
        if not token:
            return None
        # Bytes of a header that are not text become surrogates; no token contains them.
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        found = None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.access
        return found


def new_token(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A new token, which must be shown once, and its line for the token file.

    Raises ConfigurationError for a name or a scope that the file can't hold.
    """
    wanted = list(scopes)
    token = secrets.token_urlsafe(32)
    line = f"{name}  {','.join(wanted)}  sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    _parse(line, "--new-token")
    return token, line


def presented(authorization: str | None, subprotocols: Iterable[str]) -> str | None:
    """The token of a connection: from the header, or from a subprotocol."""
    if authorization is not None:
        kind, _, token = authorization.partition(" ")
        return token.strip() if kind.lower() == "bearer" else None
    for subprotocol in subprotocols:
        if subprotocol.startswith(BEARER_PREFIX):
            return subprotocol.removeprefix(BEARER_PREFIX)
    return None


def _parse(line: str, where: str) -> _Entry:
    parts = line.split()
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]) or not _HASH.fullmatch(parts[2]):
        raise ConfigurationError(f"{where}: a line is `name scopes sha256:<64 hex digits>`; this one is not.")
    scopes = frozenset(parts[1].split(","))
    if unknown := scopes - set(SCOPES):
        raise ConfigurationError(
            f"{where}: {', '.join(sorted(map(repr, unknown)))} is not a scope; use {', '.join(SCOPES)}."
        )
    digest = bytes.fromhex(parts[2].removeprefix("sha256:"))
    return _Entry(Access(parts[0], scopes), digest)
