// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// build builds the programs of this repository that a run needs.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.Command("go", "build", "-o", dir, "./cmd/proxy", "./test/bench/peer")
	command.Dir = "../.."
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// One short round measures the bare ReverseProxy and the proxy of this project,
// with more than one host: each number of the table is there.
func TestRun_OneShortRound(t *testing.T) {
	g := NewWithT(t)
	table, err := Run(t.Context(), Options{
		Programs: build(t), Rounds: 1, Duration: 600 * time.Millisecond, WarmUp: 20 * time.Millisecond, Rate: 800, SAMLRate: 400,
		Hosts: []int{3}, Only: []string{"ReverseProxy", "callbackproxy"}, Progress: t.Output(),
	})
	g.Expect(err).NotTo(HaveOccurred())
	names := make([]string, 0, len(table.rows))
	for _, r := range table.rows {
		names = append(names, r.name)
		g.Expect(r.cells).To(HaveLen(3), r.name)
		for n, cells := range r.cells {
			g.Expect(cells).To(HaveLen(1), "%s, %s", r.name, table.loads[n].name)
			g.Expect(cells[0].cpu).To(BeNumerically(">", 0), "%s, %s", r.name, table.loads[n].name)
			g.Expect(cells[0].p50).To(BeNumerically(">", 0), "%s, %s", r.name, table.loads[n].name)
			g.Expect(cells[0].p99).To(BeNumerically(">=", cells[0].p50), "%s, %s", r.name, table.loads[n].name)
		}
		g.Expect(r.idle).To(BeNumerically(">", 0), r.name)
		g.Expect(r.peak).To(BeNumerically(">=", r.idle), r.name)
	}
	g.Expect(names).To(Equal([]string{"ReverseProxy (Go)", "callbackproxy, 6 routes", "ReverseProxy (Go)"}))
}

// A proxy that does less than the others is not measured.
func TestCheckWork_FindsALazyProxy(t *testing.T) {
	g := NewWithT(t)
	b := &bench{Options: &Options{Programs: build(t)}, backends: map[upstream]string{}}
	defer func() {
		for _, process := range b.processes {
			process.Kill()
		}
	}()
	g.Expect(b.startBackends(t.Context())).To(Succeed())
	l := newLoads(&Options{Rate: 1, SAMLRate: 1})[0]
	g.Expect(checkWork(b.backends[kept], &l, kept)).To(MatchError(ContainSubstring("is not delivered as the others deliver it")))
}

func TestLoads_HaveTheirSizes(t *testing.T) {
	g := NewWithT(t)
	loads := newLoads(&Options{})
	g.Expect(len(loads[0].message)).To(BeNumerically("~", 1300, 50))
	for i, length := range map[int]int{1: 8 << 10, 2: 60 << 10} {
		_, body, _ := bytes.Cut(loads[i].message, []byte("\r\n\r\n"))
		g.Expect(len(body)).To(BeNumerically("~", length, 100), loads[i].name)
	}
	for _, l := range loads {
		g.Expect(string(l.message[l.hostAt:])).To(HavePrefix(strings.TrimPrefix(hostName(0), "tenant-")), l.name)
	}
}

func TestTable(t *testing.T) {
	g := NewWithT(t)
	us := func(n int) []cell {
		return []cell{{cpu: time.Duration(n) * time.Microsecond, p50: time.Millisecond, p99: 2 * time.Millisecond}}
	}
	table := &Table{
		loads: []load{{name: "GET"}},
		rows: []row{
			{name: "nginx", upstream: fresh, cells: [][]cell{us(50)}, idle: 1, peak: 2},
			{name: "other", upstream: fresh, cells: [][]cell{us(75)}, idle: 3, peak: 4},
			{name: "nginx", upstream: kept, cells: [][]cell{us(20)}, idle: 1, peak: 2},
		},
	}
	var text strings.Builder
	g.Expect(table.WriteMarkdown(&text)).To(Succeed())
	g.Expect(text.String()).To(Equal(`
A fresh connection to the backend for each callback:

| proxy | GET CPU us | ratio | GET p50/p99 ms | RSS idle/peak MB |
|---|---:|---:|---:|---:|
| nginx | 50.0 | 1.00 | 1.00 / 2.00 | 1 / 2 |
| other | 75.0 | 1.50 | 1.00 / 2.00 | 3 / 4 |

Connections to the backend are kept:

| proxy | GET CPU us | ratio | GET p50/p99 ms | RSS idle/peak MB |
|---|---:|---:|---:|---:|
| nginx | 20.0 | 1.00 | 1.00 / 2.00 | 1 / 2 |
| callbackproxy | n/a | n/a | n/a | n/a |
`))
}
