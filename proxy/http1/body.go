// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// body.go: the body of a message, by its framing.

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
)

const (
	// maxChunkLine bounds the line before a chunk, with its extensions, which are
	// dropped.
	maxChunkLine = 256
	// maxTrailer bounds the field lines after the last chunk.
	maxTrailer = 4 << 10
)

// Body is the body of one message. Reading it returns io.EOF only at the end
// that the message declared, io.ErrUnexpectedEOF when the connection ends
// earlier, and *Error when chunks are malformed.
type Body struct {
	from *Reader
	// left is what is left of the body, or of the present chunk.
	left    int64
	chunked bool
	toClose bool // the end of the connection ends it
	at      place
	// lenient: the lines of chunks may end with LF alone.
	lenient bool
	err     error
	// done is 1 when the body was read to its end; atomic, because a response may
	// begin while the body is read.
	done int32
	// Trailer are the field lines after the last chunk.
	Trailer      Fields
	trailerBytes int
}

// place is where reading of chunks stands.
type place int

const (
	atSize    place = iota // before the line with the size of a chunk
	inChunk                // in its bytes, or before the line end after them
	inTrailer              // after the last chunk
)

// BodyOf returns the body of a response whose head was just read.
func (b *Reader) BodyOf(r *Response) Body {
	switch {
	case r.Bodiless || r.Length == 0:
		return Body{from: b, err: io.EOF, done: 1}
	case r.Chunked:
		return Body{from: b, chunked: true, lenient: true}
	case r.Length > 0:
		return Body{from: b, left: r.Length}
	}
	return Body{from: b, toClose: true}
}

// bodyOfRequest returns the body of a request whose head was just read.
func (b *Reader) bodyOfRequest(r *Request) Body {
	switch {
	case r.Chunked:
		return Body{from: b, chunked: true}
	case r.Length > 0:
		return Body{from: b, left: r.Length}
	}
	return Body{from: b, err: io.EOF, done: 1}
}

// Ended reports whether the body was read to its end.
func (b *Body) Ended() bool { return atomic.LoadInt32(&b.done) == 1 }

// Read reads the next bytes. After a read that ran out of time reading may go on.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.err = err
		atomic.StoreInt32(&b.done, 1)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		b.err = err
	}
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil // the end is returned alone
	}
	return n, err
}

func (b *Body) read(p []byte) (int, error) {
	if b.chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if b.toClose {
		return b.from.Read(p)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0 && !b.chunked && (err == nil || n > 0):
		return n, io.EOF
	case err != nil && n == 0:
		return 0, unexpected(err)
	}
	return n, nil
}

// nextChunk reads the line before a chunk, after the end of the one before it.
// The last chunk ends the body.
func (b *Body) nextChunk() error {
	if b.at == inChunk {
		end, err := b.from.readLine(len("\r\n"), b.lenient)
		switch {
		case err != nil:
			return err
		case len(end) > 0:
			return errChunk
		}
		b.at = atSize
	}
	if b.at == atSize {
		line, err := b.from.readLine(maxChunkLine, b.lenient)
		if err != nil {
			return err
		}
		size, ok := parseChunkSize(string(line))
		if !ok {
			return errChunk
		}
		if b.left, b.at = size, inChunk; size > 0 {
			return nil
		}
		b.at = inTrailer
	}
	if err := b.readTrailer(); err != nil {
		return err
	}
	return io.EOF
}

// parseChunkSize reads hexadecimal digits, and drops extensions.
func parseChunkSize(line string) (size int64, ok bool) {
	digits, extension, extended := strings.Cut(line, ";")
	if extended {
		digits = strings.TrimRight(digits, " \t")
	}
	if digits == "" || len(digits) > 15 || !isAll(extension, valueByte) {
		return 0, false
	}
	for _, c := range []byte(digits) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		size = size<<4 | int64(c)
	}
	return size, true
}

// readTrailer reads the field lines after the last chunk.
func (b *Body) readTrailer() error {
	for {
		line, err := b.from.readLine(maxTrailer, b.lenient)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if b.trailerBytes += len(line) + len("\r\n"); b.trailerBytes > maxTrailer {
			return errChunk
		}
		field, refusal := parseField(string(line))
		if refusal != nil {
			return errChunk
		}
		b.Trailer = append(b.Trailer, field)
	}
}

// readAll returns the whole body, or ErrBodyLength when it is longer than limit. A
// declared length alone takes no memory: before any, the first bytes are awaited in
// the buffer that the connection has anyway.
func (b *Body) readAll(grow Grow, limit int64) (body []byte, err error) {
	if b.err == nil && !b.toClose && b.from.Buffered() == 0 {
		if err := b.from.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
	for !errors.Is(b.err, io.EOF) {
		if len(body) == cap(body) {
			if body, err = grow(body, len(body)+b.from.Buffered()); err != nil {
				return body, err
			}
		}
		n, err := b.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return body, ErrBodyLength
		case err != nil && !errors.Is(err, io.EOF):
			return body, err
		}
	}
	return body, nil
}
