// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// request_test.go: which heads of requests are read, and what they are read as.

import (
	"net/http"
	"strings"
	"testing"
)

// read1 reads a request as a server does, without a connection.
func read1(raw string) (Request, *Error) {
	reader := NewReader(strings.NewReader(raw))
	defer reader.Release()
	lineBytes := 0
	limits := Limits{TargetBytes: 1 << 20, HeaderBytes: 1 << 20}
	if refusal := otherProtocol(raw); refusal != nil {
		return Request{}, refusal
	}
	head, err := reader.readHead(1<<20, func(part []byte) *Error { return checkPart(part, limits, &lineBytes) })
	if err != nil {
		if refusal, ok := err.(*Error); ok { //nolint:errorlint // as it was made
			return Request{}, refusal
		}
		return Request{}, &Error{Reason: err.Error()}
	}
	return parseRequest(head, nil)
}

const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x50\x00\x51"

func TestParseRequest_Refuses(t *testing.T) {
	const line, host = "GET / HTTP/1.1\r\n", "Host: h\r\n"
	for raw, reason := range map[string]string{
		// The request line.
		"GET /\r\n\r\n":                            "requestLine",
		"GET\r\n\r\n":                              "requestLine",
		"\r\n\r\n":                                 "requestLine",
		" GET / HTTP/1.1\r\n\r\n":                  "requestLine",
		"GET  / HTTP/1.1\r\n" + host + "\r\n":      "requestLine",
		"GET /  HTTP/1.1\r\n" + host + "\r\n":      "requestLine",
		"GET / HTTP/1.1 \r\n" + host + "\r\n":      "requestLine",
		"GET / HTTP/1.1\r\r\n" + host + "\r\n":     "requestLine",
		"GET\t/ HTTP/1.1\r\n" + host + "\r\n":      "requestLine",
		"GET /a b HTTP/1.1\r\n" + host + "\r\n":    "requestLine",
		"GET /a\tb HTTP/1.1\r\n" + host + "\r\n":   "requestLine",
		"GET /a\x00b HTTP/1.1\r\n" + host + "\r\n": "requestLine",
		"GET /a\x7fb HTTP/1.1\r\n" + host + "\r\n": "requestLine",
		"G(T / HTTP/1.1\r\n" + host + "\r\n":       "requestLine",
		"GET / http/1.1\r\n" + host + "\r\n":       "requestLine",
		"GET / HTTP/1.11\r\n" + host + "\r\n":      "requestLine",
		"GET / HTTP/1.x\r\n" + host + "\r\n":       "requestLine",
		"GET / HTTPS/1.1\r\n" + host + "\r\n":      "requestLine",
		// Other protocols.
		"GET / HTTP/1.2\r\n" + host + "\r\n":           "httpVersion",
		"GET / HTTP/0.9\r\n" + host + "\r\n":           "httpVersion",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":             "httpVersion",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n":           "proxyProtocol",
		"PROXY UNKNOWN\r\n" + line + host:              "proxyProtocol",
		proxyV2:                                        "proxyProtocol",
		proxyV2 + line + host + "\r\n":                 "proxyProtocol",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "tlsOnPlainPort",
		"\x16\x03\x01\x00\x0a\r\n\r\n":                 "tlsOnPlainPort",
		// Hosts.
		line + "\r\n":                       "noHost",
		line + "Host:\r\n\r\n":              "noHost",
		line + "Host: \t\r\n\r\n":           "noHost",
		"GET / HTTP/1.0\r\n\r\n":            "noHost",
		line + host + host + "\r\n":         "headerTwice",
		line + host + "hOST: other\r\n\r\n": "headerTwice",
		line + "Host:\r\n" + host + "\r\n":  "headerTwice",
		line + "Host: a b\r\n\r\n":          "hostMalformed",
		line + "Host: a@b\r\n\r\n":          "hostMalformed",
		line + "Host: a/b\r\n\r\n":          "hostMalformed",
		line + "Host: a\\b\r\n\r\n":         "hostMalformed",
		line + "Host: a?b\r\n\r\n":          "hostMalformed",
		line + "Host: a#b\r\n\r\n":          "hostMalformed",
		line + "Host: \"a\"\r\n\r\n":        "hostMalformed",
		line + "Host: \xff\r\n\r\n":         "hostMalformed",
		// Field lines.
		line + host + "A : b\r\n\r\n":       "fieldName",
		line + host + "A\t: b\r\n\r\n":      "fieldName",
		line + host + "A b: c\r\n\r\n":      "fieldName",
		line + host + ": b\r\n\r\n":         "fieldName",
		line + host + "A\r\n\r\n":           "fieldName",
		line + host + "A\x00: b\r\n\r\n":    "fieldName",
		line + host + "\xc3\xa4: b\r\n\r\n": "fieldName",
		line + host + "A: b\x00\r\n\r\n":    "fieldValue",
		line + host + "A: b\rB: c\r\n\r\n":  "fieldValue",
		line + host + "A: b\x0bc\r\n\r\n":   "fieldValue",
		line + host + "A: b\x7f\r\n\r\n":    "fieldValue",
		line + host + "A: b\r\r\n\r\n":      "fieldValue",
		// The host's own line with blanks before the colon is no Host line.
		line + "Host : h\r\n\r\n": "fieldName",
		// Framing, besides those of F76.
		line + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n":                   "framing",
		line + host + "Content-Length: 5\r\ncontent-LENGTH: 6\r\n\r\n":                   "framing",
		line + host + "Content-Length: 5, 5\r\n\r\n":                                     "framing",
		line + host + "Content-Length: +5\r\n\r\n":                                       "framing",
		line + host + "Content-Length: -5\r\n\r\n":                                       "framing",
		line + host + "Content-Length: 0x5\r\n\r\n":                                      "framing",
		line + host + "Content-Length: \r\n\r\n":                                         "framing",
		line + host + "Content-Length: 9999999999999999999\r\n\r\n":                      "framing",
		line + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": "framing",
		line + host + "Transfer-Encoding: gzip, chunked\r\n\r\n":                         "framing",
		line + host + "Transfer-Encoding: identity\r\n\r\n":                              "framing",
		line + host + "Transfer-Encoding: chunked;q=1\r\n\r\n":                           "framing",
		line + host + "Transfer-Encoding:\r\n\r\n":                                       "framing",
		line + host + "Trailer: X, Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n": "framing",
		line + host + "Trailer: transfer-encoding\r\n\r\n":                               "framing",
	} {
		if _, refusal := read1(raw); refusal == nil || refusal.Reason != reason {
			t.Errorf("%q is refused by %v, want %s", raw, refusal, reason)
		}
	}
}

