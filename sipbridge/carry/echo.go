package carry

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Echo takes over a phone's INVITE to the echo test and answers it here; see
// the seam. Every error is a *Refusal.
//
// It is a carried call whose tunnel leads to a user agent in this program, so
// everything that a carried call's phone may do, it may do here.
func (e *Engine) Echo(from Flow, invite []byte) error {
	if e.cfg.Echo == nil {
		return &Refusal{Code: 480, Reason: "Temporarily Unavailable", Warning: "the echo test is switched off"}
	}
	call := Call{From: from, Invite: invite, Caller: partyOf(invite, message.From), Callee: partyOf(invite, message.To)}
	call.Open = []Opener{func(context.Context) (Tunnel, string, error) {
		session, err := e.cfg.Echo.Open(from.Local.Addr(), from.Remote.Addr())
		if err != nil {
			return nil, "", &Refusal{Code: 486, Reason: "Busy Here", Warning: "the echo test is in use"}
		}
		t := &localTunnel{toAgent: make(chan []byte, frameQueue), toCall: make(chan []byte, frameQueue),
			done: make(chan struct{}), ip: from.Local.Addr()}
		a := &echoAgent{e: e, t: t, session: session, tag: newID(), repeat: from.Transport == "udp"}
		e.wg.Go(a.run)
		return t, "", nil
	}}
	return e.carry(call, PathEcho)
}

// partyOf names a party of an echo call as the phone does. Nobody else sees it.
func partyOf(invite []byte, id message.ID) identity.AOR {
	var m message.Message
	if m.Parse(invite) == nil {
		if a, err := message.ParseAddress(m.Get(id)); err == nil {
			if u, err := message.ParseURI(a.URI); err == nil {
				if who, err := identity.NewAOR(u.Name(), string(u.Host)); err == nil {
					return who
				}
			}
		}
	}
	who, _ := identity.NewAOR("echo", "localhost") // cannot fail
	return who
}

// localTunnel is a Tunnel within the program.
type localTunnel struct {
	toAgent, toCall chan []byte
	done            chan struct{}
	once            sync.Once
	ip              netip.Addr
}

// Send, with Recv and Close, is the call's end.
func (t *localTunnel) Send(ctx context.Context, frame []byte) error {
	return t.put(ctx, t.toAgent, frame)
}

func (t *localTunnel) put(ctx context.Context, to chan []byte, frame []byte) error {
	select {
	case to <- frame:
		return nil
	case <-t.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *localTunnel) Recv(ctx context.Context) ([]byte, error) {
	select {
	case b := <-t.toCall:
		return b, nil
	case <-t.done:
		return nil, errEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *localTunnel) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

// LocalIP and RemoteIP are none: the phone's addresses are right as they are.
func (t *localTunnel) LocalIP() netip.Addr  { return netip.Addr{} }
func (t *localTunnel) RemoteIP() netip.Addr { return netip.Addr{} }

// echoAgent is the user agent that answers at the other end of a localTunnel.
type echoAgent struct {
	e       *Engine
	t       *localTunnel
	session *media.EchoSession
	tag     string
	repeat  bool // the phone may lose a 200

	invite   *parsed
	number   uint64
	ok       []byte // the 200 that waits for its ACK
	retry    time.Duration
	sentByes uint64
}

// run answers until the tunnel is closed or the call has taken long enough.
func (a *echoAgent) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = a.session.Run(ctx) })
	defer wg.Wait()
	defer func() { cancel(); _ = a.session.Close() }()
	defer a.t.Close()

	limit := time.NewTimer(a.e.cfg.EchoTime)
	defer limit.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-a.t.done:
			return
		case b := <-a.t.toAgent:
			if f, err := decodeFrame(b); err != nil || !a.take(f, again) {
				return
			}
		case <-again.C:
			if a.ok == nil {
				continue
			}
			if a.retry *= 2; a.retry >= tx { // RFC 3261 §13.3.1.4: nobody there
				a.hangUp("no ACK")
				continue
			}
			again.Reset(min(a.retry, t2))
			a.put(frame{kindResponse, a.number, a.ok})
		case <-limit.C:
			a.hangUp("the echo test ends by itself")
		}
	}
}

func (a *echoAgent) put(f frame) {
	_ = a.t.put(context.Background(), a.t.toCall, f.bytes()) // ends with the tunnel
}

// take handles one frame; false ends the agent.
func (a *echoAgent) take(f frame, again *time.Timer) bool {
	if f.kind == kindCancel {
		return true // too late: it is answered at once
	}
	p, err := readWire(f.payload)
	if err != nil {
		return false
	}
	switch {
	case f.kind == kindResponse:
		return false // to our BYE
	case p.method == "ACK":
		a.ok = nil
	case p.method == "INVITE":
		a.answer(f.number, p, again)
	case p.method == "BYE" || p.method == "OPTIONS" || p.method == "INFO" || p.method == "UPDATE" && !p.isSDP():
		a.put(frame{kindResponse, f.number, a.response(p, 200, "OK", nil)})
	default:
		a.put(frame{kindResponse, f.number, a.response(p, 488, "Not Acceptable Here", nil)})
	}
	return true
}

// answer takes the call, or a change of it.
func (a *echoAgent) answer(number uint64, p *parsed, again *time.Timer) {
	var offer []byte
	if p.isSDP() {
		offer = p.Body
	}
	sdp, err := a.session.Answer(offer)
	switch {
	case errors.Is(err, media.ErrNoCodec):
		a.put(frame{kindResponse, number, a.response(p, 488, "Not Acceptable Here", nil)})
	case err != nil:
		a.put(frame{kindResponse, number, a.response(p, 400, "Bad Request", nil)})
	default:
		a.invite, a.number = p, number
		a.ok = a.response(p, 200, "OK", sdp)
		a.put(frame{kindResponse, number, a.ok})
		if a.repeat {
			a.retry = t1
			again.Reset(t1)
		}
	}
}

func (a *echoAgent) response(p *parsed, status int, reason string, sdp []byte) []byte {
	b := message.AppendStatus(nil, status, reason)
	b = appendField(b, "From", string(p.Get(message.From)))
	b = appendField(b, "To", withTag(string(p.Get(message.To)), a.tag))
	b = appendField(b, "Call-ID", p.callID)
	b = appendField(b, "CSeq", string(p.Get(message.CSeq)))
	b = appendField(b, "Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE")
	if status == 488 {
		b = appendField(b, "Warning", a.e.warning("the echo test speaks G.711 without encryption"))
	}
	if sdp != nil {
		b = appendField(b, "Content-Type", "application/sdp")
	}
	return appendBody(b, sdp)
}

// hangUp ends the call from this side.
func (a *echoAgent) hangUp(why string) {
	a.ok = nil
	if a.invite == nil {
		_ = a.t.Close()
		return
	}
	a.sentByes++
	b := append([]byte(nil), "BYE "+overlayPlaceholder+" SIP/2.0\r\nMax-Forwards: 70\r\n"...)
	b = appendField(b, "From", withTag(string(a.invite.Get(message.To)), a.tag))
	b = appendField(b, "To", string(a.invite.Get(message.From)))
	b = appendField(b, "Call-ID", a.invite.callID)
	b = appendField(b, "CSeq", strconv.FormatUint(a.sentByes, 10)+" BYE")
	b = appendField(b, "Reason", `SIP;cause=200;text="`+why+`"`)
	a.put(frame{kindRequest, a.sentByes, appendBody(b, nil)})
}

// overlayPlaceholder stands where a Request-URI must; it is not read.
const overlayPlaceholder = "sip:caller@echo.invalid"
