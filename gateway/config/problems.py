"""What is wrong with a configuration: every problem at once, each with its line, path and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to correct. ``str()`` reads ``poolgate.yaml:12: services.cache.listen: ...``."""

    file: str
    line: int  # from 1; 0: the file as a whole
    path: str  # services.cache.listen[0]; "": the whole document
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(Exception):
    """The configuration is refused. ``problems`` are sorted by line; ``str()`` has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: Path) -> str:
    """``("services", "cache", "listen", 0)`` as ``services.cache.listen[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def refuse(*wrong: tuple[Path, str]) -> None:
    """Raise what is wrong, if anything: messages at places relative to the model that is being checked."""
    if wrong:
        raise ValidationError.from_exception_data(
            "refused",
            [
                InitErrorDetails(type=PydanticCustomError("refused", "{text}", {"text": text}), loc=place, input=None)
                for place, text in wrong
            ],
        )
