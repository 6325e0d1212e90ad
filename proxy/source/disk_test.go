// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// testDisk is a Disk that counts its failures.
type testDisk struct {
	*Disk
	failures atomic.Int64
	log      *lines
}

func newTestDisk(dir string) *testDisk {
	d := &testDisk{log: &lines{}}
	d.Disk = NewDisk(dir, slog.New(slog.NewJSONHandler(d.log, nil)), func() { d.failures.Add(1) })
	return d
}

// keep writes a config and returns when it was tried.
func (d *testDisk) keep(o config.Offer) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a pending config is still written
	d.Keep(o)
	d.Run(ctx)
}

func TestDisk_ReturnsWhatWasKept(t *testing.T) {
	dir := t.TempDir()
	d := newTestDisk(dir)
	if _, err := d.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	first, second := newOffer(t, 1, 1, "/a", 20), newOffer(t, 1, 2, "/b", 30)
	for _, o := range []config.Offer{first, second} {
		kept := o
		kept.Shards = map[string]string{"unnamed": "by the index"}
		maps.Copy(kept.Shards, o.Shards)
		d.keep(kept)
		got, err := d.Load()
		if err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("got %+v, %v", got.Version, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v %v", entries, err)
	}
	if stat, err := os.Stat(filepath.Join(dir, fileName)); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v %v", stat.Mode(), err)
	}
	if d.failures.Load() != 0 {
		t.Errorf("failures: %s", d.log.buf.String())
	}
}

func TestDisk_KeepsTheNewestOfMany(t *testing.T) {
	d := newTestDisk(t.TempDir())
	for i := range 100 {
		d.Keep(newOffer(t, 1, int64(i+1), "/a", 1))
	}
	d.keep(newOffer(t, 1, 101, "/a", 1))
	if got, err := d.Load(); err != nil || got.Generation != 101 {
		t.Errorf("got %+v, %v", got.Version, err)
	}
}

// F28: a file that is not exactly what was written, by power cut, bit rot or
// hand, is not used, and never crashes a start.
func TestF28_DamagedFilesAreNotUsed(t *testing.T) {
	dir := t.TempDir()
	d := newTestDisk(dir)
	d.keep(newOffer(t, 1, 1, "/a", 2))
	path := filepath.Join(dir, fileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, data []byte) {
		t.Helper()
		if o, err := decodeFile(data); err == nil {
			t.Fatalf("%s: used %+v", what, o.Version)
		}
	}
	for i := range good {
		damaged("truncated", good[:i])
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		data := append([]byte(nil), good...)
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		damaged("bit flipped", data)
	}
	damaged("longer", append(append([]byte(nil), good...), '\n'))
	damaged("twice", append(append([]byte(nil), good...), good...))
	zeroed := append([]byte(nil), good...)
	clear(zeroed[len(zeroed)/2:]) // blocks that never reached the disk
	damaged("half zero", zeroed)

	if err := os.WriteFile(path, zeroed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); err == nil || !strings.Contains(err.Error(), "torn or damaged") {
		t.Errorf("Load says %v", err)
	}
	if _, err := decodeFile(good); err != nil {
		t.Errorf("control: %v", err)
	}
}

