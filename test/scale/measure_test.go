// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/test/fixture"
)

// ticks is the kernel's USER_HZ, the unit of times in /proc/stat. It is
// 100 on every platform that Go runs on.
const ticks = 100

func megabytes(n uint64) string { return fmt.Sprintf("%.0f MB", float64(n)/(1<<20)) }

// childrenNamed returns the child processes with a program's name.
func childrenNamed(name string) []int {
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue // it has ended
		}
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+1:]))
		// The kernel keeps 15 bytes of a name.
		if len(fields) < 2 || string(stat[open+1:end]) != name[:min(len(name), 15)] || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// programs are those whose CPU time is reported.
var programs = []string{"manager", "proxy", "kube-apiserver", "etcd", "bench"}

// lapse measures from one point to the next.
type lapse struct {
	run    *run
	http   *http.Client
	at     time.Time
	cpu    map[string]time.Duration
	busy   time.Duration // of the whole machine
	writes map[string]int64
}

func newLapse(r *run) *lapse {
	r.b.Helper()
	c, err := rest.HTTPClientFor(r.ControlPlane.Config)
	r.Expect(err).NotTo(HaveOccurred())
	return &lapse{run: r, http: c}
}

// begin starts a phase.
func (l *lapse) begin() {
	l.run.b.Helper()
	l.cpu, l.writes = l.cpuNow(), l.writesNow()
	l.busy, l.at = machineBusy(), time.Now()
}

// end reports the CPU seconds of a phase and returns its writes.
func (l *lapse) end(phase string) map[string]int64 {
	l.run.b.Helper()
	took, busy := time.Since(l.at), machineBusy()-l.busy
	now, writes := l.cpuNow(), l.writesNow()
	var used []string
	var ours time.Duration
	for _, name := range programs {
		used = append(used, fmt.Sprintf("%.1f", (now[name]-l.cpu[name]).Seconds()))
		ours += now[name] - l.cpu[name]
	}
	used = append(used, fmt.Sprintf("%.1f", max(0, (busy-ours).Seconds())))
	l.run.report("CPU s, "+phase+" (manager/proxies/API server/etcd/bench/everything else)", strings.Join(used, "/")+" in "+seconds(took))
	l.run.report("CPU s, "+phase+", ours spread over all cores", seconds(ours/time.Duration(runtime.NumCPU())))
	for key, n := range l.writes {
		if writes[key] -= n; writes[key] == 0 {
			delete(writes, key)
		}
	}
	return writes
}

func (l *lapse) cpuNow() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, name := range programs {
		pids := childrenNamed(name)
		if name == "bench" {
			pids = []int{os.Getpid()}
		}
		for _, pid := range pids {
			if u, err := fixture.UsageOf(pid); err == nil {
				out[name] += u.CPU
			}
		}
	}
	return out
}

// machineBusy is how long all cores together have worked since they started.
// The part of other processes shows how quiet the machine was.
func machineBusy() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var sum int64
	for i, field := range strings.Fields(line) {
		switch i { // cpu, user, nice, system, idle, iowait, irq, softirq
		case 1, 2, 3, 6, 7:
			n, _ := strconv.ParseInt(field, 10, 64)
			sum += n
		}
	}
	return time.Duration(sum) * time.Second / ticks
}

// countedVerbs are those of requests that write.
var countedVerbs = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// writesNow counts, from the API server's own metrics, the requests that wrote
// or tried to, as "<verb> <resource>[/<subresource>]", and with the code when
// it is not a success.
func (l *lapse) writesNow() map[string]int64 {
	l.run.b.Helper()
	response, err := l.http.Get(l.run.ControlPlane.Config.Host + "/metrics")
	l.run.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	out := map[string]int64{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "apiserver_request_total{") {
			continue
		}
		labels := map[string]string{}
		for _, match := range label.FindAllStringSubmatch(line, -1) {
			labels[match[1]] = match[2]
		}
		if !slices.Contains(countedVerbs, labels["verb"]) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		l.run.Expect(err).NotTo(HaveOccurred())
		out[writeKey(labels)] += int64(n)
	}
	l.run.Expect(lines.Err()).NotTo(HaveOccurred())
	return out
}

func writeKey(labels map[string]string) string {
	key := labels["verb"] + " " + labels["resource"]
	if labels["subresource"] != "" {
		key += "/" + labels["subresource"]
	}
	if !strings.HasPrefix(labels["code"], "2") {
		key += " (" + labels["code"] + ")"
	}
	return key
}

// split separates writes that change something from the others: leases are
// renewed, and reviews of access write nothing.
func split(writes map[string]int64) (news, others map[string]int64) {
	news, others = map[string]int64{}, map[string]int64{}
	for key, n := range writes {
		if strings.Contains(key, " leases") || strings.Contains(key, "reviews") {
			others[key] = n
		} else {
			news[key] = n
		}
	}
	return news, others
}

func total(writes map[string]int64) (sum int64) {
	for _, n := range writes {
		sum += n
	}
	return sum
}

func shown(writes map[string]int64) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(writes)) {
		parts = append(parts, fmt.Sprintf("%s %d", key, writes[key]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
