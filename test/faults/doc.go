// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults breaks what the operator stands on, and shows that callbacks
// do not notice. Each test is one fault, named by its number: on a real
// kube-apiserver and etcd, with the manager and two proxies as processes of
// their own, two backends that remember what reached them, and a steady load
// by clients that do not wait for each other.
//
// Run it with
//
//	go test ./test/faults            # the fast scale: faults last seconds
//	cd test/faults && FAULTS=full go test -count=1 -timeout 5h
//
// The second command is the whole scale: outages of ten minutes, ten thousand
// routes, more rounds. It takes hours, and a machine that does nothing else.
// No test is left out of the fast scale; what differs is in calls of lasting
// and times, and a few phases that are minutes long by nature. At the end there
// is a table: fault, result, figures. (go test shows it for a package that
// passes only when it is run in the package's folder, or with -v.)
//
// # How a fault is written
//
// A test is a story of few lines:
//
//	func TestF99_SomethingBreaks(t *testing.T) {
//		t.Parallel()
//		s := start(t, "F99", options{})
//		s.set(interposer.Rule{Match: interposer.Writes, Delay: time.Second})
//		changes := s.change(lasting(8*time.Second, time.Minute))
//		s.set()
//		took := s.converges(30 * time.Second)
//		s.record("%d changes, converged after %.1f s", changes, took.Seconds())
//		s.finish()
//	}
//
// What its calls promise:
//
//   - start gives the fault its row in the table and brings up an installation
//     under load; a test that needs none calls enter and row.record itself.
//   - A fault is made by rules of an [interposer.Proxy] between the product and
//     the API server: each manager has its own, both proxies share proxyAPI,
//     and set reaches all of them. Or by the methods of the control plane, and
//     by signals to processes. The spec's own client goes past all faults.
//   - converged is the oracle for the control plane: what is declared is
//     compiled here once more, and the stored config must be the same in every
//     byte, with no shard too many; both proxies must run it; and each route's
//     Programmed must say so for its generation. Nothing else of a status is
//     looked at.
//   - finish is the oracle for the rest, and the same for each fault: of all
//     callbacks none failed, was misrouted, delivered twice, lied about or
//     changed in a byte; every proxy was ready all the time; no proxy went
//     back to an older config, adopted one that no manager wrote, or was offered
//     an index without its shards; and no status contradicts itself or is late. A spec that takes a proxy down uses
//     restartProxy, which takes it out of the load first.
//   - Whoever counts requests asks an interposer for its Calls.
//   - shared instead of start gives an installation that such tests use one
//     after another: it takes less time, for faults that leave no trace. Both
//     can be furnished with more backends, namespaces and hosts; settles is
//     converges for a world with routes that are refused, and with grants.
//
// A test may run in parallel with others when its limits are seconds, as those
// of the faults are; one that measures milliseconds may not.
package faults
