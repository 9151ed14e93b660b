package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// Phone is a small scripted SIP softphone, one account at one registrar, as
// ignorant of this project as any other: it registers, calls, follows a 302,
// answers, plays a tone and listens for one, and hangs up.
type Phone struct {
	User string  // its account, also its display name
	Tone float64 // what it plays into a call, in hertz

	registrar netip.AddrPort
	conn      net.PacketConn
	ua        *sipgo.UserAgent
	client    *sipgo.Client
	server    *sipgo.Server
	dialogs   sipgo.DialogUA

	mu      sync.Mutex
	inbound map[string]*inCall // by Call-ID
	answers chan *Heard        // one for each answered call that ended
}

// inCall is a call that this phone answered.
type inCall struct {
	session *sipgo.DialogServerSession
	media   *audio
}

// NewPhone opens a phone on a free loopback port, with its registrar at the
// given address.
func NewPhone(user string, tone float64, registrar netip.AddrPort) (*Phone, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port for %s's phone: %w", user, err)
	}
	p := &Phone{User: user, Tone: tone, registrar: registrar, conn: conn,
		inbound: map[string]*inCall{}, answers: make(chan *Heard, 64)}
	quiet := slog.New(slog.DiscardHandler)
	port := conn.LocalAddr().(*net.UDPAddr).Port
	if p.ua, err = sipgo.NewUA(sipgo.WithUserAgent(user), sipgo.WithUserAgentHostname("127.0.0.1"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {}))); err != nil { // repeated answers
		return nil, errors.Join(err, conn.Close())
	}
	if p.server, err = sipgo.NewServer(p.ua, sipgo.WithServerLogger(quiet)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.client, err = sipgo.NewClient(p.ua, sipgo.WithClientLogger(quiet), sipgo.WithClientHostname("127.0.0.1"),
		sipgo.WithClientPort(port), sipgo.WithClientConnectionAddr(conn.LocalAddr().String()))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.dialogs = sipgo.DialogUA{Client: p.client, ContactHDR: sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: user, Host: "127.0.0.1", Port: port}}}
	p.server.OnInvite(p.onInvite)
	p.server.OnAck(p.onAck)
	p.server.OnBye(p.onBye)
	p.server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
	})
	return p, nil
}

// Run serves the phone's port until ctx ends.
func (p *Phone) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer stop()
	err := p.server.ServeUDP(p.conn)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, p.ua.Close())
}

// Await returns when the phone answers on its port: from then on it can also
// send from there.
func (p *Phone) Await(ctx context.Context) error {
	probe, err := net.Dial("udp", p.conn.LocalAddr().String())
	if err != nil {
		return err
	}
	defer probe.Close()
	stop := context.AfterFunc(ctx, func() { _ = probe.Close() })
	defer stop()
	buf := make([]byte, 2048)
	for try := 0; ctx.Err() == nil; try++ {
		if _, err := fmt.Fprintf(probe, "OPTIONS sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKup%[3]d\r\nFrom: <sip:up@%[2]s>;tag=up\r\nTo: <sip:%[1]s>\r\nCall-ID: up-%[2]s\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
			p.conn.LocalAddr(), probe.LocalAddr(), try); err != nil {
			return err
		}
		if err := probe.SetReadDeadline(time.Now().Add(awaitTry)); err != nil {
			return err
		}
		if _, err := probe.Read(buf); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s's phone does not start: %w", p.User, ctx.Err())
}

// awaitTry is how long Await waits for one answer.
const awaitTry = 100 * time.Millisecond

// Register registers at the registrar for an hour.
func (p *Phone) Register(ctx context.Context) error {
	req := sip.NewRequest(sip.REGISTER, sip.Uri{Scheme: "sip", Host: p.registrar.Addr().String(), Port: int(p.registrar.Port())})
	me := sip.Uri{Scheme: "sip", User: p.User, Host: p.registrar.Addr().String()}
	from := sip.FromHeader{Address: me, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(&from)
	req.AppendHeader(&sip.ToHeader{Address: me})
	req.AppendHeader(&p.dialogs.ContactHDR)
	req.AppendHeader(sip.NewHeader("Expires", "3600"))
	req.AppendHeader(sip.NewHeader("User-Agent", userAgent))
	res, err := p.client.Do(ctx, req)
	if err != nil {
		return fmt.Errorf("%s's phone: REGISTER: %w", p.User, err)
	}
	if res.StatusCode != 200 {
		return fmt.Errorf("%s's phone: REGISTER was answered %d %s (%s)", p.User, res.StatusCode, res.Reason, warning(res))
	}
	return nil
}

// userAgent is what the phone calls itself.
const userAgent = "secp2psip-demo-phone/1"

// Outcome is one call as the calling phone saw it.
type Outcome struct {
	Redirected bool          // a 302 came first
	Contact    string        // where it pointed
	FirstFinal time.Duration // INVITE to 302, or to the answer where none came
	Setup      time.Duration // INVITE to the final 200
	Status     int           // the last final status
	Reason     string        // its phrase, with the Warning's text
	Heard      Heard         // what came in
}

// Call dials sip:target@registrar, follows one redirection, talks for the
// given time and hangs up.
func (p *Phone) Call(ctx context.Context, target string, talk time.Duration) (*Outcome, error) {
	return p.call(ctx, target, func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, talk) })
}

