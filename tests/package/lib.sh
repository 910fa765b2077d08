#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fresh Debian systems for the tests of the package, sourced by bash as root. What comes from the mirror
# (the one that apt uses here) is kept in FARSHORE_CACHE, else ~/.cache/farshore, for a week.

suite=bookworm
fail() { echo "FAILED: $*" >&2; exit 1; }
quietly() { # COMMAND...: its output only where it fails
    local output
    output=$("$@" 2>&1) || { echo "$output"; return 1; }
}

cache=${FARSHORE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/farshore}
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset http_proxy https_proxy TMPDIR
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy https_proxy

# Mount points need no cleaning up: they are in a namespace of mounts and processes that ends with the
# script, whatever ends it.
in_own_namespace() { # "$0" "$@"
    [ "$(id -u)" = 0 ] || fail "making a system needs root"
    # unshare sleeps through SIGTERM and SIGINT; --kill-child takes what is inside along with it.
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        env INSIDE=yes "$@" &
    trap 'kill -KILL $!; exit 143' TERM INT
    wait $!
    exit
}

the_deb() { # DIR: sets deb, depends and arch
    local debs=("$1"/*.deb)
    deb=${debs[0]}
    [ ${#debs[@]} = 1 ] && [ -e "$deb" ] || fail "not exactly one .deb in $1: did tests/package/build run?"
    arch=$(dpkg-deb -f "$deb" Architecture)
    depends=$(dpkg-deb -f "$deb" Depends)
}

lock_cache() {
    mkdir -p "$cache/archives/partial"
    exec 9>"$cache/lock"
    flock -w 500 9 || fail "another run holds $cache/lock"
}

is_young() { [ -n "$(find "$1" -maxdepth 0 -mtime -7 2>/dev/null)" ]; }

# Into the empty directory that `root` names. With the cache locked.
unpack_base() {
    local mirror base=$cache/$suite-$arch.tar
    if is_young "$base"; then
        tar -C "$root" -xf "$base"
        return
    fi
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite=$suite '$1 == suite && $2 == "main" { print $3; exit }')
    [ -n "$mirror" ] || fail "apt has no source with $suite main here, to take a system from"
    rm -rf "$cache/archives" "$base"
    mkdir -p "$cache/archives/partial"
    timeout 500 debootstrap --variant=minbase --arch="$arch" $suite "$root" "$mirror" \
        >"$cache/debootstrap.log" 2>&1 ||
        { tail -n 20 "$cache/debootstrap.log"; fail "debootstrap; all of it: $cache/debootstrap.log"; }
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" -cf "$base.new" .
    mv "$base.new" "$base"
}

in_root() { chroot "$root" "$@" </dev/null; }
apt() { quietly in_root timeout 900 apt-get -y -q --no-install-recommends "$@"; }

# apt works in there from now on, and keeps what it downloads. Nothing may start: no init runs.
prepare_root() {
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    mount -t proc none "$root/proc"
    mount --bind "$cache/archives" "$root/var/cache/apt/archives"
    rm -f "$root/etc/apt/apt.conf.d/docker-clean"
    printf 'APT::Keep-Downloaded-Packages "true";\nBinary::apt-get::APT::Keep-Downloaded-Packages "true";\n' \
        >"$root/etc/apt/apt.conf.d/99test"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}
