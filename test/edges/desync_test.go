// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package edges

// desync_test.go: raw requests through the proxy to five origins, and requests after each that find out whether all agree where it ended.

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// trial sends vectors to one address and lists what is wrong.
type trial struct {
	way     way
	address string
	// patience is how long a client waits for a response.
	patience time.Duration
	// expected are the messages that the origin must see, by the identity of the
	// request; allowed are those that it may see.
	expected, allowed map[string]string
	findings          []string
	// refused, forwarded and followed count vectors: those that the proxy refused,
	// those that reached the origin, and those whose connection served the canary.
	refused, forwarded, followed int
}

func newTrial(w way, address string) *trial {
	return &trial{way: w, address: address, patience: patience, expected: map[string]string{}, allowed: map[string]string{}}
}

func (tr *trial) find(v *vector, format string, args ...any) {
	tr.findings = append(tr.findings, v.name+": "+fmt.Sprintf(format, args...))
}

// client is one connection of a client.
type client struct {
	net.Conn
	from *bufio.Reader
}

func (tr *trial) dial() (*client, error) {
	conn, err := net.Dial("tcp", tr.address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(tr.patience))
	return &client{conn, bufio.NewReader(conn)}, nil
}

// answer is a response with its whole body. Interim ones are skipped.
type answer struct {
	status int
	body   string
	closes bool
}

func (c *client) read(method string) (a answer, err error) {
	for a.status < http.StatusOK {
		response, err := http.ReadResponse(c.from, &http.Request{Method: method})
		if err != nil {
			return a, err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return a, err
		}
		a = answer{response.StatusCode, string(body), response.Close}
	}
	return a, nil
}

// try sends a vector with a canary behind it in one write, judges the responses,
// and then sends a canary over a connection of its own: it meets the connection
// to the origin that the vector has used.
func (tr *trial) try(v *vector, id string) {
	c, err := tr.dial()
	if err != nil {
		tr.find(v, "dial: %v", err)
		return
	}
	defer func() { _ = c.Close() }()
	canary := id + "c"
	raw := expand(v.raw, tr.way, id) + tr.way.get(canary)
	go func() {
		_, _ = io.WriteString(c, raw)
		if last := v.fates[tr.way]; last[len(last)-1].cut {
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		}
	}()
	if goesOn := tr.judge(v, c, raw, id); goesOn {
		if tr.isServed(v, c, canary) {
			tr.followed++
		}
	} else if rest, err := io.ReadAll(c.from); err != nil || len(rest) > 0 {
		tr.find(v, "after the last response the client gets %.60q, %v", rest, err)
	}
	alone := id + "d"
	second, err := tr.dial()
	if err != nil {
		tr.find(v, "dial: %v", err)
		return
	}
	defer func() { _ = second.Close() }()
	_, _ = io.WriteString(second, tr.way.get(alone))
	tr.isServed(v, second, alone)
}

// isServed requires that a request gets the response to itself.
func (tr *trial) isServed(v *vector, c *client, id string) bool {
	a, err := c.read(http.MethodGet)
	message := "GET " + tr.way.target(id) + "\n"
	tr.expected[id] = message
	if err != nil || a.status != http.StatusOK || a.body != message {
		tr.find(v, "the canary gets %d %.60q, %v", a.status, a.body, err)
		return false
	}
	return true
}

// judge reads the responses to a vector's requests. It reports whether the
// connection goes on.
func (tr *trial) judge(v *vector, c *client, raw, id string) (goesOn bool) {
	method, rest, _ := strings.Cut(strings.TrimPrefix(raw, "\r\n"), " ")
	target, _, _ := strings.Cut(rest, " ")
	for i, f := range v.fates[tr.way] {
		if i > 0 {
			method, target, id = http.MethodGet, tr.way.target(next(id)), next(id)
		}
		a, err := c.read(method)
		message := method + " " + target + "\n"
		switch {
		case f.cut:
			if err == nil && a.status < http.StatusBadRequest {
				tr.find(v, "half a request gets %d", a.status)
			}
			return false
		case err != nil:
			tr.find(v, "request %d gets no response: %v", i, err)
			return false
		case f.open:
			tr.allowed[id] = message
		case f.status != 0:
			tr.judgeRefusal(v, f, a)
		default:
			message += expand(f.body, tr.way, id)
			tr.expected[id] = message
			tr.forwarded++
			if a.status != http.StatusOK || a.body != message {
				tr.find(v, "request %d gets %d %.60q, not its own response", i, a.status, a.body)
			}
		}
		if a.closes {
			return false
		}
	}
	return true
}

func (tr *trial) judgeRefusal(v *vector, f fate, a answer) {
	tr.refused++
	if a.status != f.status {
		tr.find(v, "the response is %d, not %d", a.status, f.status)
	}
	if f.goesOn == a.closes {
		tr.find(v, "after %d the connection ends: %v", f.status, a.closes)
	}
}

var identity = regexp.MustCompile(`[?&](?:code|n)=(v[0-9]+[bcd]?)(?:[^0-9a-z]|$)`)

