package resume

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var errCut = errors.New("cut")

// line is one direction of a stream: in order, until it is cut.
type line struct {
	mu     sync.Mutex
	frames [][]byte
	ended  error
	wake   chan struct{}
}

func (l *line) put(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return l.ended
	}
	l.frames = append(l.frames, b)
	close(l.wake)
	l.wake = make(chan struct{})
	return nil
}

// end lets nothing in any more; a cut also loses what nobody has read.
func (l *line) end(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return
	}
	l.ended = why
	if !errors.Is(why, io.EOF) {
		l.frames = nil
	}
	close(l.wake)
	l.wake = make(chan struct{})
}

func (l *line) take(ctx context.Context) ([]byte, error) {
	for {
		l.mu.Lock()
		if len(l.frames) > 0 {
			b := l.frames[0]
			l.frames = l.frames[1:]
			l.mu.Unlock()
			return b, nil
		}
		ended, wake := l.ended, l.wake
		l.mu.Unlock()
		if ended != nil {
			return nil, ended
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// half is one end of a stream.
type half struct{ in, out *line }

func (h *half) Send(_ context.Context, b []byte) error   { return h.out.put(b) }
func (h *half) Recv(ctx context.Context) ([]byte, error) { return h.in.take(ctx) }
func (h *half) Close() error                             { h.out.end(io.EOF); return nil }
func (h *half) Abandon()                                 { h.cut() }
func (h *half) cut()                                     { h.in.end(errCut); h.out.end(errCut) }
func newStream() (a, b *half)                            { x, y := newLine(), newLine(); return &half{x, y}, &half{y, x} }
func newLine() *line                                     { return &line{wake: make(chan struct{})} }
func never(error) bool                                   { return false }
func number(n int) []byte                                { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// pair are the two ends of an exchange, whose stream a test replaces.
type pair struct {
	a, b  *Exchange
	lower *half // of the stream that is used
}

func newPair(final func(error) bool) *pair {
	x, y := newStream()
	return &pair{New(x, final), New(y, final), x}
}

// swap does what two sides do to go on elsewhere, in one of the orders that
// there are.
func (p *pair) swap(t testing.TB, cut bool) {
	if cut {
		p.lower.cut()
	}
	x, y := newStream()
	pa := p.a.Suspend()
	pb := p.b.Suspend()
	if err := pb.Adopt(within(t), y, pa.Received); err != nil {
		t.Error(err)
	}
	if err := pa.Adopt(within(t), x, pb.Received); err != nil {
		t.Error(err)
	}
	p.lower = x
}

// However often the stream is replaced, and whenever, every frame arrives once
// and in order.
func TestEveryFrameArrivesOnceAndInOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	const frames = 2000
	p := newPair(never)
	ctx := within(t)
	var work sync.WaitGroup
	for _, e := range []*Exchange{p.a, p.b} {
		ahead := make(chan struct{}, maxBehind/2) // nobody sends more than a stream takes
		peer := p.b
		if e == p.b {
			peer = p.a
		}
		work.Go(func() {
			for i := range frames {
				select {
				case ahead <- struct{}{}:
				case <-ctx.Done():
					return
				}
				if err := e.Send(ctx, number(i)); err != nil {
					t.Errorf("frame %d: %v", i, err)
					return
				}
			}
		})
		work.Go(func() {
			for i := range frames {
				b, err := peer.Recv(ctx)
				if err != nil || int(binary.BigEndian.Uint32(b)) != i {
					t.Errorf("frame %d: %x, %v", i, b, err)
					return
				}
				<-ahead
			}
		})
	}
	for range 40 {
		p.swap(t, rng.IntN(2) == 0)
		if rng.IntN(3) == 0 {
			pause := p.a.Suspend()
			pause.CarryOn()
		}
	}
	work.Wait()
}

func TestAnEndIsNoBreak(t *testing.T) {
	p := newPair(never)
	if err := p.a.Send(within(t), number(1)); err != nil {
		t.Fatal(err)
	}
	_ = p.a.Close()
	if b, err := p.b.Recv(within(t)); err != nil || len(b) != 4 {
		t.Errorf("the last frame: %x %v", b, err)
	}
	if _, err := p.b.Recv(within(t)); !errors.Is(err, io.EOF) {
		t.Errorf("after it: %v", err)
	}
	if err := p.b.Suspend().Adopt(within(t), p.lower, 0); !errors.Is(err, ErrOver) {
		t.Errorf("adopted after the end: %v", err)
	}
}

func TestAFinalErrorEnds(t *testing.T) {
	p := newPair(func(err error) bool { return errors.Is(err, errCut) })
	p.lower.cut()
	if _, err := p.a.Recv(within(t)); !errors.Is(err, errCut) {
		t.Errorf("Recv: %v", err)
	}
	if err := p.a.Send(within(t), number(1)); !errors.Is(err, errCut) {
		t.Errorf("Send: %v", err)
	}
}

func TestABreakIsTold(t *testing.T) {
	p := newPair(never)
	_, changed, _ := p.a.Broken()
	p.lower.cut()
	go func() { _, _ = p.a.Recv(within(t)) }()
	<-changed
	if broken, _, over := p.a.Broken(); !broken || over != nil {
		t.Errorf("broken %v, over %v", broken, over)
	}
	p.a.End(errCut)
	if _, _, over := p.a.Broken(); !errors.Is(over, errCut) {
		t.Errorf("over: %v", over)
	}
}

func TestWhoIsTooFarBehindIsGivenUp(t *testing.T) {
	p := newPair(never)
	big := make([]byte, keep/2)
	for range 5 {
		if err := p.a.Send(within(t), big); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.a.kept); n != 2 {
		t.Errorf("%d frames kept", n)
	}
	x, _ := newStream()
	if err := p.a.Suspend().Adopt(within(t), x, 1); !errors.Is(err, ErrGap) {
		t.Errorf("too far behind: %v", err)
	}
	p = newPair(never)
	if err := p.a.Suspend().Adopt(within(t), x, 1); !errors.Is(err, ErrGap) {
		t.Errorf("more than was sent: %v", err)
	}
	p = newPair(never)
	p.a.Suspend()
	for range maxBehind {
		if err := p.a.Send(within(t), number(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.a.Send(within(t), number(1)); !errors.Is(err, ErrGap) {
		t.Errorf("too many wait: %v", err)
	}
}

// A suspension that another one has followed does nothing any more.
func TestOnlyTheLastSuspensionCounts(t *testing.T) {
	p := newPair(never)
	first := p.a.Suspend()
	second := p.a.Suspend()
	x, y := newStream()
	if err := first.Adopt(within(t), x, 0); !errors.Is(err, ErrOver) {
		t.Errorf("the first: %v", err)
	}
	first.CarryOn()
	if err := second.Adopt(within(t), x, 0); err != nil {
		t.Errorf("the second: %v", err)
	}
	if err := p.a.Send(within(t), number(7)); err != nil {
		t.Fatal(err)
	}
	if b, err := y.Recv(within(t)); err != nil || int(binary.BigEndian.Uint32(b)) != 7 {
		t.Errorf("%x %v", b, err)
	}
}
