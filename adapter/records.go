package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
		}
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
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return nil, fmt.Errorf("file of calls: %w", err)
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
		return nil, errors.Join(fmt.Errorf("file of calls: %w", err), f.Close())
	}
	return f, nil
}
