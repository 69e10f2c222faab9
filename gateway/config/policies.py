"""The ``policies:`` list of a service: mappings of one key, the policy's word, to its settings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from gateway.config.kinds import Settings, SettingsOf
from policies.gate import Policy
from policies.registry import POLICIES

_SETTINGS: Final = {word: SettingsOf(policy) for word, policy in POLICIES.items()}
_WORDS: Final = {policy: word for word, policy in POLICIES.items()}


class _Entry(Settings):
    """One policy."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})
    noun: ClassVar[str] = "policy"


def _absent() -> None:
    """No default that a schema would show."""


_fields: Final[dict[str, Any]] = {
    word: (Annotated[Any, settings], Field(default_factory=_absent)) for word, settings in _SETTINGS.items()
}
PolicyEntry: Final = create_model("PolicyEntry", __base__=_Entry, __doc__=_Entry.__doc__, **_fields)


def _only_policy(entry: Settings) -> Policy:
    words = [word for word in _SETTINGS if word in entry.model_fields_set]
    if not words:
        raise ValueError(f"the entry names no policy: choose from {', '.join(POLICIES)}")
    if len(words) > 1:
        raise ValueError(f"{' and '.join(words)} stand in one list item: begin each policy with `- `")
    policy: Policy = getattr(entry, words[0])
    return policy


def _dump(policy: Policy) -> dict[str, Any]:
    word = _WORDS[type(policy)]
    return {word: _SETTINGS[word].dump(policy)}


class _OnePolicy:
    """Annotation of a field that is written as an entry and becomes the policy itself."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _only_policy,
            handler.generate_schema(PolicyEntry),
            serialization=core_schema.plain_serializer_function_ser_schema(_dump),
        )


Policies = tuple[Annotated[Policy, _OnePolicy()], ...]
