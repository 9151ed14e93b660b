// Package resume lets an ordered exchange of frames outlive the connection that
// carries it.
//
// Both sides count the frames that they have sent and received. When the
// exchange goes on over another stream, each tells the other how many it has
// received; what is missing is sent again, in order, and nothing twice. A side
// keeps the last frames for that, as many as a peer can be behind: a stream
// takes no more than its window of frames that nobody has read.
//
//	Suspend         what has come so far; from now on nothing is read
//	  … the two sides agree on another stream and tell each other …
//	Adopt           go on there
//	Carry on        or go on where it was, when the attempt has failed
//
// The package knows nothing of links and calls; who may take an exchange over,
// its caller decides.
package resume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Stream carries frames in order while its connection lives.
type Stream interface {
	Send(ctx context.Context, frame []byte) error
	// Recv returns the next frame; io.EOF after the last.
	Recv(ctx context.Context) ([]byte, error)
	// Close ends the stream; what has been sent still arrives.
	Close() error
	// Abandon gives it up, without an end for the other side.
	Abandon()
}

// The errors of this package.
var (
	// ErrGap: the other side lacks frames that are not kept any more, or has
	// more than were ever sent.
	ErrGap = errors.New("resume: the two sides do not fit together")
	// ErrOver: somebody else has taken the exchange over, or it has ended.
	ErrOver = errors.New("resume: overtaken")
)

// keep is how many bytes of the last frames are kept at least, where there are
// so many: more than the window of a stream.
const keep = 160 << 10

// maxBehind bounds the frames that wait for a stream.
const maxBehind = 256

// Exchange is one exchange of frames. Send and Recv may be called beside each
// other and beside everything else.
type Exchange struct {
	final func(error) bool // whether an error of a stream is the end of the exchange

	writing sync.Mutex // held while frames are written; never taken with mu held

	mu      sync.Mutex
	at      Stream
	turn    int           // counts changes of at and suspensions
	held    bool          // suspended
	broken  bool          // at carries nothing any more
	err     error         // the exchange is over
	changed chan struct{} // closed and replaced at every change
	stop    context.CancelFunc

	got   uint64
	stash []byte // read from at after the suspension
	sent  uint64 // frames handed to Send
	kept  [][]byte
	size  int    // bytes in kept
	gone  uint64 // frames written to at, of all ever sent
}

// New makes an exchange that begins on a stream. final tells of an error of a
// stream whether it ends the exchange; all others break the stream only, and
// io.EOF always ends it.
func New(first Stream, final func(error) bool) *Exchange {
	return &Exchange{at: first, final: final, changed: make(chan struct{}), stop: func() {}}
}

// changeLocked tells everybody who waits.
func (e *Exchange) changeLocked() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// Send hands one frame over. While the exchange has no stream it waits to be
// sent. Errors: ErrGap where too many wait, or why the exchange is over.
func (e *Exchange) Send(ctx context.Context, frame []byte) error {
	e.mu.Lock()
	switch {
	case e.err != nil:
		e.mu.Unlock()
		return e.err
	case e.sent-e.gone >= maxBehind:
		e.mu.Unlock()
		return fmt.Errorf("%w: %d frames wait for a connection", ErrGap, maxBehind)
	}
	e.sent++
	e.kept, e.size = append(e.kept, frame), e.size+len(frame)
	for e.size-len(e.kept[0]) >= keep && e.sent-uint64(len(e.kept)) < e.gone {
		e.size -= len(e.kept[0])
		e.kept[0] = nil
		e.kept = e.kept[1:]
	}
	e.mu.Unlock()
	return e.flush(ctx)
}

// flush writes what is to be written.
func (e *Exchange) flush(ctx context.Context) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	for {
		e.mu.Lock()
		at := e.at
		if e.err != nil || e.held || e.broken || e.gone == e.sent {
			err := e.err
			e.mu.Unlock()
			return err
		}
		frame := e.kept[uint64(len(e.kept))-(e.sent-e.gone)]
		e.mu.Unlock()
		err := at.Send(ctx, frame)
		e.mu.Lock()
		if e.at == at { // also where it is suspended: the way back may be needed
			if err == nil {
				e.gone++
			} else {
				e.failLocked(err)
			}
		}
		e.mu.Unlock()
	}
}

