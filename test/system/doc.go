// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package system runs the whole operator under a steady load of callbacks:
// etcd, kube-apiserver, the manager and two proxies as processes of their own,
// backends that record, and kubectl as the user. It shows that users get what
// they declare, and that callbacks survive faults of everything that the
// operator depends on. All of it is I/O. Run it with
//
//	go test ./test/system                    # everything, on the fast scale
//	make faults FAULTS=fast                  # the faults, with their table
//	make faults                              # the faults on the full scale
//
// The full scale has outages of ten minutes, ten thousand routes and more
// rounds: it takes hours, and a machine without other work. The fast scale
// leaves out no test; calls of lasting and times make the difference, and a few
// phases that take minutes. A table with the result and the figures of each
// fault is printed at the end.
//
// # Structure of a fault
//
// A file is named by its subject, a test by the fault's number:
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
// These calls guarantee:
//
//   - start adds the fault's row to the table and brings up an installation
//     under load. A test that needs no installation calls enter and row.record.
//   - Rules of an [interposer.Proxy] between the product and the API server make
//     a fault: each manager has its own interposer, both proxies share proxyAPI,
//     and set changes all of them. So do the methods of the control plane, and
//     signals to processes. The test's own client bypasses all faults.
//   - converged is the oracle of the control plane: it compiles what is declared
//     once more. The stored config must equal the result in every byte, with no
//     shard too many; both proxies must run it; and the status of each route
//     must agree with its verdict, for its generation.
//   - finish is the oracle of the data plane, the same for each fault: of all
//     callbacks none failed, was misrouted, duplicated, contradicted or
//     corrupted; every proxy was ready all the time; no proxy returned to an
//     older config, adopted one that no manager wrote, or received an index
//     without its shards; and no status contradicts itself or stays late. A test
//     that takes a proxy down uses restartProxy, which takes it out of the load
//     first.
//   - Tests that count requests read the Calls of an interposer.
//   - shared returns an installation that tests use one after another, for
//     faults that leave no trace: it saves the time of start.
//
// A test may run in parallel with others when its limits are seconds. A test
// that measures milliseconds may not.
package system
