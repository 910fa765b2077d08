# SPDX-License-Identifier: Apache-2.0
# What tests/run and tests/demo share: packages and builds. Sourced by bash at the top of the checkout.

jobs=$(nproc)

say() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit "${2:-1}"
}

install_packages() {
    local wanted missing
    wanted=$(sed -e 's/#.*//' -e '/^\[/d' -e '/^$/d' packages.txt)
    # shellcheck disable=SC2086
    missing=$(comm -23 <(sort <<<"$wanted") \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
            sed -n 's/^installed //p' | sort) | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    [ "$(id -u)" = 0 ] || die "not root, and these packages are missing; install them with:
    apt-get install --no-install-recommends $missing"
    say "installing $missing"
    local apt=(apt-get -y -q -o DPkg::Lock::Timeout=300)
    export DEBIAN_FRONTEND=noninteractive
    # The lists may be absent or out of date on a fresh machine: fetch them only then.
    # shellcheck disable=SC2086
    "${apt[@]}" install --no-install-recommends $missing >/dev/null 2>&1 || {
        "${apt[@]}" update
        "${apt[@]}" install --no-install-recommends $missing
    }
}

declare -A built
build() { # PRESET
    [ -z "${built[$1]:-}" ] || return 0
    built[$1]=yes
    mkdir -p build
    say "building $1"
    cmake --preset "$1" -DFARSHORE_WERROR=ON >"build/$1.log" 2>&1 ||
        { cat "build/$1.log"; die "configuring $1 failed"; }
    cmake --build "build/$1" -j "$jobs" >"build/$1.log" 2>&1 ||
        { cat "build/$1.log"; die "building $1 failed"; }
}