// f76 are requests that two servers could frame in two ways, by their reason.
var f76 = map[string]string{
	"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n":  "framing",
	"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n":                       "framing",
	"POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n":      "framing",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n":  "framing",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n":  "framing",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n": "framing",
	"GET / HTTP/1.1\nHost: h\r\n\r\n":                                  "lineEnding",
	"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n":                          "lineEnding",
	"GET / HTTP/1.1\r\nHost: h\r\nA: b\n\r\n":                          "lineEnding",
	"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\n":                          "lineEnding",
	"GET / HTTP/1.1\nHost: h\n\n":                                      "lineEnding",
	"POST / HTTP/1.1\r\nHost: h\r\nA: b\r\n Content-Length: 5\r\n\r\n": "lineFolding",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 5\r\n\r\n":      "lineFolding",
	"POST / HTTP/1.1\r\n A: b\r\nHost: h\r\n\r\n":                      "lineFolding",
	"POST / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n":                "lineFolding",
	"POST / HTTP/1.1\r\nHost: h\r\nA: b\r\n \r\n\r\n":                  "lineFolding",
}

// F76: a head that servers are known to read in two ways is refused, and nothing
// after it is read as a request.
func TestF76_AmbiguousHeadsAreRefusedAndTheConnectionCloses(t *testing.T) {
	s := newSite(t, echo)
	for raw, reason := range f76 {
		if _, refusal := read1(raw); refusal == nil || refusal.Reason != reason {
			t.Errorf("%q is refused by %v, want %s", raw, refusal, reason)
		}
		got, err := s.exchange(t, raw+"0\r\n\r\n"+get("/smuggled"))
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "\r\nConnection: close\r\n") ||
			!strings.HasSuffix(got, "\r\n\r\n"+reason) || strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("%q gets %q, %v", raw, got, err)
		}
	}
}

