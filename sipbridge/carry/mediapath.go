package carry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/internal/media/relay"
)

// MediaTunnel is a Tunnel of a protected call: the call's media go beside it,
// over the same connection.
type MediaTunnel interface {
	Tunnel
	// Media returns that connection, and the key of the call's flows, which
	// the signed exchange gives to both sides and to nobody else.
	Media() (over relay.Carrier, key [32]byte)
}

// Follower is a MediaTunnel whose connection may become another one while the
// call goes on.
type Follower interface {
	// Follow has move called with the connection that there is now, and with
	// every one that takes its place; hear before that, where packets may come
	// over it already.
	Follow(hear, move func(over relay.Carrier))
}

// MediaInfo are figures of a protected call's media.
type MediaInfo struct {
	RTTMS float64 `json:"rtt_ms"` // of the link
	// Sent is what our phone has sent, Received what has come for it over the
	// link. Lost and JitterMS of Sent are as the other side has last reported
	// them.
	Sent     MediaFlow `json:"sent"`
	Received MediaFlow `json:"received"`
}

// MediaFlow is one direction of a call's media, all streams together.
type MediaFlow struct {
	Packets  uint64  `json:"packets"`
	Bytes    uint64  `json:"bytes"`
	Lost     uint64  `json:"lost"`
	JitterMS float64 `json:"jitter_ms"`
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// openMedia makes room for the media of a protected call.
func (b *branch) openMedia(t Tunnel) error {
	c := b.c
	if b.pathOf() != PathProtected {
		return nil
	}
	m, ok := t.(MediaTunnel)
	if !ok || c.e.cfg.Relay == nil {
		return errors.New("the tunnel of a protected call carries no media")
	}
	s, err := c.e.cfg.Relay.Open(m.Media())
	if err != nil {
		return err
	}
	c.e.update(c, func(*Info) { b.media = s })
	if f, ok := t.(Follower); ok {
		// They fail only where the call is over.
		f.Follow(func(over relay.Carrier) { _ = s.Hear(over) }, func(over relay.Carrier) { _ = s.Move(over) })
	}
	return nil
}

// keepFigures keeps the last figures of the media.
func (c *call) keepFigures() {
	if c.media != nil {
		c.e.update(c, func(i *Info) { i.Media = c.mediaInfoLocked() })
	}
}

// mediaInfoLocked returns the figures of this moment, nil where no media pass.
func (c *call) mediaInfoLocked() *MediaInfo {
	if c.media == nil {
		return nil
	}
	if c.info.State == Ended {
		return c.info.Media
	}
	s := c.media.Stats()
	return &MediaInfo{
		RTTMS:    milliseconds(s.RTT),
		Sent:     MediaFlow{s.FromPhone.Packets, s.FromPhone.Bytes, c.heard.lost, milliseconds(c.heard.jitter)},
		Received: MediaFlow{s.Phone.Packets, s.Phone.Bytes, s.Phone.Lost, milliseconds(s.Phone.Jitter)},
	}
}

// Adapters of a call tell each other every reportEvery what has arrived, which
// also shows that they are there. A side that has heard nothing for silentFor
// takes the path for dead: phones may be silent for as long as they like.
const (
	reportEvery = 4 * time.Second
	silentFor   = 12 * time.Second
)

// report is what a side has received so far.
type report struct {
	received, lost uint64
	jitter         time.Duration
}

const reportLength = 24

func (r report) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, reportLength), r.received)
	b = binary.BigEndian.AppendUint64(b, r.lost)
	return binary.BigEndian.AppendUint64(b, uint64(r.jitter/time.Microsecond))
}

// readReport reads the payload of a report frame. A jitter of hours is nonsense.
func readReport(b []byte) (report, error) {
	if len(b) != reportLength {
		return report{}, fmt.Errorf("%w: a report of %d bytes", ErrMalformed, len(b))
	}
	jitter := binary.BigEndian.Uint64(b[16:])
	if jitter > uint64(time.Hour/time.Microsecond) {
		return report{}, fmt.Errorf("%w: a report with impossible figures", ErrMalformed)
	}
	return report{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), time.Duration(jitter) * time.Microsecond}, nil
}

// startReports begins to speak and to listen for the other side.
func (b *branch) startReports() {
	if now := b.c.now; b.c.info.Path != PathEcho {
		b.reportAt, b.heardAt = now.Add(reportEvery), now
	}
}

