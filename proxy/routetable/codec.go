// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// codec.go: the encoding of a table in shards.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
)

// format is the version of the encoding. A proxy refuses any other.
const format = 2

// maxPayloadBytes bounds one payload; the CRD allows a little more.
const maxPayloadBytes = 900_000

// maxShards bounds the index. At the default shard size it is far beyond what
// one fleet should serve.
const maxShards = 4096

// DefaultShardBytes is the size that a shard does not exceed unless a single
// route does: small enough that one changed route costs one small write.
const DefaultShardBytes = 128 << 10

// ErrIncomplete means that the index names a shard that is absent, perhaps for a
// short time.
var ErrIncomplete = errors.New("config is incomplete")

// Payload is the content of one part of a config and its SHA-256, as 64
// hexadecimal digits.
type Payload struct {
	Hash string
	Data string
}

// Encoded is a table in the form in which it is published. The index holds
// the settings and the hashes of all shards, so its hash is that of the whole.
type Encoded struct {
	Index  Payload
	Shards []Payload
}

// index is the content of the index payload.
type index struct {
	Format   int      `json:"format"`
	Settings Settings `json:"settings"`
	Routes   int      `json:"routes"`
	Holds    int      `json:"holds,omitempty"`
	Shards   []string `json:"shards"`
}

// shard is the content of a shard payload.
type shard struct {
	Format int     `json:"format"`
	Routes []Route `json:"routes,omitempty"`
	Holds  []Hold  `json:"holds,omitempty"`
}

// HashOf returns the SHA-256 of data as 64 hexadecimal digits.
func HashOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// Encode returns the payloads of a table. The result depends on the sets of
// routes and holds alone, not on their order. A changed route changes one shard,
// or two when its shard has to be split. It fails on a table that Validate
// refuses. shardBytes is the intended size of a shard in bytes.
func Encode(t *Table, shardBytes int) (*Encoded, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	members, err := membersOf(t)
	if err != nil {
		return nil, err
	}
	ix := index{Format: format, Settings: t.Settings, Routes: len(t.Routes), Holds: len(t.Holds), Shards: []string{}}
	out := &Encoded{}
	for _, group := range groupMembers(members, shardBytes) {
		p, err := newPayload(newShard(group))
		if err != nil {
			return nil, fmt.Errorf("encode shard: %w", err)
		}
		ix.Shards = append(ix.Shards, p.Hash)
		out.Shards = append(out.Shards, p)
	}
	if out.Index, err = newPayload(ix); err != nil {
		return nil, fmt.Errorf("encode index: %w", err)
	}
	return out, nil
}

// member is a route or a hold on its way into a shard: a hash of its name and
// the size of its encoding.
type member struct {
	route *Route
	hold  *Hold
	hash  uint32
	bytes int
}

// membersOf returns the routes of a table, then its holds, each in their order.
func membersOf(t *Table) ([]member, error) {
	routes := slices.SortedFunc(slices.Values(t.Routes), compareRoutes)
	holds := slices.SortedFunc(slices.Values(t.Holds), compareHolds)
	members := make([]member, 0, len(routes)+len(holds))
	for i := range routes {
		data, err := marshal(routes[i])
		if err != nil {
			return nil, fmt.Errorf("encode route %s: %w", routes[i].ID(), err)
		}
		members = append(members, member{route: &routes[i], hash: nameHash(routes[i].ID()), bytes: len(data)})
	}
	for i := range holds {
		data, err := marshal(holds[i])
		if err != nil {
			return nil, fmt.Errorf("encode hold %s: %w", holds[i].ID(), err)
		}
		members = append(members, member{hold: &holds[i], hash: nameHash(holds[i].ID()), bytes: len(data)})
	}
	return members, nil
}

func nameHash(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return h.Sum32()
}

// groupMembers spreads members over at most maxShards groups, each as small as
// intended where that is possible.
func groupMembers(members []member, shardBytes int) [][]member {
	groups := splitMembers(members, shardBytes, 1)
	for len(groups) > maxShards {
		shardBytes *= 2
		groups = splitMembers(members, shardBytes, 1)
	}
	return groups
}

// splitMembers halves a group by one bit of the hash after the other until it
// is small enough. Only the group that grew is split: the names and sizes of one
// tenant's routes do not move those of others, and routes whose names were chosen
// to have one hash are cut by size.
func splitMembers(members []member, shardBytes int, bit uint32) [][]member {
	total := 0
	for i := range members {
		total += members[i].bytes
	}
	switch {
	case len(members) == 0:
		return nil
	case total <= shardBytes || len(members) == 1:
		return [][]member{members}
	case bit == 0:
		return cutMembers(members, shardBytes)
	}
	var zeros, ones []member
	for _, m := range members {
		if m.hash&bit == 0 {
			zeros = append(zeros, m)
		} else {
			ones = append(ones, m)
		}
	}
	return append(splitMembers(zeros, shardBytes, bit<<1), splitMembers(ones, shardBytes, bit<<1)...)
}

