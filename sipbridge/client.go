package sipbridge

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// client sends texts to the phones, in sipgo's client transactions over the
// front's own sockets. What belongs to a call, the engine sends.
type client struct {
	b     *Bridge
	quiet *slog.Logger // sipgo logs what phones send; we do not

	mu  sync.Mutex
	txs map[string]*sip.ClientTx // by branch
}

// clientMax bounds the requests that wait for a phone's answer.
const clientMax = 128

func newClient(b *Bridge) *client {
	return &client{b: b, quiet: slog.New(slog.DiscardHandler), txs: make(map[string]*sip.ClientTx)}
}

// take passes a response to its transaction, false if it belongs to none.
func (c *client) take(branch, raw []byte) bool {
	c.mu.Lock()
	tx := c.txs[string(branch)]
	c.mu.Unlock()
	if tx == nil {
		return false
	}
	if m, err := sip.ParseMessage(bytes.Clone(raw)); err == nil {
		if res, ok := m.(*sip.Response); ok {
			c.b.tasks.Go(func() { tx.Receive(res) }) // waits until somebody reads it, or the end
		}
	}
	return true
}

// message sends one text to one phone and waits for its answer.
func (c *client) message(ctx context.Context, v *Binding, m Message) *Refusal {
	f, ok := c.b.flowTo(v)
	if !ok {
		return Unreachable("there is no way to the phone")
	}
	branch := sip.GenerateBranch()
	raw := textRequest(v.target(), f, branch, m)
	parsed, err := sip.ParseMessage(raw)
	if err != nil {
		return Internal("the text cannot be written as SIP")
	}
	req := parsed.(*sip.Request)
	req.SetTransport(strings.ToUpper(f.Transport))
	tx := sip.NewClientTx(branch, req, &wire{c.b, f, raw}, c.quiet)
	if !c.add(branch, tx) {
		return Overloaded("too many texts wait for a phone", 0)
	}
	defer c.remove(branch)
	defer tx.Terminate()
	if err := tx.Init(); err != nil {
		return Unreachable("the phone cannot be reached")
	}
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return verdictOf(res)
			}
		case <-tx.Done():
			return TimedOut("the phone did not answer")
		case <-ctx.Done():
			return TimedOut("the phone did not answer in time")
		}
	}
}

func verdictOf(res *sip.Response) *Refusal {
	switch {
	case res.IsSuccess():
		return nil
	case res.IsRedirection():
		return Unreachable("the phone sends texts elsewhere")
	}
	return refuse(res.StatusCode, res.Reason, "")
}

func (c *client) add(branch string, tx *sip.ClientTx) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.txs) >= clientMax {
		return false
	}
	c.txs[branch] = tx
	return true
}

func (c *client) remove(branch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.txs, branch)
}

// textRequest writes a MESSAGE for a phone. From is the sender's name at our
// own address, so that an answer comes back to us.
func textRequest(contact string, f carry.Flow, branch string, m Message) []byte {
	var b bytes.Buffer
	here := f.Local.String()
	fmt.Fprintf(&b, "MESSAGE %s SIP/2.0\r\n", contact)
	fmt.Fprintf(&b, "Via: SIP/2.0/%s %s;branch=%s;rport\r\n", strings.ToUpper(f.Transport), here, branch)
	fmt.Fprintf(&b, "Max-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=%s\r\n", escapeUser(m.From.User()), here, rand.Text()[:10])
	fmt.Fprintf(&b, "To: <sip:%s@%s>\r\n", escapeUser(m.To.User()), here)
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: 1 MESSAGE\r\n", rand.Text())
	fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType(m.ContentType), len(m.Body))
	b.Write(m.Body)
	return b.Bytes()
}

// contentType lets nothing through that another adapter could break a header
// with.
func contentType(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.Contains(s, "/") {
		return "text/plain"
	}
	return s
}

// wire is a phone's flow as a connection of sipgo's: it writes the bytes that
// were made for the phone.
type wire struct {
	b    *Bridge
	flow carry.Flow
	raw  []byte
}

var errForeignMessage = errors.New("another message than the one of this transaction")

// WriteMsg is called for the request, and again for its retransmissions.
func (w *wire) WriteMsg(m sip.Message) error {
	if req, ok := m.(*sip.Request); !ok || req.Method != sip.MESSAGE {
		return errForeignMessage
	}
	ctx, cancel := context.WithTimeout(w.b.ctx, writeTime)
	defer cancel()
	return w.b.Send(ctx, w.flow, w.raw)
}

// LocalAddr, Ref, TryClose and Close complete sip.Connection; the socket is
// not the transaction's to close.
func (w *wire) LocalAddr() net.Addr    { return net.UDPAddrFromAddrPort(w.flow.Local) }
func (w *wire) Ref(int) int            { return 1 }
func (w *wire) TryClose() (int, error) { return 1, nil }
func (w *wire) Close() error           { return nil }
