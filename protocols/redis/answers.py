"""What the gateway answers itself: commands that concern the client's own connection.

On a shared connection they would hit other clients, or mean nothing; see the table of hazards in
docs/architecture.md. Error texts are Redis' own, since clients compare them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.redis.login import Tag
from protocols.redis.scan import number
from protocols.redis.state import REPLY_OFF, REPLY_ON, REPLY_SKIP_NEXT, ClientState
from protocols.redis.values import OK, array, bulk, error, mapping, null

WRONGPASS: Final = error("WRONGPASS invalid username-password pair or user is disabled.")
NO_PASSWORD_SET: Final = error(
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)
SYNTAX: Final = error("ERR syntax error")
NOT_INTEGER: Final = error("ERR value is not an integer or out of range")

Answer = Callable[[ClientState, list[bytes], float], bytes]


def select(client: ClientState, args: list[bytes], now: float) -> bytes:
    """SELECT of a database that the upstream is known to have."""
    client.tag = Tag(int(args[1]), client.resp)
    return OK


def _integer(text: bytes) -> int:
    """A number as Redis reads it; -2: it is none, or a negative one."""
    return number(text, 0, len(text))


def auth(client: ClientState, args: list[bytes], now: float) -> bytes:
    """AUTH [user] password, against the users of the configuration."""
    if len(args) > 3:
        return SYNTAX
    if client.shared.users is None and len(args) == 2:
        return NO_PASSWORD_SET
    user = client.shared.authenticate(args[1] if len(args) == 3 else b"default", args[-1])
    if user is None:
        return WRONGPASS
    client.user = user
    return OK


def hello(client: ClientState, args: list[bytes], now: float) -> bytes:
    """HELLO [version [AUTH user password] [SETNAME name]]: the identity of the upstream, the id of the session."""
    version = client.resp
    if len(args) > 1:
        version = _integer(args[1])
        if version == -2:
            return error("ERR Protocol version is not an integer or out of range")
        if version not in (2, 3) or (version == 3 and not client.shared.knows_hello):
            return error("NOPROTO unsupported protocol version")
    user, name, i = client.user, client.name, 2
    while i < len(args):
        option = args[i].upper()
        if option == b"AUTH" and i + 2 < len(args):
            found = client.shared.authenticate(args[i + 1], args[i + 2])
            if found is None:
                return WRONGPASS
            user, i = found, i + 3
        elif option == b"SETNAME" and i + 1 < len(args):
            if not _printable(args[i + 1]):
                return BAD_NAME
            name, i = args[i + 1], i + 2
        else:
            return error(f"ERR Syntax error in HELLO option '{args[i].decode('utf-8', 'replace')}'")
    if client.shared.users is not None and not user:
        return error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
            "<user> <pass> option can be used to authenticate the client and select the RESP protocol version at "
            "the same time"
        )
    if version != client.resp and client.pin is not None and client.errand != "HELLO":
        return error(f"ERR poolgate: {client.shared.service}: HELLO cannot change the protocol during {client.pin}")
    client.user, client.name = user, name
    if version != client.resp:
        client.tag = Tag(client.db, version)
    return _greeting(client)


def _greeting(client: ClientState) -> bytes:
    facts = client.shared.facts
    texts = {"server": b"redis", "version": b"7.0.0", "mode": b"standalone", "role": b"master"}
    for key in texts:
        value = facts.get(key)
        if isinstance(value, bytes):
            texts[key] = value
    pairs = [(bulk(key.encode()), bulk(value)) for key, value in texts.items()]
    pairs.insert(2, (bulk(b"proto"), b":%d\r\n" % client.resp))
    pairs.insert(3, (bulk(b"id"), b":%d\r\n" % client.id))
    modules = facts.get("modules")
    listed = [_module(client.resp, m) for m in modules if isinstance(m, list)] if isinstance(modules, list) else []
    return mapping(client.resp, [*pairs, (bulk(b"modules"), array(listed))])


def _module(resp: int, flat: list[object]) -> bytes:
    pairs = []
    for key, value in zip(flat[::2], flat[1::2], strict=False):
        if isinstance(key, bytes) and isinstance(value, bytes):
            pairs.append((bulk(key), bulk(value)))
        elif isinstance(key, bytes) and isinstance(value, int):
            pairs.append((bulk(key), b":%d\r\n" % value))
    return mapping(resp, pairs)


def reset(client: ClientState, args: list[bytes], now: float) -> bytes:
    """RESET: the session starts anew."""
    client.reset(now)
    return b"+RESET\r\n"


def quit_(client: ClientState, args: list[bytes], now: float) -> bytes:
    """QUIT: the exchange closes behind the reply."""
    return OK


def unwatch(client: ClientState, args: list[bytes], now: float) -> bytes:
    """UNWATCH where nothing is watched any more."""
    client.watch_lost = False
    return OK


BAD_NAME: Final = error("ERR Client names cannot contain spaces, newlines or special characters.")


def _printable(name: bytes) -> bool:
    return all(33 <= c <= 126 for c in name)


def client_setname(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT SETNAME."""
    if not _printable(args[2]):
        return BAD_NAME
    client.name = args[2]
    return OK


