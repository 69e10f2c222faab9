"""Proofs of passwords: both sides against each other and against PyMySQL's, and what must not be proof of anything."""

from __future__ import annotations

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql import _auth as oracle

from protocols.errors import LoginError
from protocols.mysql.auth import (
    Account,
    RsaKey,
    decoy,
    encrypt_password,
    scramble_native,
    scramble_sha2,
    sign_ed25519,
    verify_clear,
    verify_native,
    verify_sha2,
)

NONCE = b"abcdefghijklmnopqrst"
APP = Account.of_password("app", "s3cret")
# mysql.user of a MariaDB whose user has this password
NATIVE_HASH = "*B865CAE8F340F6CE1485A06F4492BB49718DF1EC"
SHA2_HASH = hashlib.sha256(hashlib.sha256(b"s3cret").digest()).hexdigest()

passwords = st.text(min_size=1, max_size=80).map(str.encode)
nonces = st.binary(min_size=20, max_size=20)


@pytest.fixture(scope="module")
def key() -> RsaKey:
    return RsaKey()


@given(passwords, nonces)
def test_scrambles_are_pymysqls(password: bytes, nonce: bytes) -> None:
    assert scramble_native(password, nonce) == oracle.scramble_native_password(password, nonce)
    assert scramble_sha2(password, nonce) == oracle.scramble_caching_sha2(password, nonce)


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_signatures_are_pymysqls(password: bytes, nonce: bytes) -> None:
    assert sign_ed25519(password, nonce) == oracle.ed25519_password(password, nonce)


def test_a_signature_that_mariadb_took() -> None:
    nonce = bytes.fromhex("210d5dcb7123a1d46f0ca96a85fd8334af0e735eaf01852532fa9da20b7c3217")
    assert sign_ed25519(b"edpw", nonce) == bytes.fromhex(
        "d4a6b42db7757c098ea207e5612509fc7bbcf1cd485b2532aaa71c97b15dea43"
        "31726abf1c202e9a741fc135369318bc04c7c53fbbb10ed42880c9feed35270b"
    )


def test_no_password_proves_itself_by_nothing() -> None:
    assert scramble_native(b"", NONCE) == scramble_sha2(b"", NONCE) == b""


@given(passwords, nonces)
def test_a_proof_is_good_for_its_password_and_nonce_alone(password: bytes, nonce: bytes) -> None:
    account = Account.of_password("app", password.decode())
    native, sha2 = scramble_native(password, nonce), scramble_sha2(password, nonce)
    assert verify_native(account, nonce, native)
    assert verify_sha2(account, nonce, sha2)
    assert verify_clear(account, password)
    for other in (bytes([nonce[0] ^ 1]) + nonce[1:], nonce[:-1]):
        assert not verify_native(account, other, native)
        assert not verify_sha2(account, other, sha2)
    assert not verify_native(account, nonce, scramble_native(password + b"x", nonce))
    assert not verify_sha2(account, nonce, scramble_sha2(password + b"x", nonce))
    assert not verify_clear(account, password + b"x")


@given(st.binary(max_size=64))
def test_nothing_else_is_a_proof(response: bytes) -> None:
    assert not verify_native(APP, NONCE, response)
    assert not verify_sha2(APP, NONCE, response)
    assert not verify_clear(APP, response)


@pytest.mark.parametrize("text", [NATIVE_HASH, NATIVE_HASH.lower(), SHA2_HASH, SHA2_HASH.upper()])
def test_a_hash_is_as_good_as_the_password(text: str) -> None:
    account = Account.of_hash("app", text)
    native = text.startswith("*")
    assert (account.native, account.sha2) == ((APP.native, b"") if native else (b"", APP.sha2))
    assert verify_native(account, NONCE, scramble_native(b"s3cret", NONCE)) is native
    assert verify_sha2(account, NONCE, scramble_sha2(b"s3cret", NONCE)) is not native
    assert verify_clear(account, b"s3cret")
    assert not verify_clear(account, b"s3crets")


@pytest.mark.parametrize(
    "text", ["", "*", NATIVE_HASH[1:], NATIVE_HASH[:-1], "*" + SHA2_HASH, SHA2_HASH[:-1] + "g", SHA2_HASH[:-2] + " 0"]
)
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="40 hex digits, or 64 hex digits"):
        Account.of_hash("app", text)


