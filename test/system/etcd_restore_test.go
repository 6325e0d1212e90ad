// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// etcd is killed; then it is killed again and comes back with the data of an
// earlier moment, so that resource versions and generations are lower than those
// that manager and proxies have. The proxies serve all the time, and adopt what
// is declared now, in a higher epoch.
func TestF06_EtcdIsKilledAndRestored(t *testing.T) {
	t.Parallel()
	s := start(t, "F06", options{})
	away := lasting(3*time.Second, time.Minute)
	snapshot := filepath.Join(s.Dir, "snapshot")
	data := filepath.Join(s.ControlPlane.Dir, "etcd")

	s.ControlPlane.KillEtcd()
	s.Expect(os.CopyFS(snapshot, os.DirFS(data))).To(Succeed())
	s.wait(away)
	s.Expect(s.ControlPlane.StartEtcd(s.ctx)).To(Succeed())
	s.apiServes()
	s.flip(0)
	s.record("killed for %s: converged after %.1f s", away, s.converges(time.Minute).Seconds())

	s.change(5 * time.Second)
	s.converges(patience)
	before := s.published()
	s.ControlPlane.KillAPIServer()
	s.ControlPlane.KillEtcd()
	s.Expect(os.RemoveAll(data)).To(Succeed())
	s.Expect(os.CopyFS(data, os.DirFS(snapshot))).To(Succeed())
	s.Expect(s.ControlPlane.StartEtcd(s.ctx)).To(Succeed())
	s.Expect(s.ControlPlane.StartAPIServer(s.ctx)).To(Succeed())
	restored := s.published()
	took := s.converges(time.Minute)
	after := s.published()
	s.Expect(after.Epoch).To(BeNumerically(">", before.Epoch))
	s.record("restored from %s before: converged after %.1f s, version went from %d/%d to %d/%d, the restored one was %d/%d", "6 s",
		took.Seconds(), before.Epoch, before.Generation, after.Epoch, after.Generation, restored.Epoch, restored.Generation)
	s.flip(1)
	s.record("a change afterwards converged after %.1f s", s.converges(time.Minute).Seconds())
	s.finish()
}