def client_getname(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT GETNAME."""
    return bulk(client.name) if client.name else null(client.resp)


def client_setinfo(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT SETINFO LIB-NAME|LIB-VER."""
    what = args[2].upper()
    if what not in (b"LIB-NAME", b"LIB-VER"):
        return error(f"ERR Unrecognized option '{args[2].decode('utf-8', 'replace')}'")
    if not _printable(args[3]):
        return error(f"ERR {what.decode().lower()} cannot contain spaces, newlines or special characters.")
    if what == b"LIB-NAME":
        client.lib_name = args[3]
    else:
        client.lib_version = args[3]
    return OK


def client_id(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT ID: the session's, which is stable whatever connection serves it."""
    return b":%d\r\n" % client.id


def client_info(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT INFO."""
    return _text(client.resp, describe(client, now) + b"\n")


def _text(resp: int, text: bytes) -> bytes:
    """A verbatim string, as RESP3 has them."""
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text) if resp == 3 else bulk(text)


def describe(client: ClientState, now: float) -> bytes:
    """One line of CLIENT LIST, with Redis' fields that mean something here."""
    flags = "P" if client.channels is not None else "x" if client.in_multi else "b" if client.errand else "N"
    text = (
        f"id={client.id} addr={client.peer} laddr={client.local} fd=0 "
        f"name={client.name.decode()} age={int(now - client.created)} idle={int(now - client.used)} flags={flags} "
        f"db={client.db} sub={client.subscribed_to('subscribe')} psub={client.subscribed_to('psubscribe')} "
        f"ssub={client.subscribed_to('ssubscribe')} multi={client.multi_calls if client.in_multi else -1} "
        f"qbuf={client.buffered()} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 "
        f"events=r cmd={client.last.name.lower().replace(' ', '|') if client.last else 'NULL'} "
        f"user={client.user or 'default'} redir=-1 resp={client.resp} lib-name={client.lib_name.decode()} "
        f"lib-ver={client.lib_version.decode()}"
    )
    return text.encode()


_TYPES: Final = (b"normal", b"master", b"replica", b"slave", b"pubsub")


def _unknown_type(name: bytes) -> bytes:
    return error(f"ERR Unknown client type '{name.decode('utf-8', 'replace')}'")


def _type_of(client: ClientState) -> bytes:
    return b"pubsub" if client.channels is not None else b"normal"


def client_list(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT LIST [TYPE type] [ID id...]: the sessions of this service."""
    chosen = list(client.shared.sessions.values())
    if len(args) > 2:
        option = args[2].upper()
        if option == b"TYPE" and len(args) == 4:
            if args[3].lower() not in _TYPES:
                return _unknown_type(args[3])
            chosen = [c for c in chosen if _type_of(c) == args[3].lower()]
        elif option == b"ID" and len(args) > 3:
            wanted = {_integer(a) for a in args[3:]}
            if min(wanted) < 0:
                return error("ERR Invalid client ID")
            chosen = [c for c in chosen if c.id in wanted]
        else:
            return SYNTAX
    return _text(client.resp, b"".join(describe(c, now) + b"\n" for c in chosen))


def client_reply(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT REPLY ON|OFF|SKIP: the replies end here; the upstream goes on to reply."""
    mode = args[2].upper()
    if mode == b"ON":
        client.reply_mode = REPLY_ON
        return OK
    if mode == b"OFF":
        client.reply_mode = REPLY_OFF
        return b""
    if mode == b"SKIP":
        if client.reply_mode == REPLY_ON:
            client.reply_mode = REPLY_SKIP_NEXT
        return b""
    return SYNTAX


def client_switch(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT NO-EVICT and NO-TOUCH: they would bind an upstream connection that is not the client's own."""
    return OK if args[2].upper() in (b"ON", b"OFF") else SYNTAX


def client_getredir(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT GETREDIR without tracking."""
    return b":-1\r\n"


def client_trackinginfo(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT TRACKINGINFO without tracking."""
    flags = b"~1\r\n" if client.resp == 3 else b"*1\r\n"
    return mapping(
        client.resp,
        [(bulk(b"flags"), flags + bulk(b"off")), (bulk(b"redirect"), b":-1\r\n"), (bulk(b"prefixes"), b"*0\r\n")],
    )


def client_kill(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT KILL addr, or by filters: ends sessions of this service, never upstream connections."""
    old_form = len(args) == 3
    if not old_form and len(args) % 2:
        return SYNTAX
    filters = (
        [(b"ADDR", args[2])] if old_form else [(a.upper(), b) for a, b in zip(args[2::2], args[3::2], strict=True)]
    )
    skip_me = not old_form
    victims = list(client.shared.sessions.values())
    for what, value in filters:
        if what == b"SKIPME" and value.lower() in (b"yes", b"no"):
            skip_me = value.lower() == b"yes"
            continue
        if what == b"ID" and _integer(value) < 1:
            return error("ERR client-id should be greater than 0")
        matches = _FILTERS.get(what)
        if matches is None:
            return SYNTAX
        if what == b"TYPE" and value.lower() not in _TYPES:
            return _unknown_type(value)
        if what == b"USER" and value.decode("utf-8", "replace") not in _users(client):
            return error(f"ERR No such user '{value.decode('utf-8', 'replace')}'")
        victims = [c for c in victims if matches(c, value)]
    victims = [c for c in victims if c is not client or not skip_me]
    for victim in victims:
        client.shared.host.disconnect(victim.id)
    if old_form:
        return OK if victims else error("ERR No such client")
    return b":%d\r\n" % len(victims)


def _users(client: ClientState) -> list[str]:
    return ["default", *(client.shared.users or {})]


_FILTERS: Final[dict[bytes, Callable[[ClientState, bytes], bool]]] = {
    b"ID": lambda c, value: c.id == _integer(value),
    b"ADDR": lambda c, value: c.peer.encode() == value,
    b"LADDR": lambda c, value: c.local.encode() == value,
    b"USER": lambda c, value: (c.user or "default").encode() == value,
    b"TYPE": lambda c, value: _type_of(c) == value.lower(),
}


def client_unblock(client: ClientState, args: list[bytes], now: float) -> bytes:
    """CLIENT UNBLOCK id [TIMEOUT|ERROR]: by the session's id."""
    reason = args[3].upper() if len(args) > 3 else b"TIMEOUT"
    if reason not in (b"TIMEOUT", b"ERROR"):
        return error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    session = _integer(args[2])
    if session < 0:
        return NOT_INTEGER
    return b":%d\r\n" % client.shared.host.unblock(session, reason == b"ERROR")


def acl_whoami(client: ClientState, args: list[bytes], now: float) -> bytes:
    """ACL WHOAMI: the user of the configuration, not the gateway's own upstream."""
    return bulk((client.user or "default").encode())


ANSWERS: Final[dict[str, Answer]] = {
    "SELECT": select,
    "AUTH": auth,
    "HELLO": hello,
    "RESET": reset,
    "QUIT": quit_,
    "UNWATCH": unwatch,
    "ACL WHOAMI": acl_whoami,
    "CLIENT SETNAME": client_setname,
    "CLIENT GETNAME": client_getname,
    "CLIENT SETINFO": client_setinfo,
    "CLIENT ID": client_id,
    "CLIENT INFO": client_info,
    "CLIENT LIST": client_list,
    "CLIENT REPLY": client_reply,
    "CLIENT NO-EVICT": client_switch,
    "CLIENT NO-TOUCH": client_switch,
    "CLIENT GETREDIR": client_getredir,
    "CLIENT TRACKINGINFO": client_trackinginfo,
    "CLIENT KILL": client_kill,
    "CLIENT UNBLOCK": client_unblock,
}