// failLocked notes that a stream has failed.
func (e *Exchange) failLocked(err error) {
	if errors.Is(err, io.EOF) || e.final(err) {
		e.endLocked(err)
		return
	}
	e.broken = true
	e.changeLocked()
}

func (e *Exchange) endLocked(err error) {
	if e.err == nil {
		e.err = err
		e.stop()
		e.changeLocked()
	}
}

// Recv returns the next frame. It waits while the exchange has no stream.
// Errors: io.EOF after the other side's last, why the exchange is over, or
// ctx's.
func (e *Exchange) Recv(ctx context.Context) ([]byte, error) {
	for {
		e.mu.Lock()
		if e.err != nil {
			e.mu.Unlock()
			return nil, e.err
		}
		if e.stash != nil && !e.held {
			b := e.stash
			e.stash, e.got = nil, e.got+1
			e.mu.Unlock()
			return b, nil
		}
		at, changed, idle := e.at, e.changed, e.held || e.broken
		reading, stop := context.WithCancel(ctx)
		if !idle {
			e.stop = stop
		}
		e.mu.Unlock()
		if idle {
			stop()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		b, err := at.Recv(reading)
		interrupted := reading.Err() != nil
		stop()
		if b, err = e.took(at, b, err, interrupted); b != nil || err != nil {
			return b, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// took takes what a stream gave; nothing where it does not count now.
func (e *Exchange) took(at Stream, b []byte, err error, interrupted bool) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.at != at: // it comes again over the other one
	case err == nil && e.held: // the way back may be needed
		e.stash = b
	case err == nil:
		e.got++
		return b, nil
	case !interrupted:
		e.failLocked(err)
		return nil, e.err
	}
	return nil, nil
}

// Pause is a suspension.
type Pause struct {
	e    *Exchange
	turn int
	// Received is how many frames have come so far.
	Received uint64
}

// Suspend stops reading and writing, to go on elsewhere. A suspension that was
// before it does not count any more.
func (e *Exchange) Suspend() *Pause {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = true
	e.turn++
	e.stop()
	e.changeLocked()
	return &Pause{e, e.turn, e.got}
}

// CarryOn goes on where it was.
func (p *Pause) CarryOn() {
	e := p.e
	e.mu.Lock()
	if e.turn != p.turn || !e.held {
		e.mu.Unlock()
		return
	}
	e.held = false
	e.turn++
	e.changeLocked()
	e.mu.Unlock()
	_ = e.flush(context.Background())
}

// Adopt goes on over another stream, whose other side has received theirs
// frames so far. The former stream is abandoned. Errors: ErrOver where the
// suspension does not count any more, ErrGap, which ends the exchange.
func (p *Pause) Adopt(ctx context.Context, s Stream, theirs uint64) error {
	e := p.e
	e.mu.Lock()
	if e.turn != p.turn || !e.held || e.err != nil {
		e.mu.Unlock()
		return ErrOver
	}
	if theirs > e.sent || theirs < e.sent-uint64(len(e.kept)) {
		err := fmt.Errorf("%w: %d frames sent, %d kept, %d received", ErrGap, e.sent, len(e.kept), theirs)
		e.endLocked(err)
		e.mu.Unlock()
		return err
	}
	old := e.at
	e.at, e.held, e.broken, e.stash, e.gone = s, false, false, nil, theirs
	e.turn++
	e.changeLocked()
	e.mu.Unlock()
	old.Abandon()
	_ = e.flush(ctx) // what fails here shows as a broken stream
	return nil
}

// Broken tells whether the exchange waits for another stream; over, why it is
// over; changed is closed when that may have changed.
func (e *Exchange) Broken() (broken bool, changed <-chan struct{}, over error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken, e.changed, e.err
}

// End gives the exchange up for a reason, which Recv and Send return.
func (e *Exchange) End(why error) {
	e.mu.Lock()
	e.endLocked(why)
	e.mu.Unlock()
}

// Close ends the exchange and its stream: what has been sent still arrives.
func (e *Exchange) Close() error {
	e.mu.Lock()
	e.endLocked(io.EOF)
	at := e.at
	e.mu.Unlock()
	return at.Close()
}
