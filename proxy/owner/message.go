// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

// message.go: the values of a SAML message in clear that tell its owner. Nothing is verified.

import (
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"io"
	"strings"
)

const (
	// maxMessage bounds how much of a message is read, in bytes.
	maxMessage = 256 << 10
	// maxAudiences bounds how many audiences of a message are kept.
	maxAudiences = 16
)

// message holds values of a SAML response or request. An encrypted assertion keeps
// its own.
type message struct {
	inResponseTo string
	issuer       string
	audiences    []string
}

func (m *message) isEmpty() bool {
	return m.inResponseTo == "" && m.issuer == "" && len(m.audiences) == 0
}

// parseMessage reads a message as it stands in a parameter: escaped, in Base64, and
// deflated where the Redirect binding did so. A message that cannot be read has no values.
func parseMessage(raw string) *message {
	if raw == "" {
		return &message{}
	}
	if m := readElements(decode(raw)); !m.isEmpty() {
		return m
	}
	return readElements(flate.NewReader(decode(raw)))
}

func decode(raw string) io.Reader {
	return base64.NewDecoder(base64.StdEncoding, &unescaper{rest: raw})
}

// readElements reads the Issuer of the root or of its assertion, the audiences, and
// what the message responds to.
func readElements(text io.Reader) *message {
	m := &message{}
	decoder := xml.NewDecoder(io.LimitReader(text, maxMessage))
	var path []string
	for {
		next, err := decoder.RawToken()
		if err != nil {
			return m
		}
		switch element := next.(type) {
		case xml.StartElement:
			if len(path) == 0 {
				m.inResponseTo = attribute(&element, "InResponseTo")
			}
			if path = append(path, element.Name.Local); len(path) > 64 {
				return m
			}
		case xml.EndElement:
			if len(path) == 0 {
				return m
			}
			path = path[:len(path)-1]
		case xml.CharData:
			m.note(path, strings.TrimSpace(string(element)))
		case xml.Directive:
			return &message{} // a document type has no place in SAML
		}
	}
}

// note keeps the text of an element.
func (m *message) note(path []string, text string) {
	n := len(path)
	switch {
	case text == "" || n < 2:
	case path[n-1] == "Issuer" && m.issuer == "" && (n == 2 || n == 3 && path[1] == "Assertion"):
		m.issuer = text
	case path[n-1] == "Audience" && n == 5 && path[1] == "Assertion" && path[3] == "AudienceRestriction" && len(m.audiences) < maxAudiences:
		m.audiences = append(m.audiences, text)
	}
}

func attribute(element *xml.StartElement, name string) string {
	for _, a := range element.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// unescaper reads the value of a form as it is escaped there, without a copy of the
// whole.
type unescaper struct{ rest string }

// Read decodes escapes. A + stands for itself: it is a digit of Base64, and a blank
// is none.
func (u *unescaper) Read(p []byte) (n int, err error) {
	for n < len(p) && u.rest != "" {
		c := u.rest[0]
		if c != '%' {
			p[n], u.rest = c, u.rest[1:]
			n++
			continue
		}
		if len(u.rest) < 3 {
			return n, io.ErrUnexpectedEOF
		}
		if _, err := hex.Decode(p[n:n+1], []byte(u.rest[1:3])); err != nil {
			return n, err
		}
		u.rest = u.rest[3:]
		n++
	}
	if n == 0 && u.rest == "" && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
