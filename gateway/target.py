"""Where an endpoint is, in the form that connecting needs."""

from __future__ import annotations

import ssl
from typing import Final, final


@final
class Target:
    """Where an endpoint is: host and port, or the path of a unix socket; with TLS or without."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        tls: ssl.SSLContext | None,
        server_name: str,
        role: str = "primary",
        priority: int = 0,
    ) -> None:
        self.host: Final = host
        self.port: Final = port
        self.path: Final = path
        self.tls: Final = tls
        self.server_name: Final = server_name
        self.role: Final = role
        self.priority: Final = priority

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
