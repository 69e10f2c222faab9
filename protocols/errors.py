"""The one root of what codecs raise."""

from __future__ import annotations


class PeerError(Exception):
    """A peer did not play its part. Its connection is over."""


class ProtocolError(PeerError):
    """The peer broke the protocol; the text says how, in the protocol's own words."""


class LoginError(PeerError):
    """The upstream refused the gateway; the text says why, without secrets."""


class TagError(LoginError):
    """The upstream took the gateway in, but refused the state that this connection was to have."""