func cutMembers(members []member, shardBytes int) [][]member {
	var groups [][]member
	start, total := 0, 0
	for i := range members {
		if i > start && total+members[i].bytes > shardBytes {
			groups = append(groups, members[start:i])
			start, total = i, 0
		}
		total += members[i].bytes
	}
	return append(groups, members[start:])
}

func newShard(members []member) shard {
	s := shard{Format: format}
	for _, m := range members {
		if m.route != nil {
			s.Routes = append(s.Routes, *m.route)
		} else {
			s.Holds = append(s.Holds, *m.hold)
		}
	}
	return s
}

// Decode returns the table of an index payload whose shards lookup finds by
// their hash. It accepts only the canonical encoding of a valid table: an
// unknown or repeated field, another spelling of a value, a wrong hash, a
// missing shard (ErrIncomplete) is an error and no table.
func Decode(p Payload, lookup func(hash string) (data string, found bool)) (*Table, error) {
	var ix index
	if err := decodePayload(p, &ix); err != nil {
		return nil, fmt.Errorf("decode index: %w", err)
	}
	if len(ix.Shards) > maxShards {
		return nil, fmt.Errorf("decode index: %d shards, at most %d are allowed", len(ix.Shards), maxShards)
	}
	table := &Table{Settings: ix.Settings}
	for _, hash := range ix.Shards {
		data, found := lookup(hash)
		if !found {
			return nil, fmt.Errorf("%w: shard %.20q is missing", ErrIncomplete, hash)
		}
		var s shard
		if err := decodePayload(Payload{Hash: hash, Data: data}, &s); err != nil {
			return nil, fmt.Errorf("decode shard %.20q: %w", hash, err)
		}
		table.Routes = append(table.Routes, s.Routes...)
		table.Holds = append(table.Holds, s.Holds...)
	}
	if len(table.Routes) != ix.Routes || len(table.Holds) != ix.Holds {
		return nil, fmt.Errorf("decode index: %d routes and %d holds announced, %d and %d found",
			ix.Routes, ix.Holds, len(table.Routes), len(table.Holds))
	}
	slices.SortFunc(table.Routes, compareRoutes)
	slices.SortFunc(table.Holds, compareHolds)
	if err := table.Validate(); err != nil {
		return nil, err
	}
	return table, nil
}

// ShardHashes returns the hashes of the shards that an index payload names.
func ShardHashes(p Payload) ([]string, error) {
	var ix index
	if err := decodePayload(p, &ix); err != nil {
		return nil, fmt.Errorf("decode index: %w", err)
	}
	return ix.Shards, nil
}

func newPayload(content any) (Payload, error) {
	data, err := marshal(content)
	if err != nil {
		return Payload{}, err
	}
	if len(data) > maxPayloadBytes {
		return Payload{}, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxPayloadBytes)
	}
	return Payload{Hash: HashOf(string(data)), Data: string(data)}, nil
}

// decodePayload is strict by encoding again what it understood: whatever the
// encoder would not have written is refused.
func decodePayload(p Payload, into interface{ version() int }) error {
	if len(p.Data) > maxPayloadBytes {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(p.Data), maxPayloadBytes)
	}
	if HashOf(p.Data) != p.Hash {
		return errors.New("payload does not have the announced hash")
	}
	if err := json.Unmarshal([]byte(p.Data), into); err != nil {
		return fmt.Errorf("not an encoded config: %w", sanitize(err))
	}
	if into.version() != format {
		return fmt.Errorf("format %d, this proxy reads format %d", into.version(), format)
	}
	again, err := marshal(into)
	if err != nil {
		return errors.New("not the canonical encoding")
	}
	if string(again) != p.Data {
		return errors.New("not the canonical encoding: unknown or repeated fields, or another spelling")
	}
	return nil
}

func (ix *index) version() int { return ix.Format }
func (s *shard) version() int  { return s.Format }

// sanitize keeps the kind of a JSON error and drops the bytes it quotes.
func sanitize(err error) error {
	if syntax, is := errors.AsType[*json.SyntaxError](err); is {
		return fmt.Errorf("syntax error at byte %d", syntax.Offset)
	}
	if kind, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return fmt.Errorf("field %s has the wrong type", kind.Field)
	}
	return errors.New("a value cannot be read")
}

func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
