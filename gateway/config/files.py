"""Secrets, and the files that a configuration names: certificates, keys, passwords.

A relative path is relative to the folder of the configuration. Files are looked at when the configuration is
loaded, so that a missing one is refused with its line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, final

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from gateway.config.kinds import Written
from protocols.settings import Kind, parse_text

HIDDEN: Final = "***"
MAX_SECRET: Final = 65536


@final
class Secret:
    """A text that nothing prints; ``reveal()`` where it is used."""

    __slots__ = ("_text", "path")

    def __init__(self, text: str, path: Path | None = None) -> None:
        self._text: Final = text
        self.path: Final = path  # the file that it was read from

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._text, self.path) == (other._text, other.path)

    def __hash__(self) -> int:
        return hash((self._text, self.path))


def _parse_secret(value: object) -> Secret:
    if not isinstance(value, str):
        raise ValueError("a secret has to be text")
    if not value:
        raise ValueError("the secret is empty: leave the key out where none is needed")
    return Secret(value)


def _existing(value: object, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path.cwd())
    path = folder / parse_text(value)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _secret_file(value: object, info: ValidationInfo) -> Secret:
    path = _existing(value, info)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SECRET + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    if not text or len(text) > MAX_SECRET:
        raise ValueError(f"{path} is {'longer than a secret can be' if text else 'empty'}")
    return Secret(text, path)


class _FromFile:
    """Annotation of a field that is written as a path and becomes what the function makes of the file."""

    def __init__(self, read: Any, render: Any) -> None:
        self.read: Final = read
        self.render: Final = render

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.render),
            metadata={"pydantic_js_functions": [lambda _schema, _handler: {"type": "string"}]},
        )


ExistingFile = Annotated[Path, _FromFile(_existing, str)]
SecretFile = Annotated[Secret, _FromFile(_secret_file, lambda secret: str(secret.path))]
SecretText = Annotated[
    Secret, Written({"kind": Kind("secret", _parse_secret, repr, {"type": "string", "writeOnly": True})})
]
