"""The effective configuration: every default filled in, every secret hidden, readable as a configuration again."""

from __future__ import annotations

from typing import Any

import yaml

from gateway.config.model import Config


def dump(config: Config) -> dict[str, Any]:
    """As plain values, all of them as humans write them."""
    return config.model_dump(mode="json")


class _Dumper(yaml.SafeDumper):
    """Lists of plain words on one line, everything else on lines of its own."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, all(isinstance(item, str) for item in sequence))


def dump_yaml(config: Config) -> str:
    """As YAML."""
    return yaml.dump(dump(config), Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True)
