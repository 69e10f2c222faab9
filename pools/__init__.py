"""Decisions about upstream connections: pure cores, events in and actions out; no sockets, no clock."""
