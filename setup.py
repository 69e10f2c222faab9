"""Compiles poolgate's hot modules with mypyc; everything else about the package is in pyproject.toml.

``POOLGATE_COMPILE=1`` compiles or fails, ``POOLGATE_COMPILE=0`` never compiles. Without it, a machine that
cannot build C extensions gets the same sources interpreted, and one warning.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from setuptools import setup
from setuptools.errors import CCompilerError, PlatformError

ROOT: Final = Path(__file__).parent
# Every module of these packages is compiled (an empty __init__.py gains nothing) ...
COMPILED_PACKAGES: Final = ("protocols", "policies", "pools")
# ... and of gateway/ those that run for every call, as far as they exist.
COMPILED_MODULES: Final = (
    "gateway/balance.py",
    "gateway/chore.py",
    "gateway/driver.py",
    "gateway/endpoint.py",
    "gateway/exchange.py",
    "gateway/governance.py",
    "gateway/layers.py",
    "gateway/line.py",
    "gateway/intake.py",
    "gateway/lending.py",
    "gateway/meter.py",
    "gateway/mirror.py",
    "gateway/parking.py",
    "gateway/roles.py",
    "gateway/service.py",
    "gateway/session.py",
    "gateway/target.py",
    "gateway/tls.py",
    "gateway/upstream.py",
)
# `make types` is where types are checked. Here they only steer the compiler, so what is not installed in the
# build environment (pydantic, uvloop) may be missing and what is not compiled may not stop the build.
MYPY_OPTIONS: Final = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")


def sources() -> list[str]:
    """Paths, relative to this file, of all modules to compile."""
    packages = [path for name in COMPILED_PACKAGES for path in (ROOT / name).rglob("*.py") if path.stem != "__init__"]
    modules = [ROOT / name for name in COMPILED_MODULES if (ROOT / name).exists()]
    return sorted(str(path.relative_to(ROOT)) for path in packages + modules)


def obstacle() -> str:
    """Why this machine cannot build C extensions, "" if it can: found by building one."""
    # The compiler as setuptools itself configures it; setuptools brings distutils where Python no longer does.
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler

    header = Path(sysconfig.get_path("include"), "Python.h")
    with tempfile.TemporaryDirectory(prefix="poolgate-") as folder:
        source = Path(folder, "trial.c")
        source.write_text("#include <Python.h>\nint trial(void) { return PY_MAJOR_VERSION; }\n")
        compiler = new_compiler()
        customize_compiler(compiler)
        try:
            built = compiler.compile([str(source)], folder, include_dirs=[str(header.parent)])
            compiler.link_shared_object(built, str(Path(folder, "trial.so")))
        except (CCompilerError, PlatformError, OSError):
            return "the C compiler is missing or does not work" if header.exists() else f"there is no {header}"
    return ""


def extensions() -> list[Any]:
    """What to compile: all of ``sources()``, or nothing where that is not wanted or not possible."""
    wanted = os.environ.get("POOLGATE_COMPILE", "")
    if wanted not in ("", "0", "1"):
        sys.exit(f"POOLGATE_COMPILE={wanted}: write 1 (compile or fail), 0 (never compile) or nothing")
    if wanted == "0":
        return []
    reason = obstacle()
    if reason and wanted == "1":
        sys.exit(f"POOLGATE_COMPILE=1, but C extensions cannot be built here: {reason}")
    if reason:
        print(
            f"WARNING: poolgate is installed interpreted, which is several times slower: {reason}. "
            "Install a C compiler and Python's headers (Debian: gcc python3-dev), then install poolgate again.",
            file=sys.stderr,
        )
        return []

    from mypyc.build import mypycify

    return mypycify(
        [*MYPY_OPTIONS, *sources()],
        opt_level="3",
        debug_level=os.environ.get("POOLGATE_DEBUG_LEVEL", "0"),
        group_name="poolgate",
    )


if not {"clean", "dist_info", "egg_info", "sdist"} & set(sys.argv[1:]):
    setup(ext_modules=extensions())
else:
    setup()  # these build nothing
