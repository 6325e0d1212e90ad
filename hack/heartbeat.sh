#!/bin/sh
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# heartbeat.sh LABEL COMMAND...: prints LABEL, runs COMMAND, and prints a line every 30 s while it runs: a cold compiler is silent
# for minutes.
set -eu
label=$1
shift
echo "==> $label" >&2

(
	trap 'kill "$nap" 2>/dev/null; exit 0' TERM
	seconds=0
	while :; do
		sleep 30 &
		nap=$!
		wait "$nap"
		kill -0 "$$" 2>/dev/null || exit 0
		seconds=$((seconds + 30))
		echo "    $label: running for $seconds s" >&2
	done
) &
beat=$!
trap 'kill "$beat" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$@"
