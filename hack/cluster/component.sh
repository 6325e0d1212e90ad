#!/usr/bin/env bash
# Copyright The callback-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# component.sh stop NAME: stops one component like a service manager: SIGTERM, and SIGKILL after 30 s.
# component.sh kill NAME: sends SIGKILL.
# component.sh start NAME: starts it again, with the same data, and returns when it is ready.
# component.sh pid NAME: prints its process id on this machine; fails when it does not run.
# component.sh status: prints a line for each component.
# Pods keep running meanwhile, as on any node. The names are those of `component.sh status`.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/settings.sh"
. "$here/components.sh"

usage() { fail "usage: component.sh stop|kill|start|pid NAME, or component.sh status; NAME is one of $components"; }

# signal NAME SIGNAL
signal() { in_node kill "-$2" "$(cat "$dir/pid/$1")"; }

gone() { ! alive "$1"; }

stop_component() {
	alive "$1" || return 0
	signal "$1" TERM
	if ! await 30 "the end of $1" gone "$1" 2>/dev/null; then kill_component "$1"; fi
}

kill_component() {
	alive "$1" || return 0
	signal "$1" KILL 2>/dev/null || true
	await 10 "the end of $1" gone "$1"
}

# host_pid NAME: finds the process by its id in the node, which is the last in its list of ids (one for each namespace).
host_pid() {
	local pid init namespace status
	alive "$1" || return 1
	pid=$(cat "$dir/pid/$1")
	init=$(init_pid)
	namespace=$(readlink "/proc/$init/ns/pid")
	for status in $(grep -lsE "^NSpid:.*[[:space:]]$pid\$" /proc/[0-9]*/status); do
		status=${status%/status}
		if [ "$(readlink "$status/ns/pid")" = "$namespace" ]; then
			echo "${status#/proc/}"
			return
		fi
	done
	return 1
}

status() {
	local component pid
	for component in $components; do
		if pid=$(host_pid "$component"); then echo "$component runs, pid $pid"; else echo "$component does not run"; fi
	done
}

require_root
[ -n "$(init_pid)" ] || fail "no cluster is up in $dir; make cluster starts one"
if [ "${1:-}" = status ]; then
	status
	exit
fi
[ $# -eq 2 ] || usage
case " $components " in
*" $2 "*) ;;
*) usage ;;
esac
case $1 in
stop) stop_component "$2" ;;
kill) kill_component "$2" ;;
start)
	if alive "$2"; then fail "$2 runs already"; fi
	start_component "$2"
	await_component "$2"
	;;
pid) host_pid "$2" || fail "$2 does not run" ;;
*) usage ;;
esac
