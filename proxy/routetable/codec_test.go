// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDecode_ReturnsTheEncodedTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		encoded, err := Encode(table, rapid.SampledFrom([]int{1, 700, 5000, DefaultShardBytes}).Draw(t, "shardBytes"))
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		got, err := Decode(encoded.Index, storeOf(encoded).lookup)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		slices.SortFunc(table.Routes, compareRoutes)
		slices.SortFunc(table.Holds, compareHolds)
		if !reflect.DeepEqual(got, table) {
			t.Fatalf("decoded %+v, want %+v", got, table)
		}
	})
}

// F22: the order of routes and holds, in a list, on a watch or after a restart,
// makes no difference to the bytes.
func TestF22_AnyOrderOfRoutesGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	table := withHolds(plainTable(30), 10)
	want := mustEncode(t, table, 2<<10)
	if len(want.Shards) < 4 {
		t.Fatalf("%d shards, too few for this test", len(want.Shards))
	}
	random := rand.New(rand.NewPCG(22, 22))
	for range 1000 {
		if got := mustEncode(t, shuffled(table, random), 2<<10); !reflect.DeepEqual(got, want) {
			t.Fatal("another order gave other payloads")
		}
	}
}

func TestEncode_PayloadsAreAddressedByTheirContent(t *testing.T) {
	encoded := mustEncode(t, plainTable(60), 4<<10)
	for _, p := range append(slices.Clone(encoded.Shards), encoded.Index) {
		if p.Hash != HashOf(p.Data) || len(p.Hash) != 64 {
			t.Errorf("payload has hash %q", p.Hash)
		}
	}
	hashes, err := ShardHashes(encoded.Index)
	if err != nil || len(hashes) != len(encoded.Shards) {
		t.Fatalf("index names %d shards (%v), there are %d", len(hashes), err, len(encoded.Shards))
	}
	for i, shard := range encoded.Shards {
		if hashes[i] != shard.Hash {
			t.Errorf("index names %s as shard %d, which has %s", hashes[i], i, shard.Hash)
		}
	}
}

// One changed route costs one small write, however large the fleet is.
func TestEncode_OneChangedRouteChangesOneShardAndTheIndex(t *testing.T) {
	t.Parallel()
	const shardBytes = 16 << 10
	table := plainTable(2000)
	before := mustEncode(t, table, shardBytes)
	if len(before.Shards) < 64 {
		t.Fatalf("%d shards, too few for this test", len(before.Shards))
	}
	for i := 0; i < len(table.Routes); i += 197 {
		changed := &Table{Settings: table.Settings, Routes: slices.Clone(table.Routes)}
		route := &changed.Routes[i]
		route.Backends = []Backend{route.Backends[0], route.Backends[1]}
		route.Backends[1].Addresses = []string{"10.96.0.21:8443", "10.96.0.22:8443"}
		after := mustEncode(t, changed, shardBytes)
		if fresh := newShards(before, after); len(fresh) != 1 || len(after.Shards) != len(before.Shards) {
			t.Fatalf("a change of %s made %d new shards of %d", route.ID(), len(fresh), len(after.Shards))
		}
		if after.Index.Hash == before.Index.Hash {
			t.Fatalf("a change of %s did not change the index", route.ID())
		}
	}
}

// A route that comes or goes changes its own shard, or the two that it is split
// into or merged from.
func TestEncode_OneRouteMoreOrLessLeavesOtherShardsAlone(t *testing.T) {
	t.Parallel()
	const shardBytes = 16 << 10
	table := plainTable(2000)
	before := mustEncode(t, table, shardBytes)
	for i := 0; i < len(table.Routes); i += 397 {
		less := &Table{Settings: table.Settings, Routes: slices.Delete(slices.Clone(table.Routes), i, i+1)}
		after := mustEncode(t, less, shardBytes)
		if fresh := newShards(before, after); len(fresh) > 1 {
			t.Errorf("without %s there are %d new shards", table.Routes[i].ID(), len(fresh))
		}
		if back := newShards(after, before); len(back) > 2 {
			t.Errorf("with %s there are %d new shards", table.Routes[i].ID(), len(back))
		}
	}
}

func newShards(before, after *Encoded) []Payload {
	known := storeOf(before)
	return slices.DeleteFunc(slices.Clone(after.Shards), func(p Payload) bool {
		_, found := known[p.Hash]
		return found
	})
}

// A route with as many connections as are allowed, each of the greatest length, fits
// into a payload.
func TestEncode_HoldsTheMostConnections(t *testing.T) {
	values := make([]string, MaxConnectionValues)
	for i := range values {
		values[i] = fmt.Sprintf("%0*d", maxMatchBytes, i)
	}
	route := hugeRoute(1)
	route.Ownership = &Ownership{
		Rules: []OwnershipRule{{Type: RuleConnection, Connection: &ConnectionMap{
			Parameter: "c", Backends: []ConnectionBackend{{Name: route.Backends[0].Name, Values: values}},
		}}},
		Unowned: Unowned{Type: UnownedReject},
	}
	table := plainTable(0)
	table.Routes = []Route{route}
	if _, err := Encode(table, DefaultShardBytes); err != nil {
		t.Error(err)
	}
}

func TestEncode_KeepsShardsSmall(t *testing.T) {
	encoded := mustEncode(t, plainTable(2000), 16<<10)
	for _, shard := range encoded.Shards {
		if len(shard.Data) > 16<<10+1000 {
			t.Errorf("a shard has %d bytes", len(shard.Data))
		}
	}
}

