"""The harness is no part of the installed package: its tests run where the checkout can be imported."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = (
    [] if find_spec("bench.run") else ["test_[!h]*.py", "mysql/*", "redis/*"]
)  # test_hotpath needs nothing but the package
