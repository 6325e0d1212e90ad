// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// request.go: the bytes of one callback and the identity by which it is found at a backend.

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// idPrefix marks the identities of callbacks that a load sends. No login has
// one like it.
const idPrefix = "load-"

// id finds the identity in a raw query, in which every callback carries it.
var id = regexp.MustCompile(`(?:^|&)(?:state|flow|RelayState)=(` + idPrefix + `[A-Za-z0-9-]+)`)

// newPrefix returns the first part of all identities of one load.
func newPrefix(name string) string { return idPrefix + name + "-" + rand.Text()[:8] + "-" }

// idOf returns the identity in a raw query; empty for a request that no load
// sent.
func idOf(rawQuery string) string {
	found := id.FindStringSubmatch(rawQuery)
	if found == nil {
		return ""
	}
	return found[1]
}

// IsCallback reports whether a load sent the request.
func IsCallback(r *http.Request) bool { return idOf(r.URL.RawQuery) != "" }

// request is one callback on the wire. Decoding and encoding its bytes again
// changes them, so a backend that receives the same bytes received them
// untouched.
type request struct {
	id, method, path, query, body string
	// fields are field lines besides those that frame the request.
	fields []string
}

// newRequest returns the n-th callback of a load: even ones are a GET, odd ones
// a form_post.
func newRequest(prefix string, n int, path string) request {
	r := request{id: fmt.Sprintf("%s%07d", prefix, n), method: http.MethodGet, path: path}
	if n%2 == 0 {
		r.query = "state=" + r.id + "&code=a%2Fb%7e+c&iss=https%3A%2F%2Fidp.test%2f&z=1&a=2"
		return r
	}
	r.method = http.MethodPost
	r.query = "flow=" + r.id + "&z=1&a=%7e"
	r.body = "state=" + r.id + "&code=a%2Fb%7e+c&user=%7b%22name%22%3a%22A+B%22%7D"
	return r
}

// newRedirect returns the n-th callback of a load as a signed SAML response.
func newRedirect(p *Provider, prefix string, n int, path string) (r request, err error) {
	r = request{id: fmt.Sprintf("%s%07d", prefix, n), method: http.MethodGet, path: path}
	r.query, err = p.sign(r.id)
	return r, err
}

func (r request) sum() string { return sum(r.method, r.query, []byte(r.body)) }

// digests are what the oracle compares of a request.
type digests struct{ request, fields string }

func (r request) digests(host string) digests {
	head, _, _ := strings.Cut(string(r.wire(host)), "\r\n\r\n")
	return digests{r.sum(), sumFields(head)}
}

// sum covers every byte that must arrive unchanged, except the path: a backend
// may have one of its own.
func sum(method, rawQuery string, body []byte) string {
	digest := sha256.New()
	_, _ = io.WriteString(digest, method+"\n"+rawQuery+"\n")
	_, _ = digest.Write(body)
	return hex.EncodeToString(digest.Sum(nil))
}

var singles atomic.Int64

// Single returns the query of a callback that is sent once and counted by no
// load. Each has a code of its own: the proxies refuse the same one while its
// delivery is in flight.
func Single() string {
	return "code=c" + strconv.FormatInt(singles.Add(1), 10) + "&state=single"
}
