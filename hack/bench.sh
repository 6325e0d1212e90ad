#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# bench.sh [FLAGS]: builds the proxies and compares them (make bench). bench.sh --help lists the flags.
#
# nginx and HAProxy are installed from Debian's or Ubuntu's packages where that starts no service: as root, without systemd.
# A proxy that is missing is left out.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
programs=$root/bin/bench
mkdir -p "$programs"

missing=
PATH=$PATH:/usr/sbin
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v haproxy >/dev/null || missing="$missing haproxy"
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -d /run/systemd/system ]; then
		# shellcheck disable=SC2086 # a list of words
		hack/heartbeat.sh "install$missing" sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"' sh $missing ||
			echo "bench: could not install$missing" >&2
	else
		echo "bench: not installed:$missing" >&2
	fi
fi

export CGO_ENABLED=0
hack/heartbeat.sh "build the proxy and the benchmark" go build -trimpath -ldflags '-s -w' -o "$programs/" ./cmd/proxy ./test/bench/peer ./test/bench/cmd/bench
(cd test/bench/caddy && "$root/hack/heartbeat.sh" "build Caddy" go build -trimpath -ldflags '-s -w' -o "$programs/" github.com/caddyserver/caddy/v2/cmd/caddy) ||
	echo "bench: could not build Caddy" >&2
exec "$programs/bench" -programs "$programs" -markdown "$programs/performance.md" "$@"
