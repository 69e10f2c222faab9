"""From a file to a Config, or to every problem that the file has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.checks import across
from gateway.config.document import MAX_BYTES, Document
from gateway.config.kinds import UnknownKey
from gateway.config.model import Config
from gateway.config.problems import ConfigError, Path, Problem
from protocols.settings import nearest, shown


def load(path: str | FilePath) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    file = str(path)
    try:
        with FilePath(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(file, 0, "", f"cannot be read: {error.strerror}")]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(file, 0, "", f"the file is larger than {MAX_BYTES >> 20} MiB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "this is not UTF-8 text")]) from None
    return parse(text, file, FilePath(path).absolute().parent, os.environ)


def parse(text: str, file: str, folder: FilePath, environment: Mapping[str, str]) -> Config:
    """Check a configuration; ``file`` is its name in messages, ``folder`` where its relative paths begin.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    document = Document(text, file, environment)
    problems = document.problems
    known = {(problem.line, problem.path) for problem in problems}
    problems += [document.problem(path, message) for path, message in across(document.value)]
    try:
        config = Config.model_validate(document.value, context={"folder": folder})
    except ValidationError as error:
        found = [_problem(document, details) for details in error.errors(include_url=False)]
        # A value that could not be made, for want of a variable, is not blamed for what it is instead.
        problems += [problem for problem in found if (problem.line, problem.path) not in known]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return config


def _problem(document: Document, error: ErrorDetails) -> Problem:
    path: Path = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            unknown: UnknownKey = error["input"]
            noun = unknown.noun
            message = f"unknown {noun} `{path[-1]}`{nearest(str(path[-1]), unknown.known)}"
            return document.problem(path, message, at_key=True)
        case "missing":
            return document.problem(path[:-1], f"`{path[-1]}` is missing", at_key=True)
        case "model_type" | "dict_type":
            message = f"a mapping is expected here, not {shown(error['input'])}"
        case "tuple_type":
            message = f"a list is expected here, not {shown(error['input'])}"
        case "value_error":
            message = str(error["ctx"]["error"])
        case _:
            message = error["msg"]
    return document.problem(path, message)
