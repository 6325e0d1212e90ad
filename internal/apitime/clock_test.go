// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apitime_test

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// machine is a machine whose clocks a test moves, and an API server.
type machine struct {
	sunset.Reading
	server time.Time
	took   time.Duration
}

func (m *machine) read() sunset.Reading { return m.Reading }

func (m *machine) pass(d time.Duration) {
	m.Wall, m.Elapsed, m.server = m.Wall.Add(d), m.Elapsed+d, m.server.Add(d)
}

// RoundTrip answers as the API server does.
func (m *machine) RoundTrip(*http.Request) (*http.Response, error) {
	date := m.server.UTC().Format(http.TimeFormat)
	m.pass(m.took)
	return &http.Response{Header: http.Header{"Date": {date}}, Body: http.NoBody}, nil
}

// F44: a manager whose clock jumps ends no route by it, learns from the API
// server which of them is right, and is distinguished from a slow response.
func TestF44_Clock_DoesNotFollowAJump(t *testing.T) {
	g := NewWithT(t)
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	m := &machine{Reading: sunset.Reading{Wall: start}, server: start}
	c := apitime.NewClockFrom(m.read, nil)
	transport := c.Wrap(m)
	requestTime := func() {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/", http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := transport.RoundTrip(request)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
	}
	requestTime()
	m.pass(time.Minute)
	g.Expect(c.Now()).To(BeTemporally("==", m.server))

	for _, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour, 87600 * time.Hour, -87600 * time.Hour} {
		m.Wall = m.Wall.Add(jump)
		g.Expect(c.Now()).To(BeTemporally("~", m.server, time.Second), "jump of %s", jump)
		for range 3 {
			m.pass(time.Minute)
			requestTime()
		}
		g.Expect(c.Now()).To(BeTemporally("~", m.server, time.Second), "and the server agrees with what is held")
		g.Expect(c.Suspect()).To(BeTrue())
		m.Wall = m.Wall.Add(-jump)
		requestTime()
		g.Expect(c.Suspect()).To(BeFalse())
	}

	// A machine that slept: its wall clock is right, and the server agrees.
	m.Wall, m.server = m.Wall.Add(9*time.Hour), m.server.Add(9*time.Hour)
	g.Expect(c.Suspect()).To(BeTrue())
	m.took = time.Minute
	requestTime()
	g.Expect(c.Suspect()).To(BeTrue(), "a response that took a minute proves nothing")
	m.took = 0
	requestTime()
	g.Expect(c.Suspect()).To(BeFalse())
	g.Expect(c.Now()).To(BeTemporally("~", m.server, time.Second))
}
