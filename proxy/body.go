// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// body.go: the body of a request, in memory that one exchange after the other uses.

import (
	"errors"
	"net/http"
	"sync"

	"github.com/callbackproxy/callback-operator/proxy/gate"
	"github.com/callbackproxy/callback-operator/proxy/http1"
)

// readBody reads the whole body, so that a client that stops while it sends
// cannot leave half a request at a backend.
func (x *exchange) readBody() ([]byte, bool) {
	if !x.c.HasBody() {
		return nil, true
	}
	body, err := x.c.ReadBody(x.lendBody(), x.bodyLimit, x.start.Add(x.h.readTimeout))
	malformed, is := errors.AsType[*http1.Error](err)
	switch {
	case err == nil:
		return body, true
	case errors.Is(err, http1.ErrBodyLength):
		x.refuse(&gate.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: gate.BodyTooLarge})
	case is:
		x.refuse(&gate.Refusal{Status: malformed.Status, Reason: gate.Reason(malformed.Reason)})
	default:
		x.countRefusal("bodyIncomplete")
		x.respond(http.StatusBadRequest, refused, "body is incomplete")
	}
	return nil, false
}

const (
	// ownBody is up to which length a body has memory of its own: the runtime
	// allocates that as fast as a pool lends it.
	ownBody = 4 << 10
	// formBody holds usual forms.
	formBody = 16 << 10
	// firstBody bounds the memory that a declared length takes before anything
	// arrived. It holds usual SAML responses: without a pool, the runtime takes
	// memory of that size from the system and gives it back again and again.
	firstBody = 64 << 10
)

// lentBody is memory from a pool.
type lentBody struct {
	pool   *sync.Pool
	memory []byte
}

var forms, firstBodies = newBodies(formBody), newBodies(firstBody)

func newBodies(size int) *sync.Pool {
	pool := &sync.Pool{}
	pool.New = func() any { return &lentBody{pool, make([]byte, size)} }
	return pool
}

// lendBody returns memory for the body of the request, by its declared length. A
// body that turns out longer grows out of it.
func (x *exchange) lendBody() []byte {
	length := x.c.Length
	switch {
	case length <= ownBody:
		return make([]byte, 0, max(length, 512))
	case length <= formBody:
		x.lent = forms.Get().(*lentBody)
	default:
		x.lent = firstBodies.Get().(*lentBody)
	}
	return x.lent.memory[:0]
}

// returnBody ends the use of the body.
func (x *exchange) returnBody() {
	if x.lent != nil {
		x.lent.pool.Put(x.lent)
		x.lent = nil
	}
}
