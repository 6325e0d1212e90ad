// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// What an instance says is bounded: one that lies can fill neither the memory
// nor a status, and makes none that the API server would not store.
func TestCheck_RefusesWhatNoProxySays(t *testing.T) {
	good := func() *routetable.Report { return &routetable.Report{ListenerPort: 8080, Boot: "b", Cursor: "c"} }
	uses := func(u ...routetable.RouteUse) func(*routetable.Report) {
		return func(r *routetable.Report) { r.Routes = u }
	}
	backends := func(b ...routetable.BackendUse) func(*routetable.Report) {
		return uses(routetable.RouteUse{Backends: b})
	}
	before := time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 23*60*60))
	for name, change := range map[string]func(*routetable.Report){
		"no port":          func(r *routetable.Report) { r.ListenerPort = 0 },
		"long hash":        func(r *routetable.Report) { r.Hash = strings.Repeat("a", 65) },
		"short hash":       func(r *routetable.Report) { r.Hash = "abc" },
		"hash of others":   func(r *routetable.Report) { r.Hash = strings.Repeat("A", 64) },
		"negative version": func(r *routetable.Report) { r.Generation = -1 },
		"no boot":          func(r *routetable.Report) { r.Boot = "" },
		"long boot":        func(r *routetable.Report) { r.Boot = strings.Repeat("a", 65) },
		"long cursor":      func(r *routetable.Report) { r.Cursor = strings.Repeat("a", 129) },
		"too many entries": func(r *routetable.Report) { r.Targets = make([]routetable.TargetReport, routetable.MaxReportEntries+1) },
		"long target":      func(r *routetable.Report) { r.Targets = []routetable.TargetReport{{ID: strings.Repeat("a", 65)}} },
		"no target":        func(r *routetable.Report) { r.Targets = []routetable.TargetReport{{}} },
		"negative count":   uses(routetable.RouteUse{Callbacks: -1}),
		"absurd count":     uses(routetable.RouteUse{Other: 1 << 60}),
		"long route":       uses(routetable.RouteUse{UID: strings.Repeat("a", 65)}),
		"absurd time":      uses(routetable.RouteUse{Last: before}),
		"negative backend": backends(routetable.BackendUse{Name: "blue", Callbacks: -1}),
		"nameless backend": backends(routetable.BackendUse{}),
		"long backend":     backends(routetable.BackendUse{Name: strings.Repeat("a", 64)}),
		"absurd last":      backends(routetable.BackendUse{Name: "blue", Last: before}),
		"many backends": func(r *routetable.Report) {
			several := make([]routetable.BackendUse, maxBackendsTold+1)
			for i := range several {
				several[i].Name = strconv.Itoa(i)
			}
			backends(several...)(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			report := good()
			if err := check(report); err != nil {
				t.Fatalf("before: %v", err)
			}
			change(report)
			if check(report) == nil {
				t.Error("is believed")
			}
		})
	}
}

func TestCheck_BoundsWords(t *testing.T) {
	g := NewWithT(t)
	report := &routetable.Report{
		ListenerPort: 8080, Boot: "b", Hash: strings.Repeat("0f", 32),
		Refused: &routetable.Refusal{Hash: "abc", Reason: strings.Repeat("x", 100), Message: strings.Repeat("y", 1000)},
		Targets: []routetable.TargetReport{
			{ID: "1", State: routetable.TargetUnhealthy, Reason: "<script>"},
			{ID: "2", State: routetable.TargetUnhealthy},
			{ID: "3", State: "Strange", Reason: "Unreachable"},
			{ID: "4", State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus},
		},
		Routes: []routetable.RouteUse{{UID: "r", Callbacks: 1, Backends: []routetable.BackendUse{{Name: strings.Repeat("b", 63), Callbacks: 1}}}},
	}
	g.Expect(check(report)).To(Succeed())
	g.Expect(*report.Refused).To(Equal(routetable.Refusal{Reason: strings.Repeat("x", maxReasonBytes), Message: strings.Repeat("y", maxMessageBytes)}))
	g.Expect(report.Targets).To(Equal([]routetable.TargetReport{
		{ID: "1", State: routetable.TargetUnhealthy, Reason: routetable.TargetUnreachable},
		{ID: "2", State: routetable.TargetUnhealthy, Reason: routetable.TargetUnreachable},
		{ID: "3", State: routetable.TargetUnmeasured},
		{ID: "4", State: routetable.TargetUnhealthy, Reason: routetable.TargetBadStatus},
	}))
}

// pages is an instance that always has more to say.
func pages(t *testing.T, answer func(page int64, report *routetable.Report)) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page := asked.Add(1)
		report := &routetable.Report{ListenerPort: 8080, Boot: "b", Cursor: strconv.FormatInt(page, 10), More: true}
		answer(page, report)
		_ = json.NewEncoder(w).Encode(report)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func newAsker(t *testing.T) *Asker {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	asker, err := NewAsker(key, clock.RealClock{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return asker
}

// An instance that speaks slowly, without end, is heard as far as it came.
func TestAsker_ListensOnlySoLong(t *testing.T) {
	g := NewWithT(t)
	slow := time.Tick(300 * time.Millisecond)
	address, _ := pages(t, func(page int64, r *routetable.Report) {
		<-slow
		r.Routes = []routetable.RouteUse{{UID: strconv.FormatInt(page, 10), Callbacks: 1}}
	})
	begin := time.Now()
	words, err := newAsker(t).ask(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(time.Since(begin)).To(BeNumerically("<", sayTimeout+askTimeout))
	g.Expect(words.report.More).To(BeTrue())
	g.Expect(len(words.routes)).To(BeNumerically(">", 1))
	g.Expect(words.report.Cursor).To(Equal(words.routes[len(words.routes)-1].UID), "the next question goes on there")
}

// One that speaks fast is heard to a bound.
func TestAsker_ListensOnlyToSoMuch(t *testing.T) {
	g := NewWithT(t)
	address, asked := pages(t, func(_ int64, r *routetable.Report) {
		r.Refused = &routetable.Refusal{Message: strings.Repeat("x", maxReportBytes*3/4)}
	})
	words, err := newAsker(t).ask(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(asked.Load()).To(BeEquivalentTo(3), "two and what is cut off")
	g.Expect(words.report.Cursor).To(Equal("2"))
	g.Expect(words.report.More).To(BeTrue())

	address, _ = pages(t, func(_ int64, r *routetable.Report) {
		r.Refused = &routetable.Refusal{Message: strings.Repeat("x", maxReportBytes)}
	})
	_, err = newAsker(t).ask(t.Context(), address, "")
	g.Expect(err).To(HaveOccurred(), "nothing was heard")
}

// What comes of another process in the middle is not mixed with the first.
func TestAsker_ARestartInTheMiddle(t *testing.T) {
	g := NewWithT(t)
	address, _ := pages(t, func(page int64, r *routetable.Report) {
		r.Boot = strconv.FormatInt(page, 10)
		r.Routes = []routetable.RouteUse{{UID: "r", Callbacks: page}}
	})
	words, err := newAsker(t).ask(t.Context(), address, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(words.report.Boot).To(Equal("1"))
	g.Expect(words.routes).To(HaveLen(1))
}
