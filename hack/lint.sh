#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh: golangci-lint in every module with code, then kube-api-linter on api/. Reports all findings before it fails.
# The Makefile sets CODE_MODULES.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# Each checkout has its own cache: cached results contain absolute paths, and exclusions do not match those of another checkout.
GOLANGCI_LINT_CACHE=$root/bin/lint-cache
export GOLANGCI_LINT_CACHE

# lint LABEL TOOL CONFIG PACKAGES, in the current directory.
lint() {
	"$root/hack/heartbeat.sh" "lint $1" go tool -modfile="$root/hack/tools/go.mod" "$2" run --config "$root/$3" "$4"
}

failed=
for module in $CODE_MODULES; do
	(cd "$module" && lint "module $module" golangci-lint .golangci.yml ./...) || failed="$failed $module"
done
lint "the API types" golangci-lint-kube-api-linter .golangci-api.yml ./api/... || failed="$failed api"

if [ -n "$failed" ]; then
	echo "lint: findings in:$failed" >&2
	exit 1
fi
