// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// request.go: the head of a request. Pure.

import (
	"net/http"
	"strings"
)

// maxFields bounds the field lines of a request. Browsers send some thirty.
const maxFields = 500

// Request is the head of a request.
type Request struct {
	Method string
	// Target is the request target, byte for byte.
	Target string
	// Minor is the y of HTTP/1.y: 0 or 1.
	Minor int
	Host  string
	// Fields are all field lines, those of framing and Host too.
	Fields Fields
	// Length is the declared length of the body; -1: none is declared.
	Length int64
	// Chunked: the body comes in chunks, and has no declared length.
	Chunked bool
	// Close: the client closes the connection after this request, by its version
	// or its word.
	Close bool
	// Continue: the client waits for 100 Continue before it sends the body.
	Continue bool
	// Upgrade is the protocol that the client would switch to, or "". A client
	// that would must name the field in Connection (RFC 9110 section 7.8).
	Upgrade string

	named option
}

// option are the tokens of Connection that have a meaning here.
type option uint8

const (
	namedClose option = 1 << iota
	namedKeepAlive
	namedUpgrade
)

// HasBody reports whether bytes of a body may follow the head.
func (r *Request) HasBody() bool { return r.Chunked || r.Length > 0 }

// parseRequest reads the head of a request, up to and with the empty line that
// ends it. The fields are appended to those given. With an error it returns what
// it has read, so that the refusal can be counted where it belongs.
//
// It refuses more than RFC 9112 demands, wherever servers are known to differ:
// lines that end with LF alone, folded lines, a body whose length is declared
// twice or in two ways, and HTTP/1.0 connections that go on after a body.
func parseRequest(head string, fields Fields) (r Request, err *Error) {
	r = Request{Length: -1, Fields: fields}
	if err := otherProtocol(head); err != nil {
		return r, err
	}
	line, rest, err := cutLine(head)
	if err != nil {
		return r, err
	}
	if err := r.parseRequestLine(line); err != nil {
		return r, err
	}
	if err := r.parseFields(rest); err != nil {
		return r, err
	}
	r.settle()
	return r, r.checkFraming()
}

// parseFields reads the field lines and the empty line after them. It reads all
// before it refuses what they mean, so that the refusal can be counted for the
// host.
func (r *Request) parseFields(rest string) (err *Error) {
	var line string
	var first *Error
	hosts := 0
	for {
		if line, rest, err = cutLine(rest); err != nil {
			return err
		}
		if line == "" {
			break
		}
		field, err := parseField(line)
		switch {
		case err != nil:
			return err
		case len(r.Fields) == maxFields:
			return errHeadLength
		}
		r.Fields = append(r.Fields, field)
		if field.Is("host") {
			if hosts++; hosts == 1 {
				r.Host = field.Value
			}
		} else if err := r.note(&field); err != nil && first == nil {
			first = err
		}
	}
	if err := checkHost(r.Host, hosts); err != nil {
		return err
	}
	return first
}

// checkHost refuses all but one Host that can be read.
func checkHost(host string, count int) *Error {
	switch {
	case count > 1:
		return errTwoHosts
	case host == "":
		return errNoHost
	case !isAll(host, hostByte):
		return errHost
	}
	return nil
}

// proxySignature begins version 2 of the PROXY protocol.
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// otherProtocol refuses a connection that begins with another protocol, so that
// its operator gets the reason.
func otherProtocol(begin string) *Error {
	switch {
	case begin == "":
	case begin[0] == 0x16:
		return errTLS
	case strings.HasPrefix(begin, "PROXY ") || strings.HasPrefix(begin, proxySignature):
		return errProxyLine
	}
	return nil
}

// parseRequestLine reads method, target and version.
func (r *Request) parseRequestLine(line string) *Error {
	method, rest, found := strings.Cut(line, " ")
	if !found || method == "" || !isAll(method, tokenByte) {
		return errRequestLine
	}
	target, version, found := strings.Cut(rest, " ")
	if !found || target == "" || !isAll(target, targetByte) {
		return errRequestLine
	}
	switch version {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
		r.Close = true
	default:
		if strings.HasPrefix(version, "HTTP/") && isVersion(version) {
			return errHTTPVersion
		}
		return errRequestLine
	}
	r.Method, r.Target = method, target
	return nil
}

func isVersion(s string) bool {
	const form = "HTTP/d.d"
	return len(s) == len(form) && s[5]-'0' < 10 && s[6] == '.' && s[7]-'0' < 10
}

// note reads what a field means for the connection and the body.
func (r *Request) note(f *Field) *Error {
	switch {
	case f.Is("content-length"):
		length, ok := parseLength(f.Value)
		if !ok || r.Length >= 0 {
			return errFraming
		}
		r.Length = length
	case f.Is("transfer-encoding"):
		if !EqualFold(f.Value, "chunked") || r.Chunked {
			return errFraming
		}
		r.Chunked = true
	case f.Is("trailer"):
		if HasToken(f.Value, "content-length") || HasToken(f.Value, "transfer-encoding") || HasToken(f.Value, "trailer") {
			return errFraming // announced for after the body that it would frame
		}
	default:
		r.noteConnection(f)
	}
	return nil
}

// noteConnection reads what a field means for the connection.
func (r *Request) noteConnection(f *Field) {
	switch {
	case f.Is("connection"):
		r.noteOptions(f.Value)
	case f.Is("upgrade"):
		if r.Upgrade != "" {
			r.Upgrade += ", " // two protocols: none that is switched to
		}
		r.Upgrade += f.Value
	case f.Is("expect"):
		r.Continue = r.Continue || r.Minor == 1 && EqualFold(f.Value, "100-continue")
	}
}

func (r *Request) noteOptions(list string) {
	for _, o := range [...]struct {
		token string
		named option
	}{{"close", namedClose}, {"keep-alive", namedKeepAlive}, {"upgrade", namedUpgrade}} {
		if HasToken(list, o.token) {
			r.named |= o.named
		}
	}
}

// settle decides what the options of all Connection fields mean together: close
// prevails.
func (r *Request) settle() {
	r.Close = r.named&namedClose != 0 || r.Minor == 0 && r.named&namedKeepAlive == 0
	if r.named&namedUpgrade == 0 {
		r.Upgrade = ""
	}
}

// checkFraming refuses bodies whose end servers would not agree on.
func (r *Request) checkFraming() *Error {
	switch {
	case r.Chunked && (r.Length >= 0 || r.Minor == 0):
		return errFraming
	case r.Minor == 0 && !r.Close && r.HasBody():
		return errFraming
	}
	return nil
}

// IsWebSocket reports whether a request is for the one protocol that may be
// switched to.
func (r *Request) IsWebSocket() bool {
	return r.Minor == 1 && r.Method == http.MethodGet && !r.HasBody() && EqualFold(r.Upgrade, "websocket")
}
