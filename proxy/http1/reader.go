// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// reader.go: the bytes of a connection, up to the end of a head.

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// smallBuffer holds most heads. A larger head takes a buffer of its own, which
// goes when the head is read.
const smallBuffer = 4 << 10

// memory is what a Reader needs for most heads.
type memory struct {
	bytes  [smallBuffer]byte
	fields Fields
}

var memories = sync.Pool{New: func() any { return new(memory) }}

// Reader reads messages from a connection. It is used by one goroutine at a
// time.
type Reader struct {
	conn io.Reader
	lent *memory
	buf  []byte // buf[r:w] was read and not used
	r, w int
	// hold, when set, is called before a head takes a buffer of that many bytes.
	hold func(bytes int) *Error
}

// NewReader returns a Reader. Release ends its use.
func NewReader(conn io.Reader) *Reader {
	lent := memories.Get().(*memory)
	return &Reader{conn: conn, lent: lent, buf: lent.bytes[:]}
}

// Release gives the buffer back. The Reader cannot be used any more.
func (b *Reader) Release() {
	if b.lent != nil {
		b.forgetFields()
		memories.Put(b.lent)
	}
	b.lent, b.buf, b.r, b.w = nil, nil, 0, 0
}

// Buffered returns how many bytes are read and not used.
func (b *Reader) Buffered() int { return b.w - b.r }

// fill reads once, at least one byte or an error. The buffer has room.
func (b *Reader) fill() error {
	if b.r == b.w {
		b.r, b.w = 0, 0
		if len(b.buf) > smallBuffer {
			b.buf = b.lent.bytes[:]
		}
	} else if b.w == len(b.buf) && b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	for range maxEmptyReads {
		n, err := b.conn.Read(b.buf[b.w:])
		b.w += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

const maxEmptyReads = 100

// grow makes room for more bytes of a head.
func (b *Reader) grow(limit int) error {
	if b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
		return nil
	}
	size := min(4*len(b.buf), limit)
	if b.hold != nil {
		if err := b.hold(size); err != nil {
			return err
		}
	}
	larger := make([]byte, size)
	copy(larger, b.buf[:b.w])
	b.buf = larger
	return nil
}

// shrink gives the large buffer of a head back, when what follows the head fits
// into the small one.
func (b *Reader) shrink() {
	if len(b.buf) > smallBuffer && b.w-b.r <= smallBuffer {
		b.w = copy(b.lent.bytes[:], b.buf[b.r:b.w])
		b.r, b.buf = 0, b.lent.bytes[:]
	}
}

// drop drops what was read and not used.
func (b *Reader) drop() { b.buf, b.r, b.w = b.lent.bytes[:], 0, 0 }

// readHead reads a head of at most limit bytes, up to and with the empty line.
// check, when set, gets what was read of a head that is not complete.
func (b *Reader) readHead(limit int, check func(part []byte) *Error) (string, error) {
	searched := 0
	for {
		part := b.buf[b.r:b.w]
		if end := headEnd(part, searched); end > 0 {
			if end > limit {
				return "", errHeadLength
			}
			head := string(part[:end])
			b.r += end
			b.shrink()
			return head, nil
		}
		if check != nil && len(part) > 0 {
			if err := check(part); err != nil {
				return "", err
			}
		}
		if len(part) >= limit {
			return "", errHeadLength
		}
		searched = max(0, len(part)-len("\n\r"))
		if b.w == len(b.buf) {
			if err := b.grow(limit); err != nil {
				return "", err
			}
		}
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(part) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// headEnd returns the length of the head that part begins with, with the empty
// line that ends it; 0: its end is not there yet. Lines may end with LF alone
// here: the parser decides about them.
func headEnd(part []byte, from int) int {
	for {
		lf := bytes.IndexByte(part[from:], '\n')
		if lf < 0 {
			return 0
		}
		from += lf + 1
		switch rest := part[from:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return from + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return from + 2
		}
	}
}

// readLine reads a line of at most limit bytes and returns it without its end,
// CR LF. It is valid until the next read.
func (b *Reader) readLine(limit int, lenient bool) ([]byte, error) {
	for {
		part := b.buf[b.r:b.w]
		if end := bytes.IndexByte(part, '\n'); end >= 0 {
			b.r += end + 1
			line := part[:end]
			switch {
			case end >= limit:
				return nil, errChunk
			case end > 0 && line[end-1] == '\r':
				return line[:end-1], nil
			case lenient:
				return line, nil
			}
			return nil, errChunk
		}
		if len(part) >= limit || len(part) == len(b.buf) {
			return nil, errChunk
		}
		if err := b.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// unexpected makes the end of a connection an error in the middle of a message.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read reads what is buffered, and then from the connection.
func (b *Reader) Read(p []byte) (int, error) {
	if b.r < b.w {
		n := copy(p, b.buf[b.r:b.w])
		b.r += n
		return n, nil
	}
	if len(b.buf) > smallBuffer {
		b.buf, b.r, b.w = b.lent.bytes[:], 0, 0
	}
	return b.conn.Read(p)
}

// ReadResponse reads the head of a response to a request with a method, of at
// most limit bytes. Errors are those of the connection, or *Error.
func (b *Reader) ReadResponse(method string, limit int) (*Response, error) {
	head, err := b.readHead(limit, nil)
	if err != nil {
		return nil, err
	}
	r, refusal := parseResponse(head, method, b.lent.fields[:0])
	b.keepFields(head, r.Fields)
	if refusal != nil {
		return nil, refusal
	}
	return &r, nil
}

// maxKeptFields bounds the fields whose memory is kept.
const maxKeptFields = 64

// keepFields keeps the memory of fields for the next head, when it is little: an
// idle connection keeps it, and may keep the last head through it.
func (b *Reader) keepFields(head string, fields Fields) {
	b.lent.fields = nil
	if cap(fields) <= maxKeptFields && len(head) <= smallBuffer {
		b.lent.fields = fields
	}
}

// forgetFields drops the last head, which its fields hold.
func (b *Reader) forgetFields() { clear(b.lent.fields[:cap(b.lent.fields)]) }

// begin returns the first bytes that were read and not used.
func (b *Reader) begin() string { return string(b.buf[b.r:min(b.w, b.r+len(proxySignature))]) }