def test_an_empty_password_has_to_be_allowed() -> None:
    with pytest.raises(ValueError, match="empty"):
        Account.of_password("app", "")
    account = Account.of_password("app", "", allow_empty=True)
    for verify in (verify_native, verify_sha2):
        assert verify(account, NONCE, b"")
        assert not verify(account, NONCE, scramble_native(b"x", NONCE))
        assert not verify(account, NONCE, scramble_sha2(b"x", NONCE))
    assert verify_clear(account, b"")
    assert not verify_clear(account, b"x")


def test_no_secret_shows() -> None:
    for secret in (b"s3cret", APP.native, APP.sha2):
        assert repr(secret)[2:-1] not in repr(APP) + str(APP)


@pytest.mark.parametrize("known", [Account.of_hash("a", NATIVE_HASH), Account.of_hash("a", SHA2_HASH), APP])
def test_a_decoy_is_of_a_kind_in_use_and_opens_to_nobody(known: Account) -> None:
    for user in ("nobody", "nemo", "app"):
        one = decoy(user, {"a": known})
        assert (len(one.native), len(one.sha2), one.user) == (len(known.native), len(known.sha2), user)
        assert (one.native, one.sha2) != (known.native, known.sha2)
        for password in (b"", b"s3cret"):
            assert not verify_native(one, NONCE, scramble_native(password, NONCE))
            assert not verify_sha2(one, NONCE, scramble_sha2(password, NONCE))
            assert not verify_clear(one, password)


def test_decoys_are_of_all_kinds_and_one_name_keeps_its_kind() -> None:
    mixed = {"a": Account.of_hash("a", NATIVE_HASH), "b": Account.of_hash("b", SHA2_HASH)}
    kinds = [bool(decoy(f"user{i}", mixed).native) for i in range(64)]
    assert set(kinds) == {True, False}
    assert kinds == [bool(decoy(f"user{i}", mixed).native) for i in range(64)]
    alone = decoy("nobody", {})
    assert alone.native
    assert alone.sha2
    without = decoy("nobody", {"a": Account.of_password("a", "", allow_empty=True)})
    assert not without.empty
    assert without.native


# RSA


@pytest.mark.parametrize("password", [b"s3cret", b"", b"p" * 213, b"with\0nul", "großes Geheimnis".encode()])
def test_an_encrypted_password_comes_back(key: RsaKey, password: bytes) -> None:
    pem = key.pem()
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert pem == key.pem()
    assert key.decrypt(encrypt_password(password, NONCE, pem), NONCE) == password
    assert key.decrypt(oracle.sha2_rsa_encrypt(password, NONCE, pem), NONCE) == password


def test_another_nonce_is_another_password(key: RsaKey) -> None:
    assert key.decrypt(encrypt_password(b"s3cret", NONCE, key.pem()), NONCE[::-1]) != b"s3cret"


@pytest.mark.parametrize("data", [b"", b"\x02", bytes(256), b"x" * 255, b"x" * 4096])
def test_what_was_not_encrypted_with_our_key_is_nothing(key: RsaKey, data: bytes) -> None:
    key.pem()
    assert key.decrypt(data, NONCE) is None
    assert RsaKey().decrypt(data, NONCE) is None


def test_a_password_too_long_for_the_key(key: RsaKey) -> None:
    with pytest.raises(LoginError, match="too long for it") as refused:
        encrypt_password(b"p" * 214, NONCE, key.pem())
    assert "ppp" not in str(refused.value)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "cannot be used"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be used"),
        (
            b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
            b"-----END PUBLIC KEY-----\n",
            "not of RSA",
        ),
    ],
)
def test_what_is_no_key_of_rsa(pem: bytes, why: str) -> None:
    with pytest.raises(LoginError, match=why):
        encrypt_password(b"s3cret", NONCE, pem)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RsaKey.available()
    monkeypatch.setitem(sys.modules, "nacl", None)
    with pytest.raises(LoginError, match="client_ed25519 needs the Python package PyNaCl"):
        sign_ed25519(b"s3cret", bytes(32))
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(LoginError, match="caching_sha2_password without TLS needs the Python package cryptography"):
        encrypt_password(b"s3cret", NONCE, b"")