func TestParseRequest_KeepsEachByte(t *testing.T) { //nolint:gocyclo // a list of comparisons
	lines := []string{
		"accept:  */*  ", "HOST:\th:81\t", "X-b:", "x-B: 1", "Cookie: a=\xe4\xff", "X-b: 2", "x_under: _", "A!#$%&'*+-.^_`|~9: \"\t\"", "Content-length: 007",
	}
	for _, target := range []string{
		"/", "/sale/50%", "/%zz", "//a", "/a/../b", "/\xe4\xf6\xff", "/?a=b;c#d", `/\"<>{}|^`, "*", "http://other/x", "h:443", "x", "?", "#",
	} {
		r, refusal := read1("PATCH " + target + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
		if refusal != nil {
			t.Errorf("%q is refused: %v", target, refusal)
			continue
		}
		if r.Target != target || r.Method != http.MethodPatch || r.Minor != 1 || r.Host != "h:81" || r.Length != 7 || r.Chunked || r.Close || r.Continue || r.Upgrade != "" {
			t.Errorf("%q is read as %+v", target, r)
		}
		for i, line := range lines {
			name, value, _ := strings.Cut(line, ":")
			if f := r.Fields[i]; f.Line != line || f.Name != name || f.Value != strings.Trim(value, " \t") {
				t.Errorf("line %q is read as %+v", line, f)
			}
		}
	}
}

func TestParseRequest_ReadsTheConnection(t *testing.T) {
	type want struct {
		close, expects, chunked bool
		length                  int64
		upgrade                 string
		webSocket               bool
	}
	for raw, want := range map[string]want{
		"GET / HTTP/1.1\r\n":                                                                   {length: -1},
		"GET / HTTP/1.0\r\n":                                                                   {length: -1, close: true},
		"GET / HTTP/1.1\r\nConnection: x, CLOSE ,y\r\n":                                        {length: -1, close: true},
		"GET / HTTP/1.1\r\nConnection: closed\r\n":                                             {length: -1},
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n":                                         {length: -1},
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n":                    {length: -1, close: true},
		"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n":                    {length: -1, close: true},
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n":                    {},
		"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n":                     {length: 5, close: true},
		"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n":                     {length: 5, expects: true},
		"POST / HTTP/1.1\r\nTransfer-Encoding:  CHUNKED \r\n":                                  {length: -1, chunked: true},
		"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n":                      {length: -1, upgrade: "WebSocket", webSocket: true},
		"GET / HTTP/1.1\r\nConnection: x, upgrade\r\nUpgrade: websocket\r\n":                   {length: -1, upgrade: "websocket", webSocket: true},
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\n":                                             {length: -1},
		"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n":                            {length: -1, upgrade: "h2c"},
		"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n":                 {length: -1, upgrade: "websocket, h2c"},
		"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n":      {length: -1, upgrade: "websocket, h2c"},
		"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n":                     {length: -1, upgrade: "websocket"},
		"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n":                      {length: -1, close: true, upgrade: "websocket"},
		"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n": {length: 1, upgrade: "websocket"},
	} {
		r, refusal := read1(raw + "Host: h\r\n\r\n")
		if refusal != nil {
			t.Errorf("%q is refused: %v", raw, refusal)
		}
		if want != struct {
			close, expects, chunked bool
			length                  int64
			upgrade                 string
			webSocket               bool
		}{r.Close, r.Continue, r.Chunked, r.Length, r.Upgrade, r.IsWebSocket()} {
			t.Errorf("%q is read as %+v", raw, r)
		}
	}
}

// browserGet is what a browser sends after a login, 1.3 KB.
var browserGet = get("/cb?code="+strings.Repeat("c", 120)+"&state="+strings.Repeat("s", 64),
	"Connection: keep-alive", "Cache-Control: max-age=0", `sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"`,
	"sec-ch-ua-mobile: ?0", `sec-ch-ua-platform: "Linux"`, "Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
	"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", "Sec-Fetch-Dest: document", "Referer: https://login.example.com/",
	"Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-GB,en;q=0.9,de;q=0.8", "Cookie: session="+strings.Repeat("x", 380), "Priority: u=0, i")

// repeated is a connection that sends the same bytes again and again.
type repeated struct {
	raw  string
	left string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == "" {
		r.left = r.raw
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func TestParseRequest_AllocatesLittle(t *testing.T) {
	if len(browserGet) < 1200 || len(browserGet) > 1500 {
		t.Fatalf("the request has %d bytes", len(browserGet))
	}
	reader := NewReader(&repeated{raw: browserGet})
	defer reader.Release()
	allocations := testing.AllocsPerRun(1000, func() {
		head, err := reader.readHead(1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, refusal := parseRequest(head, reader.lent.fields[:0])
		if refusal != nil || len(r.Fields) != 18 {
			t.Fatal(refusal, len(r.Fields))
		}
		reader.keepFields(head, r.Fields)
	})
	if allocations > 3 {
		t.Errorf("%v allocations for a request", allocations)
	}
	t.Logf("%v allocations for a request of %d bytes", allocations, len(browserGet))
}