// Names are a tenant's choice. Those that share a hash, or end in one place,
// must neither make the table too large to publish nor scatter the routes of
// all others over thousands of objects.
func TestEncode_NamesChosenToCollideHurtNoOther(t *testing.T) {
	t.Parallel()
	table := plainTable(200)
	without := mustEncode(t, table, DefaultShardBytes)
	for i := 0; len(table.Routes) < 240; i++ {
		h := fnv.New32a()
		_, _ = fmt.Fprintf(h, "hostile/n%d", i)
		if h.Sum32()%maxShards == 7 {
			table.Routes = append(table.Routes, hugeRoute(i))
		}
	}
	encoded := mustEncode(t, table, DefaultShardBytes)
	if len(encoded.Shards) > len(without.Shards)+60 {
		t.Errorf("40 large routes made %d shards out of %d", len(encoded.Shards), len(without.Shards))
	}
	if _, err := Decode(encoded.Index, storeOf(encoded).lookup); err != nil {
		t.Errorf("decode: %v", err)
	}
}

// hugeRoute is as large as the schema lets a route be.
func hugeRoute(i int) Route {
	route := plainRoute(0)
	route.Namespace, route.Name = "hostile", fmt.Sprintf("n%d", i)
	route.Callbacks = []Callback{{Name: "c", PathType: Exact, Path: fmt.Sprintf("/%d", i)}}
	route.InfoURL = "https://a/" + strings.Repeat("a", 2000)
	route.Backends, route.Ownership = nil, nil
	for b := range MaxBackends {
		backend := Backend{Name: fmt.Sprintf("b%d", b), Paths: []BackendPath{{"c", "/" + strings.Repeat("p", 1000)}}}
		if b == 0 {
			backend.Weight = 1
		}
		for a := range MaxAddresses {
			backend.Addresses = append(backend.Addresses, fmt.Sprintf("[fd00:1111:2222:3333:4444:5555:6666:%x]:65535", 0x7000+a))
		}
		route.Backends = append(route.Backends, backend)
	}
	return route
}

// The whole hash may be shared: then routes are cut by size.
func TestSplitMembers_CutsEqualHashesBySize(t *testing.T) {
	routes := make([]Route, 5000)
	members := make([]member, len(routes))
	for i := range routes {
		members[i] = member{route: &routes[i], hash: 0xcafe, bytes: 300}
	}
	groups := groupMembers(members, DefaultShardBytes)
	total := 0
	for _, group := range groups {
		total += len(group)
		if len(group)*300 > DefaultShardBytes {
			t.Errorf("a group of %d routes is too large", len(group))
		}
	}
	if total != len(routes) || len(groups) > 13 {
		t.Errorf("%d routes in %d groups, want %d in at most 13", total, len(groups), len(routes))
	}
}

// The index is bounded; a table that needs more shards gets larger ones instead of
// none.
func TestGroupMembers_NeverExceedsTheIndex(t *testing.T) {
	routes := make([]Route, 3*maxShards)
	members := make([]member, len(routes))
	random := rand.New(rand.NewPCG(1, 1))
	for i := range routes {
		members[i] = member{route: &routes[i], hash: random.Uint32(), bytes: 1000}
	}
	if groups := groupMembers(members, 1000); len(groups) > maxShards || len(groups) < maxShards/4 {
		t.Errorf("%d groups", len(groups))
	}
}

func TestEncode_RefusesAnInvalidTable(t *testing.T) {
	table := plainTable(3)
	table.Routes[1].Callbacks[0].Path = "/a b"
	if encoded, err := Encode(table, DefaultShardBytes); err == nil || encoded != nil {
		t.Errorf("Encode = %v, %v", encoded, err)
	}
}

func TestEncode_AnEmptyTableIsATable(t *testing.T) {
	encoded := mustEncode(t, &Table{Settings: Settings{ListenerPort: 8080}}, DefaultShardBytes)
	if len(encoded.Shards) != 0 {
		t.Errorf("%d shards", len(encoded.Shards))
	}
	table, err := Decode(encoded.Index, store{}.lookup)
	if err != nil || len(table.Routes) != 0 || table.Settings.ListenerPort != 8080 {
		t.Errorf("Decode = %+v, %v", table, err)
	}
}

// A missing shard is the only error that ends by waiting.
func TestDecode_DistinguishesAMissingShardFromABadOne(t *testing.T) {
	encoded := mustEncode(t, plainTable(20), 2<<10)
	for _, shard := range encoded.Shards {
		missing := storeOf(encoded)
		delete(missing, shard.Hash)
		if _, err := Decode(encoded.Index, missing.lookup); !errors.Is(err, ErrIncomplete) {
			t.Errorf("without a shard: %v", err)
		}
		bad := storeOf(encoded)
		bad[shard.Hash] = shard.Data + " "
		if _, err := Decode(encoded.Index, bad.lookup); err == nil || errors.Is(err, ErrIncomplete) {
			t.Errorf("with a bad shard: %v", err)
		}
	}
}

func TestVersion_OrdersByEpochThenGeneration(t *testing.T) {
	ordered := []Version{{0, 0}, {0, 9}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {3, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%+v.Compare(%+v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// Bounds apply before a table is built from the payloads.
func TestDecode_RefusesTooMuch(t *testing.T) {
	shards := make([]string, maxShards+1)
	for i := range shards {
		shards[i] = fmt.Sprintf("%064x", i)
	}
	for want, ix := range map[string]index{
		"4097 shards, at most 4096":    {Format: format, Settings: Settings{ListenerPort: 1}, Shards: shards},
		"bytes, at most 900000 are al": {Format: format, Settings: Settings{ListenerPort: 1}, Shards: slices.Concat(shards, make([]string, 300_000))},
	} {
		data, err := marshal(ix)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(Payload{Hash: HashOf(string(data)), Data: string(data)}, store{}.lookup)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode = %v, want %q", err, want)
		}
	}
}
