"""Fixtures of the server's tests; see support/serving.py."""

from serving import server, serving

__all__ = ["server", "serving"]
