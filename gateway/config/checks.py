"""What only shows across services, clients and policies.

It is looked for in the plain values of the document, not in the model, so that no other problem hides it. Whatever
has not the expected shape is passed over here: the model says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.config.address import Address, parse_address
from gateway.config.problems import Path
from protocols.call import EFFECTS
from protocols.registry import PROTOCOLS, known_commands
from protocols.settings import nearest

Wrong = Iterator[tuple[Path, str]]


def across(value: Any) -> Wrong:
    """Addresses listened on twice, users given twice, commands and services that there are not."""
    yield from _shared_addresses(value)
    for name, service in _pairs(_get(value, "services")):
        place = ("services", name)
        yield from _repeated_users((*place, "clients"), _get(service, "clients"))
        protocol = _get(service, "protocol")
        if isinstance(protocol, str) and protocol in PROTOCOLS:
            yield from _commands(place, service, known_commands(protocol))
        yield from _mirrors(place, service, value)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _items(value: Any) -> list[tuple[int, Any]]:
    return list(enumerate(value)) if isinstance(value, list) else []


def _shared_addresses(value: Any) -> Wrong:
    taken: list[tuple[Address, str]] = []
    for path, text, owner in _listeners(value):
        try:
            address = parse_address(text)
        except ValueError:
            continue
        for other, name in taken:
            if address.overlaps(other):
                yield path, f"{address} is taken: {name} listens on {other}"
                break
        taken.append((address, owner))


def _listeners(value: Any) -> Iterator[tuple[Path, object, str]]:
    """Path, text and owner of everything that looks like an address to listen on."""
    admin = value.get("admin", "127.0.0.1:9901") if isinstance(value, dict) else None
    yield ("admin",), admin, "admin"
    for name, service in _pairs(_get(value, "services")):
        listen = _get(service, "listen")
        for index, item in _items(listen if isinstance(listen, list) else [listen]):
            place: Path = ("services", name, "listen", index)
            if isinstance(item, dict):
                yield (*place, "address"), item.get("address"), f"service `{name}`"
            else:
                yield place, item, f"service `{name}`"


def _repeated_users(place: Path, clients: Any) -> Wrong:
    seen: set[str] = set()
    for index, client in _items(clients):
        user = client.get("user", "default") if isinstance(client, dict) else None
        if isinstance(user, str):
            if user in seen:
                yield (*place, index, "user"), f"the user `{user}` is given twice"
            seen.add(user)


def _commands(service: Path, value: Any, known: dict[str, bool]) -> Wrong:
    for index, client in _items(_get(value, "clients")):
        for key in ("allow", "deny"):
            yield from _unknown((*service, "clients", index, key), _get(client, key), known, EFFECTS)
    yield from _policies((*service, "policies"), _get(value, "policies"), known)
    for index, rule in _items(_get(value, "rules")):
        place: Path = (*service, "rules", index)
        yield from _policies((*place, "policies"), _get(rule, "policies"), known)
        yield from _unknown((*place, "match", "verbs"), _get(_get(rule, "match"), "verbs"), known, EFFECTS)
    commands = _get(value, "commands")
    for key in ("allow", "refuse"):
        yield from _unknown((*service, "commands", key), _get(commands, key), known)
    for index, word in _items(_get(commands, "allow")):
        if isinstance(word, str) and not known.get(_name(word), True):
            message = f"{_name(word)} is refused whatever the configuration says: it would harm other clients"
            yield (*service, "commands", "allow", index), message


def _policies(place: Path, policies: Any, known: dict[str, bool]) -> Wrong:
    for index, entry in _items(policies):
        for word, policy in _pairs(entry):
            yield from _unknown((*place, index, word, "verbs"), _get(policy, "verbs"), known, EFFECTS)


def _mirrors(place: Path, service: Any, value: Any) -> Wrong:
    """Copies go to another service that understands them."""
    services = dict(_pairs(_get(value, "services")))
    for index, rule in _items(_get(service, "rules")):
        name = _get(rule, "mirror")
        if not isinstance(name, str):
            continue
        others = [other for other in services if other != place[1]]
        if name not in others:
            yield (*place, "rules", index, "mirror"), f"there is no other service `{name}`{nearest(name, others)}"
        elif _get(services[name], "protocol") != _get(service, "protocol"):
            yield (*place, "rules", index, "mirror"), f"the service `{name}` speaks another protocol"


def _unknown(place: Path, words: Any, known: dict[str, bool], effects: Sequence[str] = ()) -> Wrong:
    """Words that are no command of the protocol. A name with a dot is a module's: no table knows them all."""
    for index, word in _items([words] if isinstance(words, str) else words):
        if isinstance(word, str) and "." not in word and word.lower() not in effects and _name(word) not in known:
            yield (*place, index), f"unknown command `{word}`{nearest(word, [*effects, *known])}"


def _name(word: str) -> str:
    return word.upper().replace("|", " ")
