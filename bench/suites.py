"""The benchmarks by their names."""

from __future__ import annotations

from typing import Any

from bench.mysql.suite import MYSQL
from bench.redis.suite import REDIS
from bench.suite import Suite

SUITES: dict[str, Suite[Any, Any]] = {suite.name: suite for suite in (REDIS, MYSQL)}
