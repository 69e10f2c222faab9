"""The JSON Schema (draft 2020-12) of a configuration file, for editors: ``poolgate schema > poolgate.schema.json``.

Descriptions are the docstrings of the classes and the comments behind their fields.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, NoDefault
from pydantic_core import core_schema

from gateway.config import model, rules
from gateway.config.model import Config
from policies.registry import POLICIES
from pools.settings import PoolSettings

_FIELD: Final = re.compile(r"^    (\w+): .*?  # (?!type:)(.+)$", re.MULTILINE)


class _Generator(GenerateJsonSchema):
    """Defaults as humans write them; no titles, which would only repeat the keys."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        value = super().get_default_value(schema)
        inner: Any = schema["schema"]
        while "serialization" not in inner and "schema" in inner:
            inner = inner["schema"]
        written = inner.get("serialization", {}).get("function")
        return written(value) if written and value not in (NoDefault, None) else value

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """The schema as plain values."""
    whole = Config.model_json_schema(schema_generator=_Generator)
    classes = [*vars(model).values(), *vars(rules).values(), *POLICIES.values(), PoolSettings]
    by_name = {cls.__name__: cls for cls in classes if isinstance(cls, type)}
    for name, part in (("Config", whole), *whole["$defs"].items()):
        for field, comment in _comments(by_name[name]).items() if name in by_name else ():
            if field in part.get("properties", {}):
                part["properties"][field]["description"] = comment
    return {"$schema": GenerateJsonSchema.schema_dialect, **whole, "title": "poolgate configuration"}


def _comments(cls: type[Any]) -> dict[str, str]:
    """The comments behind the fields of a class, from its source: it lies beside the module even when compiled."""
    module = cls.__module__
    source = Path(sys.modules[module].__file__ or "").parent / f"{module.rpartition('.')[2]}.py"
    if not source.is_file():
        return {}
    body = re.split(rf"^class {cls.__name__}\b", source.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)[1]
    return dict(_FIELD.findall(re.split(r"^\S", body[body.index("\n") :], maxsplit=1, flags=re.MULTILINE)[0]))
