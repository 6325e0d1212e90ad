#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [GO TEST FLAGS]: the suite, on the cluster of E2E_KUBECONFIG, whose nodes have the images; see README.md.
# Without E2E_KUBECONFIG, on the node of hack/cluster: starts it unless it is up, brings the images in, and ends it afterwards
# if it started it (E2E_KEEP=1 leaves it).
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$here"

suite() { go test -count=1 -v -timeout 30m "$@" .; }

if [ -n "${E2E_KUBECONFIG:-}" ]; then
	suite "$@"
	exit
fi

node=$root/hack/cluster
dir=$(realpath -m "${CLUSTER_DIR:-$root/bin/cluster}")
started=
"$node/component.sh" status >/dev/null 2>&1 || started=yes
finish() {
	if [ -n "$started" ] && [ -z "${E2E_KEEP:-}" ]; then "$node/down.sh"; fi
}
trap finish EXIT
"$node/up.sh"
"$node/load.sh"
CGO_ENABLED=0 "$root/hack/heartbeat.sh" "build the test image" go build -trimpath -o "$root/bin/callback-e2e" ./app
"$node/load.sh" callback-e2e="$root/bin/callback-e2e"
# The node's controller manager has no leader election, so it would survive its API server; README.md has the consequences.
export E2E_KUBECONFIG=$dir/kubeconfig E2E_KUBECTL=$dir/bin/kubectl E2E_HELM=$dir/bin/helm \
	E2E_STOP_API="$node/component.sh stop controller-manager && $node/component.sh stop apiserver" \
	E2E_START_API="$node/component.sh start apiserver && $node/component.sh start controller-manager"
suite "$@"
