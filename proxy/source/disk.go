// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

// disk.go: the last good config on the proxy's own disk.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	fileName = "last-good-config"
	tempName = fileName + ".tmp"
	// fileMagic begins the file's first line, which goes on with the SHA-256
	// of everything after it.
	fileMagic = "callback-proxy-config/1 "
	// maxFileBytes bounds the file that is read: far more than a fleet serves.
	maxFileBytes = 512 << 20
	// retryInterval is how long after a failure the same config is written
	// again.
	retryInterval = 30 * time.Second
)

// headBytes is the length of the first line.
const headBytes = len(fileMagic) + 2*sha256.Size + len("\n")

// file is the content of the file after its first line.
type file struct {
	routetable.Version
	ReportKey string     `json:"reportKey"`
	Index     filePart   `json:"index"`
	Shards    []filePart `json:"shards"`
}

type filePart struct {
	Hash string `json:"hash"`
	Data string `json:"data"`
}

// Disk keeps the last good config in a directory. A file is either the whole
// of one config or not adopted: it carries its own checksum and takes its
// place by rename.
type Disk struct {
	dir     string
	log     *slog.Logger
	onError func()
	pending chan config.Offer
}

// NewDisk returns a Disk for a directory. onError is called at each failure.
func NewDisk(dir string, log *slog.Logger, onError func()) *Disk {
	return &Disk{dir: dir, log: log, onError: onError, pending: make(chan config.Offer, 1)}
}

// Keep has a config written, soon and instead of any that still waits. It does
// not block. It must not be called by two goroutines at once.
func (d *Disk) Keep(o config.Offer) {
	select {
	case <-d.pending:
	default:
	}
	d.pending <- o
}

// Run writes the configs of Keep until ctx is cancelled, the last one included.
// A failure is counted, logged once, and tried again: serving does not depend on
// it.
func (d *Disk) Run(ctx context.Context) {
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	var unsaved *config.Offer
	var logged bool
	save := func() {
		err := d.save(*unsaved)
		switch {
		case err != nil:
			d.onError()
			if !logged {
				d.log.Error("last good config cannot be kept on disk: after a restart an older one would be served",
					"error", err)
			}
			logged = true
		case err == nil:
			unsaved, logged = nil, false
		}
	}
	for {
		select {
		case o := <-d.pending:
			unsaved = &o
			save()
		case <-retry.C:
			if unsaved != nil {
				save()
			}
		case <-ctx.Done():
			select {
			case o := <-d.pending:
				unsaved = &o
				save()
			default:
			}
			return
		}
	}
}

// Load returns the config that was kept; the error is fs.ErrNotExist when none
// was. A file that differs from the written one is an error: none of it is used.
func (d *Disk) Load() (config.Offer, error) {
	data, err := readBounded(filepath.Join(d.dir, fileName))
	if err != nil {
		return config.Offer{}, fmt.Errorf("read last good config: %w", err)
	}
	o, err := decodeFile(data)
	if err != nil {
		return config.Offer{}, fmt.Errorf("decode last good config: %w", err)
	}
	return o, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = errors.New("file is too large")
	}
	return data, err
}

// save writes to a temporary file, makes sure that it is on the disk, and
// only then puts it in the place of the last one.
func (d *Disk) save(o config.Offer) error {
	data, err := encodeFile(o)
	if err != nil {
		return err
	}
	temp := filepath.Join(d.dir, tempName)
	err = writeSynced(temp, data)
	if err == nil {
		err = os.Rename(temp, filepath.Join(d.dir, fileName))
	}
	if err != nil {
		_ = os.Remove(temp) // half a file only fills the disk
		return fmt.Errorf("write file: %w", err)
	}
	return syncDir(d.dir)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the operator names the directory
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

func encodeFile(o config.Offer) ([]byte, error) {
	content := file{Version: o.Version, ReportKey: o.ReportKey, Index: filePart(o.Index), Shards: []filePart{}}
	hashes, err := routetable.ShardHashes(o.Index)
	if err != nil {
		return nil, err
	}
	for _, hash := range hashes {
		content.Shards = append(content.Shards, filePart{Hash: hash, Data: o.Shards[hash]})
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	sum := sha256.Sum256(body)
	head := fileMagic + hex.EncodeToString(sum[:]) + "\n"
	return append([]byte(head), body...), nil
}

func decodeFile(data []byte) (config.Offer, error) {
	if len(data) < headBytes || !bytes.HasPrefix(data, []byte(fileMagic)) {
		return config.Offer{}, errors.New("not a kept config")
	}
	body := data[headBytes:]
	sum := sha256.Sum256(body)
	if string(data[:headBytes]) != fileMagic+hex.EncodeToString(sum[:])+"\n" {
		return config.Offer{}, errors.New("file is torn or damaged: checksum differs")
	}
	var content file
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&content); err != nil || decoder.More() {
		return config.Offer{}, errors.New("file has another format")
	}
	o := config.Offer{
		Version: content.Version, ReportKey: content.ReportKey, Index: routetable.Payload(content.Index),
		Shards: make(map[string]string, len(content.Shards)),
	}
	for _, s := range content.Shards {
		o.Shards[s.Hash] = s.Data
	}
	return o, nil
}