// CallUntil is Call, and talks until the channel is closed.
func (p *Phone) CallUntil(ctx context.Context, target string, over <-chan struct{}) (*Outcome, error) {
	return p.call(ctx, target, func() (context.Context, context.CancelFunc) {
		talking, stop := context.WithCancel(ctx)
		go func() {
			select {
			case <-over:
				stop()
			case <-talking.Done():
			}
		}()
		return talking, stop
	})
}

func (p *Phone) call(ctx context.Context, target string, talk func() (context.Context, context.CancelFunc)) (*Outcome, error) {
	media, err := openAudio(p.Tone)
	if err != nil {
		return nil, err
	}
	defer media.Close()
	out := &Outcome{}
	start := time.Now()
	uri := sip.Uri{Scheme: "sip", User: target, Host: p.registrar.Addr().String(), Port: int(p.registrar.Port())}
	session, err := p.invite(ctx, uri, target, media)
	var refused *sipgo.ErrDialogResponse
	if errors.As(err, &refused) && refused.Res.StatusCode == 302 && refused.Res.Contact() != nil {
		out.Redirected, out.FirstFinal = true, time.Since(start)
		contact := refused.Res.Contact().Address
		out.Contact = contact.String()
		session, err = p.invite(ctx, contact, target, media)
	}
	out.Setup = time.Since(start)
	if out.FirstFinal == 0 {
		out.FirstFinal = out.Setup
	}
	if errors.As(err, &refused) {
		out.Status, out.Reason = refused.Res.StatusCode, strings.TrimSpace(refused.Res.Reason+" "+warning(refused.Res))
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("%s's phone calls %s: %w", p.User, target, err)
	}
	defer session.Close()
	out.Status, out.Reason = session.InviteResponse.StatusCode, session.InviteResponse.Reason
	if err := session.Ack(ctx); err != nil {
		return out, fmt.Errorf("%s's phone: ACK: %w", p.User, err)
	}
	talking, stop := talk()
	defer stop()
	if err := media.Play(talking, session.InviteResponse.Body()); err != nil {
		return out, err
	}
	out.Heard = media.Heard()
	if err := session.Bye(ctx); err != nil {
		return out, fmt.Errorf("%s's phone: BYE: %w", p.User, err)
	}
	return out, nil
}

// invite sends one INVITE and waits for its final answer.
func (p *Phone) invite(ctx context.Context, to sip.Uri, callee string, media *audio) (*sipgo.DialogClientSession, error) {
	req := sip.NewRequest(sip.INVITE, to)
	from := sip.FromHeader{DisplayName: p.User, Address: sip.Uri{Scheme: "sip", User: p.User, Host: p.registrar.Addr().String()}, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(&from)
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: callee, Host: p.registrar.Addr().String()}})
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.AppendHeader(sip.NewHeader("User-Agent", userAgent))
	req.SetBody(media.Description())
	session, err := p.dialogs.WriteInvite(ctx, req)
	if err != nil {
		return nil, err
	}
	return session, session.WaitAnswer(ctx, sipgo.AnswerOptions{})
}

// Answered returns what the phone heard in the calls that it answered, one
// entry for each, when they have ended.
func (p *Phone) Answered() <-chan *Heard { return p.answers }

func (p *Phone) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	media, err := openAudio(p.Tone)
	if err != nil {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 500, "No audio port", nil))
		return
	}
	session, err := p.dialogs.ReadInvite(req, tx)
	if err != nil {
		media.Close()
		_ = tx.Respond(sip.NewResponseFromRequest(req, 400, "Bad INVITE", nil))
		return
	}
	if err := session.Respond(180, "Ringing", nil); err != nil {
		media.Close()
		return
	}
	p.mu.Lock()
	p.inbound[callID(req)] = &inCall{session: session, media: media}
	p.mu.Unlock()
	go media.Play(session.Context(), req.Body())
	// RespondSDP returns when the ACK is in, or when there will be none.
	if err := session.RespondSDP(media.Description()); err != nil {
		p.end(callID(req))
	}
}

func (p *Phone) onAck(req *sip.Request, tx sip.ServerTransaction) {
	if c := p.lookup(callID(req)); c != nil {
		_ = c.session.ReadAck(req, tx)
	}
}

func (p *Phone) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c := p.lookup(callID(req))
	if c == nil {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 481, "Call Does Not Exist", nil))
		return
	}
	_ = c.session.ReadBye(req, tx)
	p.end(callID(req))
}

func (p *Phone) lookup(id string) *inCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inbound[id]
}

func (p *Phone) end(id string) {
	p.mu.Lock()
	c := p.inbound[id]
	delete(p.inbound, id)
	p.mu.Unlock()
	if c == nil {
		return
	}
	heard := c.media.Heard()
	c.media.Close()
	select {
	case p.answers <- &heard:
	default: // nobody asks; the script reads one per call
	}
}

func callID(req *sip.Request) string {
	if id := req.CallID(); id != nil {
		return id.Value()
	}
	return ""
}

// warning returns the text of a response's Warning header.
func warning(res *sip.Response) string {
	if h := res.GetHeader("Warning"); h != nil {
		return h.Value()
	}
	return ""
}
