// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/test/system/interposer"
)

// sentinel asks the proxies again and again whether they are ready.
type sentinel struct {
	stop chan struct{}
	end  func()
	done sync.WaitGroup
	// excused are proxies that the spec itself takes down.
	excused [2]atomic.Bool

	mu    sync.Mutex
	asked int
	bad   []string
}

func (s *system) watchOver() {
	s.sentinel = &sentinel{stop: make(chan struct{})}
	s.sentinel.end = sync.OnceFunc(func() { close(s.sentinel.stop) })
	s.t.Cleanup(s.sentinel.end)
	for i := range s.proxies {
		s.sentinel.done.Go(func() { s.sentinel.watch(i, s.admin(i)+"/readyz") })
	}
}

func (w *sentinel) watch(i int, url string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		// Excused before or after the question: the answer may be of between.
		excused := w.excused[i].Load()
		status, _, err := fetch(url)
		excused = excused || w.excused[i].Load()
		w.mu.Lock()
		w.asked++
		if !excused && status != http.StatusOK {
			w.bad = append(w.bad, fmt.Sprintf("proxy %d at %s: status %d, %v", i, time.Now().UTC().Format(time.RFC3339Nano), status, err))
		}
		w.mu.Unlock()
	}
}

// endWatch fails the spec if a proxy was not ready at any time.
func (s *system) endWatch() {
	s.t.Helper()
	s.sentinel.end()
	s.sentinel.done.Wait()
	s.Expect(s.sentinel.asked).To(BeNumerically(">", 10))
	s.Expect(s.sentinel.bad).To(BeEmpty(), "every proxy is ready all the time")
}

// adoption is what a proxy says when it takes or refuses a config.
type adoption struct {
	Message    string `json:"msg"`
	Reason     string `json:"reason"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"`
	Hash       string `json:"hash"`
}

// adoptions returns what a proxy said, over all its restarts.
func (s *system) adoptions(i int) []adoption {
	s.t.Helper()
	file, err := os.Open(s.proxyLog(i))
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var found []adoption
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line adoption
		if json.Unmarshal(lines.Bytes(), &line) == nil && strings.HasPrefix(line.Message, "config ") {
			found = append(found, line)
		}
	}
	s.Expect(lines.Err()).NotTo(HaveOccurred())
	return found
}

// expectOnlyWholeConfigs fails the spec if a proxy ever went back, adopted
// what no manager committed, or was offered an index without its shards.
func (s *system) expectOnlyWholeConfigs() {
	s.t.Helper()
	var said [2][]adoption
	for i := range s.proxies {
		said[i] = s.adoptions(i)
	}
	committed := s.committed() // after what was said of it: the world may still change
	for i := range s.proxies {
		var last routetable.Version
		adopted := 0
		for _, a := range said[i] {
			version := routetable.Version{Epoch: a.Epoch, Generation: a.Generation}
			switch a.Message {
			case "config adopted":
				s.Expect(version.Compare(last)).To(BeNumerically(">=", 0), "proxy %d went from %+v to %+v", i, last, version)
				s.Expect(committed[version]).To(Equal(a.Hash), "proxy %d adopted %+v, which was not committed so", i, version)
				last = version
				adopted++
			case "config refused":
				s.Expect(a.Reason).To(Equal(routetable.RefusedOlder), "proxy %d was offered half a config, or a broken one: %+v", i, a)
			}
		}
		s.Expect(adopted).To(BeNumerically(">", 0), "proxy %d: the log says nothing", i)
	}
}

// committed returns the hash of each version that a manager wrote, by what
// went through the interposers; a version has one hash for ever.
func (s *system) committed() map[routetable.Version]string {
	s.t.Helper()
	committed := map[routetable.Version]string{}
	for _, m := range s.managers {
		writes := m.api.Calls(interposer.And(interposer.Writes, interposer.Of("", "callbackproxyconfigs"),
			func(c interposer.Call) bool { return c.Forwarded && c.Verb != interposer.Delete && c.Code < 300 }))
		for _, write := range writes {
			var part callbackv1alpha1.CallbackProxyConfig
			s.Expect(json.Unmarshal(write.Body, &part)).To(Succeed())
			if part.Spec.Part != callbackv1alpha1.ConfigIndex || part.Name != fleet.Name {
				continue
			}
			version := routetable.Version{Epoch: part.Spec.Epoch, Generation: part.Spec.Generation}
			if known := committed[version]; known != "" {
				s.Expect(part.Spec.Hash).To(Equal(known), "%+v was published with two contents", version)
			}
			committed[version] = part.Spec.Hash
		}
	}
	return committed
}

// asker is for admin ports.
var asker = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func fetch(url string) (status int, body string, err error) {
	response, err := asker.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// page is what a /metrics says.
type page map[string]*dto.MetricFamily

func scrape(url string) (page, error) {
	status, body, err := fetch(url)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", url, status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(strings.NewReader(body))
}

// sum adds up all series of a metric; 0 when there are none.
func (p page) sum(name string) float64 {
	var sum float64
	for _, series := range p[name].GetMetric() {
		sum += series.GetGauge().GetValue() + series.GetCounter().GetValue()
	}
	return sum
}

func metric(url, name string) (float64, error) {
	p, err := scrape(url)
	return p.sum(name), err
}
