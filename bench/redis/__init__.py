"""The benchmark before a Redis."""
