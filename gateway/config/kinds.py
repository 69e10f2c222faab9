"""From the kinds of protocols/settings.py, and the dataclasses marked with them, to pydantic."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic import model_validator as validates
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gateway.config.problems import refuse
from protocols.settings import COUNT, DURATION, FLAG, POSITIVE, SIZE, TEXT, Kind, optional

VARIABLE: Final[JsonSchemaValue] = {"type": "string", "pattern": r"\$\{"}  # an editor sees it before it is expanded


class UnknownKey:
    """Stands in for the value of an unknown key, so that pydantic's error about it knows the right ones."""

    def __init__(self, noun: str, known: list[str]) -> None:
        self.noun: Final = noun
        self.known: Final = known


class Settings(BaseModel):
    """A mapping of the configuration: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    noun: ClassVar[str] = "key"

    @validates(mode="before")
    @classmethod
    def _mark_unknown_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = cls.model_fields
        unknown = UnknownKey(cls.noun, list(known))
        return {key: inner if key in known else unknown for key, inner in value.items()}


class Written:
    """Annotation of a field that is written as a Kind says."""

    def __init__(self, metadata: Mapping[str, Kind]) -> None:
        self.kind: Final = metadata["kind"]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse with the kind, and render with it in dumps."""
        return core_schema.no_info_plain_validator_function(
            self.kind.parse, serialization=core_schema.plain_serializer_function_ser_schema(self.kind.render)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The kind's own schema, or a variable that is not expanded yet."""
        own = dict(self.kind.schema)
        return own if own.get("type") == "string" and "pattern" not in own else {"anyOf": [own, VARIABLE]}


Duration = Annotated[float, Written(DURATION)]
Size = Annotated[int, Written(SIZE)]
Count = Annotated[int, Written(COUNT)]
Positive = Annotated[int, Written(POSITIVE)]
Flag = Annotated[bool, Written(FLAG)]
Text = Annotated[str, Written(TEXT)]
OptionalText = Annotated[str | None, Written(optional(TEXT))]


class SettingsOf:
    """Annotation of a field that holds a dataclass whose fields carry kinds.

    Only ``dataclasses.fields`` is read, never annotations: a compiled class does not keep them all. A class may
    name one field as its ``SHORTHAND``: ``timeout: 250ms`` for ``timeout: {total: 250ms}``.
    """

    def __init__(self, cls: type[Any]) -> None:
        self.cls: Final = cls
        self.kinds: Final[dict[str, Kind]] = {f.name: f.metadata["kind"] for f in dataclasses.fields(cls)}
        self.shorthand: Final[str] = getattr(cls, "SHORTHAND", "")
        fields = {field.name: _field(field) for field in dataclasses.fields(cls)}
        self.model: Final = create_model(
            cls.__name__, __base__=Settings, __doc__=cls.__doc__, __module__=cls.__module__, **cast("Any", fields)
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as a model, hand out the dataclass."""
        checked = core_schema.no_info_after_validator_function(self._build, handler.generate_schema(self.model))
        return core_schema.no_info_before_validator_function(
            self._spelled_out,
            checked,
            serialization=core_schema.plain_serializer_function_ser_schema(self.dump),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The model, or the one value of its shorthand."""
        whole = handler(schema)
        if not self.shorthand:
            return whole
        return {"anyOf": [whole, dict(self.kinds[self.shorthand].schema), VARIABLE]}

    def dump(self, value: Any) -> dict[str, Any]:
        """Every setting as a human writes it."""
        return {name: kind.render(getattr(value, name)) for name, kind in self.kinds.items()}

    def _spelled_out(self, value: Any) -> Any:
        return {self.shorthand: value} if self.shorthand and isinstance(value, str | int) else value

    def _build(self, model: BaseModel) -> Any:
        """The dataclass. What it says of one field, as ``field: message``, is said at that field."""
        try:
            return self.cls(**{name: getattr(model, name) for name in self.kinds})
        except ValueError as error:
            name, _, message = str(error).partition(": ")
            refuse(((name,), message) if name in self.kinds else ((), str(error)))


def _field(field: dataclasses.Field[Any]) -> tuple[Any, Any]:
    annotation = Annotated[Any, Written(cast("Mapping[str, Kind]", field.metadata))]
    if field.default is not dataclasses.MISSING:
        return annotation, field.default
    if field.default_factory is not dataclasses.MISSING:
        return annotation, Field(default_factory=field.default_factory)
    return annotation, ...
