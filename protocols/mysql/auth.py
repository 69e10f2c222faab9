"""How passwords are proved: pure functions for both sides, and what the gateway keeps of its clients' passwords.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods.html
https://mariadb.com/kb/en/authentication-plugin-ed25519/
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
from typing import Any, Final, final

from protocols.errors import LoginError

# Authentication plugins.
NATIVE: Final = "mysql_native_password"
SHA2: Final = "caching_sha2_password"
ED25519: Final = "client_ed25519"
CLEAR: Final = "mysql_clear_password"

NONCE: Final = 20  # bytes
# What caching_sha2_password says.
REQUEST_PUBLIC_KEY: Final = b"\x02"
FAST_AUTH_SUCCESS: Final = b"\x03"
PERFORM_FULL_AUTHENTICATION: Final = b"\x04"

_SHA1: Final = 20
_SHA256: Final = 32
_RSA_BITS: Final = 2048


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# The gateway as a server


@final
class Account:
    """A client's name, and what checks its password: hashes of hashes. b"": nothing checks it by that plugin."""

    __slots__ = ("empty", "native", "sha2", "user")

    def __init__(self, user: str, native: bytes, sha2: bytes, *, empty: bool = False) -> None:
        self.user: Final = user
        self.native: Final = native  # SHA1(SHA1(password))
        self.sha2: Final = sha2  # SHA256(SHA256(password))
        self.empty: Final = empty  # it has no password

    @staticmethod
    def of_password(user: str, password: str, *, allow_empty: bool = False) -> Account:
        """An account with this password.

        Raises:
            ValueError: the password is empty, and that is not allowed.
        """
        if not password:
            if not allow_empty:
                raise ValueError("the password is empty")
            return Account(user, b"", b"", empty=True)
        secret = password.encode()
        return Account(user, _sha1(_sha1(secret)), _sha256(_sha256(secret)))

    @staticmethod
    def of_hash(user: str, text: str) -> Account:
        """An account of which only a hash is known.

        That is "*" and 40 hex digits, as ``mysql.user`` has it for mysql_native_password, or 64 hex digits,
        SHA256(SHA256(password)).

        Raises:
            ValueError: it is neither.
        """
        digits = text.removeprefix("*")
        size = _SHA1 if text.startswith("*") else _SHA256
        if len(digits) != 2 * size or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise ValueError('a hash of a password is "*" and 40 hex digits, or 64 hex digits')
        known = bytes.fromhex(digits)
        return Account(user, known, b"") if size == _SHA1 else Account(user, b"", known)


def decoy(user: str, accounts: dict[str, Account]) -> Account:
    """What an unknown user is checked against: no password fits, and it is asked as if it existed.

    Which hashes an account has shows in what its client is asked. So a decoy is of a kind that is in use, and, by the
    salt that ``hash`` has in every process, always of the same kind for one name.
    """
    kinds = sorted({(bool(one.native or one.empty), bool(one.sha2 or one.empty)) for one in accounts.values()})
    native, sha2 = kinds[hash(user) % len(kinds)] if kinds else (True, True)
    return Account(user, bytes(_SHA1) if native else b"", bytes(_SHA256) if sha2 else b"")


def verify_native(account: Account, nonce: bytes, response: bytes) -> bool:
    """SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password))): is it of this account's password?"""
    if account.empty:
        return not response
    if len(response) != _SHA1 or not account.native:
        return False
    return hmac.compare_digest(_sha1(_xor(response, _sha1(nonce + account.native))), account.native)


def verify_sha2(account: Account, nonce: bytes, response: bytes) -> bool:
    """SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce): is it of this account's password?"""
    if account.empty:
        return not response
    if len(response) != _SHA256 or not account.sha2:
        return False
    return hmac.compare_digest(_sha256(_xor(response, _sha256(account.sha2 + nonce))), account.sha2)


def verify_clear(account: Account, password: bytes) -> bool:
    """Is it this account's password?"""
    if account.empty or not password:
        return account.empty and not password
    if account.sha2:
        return hmac.compare_digest(_sha256(_sha256(password)), account.sha2)
    return hmac.compare_digest(_sha1(_sha1(password)), account.native)


@final
class RsaKey:
    """The key that clients encrypt their password with where the line is not private. Made when first needed."""

    def __init__(self) -> None:
        self._key: Any = None
        self._pem: bytes = b""

    @staticmethod
    def available() -> bool:
        """The package that it takes is installed."""
        return importlib.util.find_spec("cryptography") is not None

    def _generate(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._key = rsa.generate_private_key(65537, _RSA_BITS)  # takes a tenth of a second, once
        pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        self._pem = self._key.public_key().public_bytes(pem, info)

    def pem(self) -> bytes:
        """The public key."""
        if self._key is None:
            self._generate()
        return self._pem

    def decrypt(self, encrypted: bytes, nonce: bytes) -> bytes | None:
        """The password; None: it was not encrypted with our key."""
        if self._key is None:
            return None
        try:
            masked: bytes = self._key.decrypt(encrypted, _oaep())
        except ValueError:
            return None
        return _mask(masked, nonce).removesuffix(b"\0")


def _oaep() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)


def _mask(text: bytes, nonce: bytes) -> bytes:
    return _xor(text, (nonce * (len(text) // len(nonce) + 1))[: len(text)])


# The gateway as a client


def scramble_native(password: bytes, nonce: bytes) -> bytes:
    """The response of mysql_native_password."""
    if not password:
        return b""
    stage1 = _sha1(password)
    return _xor(stage1, _sha1(nonce + _sha1(stage1)))


def scramble_sha2(password: bytes, nonce: bytes) -> bytes:
    """The response of caching_sha2_password."""
    if not password:
        return b""
    stage1 = _sha256(password)
    return _xor(stage1, _sha256(_sha256(stage1) + nonce))


def sign_ed25519(password: bytes, nonce: bytes) -> bytes:
    """The response of MariaDB's client_ed25519: a signature whose key is the password, of any length (RFC 8032, 5.1.6).

    Raises:
        LoginError: the package that computes it is not installed.
    """
    try:
        from nacl import bindings
    except ImportError as error:
        raise LoginError(f"{ED25519} needs the Python package PyNaCl") from error
    digest = hashlib.sha512(password).digest()
    scalar = bytes([digest[0] & 248]) + digest[1:31] + bytes([digest[31] & 127 | 64])
    secret = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(digest[32:] + nonce).digest())
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(secret)
    public = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    challenge = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public + nonce).digest())
    proof = bindings.crypto_core_ed25519_scalar_mul(challenge, scalar)
    return point + bindings.crypto_core_ed25519_scalar_add(proof, secret)


def encrypt_password(password: bytes, nonce: bytes, pem: bytes) -> bytes:
    """The password for caching_sha2_password's full authentication on a line that others can read.

    Raises:
        LoginError: the package that computes it is not installed, or this is no key that can be used.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as missing:
        raise LoginError(f"{SHA2} without TLS needs the Python package cryptography") from missing
    try:
        key = load_pem_public_key(pem)
        if not isinstance(key, RSAPublicKey):
            raise LoginError("the upstream's public key is not of RSA")
        return key.encrypt(_mask(password + b"\0", nonce), _oaep())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LoginError("the upstream's public key cannot be used, or the password is too long for it") from error
