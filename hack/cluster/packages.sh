#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# packages.sh: installs missing packages of the distribution: runc and the CNI plugins, which have C parts, and network tools. It
# uses apt; on other systems it lists the missing packages.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/settings.sh"

# Debian's directory of the CNI plugins; config/containerd.toml contains it too.
cni=/usr/lib/cni

# Each package and one of its files that the node uses.
needed="runc:runc containernetworking-plugins:$cni/bridge iptables:iptables iproute2:ip util-linux:nsenter openssl:openssl
	libc-bin:getent mount:mount"

missing() {
	local pair
	for pair in $needed; do
		command -v "${pair#*:}" >/dev/null || echo "${pair%%:*}"
	done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086 # a list of names
set -- $packages
command -v apt-get >/dev/null || fail "missing here: $* (as Debian names them; the CNI plugins in $cni)"
[ "$(id -u)" = 0 ] || fail "missing here: $*; as root this would install them"
log "installing $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	fail "apt-get could not install $*"
fi
left=$(missing)
[ -z "$left" ] || fail "still missing after apt-get install: $left"
