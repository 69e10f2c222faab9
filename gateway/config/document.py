"""A YAML file as plain values, with the line of each.

Every scalar stays the text that was written, typed later by the setting it is for: no YAML 1.1 surprise turns
``no``, ``0660`` or ``1.10`` into something else. Only ``null``, ``~`` and an empty value become None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import yaml

from gateway.config.problems import ConfigError, Path, Problem, dotted

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000  # every use of an alias counts what it stands for

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = {_TAG + word for word in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
# $${ is an escaped ${; what a ${ without a proper name and end matches has no group.
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def _beyond(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.Mark", event.start_mark))


class _Composer(yaml.SafeLoader):
    """PyYAML's node tree, bounded: neither deep nesting nor aliases of aliases can exhaust the process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int] = {}  # by anchor, once it is complete

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        self._depth += 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise _beyond(event, f"alias *{event.anchor} stands inside itself")
            self._nodes += self._sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            self._nodes += 1 + len(event.value) // 64
        else:
            self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _beyond(event, f"nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            raise _beyond(event, f"more than {MAX_NODES} values, aliases included")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.NodeEvent) and event.anchor and not isinstance(event, yaml.AliasEvent):
            self._sizes[event.anchor] = self._nodes - before
        return node


class Document:
    """One parsed file: ``value``, the lines of its paths, and the problems found on the way."""

    def __init__(self, text: str, file: str, environment: Mapping[str, str]) -> None:
        """Read the text.

        Raises:
            ConfigError: it is not YAML at all, or beyond the bounds. Lesser problems are in ``problems``.
        """
        self.file: Final = file
        self.problems: Final[list[Problem]] = []
        self._environment: Final = environment
        self._lines: Final[dict[Path, int]] = {(): 1}
        self._keys: Final[dict[Path, int]] = {}
        self.value: Final = self._build(_compose(text, file), ())

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem at a path, or at the nearest part of the path that the file holds."""
        while path not in self._lines:
            path = path[:-1]
        line = self._keys.get(path) if at_key else None
        return Problem(self.file, line or self._lines[path], dotted(path), message)

    def _complain(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.file, _line(node), dotted(path), message))

    def _build(self, node: yaml.Node | None, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = []
            for index, item in enumerate(node.value):
                self._lines[*path, index] = _line(item)
                items.append(self._build(item, (*path, index)))
            return items
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return None if node.tag == _TAG + "null" else self._expand(node, path)
        if node is not None:
            self._complain(node, path, f"the tag {node.tag.replace(_TAG, '!!')} is not known here")
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in self._pairs(node, path):
            here = (*path, key.value)
            if key.value in found:
                continue
            self._keys[here] = _line(key)
            self._lines[here] = _line(value if isinstance(value, yaml.ScalarNode) else key)
            found[key.value] = self._build(value, here)
        return found

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """The pairs of a mapping, its own before those of the mappings that it merges with ``<<``."""
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _SCALARS:
                self._complain(key, path, "a key has to be plain text")
            elif key.tag == _TAG + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key.value in lines:
                first = lines[key.value]
                self._complain(key, (*path, key.value), f"key `{key.value}` is given twice, first on line {first}")
            else:
                lines[key.value] = _line(key)
                yield key, value
        for other in merged:
            if isinstance(other, yaml.MappingNode):
                yield from self._pairs(other, path)
            else:
                self._complain(other, path, "`<<` merges mappings only")

    def _expand(self, node: yaml.ScalarNode, path: Path) -> str:
        def replaced(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            if match[0] == "$${":
                return "${"
            if name is None:
                self._complain(node, path, "`${` does not begin a variable: write ${NAME}, ${NAME:-default} or $${")
                return ""
            text = self._environment.get(name, "")
            if not text and default is not None:
                return default
            if name not in self._environment:
                self._complain(node, path, f"the environment has no ${{{name}}}: set it, or write ${{{name}:-default}}")
            return text

        return _VARIABLE.sub(replaced, node.value)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        return _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        message = " ".join(part for part in (error.context, error.problem) if part)
        if "${" in text.split("\n")[line - 1]:
            message += '; inside { } and [ ] a variable needs quotes: "${NAME}"'
        raise ConfigError([Problem(file, line, "", message)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([Problem(file, line, "", f"{error.reason}: {text[error.position]!r}")]) from None
