// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// provider.go: an identity provider that signs SAML responses.

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Provider signs SAML responses for the HTTP-Redirect binding (SAML 2.0 Bindings,
// section 3.4.4.1). The signature covers the bytes of the query as they were sent,
// so any other encoding of the same values breaks it.
type Provider struct{ key *ecdsa.PrivateKey }

// NewProvider returns a provider with a new key.
func NewProvider() (*Provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the provider's key: %w", err)
	}
	return &Provider{key}, nil
}

const ecdsaSHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"

// sign returns the raw query of a response with a relay state.
func (p *Provider) sign(relayState string) (string, error) {
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestSpeed)
	if err != nil {
		return "", err
	}
	_, _ = fmt.Fprintf(w, `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_%s" Version="2.0"/>`, rand.Text())
	if err := w.Close(); err != nil {
		return "", err
	}
	query := "SAMLResponse=" + escape(deflated.Bytes()) + "&RelayState=" + relayState + "&SigAlg=" + url.QueryEscape(ecdsaSHA256)
	digest := sha256.Sum256([]byte(query))
	signature, err := ecdsa.SignASN1(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", err
	}
	return query + "&Signature=" + escape(signature), nil
}

// escape encodes bytes as some providers do: with escapes in small letters, which
// no library of this language writes.
func escape(content []byte) string {
	return strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(base64.StdEncoding.EncodeToString(content))
}

// Verify returns an error unless a raw query is one that the provider signed.
func (p *Provider) Verify(rawQuery string) error {
	signed, encoded, found := strings.Cut(rawQuery, "&Signature=")
	if !found {
		return errors.New("the query has no signature")
	}
	unescaped, err := url.QueryUnescape(encoded)
	if err != nil {
		return errors.New("the signature cannot be decoded")
	}
	signature, err := base64.StdEncoding.DecodeString(unescaped)
	if err != nil {
		return errors.New("the signature cannot be decoded")
	}
	digest := sha256.Sum256([]byte(signed))
	if !ecdsa.VerifyASN1(&p.key.PublicKey, digest[:], signature) {
		return errors.New("the signature is not that of the query")
	}
	return nil
}
