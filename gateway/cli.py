"""The command line. Each command imports what it needs itself: start-up time and memory are the sidecar's price."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

DEFAULT_FILE: Final = "poolgate.yaml"
DEFAULT_ADMIN: Final = "127.0.0.1:9901"

FINE: Final = 0
REFUSED: Final = 1  # the configuration is wrong, or what was waited for did not come
USAGE: Final = 2  # argparse's own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["bench"]:
        return _bench(words[1:])  # which has a command line of its own
    options = _parser().parse_args(words)
    code: int = options.command(options)
    return code


class _Version(argparse.Action):
    """``--version``, looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"poolgate {version('poolgate')}")
        except PackageNotFoundError:
            print("poolgate, not installed: run from a checkout")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="poolgate", description="Pools and governs an application's upstream calls.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="serve until told to stop")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="check a configuration and print it with every default")
    check.add_argument("--quiet", "-q", action="store_true", help="print nothing but problems")
    check.set_defaults(command=_check)
    for command in (run, check):
        command.add_argument("--config", "-c", default=DEFAULT_FILE, metavar="FILE", help="default: %(default)s")

    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration")
    schema.set_defaults(command=_schema)

    wait = commands.add_parser("wait", help="wait until a running gateway is ready")
    wait.add_argument("--admin", default=DEFAULT_ADMIN, metavar="ADDRESS", help="default: %(default)s")
    wait.add_argument("--timeout", default="30s", metavar="DURATION", help="default: %(default)s")
    wait.set_defaults(command=_wait)

    commands.add_parser("bench", help="measure the gateway beside its peers: poolgate bench redis --help")
    return parser


def _bench(words: list[str]) -> int:
    try:
        from bench.__main__ import main as bench
    except ModuleNotFoundError as error:
        print(f"poolgate bench: {error.name} is missing: pip install 'poolgate[bench]'", file=sys.stderr)
        return REFUSED
    bench(words)
    return FINE


def _run(options: argparse.Namespace) -> int:
    from gateway.config import ConfigError, load

    try:
        config = load(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return REFUSED
    from gateway.worker import run

    return run(options.config, config)


def _check(options: argparse.Namespace) -> int:
    from gateway.config import ConfigError, dump_yaml, load

    try:
        config = load(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return REFUSED
    if not options.quiet:
        print(dump_yaml(config), end="")
    return FINE


def _schema(options: argparse.Namespace) -> int:
    import json

    from gateway.config.schema import schema

    print(json.dumps(schema(), indent=2))
    return FINE


def _wait(options: argparse.Namespace) -> int:
    from gateway.config.address import parse_address
    from gateway.wait import wait
    from protocols.settings import parse_duration

    try:
        ready = wait(parse_address(options.admin), parse_duration(options.timeout))
    except ValueError as error:
        print(f"poolgate wait: {error}", file=sys.stderr)
        return USAGE
    if ready:
        return FINE
    print(f"poolgate: {options.admin} was not ready within {options.timeout}", file=sys.stderr)
    return REFUSED
