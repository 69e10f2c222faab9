"""The configuration as the rest of the gateway sees it: frozen, checked, in seconds and bytes.

The comment behind a field is its description in the JSON Schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, field_validator, model_validator

from gateway.config.address import Address, ListenAddress, PeerAddress
from gateway.config.files import ExistingFile, Secret, SecretFile, SecretText
from gateway.config.kinds import (
    Count,
    Duration,
    Flag,
    OptionalText,
    Positive,
    Settings,
    SettingsOf,
    Size,
    Text,
    Written,
)
from gateway.config.policies import Policies
from gateway.config.problems import refuse
from gateway.config.rules import Queries, Role, Rules
from gateway.config.suits import unsuited
from gateway.config.words import CommandName, Rule
from gateway.tls import listener_context
from pools.settings import PoolSettings
from protocols.call import EFFECTS
from protocols.registry import PROTOCOLS
from protocols.settings import Kind, one_of, parse_flag, shown

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MODE: Final = re.compile(r"0?[0-7]{3}")


def _word(*words: str) -> Written:
    return Written(one_of(*words))


def _parse_name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ValueError(f"{shown(value)} is not a service name: write a-z, 0-9 and -, a letter first, up to 63 characters")


def _parse_mode(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and _MODE.fullmatch(value):
        return int(value, 8)
    raise ValueError(f'{shown(value)} is not a file mode: write "0660"')


def _render_mode(value: int | None) -> str | None:
    return None if value is None else f"{value:04o}"


ServiceName = Annotated[str, Written({"kind": Kind("name", _parse_name, str, {"type": "string"})})]
FileMode = Annotated[
    int | None,
    Written({"kind": Kind("mode", _parse_mode, _render_mode, {"type": ["string", "null"], "pattern": _MODE.pattern})}),
]


def _as_address(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _as_tls(value: Any) -> Any:
    if isinstance(value, str | bool):
        return {} if parse_flag(value) else None
    return value


def _some(services: dict[str, Any]) -> dict[str, Any]:
    if not services:
        raise ValueError("at least one service is needed")
    return services


def _check_pool(pool: PoolSettings) -> PoolSettings:
    if pool.min_idle > pool.max_connections:
        refuse((("min_idle",), f"{pool.min_idle} is more than max_connections, {pool.max_connections}"))
    return pool


class Log(Settings):
    """What the gateway says about itself, on standard error."""

    format: Annotated[str, _word("console", "json")] = "json"  # console is for people
    level: Annotated[str, _word("debug", "info", "warning", "error")] = "info"


class ListenerTls(Settings):
    """How clients are spoken to in private."""

    cert: ExistingFile  # the certificate that clients see
    key: ExistingFile  # of cert
    ca: ExistingFile | None = None  # clients have to show a certificate that one of these signed

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            listener_context(self.cert, self.key, self.ca)
        except OSError as error:
            refuse(((), str(error)))
        return self


class Listener(Settings):
    """One address that clients connect to."""

    address: ListenAddress  # host:port or unix:/path
    mode: FileMode = None  # of a unix socket: "0660"
    backlog: Positive = 1024  # connections that wait to be accepted
    tls: ListenerTls | None = None  # absent: in plain text

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode is not None and not self.address.path:
            refuse((("mode",), "only a unix socket has a file mode"))
        return self


class Client(Settings):
    """A user that clients log in as, and what it may do."""

    user: Text = "default"  # clients that send a password only are this one
    password: SecretText | None = None
    password_file: SecretFile | None = None  # instead of password
    password_hash: SecretText | None = None  # instead of it, MySQL: "*" + SHA1(SHA1()) or SHA256(SHA256()) in hex
    allow: tuple[Rule, ...] = EFFECTS  # effects (read, write, ddl, admin, transaction, control) or commands
    deny: tuple[Rule, ...] = ()  # wins over allow

    @property
    def secret(self) -> Secret | None:
        """The password, wherever it came from."""
        return self.password or self.password_file

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.secret is None and self.password_hash is None:
            refuse(((), "the client has no `password` and no `password_file`"))
        _one_secret(self.password, self.password_file)
        if self.secret and self.password_hash:
            refuse((("password_hash",), "`password` or `password_file` is given too: keep one of them"))
        return self


class Tls(Settings):
    """How the upstream is spoken to in private; ``true`` means these defaults."""

    ca: ExistingFile | None = None  # certificates to trust; absent: the system's
    cert: ExistingFile | None = None  # the gateway's own certificate
    key: ExistingFile | None = None  # of cert
    server_name: OptionalText = None  # the name in the upstream's certificate; absent: the endpoint's host
    verify: Flag = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cert and not self.key:
            refuse((("cert",), "`cert` needs `key` beside it"))
        if self.key and not self.cert:
            refuse((("key",), "`key` needs `cert` beside it"))
        return self


class Endpoint(Settings):
    """One address of the upstream."""

    address: PeerAddress  # host:port or unix:/path
    role: Annotated[str, _word("primary", "replica")] = "primary"
    priority: Count = 0  # endpoints of the lowest number are used first
    zone: OptionalText = None
    weight: Positive = 1  # share of the calls among endpoints of one priority
    version: OptionalText = None


class Upstream(Settings):
    """The system behind a service, and how to log in to it."""

    mode: Annotated[str, _word("standalone")] = "standalone"
    endpoints: tuple[Annotated[Endpoint, BeforeValidator(_as_address, PeerAddress | Endpoint)], ...]
    user: OptionalText = None
    password: SecretText | None = None
    password_file: SecretFile | None = None  # instead of password
    db: Count = 0  # the database that a fresh session has selected
    tls: Annotated[Tls | None, BeforeValidator(_as_tls, bool | Tls | None)] = None

    @property
    def secret(self) -> Secret | None:
        """The password, wherever it came from."""
        return self.password or self.password_file

    @field_validator("endpoints", mode="after")
    @classmethod
    def _some_endpoint(cls, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if not endpoints:
            raise ValueError("at least one endpoint is needed")
        return endpoints

    @model_validator(mode="after")
    def _check(self) -> Self:
        _one_secret(self.password, self.password_file)
        return self


class Limits(Settings):
    """Bounds of what clients may take."""

    max_clients: Positive = 10000  # sessions of the service at once
    output_buffer: Size = 1 << 20  # bytes queued for one slow client before its upstream pauses
    slow_client_timeout: Duration = 5.0  # a client whose full buffer does not move for so long is disconnected
    request_buffer: Size = 256 << 10  # a larger request streams over a connection of its own
    idle_timeout: Duration = 0.0  # of client connections; 0: never
    login_timeout: Duration = 10.0  # for clients that have to log in before anything else
    max_value: Size = 512 << 20  # the largest single value of a request


class Commands(Settings):
    """Exceptions to what the protocol's command table says."""

    allow: tuple[CommandName, ...] = ()  # commands that are refused by default, such as MONITOR
    refuse: tuple[CommandName, ...] = ()
    unknown: Annotated[str, _word("pass", "refuse")] = "pass"  # commands that the table does not know


