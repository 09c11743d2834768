"""The tables of the speaker store."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

#: Raised whenever an older version could not read, or would harm, what this one writes.
SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "streamer_meta",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("value", Integer, nullable=False),
)

speakers = Table(
    "streamer_speakers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("created", Float(53), nullable=False),
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
