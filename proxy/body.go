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
	body, err := x.c.ReadBody(x.growBody, x.bodyLimit, x.start.Add(x.h.readTimeout))
	malformed, is := errors.AsType[*http1.Error](err)
	switch {
	case err == nil:
		return body, true
	case is && malformed.Status == http.StatusServiceUnavailable:
		x.shed(malformed.Reason)
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
	// firstBody holds usual SAML responses: without a pool, the runtime takes memory
	// of that size from the system and gives it back again and again.
	firstBody = 64 << 10
	// begunBody is how many bytes have to arrive before a body takes more than
	// ownBody.
	begunBody = 512
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

// bodyBytes returns the next size of the memory of a body: of what it has now, of
// how many bytes have arrived, and of its declared length; below 0: none is. A
// declared length takes no memory before a part of it arrived.
func bodyBytes(have, arrived int, declared int64) int {
	switch {
	case declared >= 0 && declared <= ownBody:
		return int(max(declared, 1))
	case have < ownBody && arrived < begunBody:
		return ownBody
	case have < formBody && (declared < 0 || declared <= formBody):
		return formBody
	case have < firstBody:
		return firstBody
	}
	if double := 2 * int64(have); declared < 0 || double < declared {
		return int(double)
	}
	return int(declared)
}

// growBody returns more memory for the body of the request, and counts it. It
// implements http1.Grow.
func (x *exchange) growBody(body []byte, arrived int) ([]byte, error) {
	size := bodyBytes(cap(body), arrived, x.c.Length)
	if size > ownBody {
		x.holds = true
		if err := x.c.Hold(size); err != nil {
			return body, err
		}
	}
	before := x.lent
	var larger []byte
	switch size {
	case formBody:
		x.lent = forms.Get().(*lentBody)
		larger = x.lent.memory
	case firstBody:
		x.lent = firstBodies.Get().(*lentBody)
		larger = x.lent.memory
	default:
		x.lent, larger = nil, make([]byte, size)
	}
	larger = larger[:copy(larger, body)]
	if before != nil {
		before.pool.Put(before)
	}
	return larger, nil
}

// returnBody ends the use of the body.
func (x *exchange) returnBody() {
	if x.lent != nil {
		x.lent.pool.Put(x.lent)
		x.lent = nil
	}
	if x.holds {
		_ = x.c.Hold(0) // what it holds no more has room
		x.holds = false
	}
}
