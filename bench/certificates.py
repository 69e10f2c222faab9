"""A throwaway certificate for a server over TLS, made by openssl when it is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.process import BenchError

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def make(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key (ECDSA P-256: the cheapest handshake, which favours the direct peer)."""
    certificate, key = directory / "server.crt", directory / "server.key"
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    line += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost", "-addext", NAMES]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"openssl cannot make a certificate: {done.stderr[-300:]}")
    return certificate, key