const (
	onTheWire   = "the wire"
	atTheOrigin = "the origin"
)

// compare lists how the messages that arrived differ from those that were meant.
// An origin may read a target in its own way: Apache merges slashes.
func (tr *trial) compare(where string, messages []string) (findings []string) {
	count := map[string]int{}
	for _, message := range messages {
		line, _, _ := strings.Cut(message, "\n")
		found := identity.FindStringSubmatch(line)
		id := ""
		if found != nil {
			id = found[1]
		}
		count[id]++
		want, expected := tr.expected[id]
		meant, allowed := tr.allowed[id]
		switch {
		case expected && message == want, allowed && (strings.HasPrefix(message, meant) || where == atTheOrigin):
		default:
			findings = append(findings, fmt.Sprintf("%s has the request %.80q, which was not meant (%.80q was)", where, message, want+meant))
		}
	}
	for id := range tr.expected {
		if count[id] != 1 {
			findings = append(findings, fmt.Sprintf("%s has %d requests %s", where, count[id], id))
		}
	}
	for id := range tr.allowed {
		if count[id] > 1 {
			findings = append(findings, fmt.Sprintf("%s has %d requests %s", where, count[id], id))
		}
	}
	return findings
}

// compareWire compares what was sent to the origin, read strictly.
func (tr *trial) compareWire(connections []string) (findings []string, reused int) {
	var messages []string
	for _, raw := range connections {
		list, err := readSent(raw)
		if err != nil {
			findings = append(findings, fmt.Sprintf("malformed: %v in %.200q", err, raw))
		}
		for i, r := range list {
			if r.whole {
				messages = append(messages, r.message)
			}
			if i > 0 {
				reused++
			}
		}
	}
	return append(findings, tr.compare(onTheWire, messages)...), reused
}

// F76, 6.2: no vector makes the proxy and an origin disagree where a request ends,
// and nothing malformed is sent on: as callbacks of a fleet, over connections of
// their own, and as requests that a sidecar passes, over kept connections.
func TestF76_VectorsAtFiveOrigins(t *testing.T) {
	vectors := readVectors(t)
	for name, start := range origins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t)
			for w, label := range []string{"callbacks", "passed"} {
				behind := startRecorder(t, o.address)
				options := options{backend: behind.address}
				if way(w) == asPassed {
					options.app = behind.address
				}
				p := startProxy(t, options)
				tr := newTrial(way(w), p.address)
				for i := range vectors {
					tr.try(&vectors[i], fmt.Sprintf("v%d", 10000*w+i))
				}
				p.end()
				findings, reused := tr.compareWire(behind.connections())
				findings = append(findings, tr.compare(atTheOrigin, tr.own(o.seen(t)))...)
				for _, finding := range append(tr.findings, findings...) {
					t.Errorf("%s: %s", label, finding)
				}
				t.Logf("%s: %d vectors, %d refused, %d forwarded, %d connections went on with the canary, %d reuses of a connection to the origin",
					label, len(vectors), tr.refused, tr.forwarded, tr.followed, reused)
				if way(w) == asPassed && (tr.followed < 50 || name != "HAProxy" && reused < 300) {
					t.Errorf("%d canaries on a kept connection, %d reuses: too few for a verdict", tr.followed, reused)
				}
			}
		})
	}
}

// own are the messages of this trial: an origin serves two of them.
func (tr *trial) own(messages []string) (list []string) {
	for _, message := range messages {
		line, _, _ := strings.Cut(message, "\n")
		found := identity.FindStringSubmatch(line)
		// A request without an identity was not meant by either trial.
		if found == nil || tr.way == asCallback == (len(found[1]) < len("v10000")) {
			list = append(list, message)
		}
	}
	return list
}

// end ends the proxy at once.
func (p *proxy) end() {
	_ = p.process.Process.Kill()
	<-p.exited
}

// F76: the test can fail. Without a proxy between them, the vectors reach the
// origin as they are.
func TestF76_VectorsWithoutAProxy(t *testing.T) {
	o := startGo(t)
	behind := startRecorder(t, o.address)
	tr := newTrial(asPassed, behind.address)
	tr.patience = 200 * time.Millisecond // a request that is not whole gets no response
	vectors := readVectors(t)
	for i := range vectors {
		if len(vectors[i].fates[asPassed]) == 1 && vectors[i].fates[asPassed][0].status == http.StatusBadRequest {
			tr.try(&vectors[i], fmt.Sprintf("v%d", i))
		}
	}
	wire, _ := tr.compareWire(behind.connections())
	malformed := 0
	for _, finding := range wire {
		if strings.HasPrefix(finding, "malformed") {
			malformed++
		}
	}
	seen := tr.compare(atTheOrigin, o.seen(t))
	t.Logf("%d findings at the client, %d malformed, %d at the origin", len(tr.findings), malformed, len(seen))
	if len(tr.findings) == 0 || malformed < 100 || len(seen) == 0 {
		t.Error("this test cannot find what it is there for")
	}
}
