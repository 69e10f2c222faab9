"""The configuration: ``load`` reads a file, ``dump`` shows what is in effect, ``schema`` describes what may be written.

``document`` reads YAML with its lines, ``model`` says what is valid, ``load`` brings them together.
"""

from gateway.config.dump import dump, dump_yaml
from gateway.config.load import load, parse
from gateway.config.model import Config, Service
from gateway.config.problems import ConfigError, Problem

__all__ = ["Config", "ConfigError", "Problem", "Service", "dump", "dump_yaml", "load", "parse"]