class Service(Settings):
    """A named upstream system: where clients find it, where it is, and what governs the calls."""

    protocol: Annotated[str, _word(*PROTOCOLS)]
    listen: Annotated[
        tuple[Annotated[Listener, BeforeValidator(_as_address, ListenAddress | Listener)], ...],
        BeforeValidator(_as_list, ListenAddress | Listener | tuple[ListenAddress | Listener, ...]),
    ]
    clients: tuple[Client, ...] | None = None  # absent: whoever can reach the listener
    upstream: Upstream
    pool: Annotated[PoolSettings, SettingsOf(PoolSettings), AfterValidator(_check_pool)] = PoolSettings()
    policies: Policies = ()  # outermost first
    rules: Rules = ()  # for some statements; the first that matches is followed
    reads: Role = "primary"  # replica: plain reads outside of transactions go there
    read_after_write: Duration = 1.0  # for so long after its last write a session reads from the primary
    queries: Queries = Queries()
    limits: Limits = Limits()
    commands: Commands = Commands()

    @model_validator(mode="after")
    def _suits(self) -> Self:
        for path, message in unsuited(self.protocol, self):
            refuse((path, message))
        return self

    @field_validator("listen", mode="after")
    @classmethod
    def _somewhere(cls, listen: tuple[Listener, ...]) -> tuple[Listener, ...]:
        if not listen:
            raise ValueError("at least one address is needed")
        return listen

    @field_validator("clients", mode="after")
    @classmethod
    def _check_clients(cls, clients: tuple[Client, ...] | None) -> tuple[Client, ...] | None:
        if clients == ():
            raise ValueError("the list is empty: leave the key out to let everyone in, or name a client")
        return clients


class Config(Settings):
    """Everything one sidecar does."""

    admin: ListenAddress | None = Address("127.0.0.1", 9901)  # metrics and live state; null: none
    log: Log = Log()
    drain_timeout: Duration = 10.0  # how long sessions may finish when the gateway stops
    services: Annotated[dict[ServiceName, Service], AfterValidator(_some)]


def _one_secret(password: Secret | None, password_file: Secret | None) -> None:
    if password and password_file:
        refuse((("password_file",), "`password` is given too: keep one of them"))