func FuzzDecodeFile(f *testing.F) {
	data, err := encodeFile(newOffer(f, 1, 1, "/a", 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(fileMagic)
	f.Fuzz(func(t *testing.T, data string) {
		o, err := decodeFile([]byte(data))
		if err != nil {
			return
		}
		store := newStore(slog.New(slog.DiscardHandler))
		if store.Adopt(o) == nil && store.Current().Table.Validate() != nil {
			t.Fatal("an invalid table is served")
		}
	})
}

// A torn write leaves the file before it, and what is left of it is no
// obstacle.
func TestF28_TornWriteLeavesTheLastGood(t *testing.T) {
	dir := t.TempDir()
	d := newTestDisk(dir)
	d.keep(newOffer(t, 1, 1, "/a", 2))
	if err := os.WriteFile(filepath.Join(dir, tempName), []byte(fileMagic+"half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Load(); err != nil || got.Generation != 1 {
		t.Errorf("got %+v, %v", got.Version, err)
	}
	d.keep(newOffer(t, 1, 2, "/a", 2))
	if got, err := d.Load(); err != nil || got.Generation != 2 {
		t.Errorf("got %+v, %v", got.Version, err)
	}
}

// F28: a disk that takes nothing costs the next restart, not this run.
func TestF28_DisksThatTakeNothing(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) string{
		"full": func(t *testing.T, dir string) string {
			t.Helper()
			if err := os.Symlink("/dev/full", filepath.Join(dir, tempName)); err != nil {
				t.Skip(err)
			}
			return dir
		},
		"small": func(t *testing.T, dir string) string {
			t.Helper()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
				t.Skipf("mount a small disk: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
			return dir
		},
		"read-only": func(t *testing.T, dir string) string {
			t.Helper()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
				t.Skipf("mount a read-only disk: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
			return dir
		},
		"missing": func(_ *testing.T, dir string) string { return filepath.Join(dir, "none") },
		"a file": func(t *testing.T, dir string) string {
			t.Helper()
			path := filepath.Join(dir, "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		},
		"in the way": func(t *testing.T, dir string) string {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(dir, fileName, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := prepare(t, t.TempDir())
			d := newTestDisk(dir)
			large := newOffer(t, 1, 1, "/a", 200)
			d.keep(large)
			if d.failures.Load() != 1 || d.log.count("cannot be kept on disk") != 1 {
				t.Errorf("%d failures, log %s", d.failures.Load(), d.log.buf.String())
			}
			if _, err := os.Lstat(filepath.Join(dir, tempName)); err == nil {
				t.Error("half a file is left")
			}
			if o, err := d.Load(); err == nil {
				t.Errorf("loaded %+v", o.Version)
			}
		})
	}
}

// A config that could not be written is written when the disk works again, and a
// failure is logged once.
func TestF28_DiskIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "late")
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk(dir)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { d.Run(ctx) })
		d.Keep(newOffer(t, 1, 1, "/a", 1))
		time.Sleep(3*retryInterval + time.Second)
		if d.failures.Load() != 4 || d.log.count("cannot be kept") != 1 {
			t.Errorf("%d failures, log %s", d.failures.Load(), d.log.buf.String())
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryInterval)
		if got, err := d.Load(); err != nil || got.Generation != 1 {
			t.Errorf("got %+v, %v", got.Version, err)
		}
		cancel()
		running.Wait()
	})
}

// T10: nothing of a request is in the file, because nothing but the config is.
func TestT10_FileHoldsTheConfigAlone(t *testing.T) {
	dir := t.TempDir()
	d := newTestDisk(dir)
	o := newOffer(t, 1, 1, "/a", 1)
	d.keep(o)
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeFile(data)
	if err != nil || !reflect.DeepEqual(got, o) {
		t.Fatalf("got %+v, %v", got.Version, err)
	}
	again, err := encodeFile(got)
	if err != nil || string(again) != string(data) {
		t.Error("the file holds more than the config")
	}
}

// A file whose checksum is right and whose config is not is judged by the
// state as every offer is.
func TestF25_KeptConfigIsValidatedToo(t *testing.T) {
	o := newOffer(t, 1, 1, "/a", 1)
	for hash, data := range o.Shards {
		o.Shards[hash] = strings.Replace(data, "10.0.0.1", "127.0.0.1", 1)
	}
	data, err := encodeFile(o)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := decodeFile(data)
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(slog.New(slog.DiscardHandler))
	if refusal := store.Adopt(loaded); refusal == nil || refusal.Reason != routetable.RefusedInvalid {
		t.Errorf("refusal is %+v", refusal)
	}
}