// keepReporting does what is due of that.
func (b *branch) keepReporting() {
	now := b.c.now
	switch {
	case b.reportAt.IsZero() || b.c.over:
		b.reportAt = time.Time{}
	case now.Sub(b.heardAt) >= silentFor:
		b.gone("the other side's adapter has fallen silent")
	case !now.Before(b.reportAt):
		b.reportAt = now.Add(reportEvery)
		var r report
		if b.media != nil {
			got := b.media.Stats().Phone
			r = report{got.Packets, got.Lost, got.Jitter}
		}
		b.send(frame{kindReport, 0, r.bytes()})
	}
}

// problem is why a body cannot go on, as an answer.
type problem struct {
	status          int
	reason, warning string
}

func (p *problem) answer() answer {
	return answer{status: p.status, reason: p.reason, warning: p.warning}
}

func malformedSDP() *problem {
	return &problem{400, "Bad Request", "malformed session description"}
}

func hiddenAddress(err error) *problem { return &problem{488, "Not Acceptable Here", err.Error()} }

// sdpProblem is the answer to a description that cannot be taken.
func (c *call) sdpProblem(err error) *problem {
	switch {
	case errors.Is(err, media.ErrNotCarried):
		c.refused(RefusedMedia)
		return &problem{488, "Not Acceptable Here", err.Error()}
	case errors.Is(err, media.ErrHidden):
		c.refused(RefusedHidden)
		return hiddenAddress(err)
	case errors.Is(err, relay.ErrBusy):
		return &problem{503, "Service Unavailable", "this adapter has no place for the media of another call"}
	case errors.Is(err, relay.ErrClosed):
		return &problem{481, "Call/Transaction Does Not Exist", ""}
	case errors.Is(err, errBodyType):
		c.refused(RefusedMedia)
		return &problem{415, "Unsupported Media Type", err.Error()}
	}
	c.refused(RefusedSDP)
	return malformedSDP()
}

// legOf is the way to the phone that a dialog is with: at the callee's side
// one of several.
func (c *call) legOf(f *fork) relay.Leg {
	flow := c.phoneFlow()
	if f != nil {
		flow = f.target.Flow
	}
	return relay.Leg{Local: flow.Local.Addr(), Phone: flow.Remote.Addr()}
}

func (d *dialog) phone() *fork {
	if d == nil {
		return nil
	}
	return d.fork
}

// phone is the phone that a request to it is for.
func (t *clientTx) phone() *fork {
	if t.fork != nil {
		return t.fork
	}
	return t.dialog.phone()
}

// sdpOut is the body of our phone's message for the tunnel. On the protected
// path it names nothing of this host; else an address that only this host can
// reach becomes this host's.
func (b *branch) sdpOut(p *parsed, from *fork) ([]byte, *problem) {
	return b.sdp(p, func(body []byte) ([]byte, error) {
		if b.media != nil {
			return b.media.FromPhone(b.c.legOf(from), body)
		}
		if b.tunnel == nil {
			return body, media.Check(body)
		}
		out, _, err := media.ReplaceLoopback(body, notLoopback(b.tunnel.t.LocalIP()))
		return out, err
	})
}

// sdpIn is the body for our phone. On the protected path it seeks everything at
// this adapter. Else another host's adapter never sends a loopback address; one
// that does would aim the phone's media at whatever listens on its own host.
//
// described is the description in it, nil for none; later is added to its
// version.
func (b *branch) sdpIn(p *parsed, to *fork, later uint32) (body, described []byte, wrong *problem) {
	body, wrong = b.sdp(p, func(body []byte) (out []byte, err error) {
		if b.media != nil {
			out, err = b.media.ToPhone(b.c.legOf(to), body)
		} else {
			var n int
			if out, n, err = media.ReplaceLoopback(body, notLoopback(b.tunnel.t.RemoteIP())); err == nil && n > 0 {
				b.c.refused(RefusedLoopback)
			}
		}
		described = media.WithVersion(out, media.Version(out)+uint64(later))
		return described, err
	})
	return body, described, wrong
}

func (b *branch) sdp(p *parsed, f func([]byte) ([]byte, error)) ([]byte, *problem) {
	body, err := rewriteBody(p, f, b.media != nil)
	if err != nil {
		return nil, b.c.sdpProblem(err)
	}
	return body, nil
}
