package carry

import (
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Left is what it takes to hang up a phone of this adapter when the program
// died while it was talking: kept on disk, it is given to HangUp by the
// program's next run.
type Left struct {
	CallID string   `json:"call_id"`
	URI    string   `json:"uri"` // of the phone
	From   string   `json:"from"`
	To     string   `json:"to"`
	CSeq   uint32   `json:"cseq"`
	Routes []string `json:"routes,omitempty"`
	Flow   Flow     `json:"flow"`
	Alt    Flow     `json:"alt"`
}

// leftGap lies between the CSeq of a call's last request that is known on disk
// and that of the BYE: the call goes on after it was written (RFC 3261
// §12.2.2 wants a later one, and not the next).
const leftGap = 1 << 16

// leave returns that for a dialog that is confirmed.
func (c *call) leave(d *dialog) *Left {
	h := c.head(d, min(d.cseq, 1<<31-1-leftGap)+leftGap)
	return &Left{c.callID, h.uri, h.from, h.to, h.cseq, slices.Clone(h.routes), d.flow, d.alt}
}

// HangUp sends the BYE for a call of an earlier run to its phone, and repeats
// it as long as the phone is silent (RFC 3261 §17.1.2). The error is ErrBusy,
// ErrNotRunning or ErrMalformed.
func (e *Engine) HangUp(l Left, why string) error {
	if l.CallID == "" || l.URI == "" || !l.Flow.Remote.IsValid() || !l.Flow.Local.IsValid() || !plain(l.CallID+l.URI+l.From+l.To+strings.Join(l.Routes, "")) || !plain(why) {
		return ErrMalformed
	}
	c := e.newCall(identity.AOR{}, identity.AOR{})
	c.callID, c.over, c.info = l.CallID, true, Info{ID: c.id, CallID: l.CallID, State: Ended}
	c.farewell = &clientTx{method: "BYE", head: head{l.URI, l.From, l.To, l.CSeq, l.Routes}, flow: l.Flow, alt: l.Alt}
	c.farewellWhy = why
	if err := e.admit(c); err != nil {
		c.cancel()
		return err
	}
	return nil
}

// sayFarewell begins and ends such a call but for its one transaction.
func (c *call) sayFarewell() {
	c.start(c.farewell, appendField(nil, "Reason", reason(c.farewellWhy)), nil, 70)
	c.e.over()
	close(c.ended)
}
