"""Fixtures of the client's tests; see tests/server/support/serving.py."""

from serving import server, serving

__all__ = ["server", "serving"]
