"""The tables of the speaker store, and the upgrade of older schemas."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    inspect,
    select,
    text,
    update,
)

from streamer.speakers.names import NAME_LENGTH, name_key

#: Increased when older versions could no longer read, or would damage, what this version writes.
SCHEMA_VERSION = 2

#: A server may keep its sessions in the same database, in this table: see `streamer.server.keeping`.
SESSIONS = "streamer_sessions"

#: How many changes back removed speakers are recorded. A follower from further back reads everything again.
REMEMBERED = 10_000

metadata = MetaData()

#: schema_version; changes: incremented by every change of the profiles; erasure: the last change whose deleted data may
#: still be in the database's files, 0 for none.
meta = Table(
    "streamer_meta",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("value", Integer, nullable=False),
)

#: folded: `name_key` of the name. revision: the change that last touched the speaker or their exemplars.
speakers = Table(
    "streamer_speakers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("created", Float(53), nullable=False),
    Column("folded", String(3 * NAME_LENGTH), nullable=False, server_default=""),
    Column("revision", Integer, nullable=False, server_default="0"),
    Index("streamer_speakers_folded", "folded"),
    Index("streamer_speakers_revision", "revision"),
)

#: Removed speakers, by id only, for those who follow the changes.
removed = Table(
    "streamer_removed",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Index("streamer_removed_revision", "revision"),
)

#: embedding: float32, little-endian. created: Unix time.
exemplars = Table(
    "streamer_exemplars",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("speaker", ForeignKey("streamer_speakers.id", ondelete="CASCADE"), nullable=False),
    Column("fingerprint", String(16), nullable=False),
    Column("embedding", LargeBinary, nullable=False),
    Column("speech_s", Float, nullable=False),
    Column("quality", Float, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("source", String, nullable=False),
    Index("streamer_exemplars_speaker", "speaker", "fingerprint"),
)

guests = Table(
    "streamer_guests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stream", String(64), nullable=False),
    Column("label", String(32), nullable=False),
    Column("fingerprint", String(16), nullable=False),
    Column("embedding", LargeBinary, nullable=False),
    Column("speech_s", Float, nullable=False),
    Column("quality", Float, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("source", String, nullable=False),
    UniqueConstraint("stream", "label"),
)


def upgrade(connection: Connection, version: int) -> None:
    """Upgrade a store of an older schema to `SCHEMA_VERSION`, within the caller's transaction."""
    if version < 2:
        there = {column["name"] for column in inspect(connection).get_columns(speakers.name)}
        for column in (speakers.c.folded, speakers.c.revision):
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                default = column.server_default.arg  # type: ignore[union-attr]
                sql = f"ALTER TABLE {speakers.name} ADD COLUMN {column.name} {kind} NOT NULL DEFAULT '{default}'"
                connection.execute(text(sql))
        rows = [{"of": row.id, "key": name_key(row.name)} for row in connection.execute(select(speakers))]
        if rows:
            filled = update(speakers).where(speakers.c.id == bindparam("of")).values(folded=bindparam("key"))
            connection.execute(filled, rows)
        for index in speakers.indexes:
            index.create(connection, checkfirst=True)
        connection.execute(update(meta).where(meta.c.key == "schema_version").values(value=SCHEMA_VERSION))
