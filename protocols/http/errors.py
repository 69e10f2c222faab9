"""What breaks HTTP/2: the codes of RFC 9113, section 7, and the exceptions that carry them."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
SETTINGS_TIMEOUT: Final = 0x4
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB
INADEQUATE_SECURITY: Final = 0xC
HTTP_1_1_REQUIRED: Final = 0xD

# Labels: what metrics count refusals by. The attacks that have a name have one here.
MALFORMED: Final = "malformed"  # a message that breaks RFC 9113, section 8
FRAMING: Final = "framing"  # frames that are no HTTP/2, or in the wrong place
COMPRESSION: Final = "compression"  # a header block that is no HPACK
HEADER_LIST: Final = "header_list"  # more fields, or more bytes of them, than allowed; the HPACK bomb
CONTINUATION_FLOOD: Final = "continuation_flood"
RAPID_RESET: Final = "rapid_reset"  # CVE-2023-44487, and CVE-2025-8671 where the peer provokes our resets
CONTROL_FLOOD: Final = "control_flood"  # PING, SETTINGS, PRIORITY, WINDOW_UPDATE or empty DATA without end
WINDOW: Final = "window"  # flow control broken: a window overflown, or more data than it allows
STREAM_LIMIT: Final = "stream_limit"  # more concurrent streams than allowed
CONTENT_LENGTH: Final = "content_length"  # says something else than the body's size
PEER: Final = "peer"  # the peer itself reset the stream, or went away
LOCAL: Final = "local"  # this side did
LABELS: Final = (
    MALFORMED, FRAMING, COMPRESSION, HEADER_LIST, CONTINUATION_FLOOD, RAPID_RESET, CONTROL_FLOOD, WINDOW, STREAM_LIMIT,
    CONTENT_LENGTH, PEER, LOCAL,
)  # fmt: skip


class Http2Error(ProtocolError):
    """The peer broke HTTP/2: ``code`` is what it is told, ``label`` what is counted, the text what is logged."""

    def __init__(self, code: int, label: str, text: str) -> None:
        super().__init__(text)
        self.code: Final[int] = code
        self.label: Final[str] = label


@final
class Http2ConnectionError(Http2Error):
    """The connection is over (RFC 9113, section 5.4.1)."""


@final
class Http2StreamError(Http2Error):
    """One stream is over (RFC 9113, section 5.4.2); the connection goes on."""

    def __init__(self, stream_id: i64, code: int, label: str, text: str) -> None:
        super().__init__(code, label, text)
        self.stream_id: Final[int] = int(stream_id)


@final
class HpackError(ProtocolError):
    """These bytes are no header block, or ask for more than was agreed (RFC 7541). It ends the connection."""
