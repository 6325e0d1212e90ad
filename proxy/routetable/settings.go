// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// settings.go: which settings a proxy refuses.

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

func (s *Settings) validate() error {
	if s.ListenerPort < 1 || s.ListenerPort > 65535 {
		return fmt.Errorf("listener port %d is not a port", s.ListenerPort)
	}
	for _, cidr := range s.Forwarding.TrustedProxies {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil || prefix.Masked().String() != cidr {
			return fmt.Errorf("trusted proxies: %q is not a network without host bits", cidr)
		}
	}
	switch s.Forwarding.ExternalScheme {
	case "", "http", "https":
	default:
		return fmt.Errorf("external scheme %q is neither http nor https", s.Forwarding.ExternalScheme)
	}
	switch s.Forwarding.HostFrom {
	case "", FromHost, FromForwardedHost:
	default:
		return fmt.Errorf("hostFrom %q is not known", s.Forwarding.HostFrom)
	}
	if s.HealthPath != "" {
		if err := checkRegisteredPath(s.HealthPath); err != nil {
			return fmt.Errorf("health path: %w", err)
		}
	}
	if err := s.Limits.validate(); err != nil {
		return err
	}
	return s.Pages.validate()
}

// The highest limits: what a front may send at most, in KiB, and what an instance
// may have at once.
const (
	maxHeaderKiB        = 1024
	maxTargetKiB        = 256
	maxBodyKiB          = 16 * 1024
	maxConnections      = 100_000
	maxInFlightPerRoute = 10_000
)

func (l *Limits) validate() error {
	for _, limit := range []struct {
		name       string
		value, max int32
	}{
		{"headerKiB", l.HeaderKiB, maxHeaderKiB},
		{"targetKiB", l.TargetKiB, maxTargetKiB},
		{"bodyKiB", l.BodyKiB, maxBodyKiB},
		{"connections", l.Connections, maxConnections},
		{"inFlightPerRoute", l.InFlightPerRoute, maxInFlightPerRoute},
	} {
		if limit.value < 0 || limit.value > limit.max {
			return fmt.Errorf("limit %s is %d, 1 to %d are allowed", limit.name, limit.value, limit.max)
		}
	}
	return nil
}

const (
	maxProductRunes    = 64
	maxSupportURLBytes = 512
)

func (p *Pages) validate() error {
	if err := checkProduct(p.Product); err != nil {
		return err
	}
	address, isMail := strings.CutPrefix(p.SupportURL, "mailto:")
	switch {
	case p.SupportURL == "":
		return nil
	case len(p.SupportURL) > maxSupportURLBytes:
		return fmt.Errorf("a support URL has at most %d bytes", maxSupportURLBytes)
	case !isMail:
		return checkHTTPS("a support URL", p.SupportURL)
	}
	local, domain, found := strings.Cut(address, "@")
	if !found || !isMadeOf(local, "._+-") || !isMadeOf(domain, ".-") || !isAlphanumeric(domain[0]) || !isAlphanumeric(domain[len(domain)-1]) {
		return errors.New("a support URL that begins with mailto: holds one address of letters, digits and . _ + -")
	}
	return nil
}

// isMadeOf reports whether a text has letters, digits and others only, and is not empty.
func isMadeOf(text, others string) bool {
	for i := range len(text) {
		if !isAlphanumeric(text[i]) && strings.IndexByte(others, text[i]) < 0 {
			return false
		}
	}
	return text != ""
}

// checkProduct keeps what is shown to one visible line.
func checkProduct(product string) error {
	if product == "" {
		return nil
	}
	if !utf8.ValidString(product) || utf8.RuneCountInString(product) > maxProductRunes {
		return fmt.Errorf("a product is UTF-8 of at most %d characters", maxProductRunes)
	}
	for word := range strings.SplitSeq(product, " ") {
		if word == "" || strings.ContainsFunc(word, isInvisible) {
			return errors.New("a product is words with single spaces between them, without line breaks and invisible characters")
		}
	}
	return nil
}

// isInvisible is about ranges that no version of Unicode changes: controls, spaces,
// line breaks, and marks that change the direction or show nothing. The two joiners
// (U+200C, U+200D) are parts of words and of emoji.
func isInvisible(r rune) bool {
	return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == 0x200b || r == 0x200e || r == 0x200f ||
		r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff
}
