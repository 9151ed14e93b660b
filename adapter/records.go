package adapter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// The files of calls, in the state folder: the present one and the one before.
const (
	recordsFile = "calls.jsonl"
	recordsOld  = "calls.1.jsonl"
	maxRecords  = 1 << 20 // bytes of one file

	recordsContext = "calls" // of sealed lines
	recordQueue    = 256     // that wait to be written
)

// reasonRecordLost: a call was not written down, because the disk is slow or full.
const reasonRecordLost = "record_lost"

// records writes one JSON line for every call that has ended. Who adds one
// never waits for the disk.
type records struct {
	dir   string
	box   *seal.Box // nil: in the clear
	most  int64
	queue chan admin.CallRecord
	lost  func()
	log   zerolog.Logger

	trouble atomic.Pointer[string] // why the last call was not written down; nil if it was
}

func newRecords(dir string, box *seal.Box, lost func(), log zerolog.Logger) *records {
	return &records{dir: dir, box: box, most: maxRecords, queue: make(chan admin.CallRecord, recordQueue), lost: lost, log: log}
}

// add hands a record over to Run. r may be nil: nothing is written then.
func (r *records) add(c admin.CallRecord) {
	if r == nil {
		return
	}
	select {
	case r.queue <- c:
	default:
		r.lost()
	}
}

// start runs Run in a goroutine; the function that it returns ends that and
// waits for it.
func (r *records) start() (stop func()) {
	if r == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Run writes until ctx ends, then what is left.
func (r *records) Run(ctx context.Context) {
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close()
		}
	}()
	write := func(c admin.CallRecord) {
		var err error
		if f, err = r.write(f, c); err != nil {
			r.lost()
			r.log.Warn().Err(err).Msg("a call is not written down")
			why := err.Error()
			r.trouble.Store(&why)
			return
		}
		r.trouble.Store(nil)
	}
	for {
		select {
		case c := <-r.queue:
			write(c)
		case <-ctx.Done():
			for {
				select {
				case c := <-r.queue:
					write(c)
				default:
					return
				}
			}
		}
	}
}

// write appends a line, to a new file where this one is full. It returns the
// file to go on with, nil after an error: the next record opens it again.
func (r *records) write(f *os.File, c admin.CallRecord) (*os.File, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return f, fmt.Errorf("record of a call: %w", err)
	}
	line = r.box.SealLine(recordsContext, line)
	path := filepath.Join(r.dir, recordsFile)
	if f == nil {
		if err := identity.CheckSecretFile(path); err != nil {
			return nil, fmt.Errorf("file of calls: %w", err)
		}
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
			return nil, fmt.Errorf("file of calls: %w", err)
		}
		if err := wholeLines(f); err != nil {
			return nil, errors.Join(fmt.Errorf("file of calls: %w", err), f.Close())
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("file of calls: %w", err), f.Close())
	}
	if info.Size() > 0 && info.Size()+int64(len(line)) >= r.most {
		if err := errors.Join(f.Close(), os.Rename(path, filepath.Join(r.dir, recordsOld))); err != nil {
			return nil, fmt.Errorf("file of calls: %w", err)
		}
		return r.write(nil, c)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		// Half a line is none, and would spoil the next one.
		return nil, errors.Join(fmt.Errorf("file of calls: %w", err), f.Truncate(info.Size()), f.Close())
	}
	return f, nil
}

// wholeLines takes away what a power cut has left of a line.
func wholeLines(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	tail := make([]byte, min(size, maxRecordLine))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err
	}
	return f.Truncate(size - int64(len(tail)-1-bytes.LastIndexByte(tail, '\n')))
}

// warning is a sentence for people while calls are not written down, "" else.
func (r *records) warning() string {
	if r == nil {
		return ""
	}
	if why := r.trouble.Load(); why != nil {
		return "calls are not written down (" + *why + "): make room on the disk of the state folder"
	}
	return ""
}
