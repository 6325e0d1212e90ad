#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# edges.sh [FLAGS of go test]: runs test/edges: a real Chromium and real servers (nginx, HAProxy, Apache httpd, Caddy) in front of the
# proxy, and behind it backends that break off and Go, Node, nginx, Apache and HAProxy as the origins of raw requests. Installs the
# programs that are absent where it can: by apt-get as root, playwright-core and axe-core by npm, and Caddy from its module. A test without
# its program is skipped, and the last lines list what was absent. EDGES=full runs the tests that last minutes as well, EDGES_PICTURES=DIR
# takes pictures of the proxy's pages.
set -eu
cd "$(dirname "$0")/.."
absent=

# has NAME...: one of these programs is installed.
has() {
	for name in "$@"; do
		command -v "$name" >/dev/null 2>&1 && return 0
	done
	return 1
}

PATH=$PWD/bin/edges:$PATH:/usr/sbin
export PATH
packages=
has chromium chromium-browser google-chrome || packages="$packages chromium"
has nginx || packages="$packages nginx-light"
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages="$packages libnginx-mod-stream"
has haproxy || packages="$packages haproxy"
has apache2 || packages="$packages apache2"
has node || packages="$packages nodejs"
has npm || packages="$packages npm"
if [ -n "$packages" ]; then
	if [ "$(id -u)" = 0 ] && has apt-get && [ ! -d /run/systemd/system ]; then # with systemd a package starts its service
		echo "==> install$packages" >&2
		# shellcheck disable=SC2086 # a list of words
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null; } ||
			absent="$packages (apt-get failed)"
	else
		absent="$packages"
	fi
fi
if has npm; then
	(cd test/edges/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || absent="$absent playwright-core and axe-core (npm ci failed)"
fi

has caddy || (cd test/bench/caddy && CGO_ENABLED=0 ../../../hack/heartbeat.sh "build Caddy" go build -trimpath -ldflags '-s -w' -o ../../../bin/edges/ github.com/caddyserver/caddy/v2/cmd/caddy) ||
	absent="$absent caddy (its build failed)"

result=0
hack/heartbeat.sh "test the edges" go test -count=1 -timeout 30m "$@" ./test/edges || result=$?
[ -z "$absent" ] || echo "edges: tests were SKIPPED, because this is not installed:$absent" >&2
exit "$result"
