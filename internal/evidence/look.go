package evidence

import (
	"context"
	crand "crypto/rand"
	"math"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// fresh is how far a statement's time may be from this node's.
const fresh = 5 * time.Minute

// maxWithheld bounds the holders that are noted as withholding.
const maxWithheld = 256

// target is one record at one of its holders, and who is to ask for it.
type target struct {
	pos, res identity.NodeID
	part     uint64
	seq      uint64
	digest   [wire.OfferDigest]byte
	holder   wire.Peer
	through  wire.Peer
}

// look asks for one of the own records through another member.
func (g *Guard) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	t, ok := g.choose()
	if !ok {
		return
	}
	var nonce [32]byte
	crand.Read(nonce[:])
	answer := g.ask(ctx, &t, nonce)
	switch {
	case answer == nil || answer.Outcome == wire.VouchedSilent:
	case answer.Outcome == wire.VouchedHeld:
		g.mu.Lock()
		if len(g.confirmed) > 4096 {
			clear(g.confirmed)
		}
		g.confirmed[place{t.pos, t.part}] = time.Now()
		g.mu.Unlock()
	default:
		g.denied(ctx, &t, answer, nonce)
	}
}

// choose draws one of the holders of own records, one of the records that it
// should hold, and a member of a third person. It draws the holder first: one
// that holds little is looked at as often as one that holds much.
func (g *Guard) choose() (t target, ok bool) {
	g.mu.Lock()
	own := g.own
	g.mu.Unlock()
	ring := g.cfg.Ring()
	if ring == nil {
		return t, false
	}
	var holders []identity.NodeID
	held := map[identity.NodeID][]target{}
	for _, r := range own() {
		for _, t := range g.targets(ring, r) {
			if held[t.holder.ID] == nil {
				holders = append(holders, t.holder.ID)
			}
			held[t.holder.ID] = append(held[t.holder.ID], t)
		}
	}
	if len(holders) == 0 {
		return t, false
	}
	from := held[holders[g.draw(len(holders))]]
	t = from[g.draw(len(from))]
	t.through = g.someone(&t.holder)
	return t, t.through.ID != (identity.NodeID{})
}

// targets returns a record at each of those that should hold it.
func (g *Guard) targets(ring Ring, r record.Record) (out []target) {
	b, err := r.Body()
	if err != nil || b.Tombstone {
		return nil
	}
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return nil
	}
	for _, pos := range record.PositionsOf(b, g.cfg.Trust.Charter()) {
		for _, h := range ring.Holders(pos) {
			if h.ID != g.cfg.Self && h.Owner != g.cfg.Owner && !g.Evicted(h.ID) {
				out = append(out, target{pos: pos, res: record.Resource(aor, b.Kind), part: b.Part, seq: b.Seq, digest: digestOf(&r), holder: h})
			}
		}
	}
	return out
}

// someone draws a member of a third person; zero where there is none.
func (g *Guard) someone(holder *wire.Peer) (p wire.Peer) {
	ring := g.cfg.Ring()
	if ring == nil {
		return p
	}
	peers := slices.DeleteFunc(ring.Peers(), func(p wire.Peer) bool {
		return p.ID == holder.ID || p.Owner == holder.Owner || p.Owner == g.cfg.Owner || g.Evicted(p.ID)
	})
	if len(peers) > 0 {
		p = peers[g.draw(len(peers))]
	}
	return p
}

func (g *Guard) draw(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rng.IntN(n)
}

// ask has the other member ask; nil without an answer.
func (g *Guard) ask(ctx context.Context, t *target, nonce [32]byte) *wire.Vouched {
	answer, err := g.cfg.Transport.Call(ctx, t.through, &wire.Peek{
		Position: t.pos, Resource: t.res, Part: t.part, Seq: t.seq, Holder: t.holder.ID, Nonce: nonce,
	})
	if v, ok := answer.(*wire.Vouched); ok && err == nil {
		return v
	}
	return nil
}

// others is how many more members are asked when a holder says to its owner,
// too, that it has not got a record: it may be the owner whom it does not serve.
const others = 4

// denied follows up the word of another member that a holder has not got the
// record: does the holder say so to everybody?
func (g *Guard) denied(ctx context.Context, t *target, answer *wire.Vouched, nonce [32]byte) {
	denial := g.open(t, answer.Statement, nonce)
	if denial == nil {
		if g.holds(ctx, t) || g.servesOthers(ctx, t) { // neither in fact nor in writing
			g.noteWithheld(t.holder.ID)
		}
		return
	}
	if denial.Seq == t.seq && denial.Digest == t.digest {
		return // it has it in writing, and may have got it between the two questions
	}
	first, said, signed := answer.Statement, (*wire.Statement)(nil), []byte(nil)
	said, signed = g.vouch(ctx, t, After(first))
	for range others {
		if said == nil || said.Seq != denial.Seq || said.Digest != denial.Digest {
			break
		}
		said, signed = g.vouchThrough(ctx, t, After(first))
	}
	switch {
	case said == nil || said.Seq == denial.Seq && said.Digest == denial.Digest:
		return // it says the same to all; repair is another's matter
	case Contradict(denial, said):
		g.prove(ctx, t, KindStatements, first, signed)
	case denial.Run != said.Run:
		again := g.ask(ctx, t, After(signed))
		if again == nil {
			return
		}
		if back := g.open(t, again.Statement, After(signed)); back != nil && back.Run == denial.Run {
			g.prove(ctx, t, KindRuns, first, signed, again.Statement)
		}
	}
}

// vouchThrough has a member drawn at random ask for a statement.
func (g *Guard) vouchThrough(ctx context.Context, t *target, nonce [32]byte) (*wire.Statement, []byte) {
	u := *t
	if u.through, u.seq = g.someone(&t.holder), math.MaxUint64; u.through.ID == (identity.NodeID{}) { // what is there is never enough
		return nil, nil
	}
	answer := g.ask(ctx, &u, nonce)
	if answer == nil {
		return nil, nil
	}
	return g.open(t, answer.Statement, nonce), answer.Statement
}

// servesOthers reports whether the holder gives the record to one of a few
// other members.
func (g *Guard) servesOthers(ctx context.Context, t *target) bool {
	u := *t
	for range others {
		if u.through = g.someone(&t.holder); u.through.ID == (identity.NodeID{}) {
			return false
		}
		if answer := g.ask(ctx, &u, [32]byte{}); answer != nil && answer.Outcome == wire.VouchedHeld {
			return true
		}
	}
	return false
}

// open returns a statement of the target's holder about the target that answers
// a nonce and is of now; nil for any other. Whether it is the holder's own word
// is for prove to check.
func (g *Guard) open(t *target, signed []byte, nonce [32]byte) *wire.Statement {
	s, err := wire.ReadStatement(g.cfg.Trust.Overlay(), signed)
	if err != nil || s.Node != t.holder.ID || s.Resource != t.res || s.Part != t.part || s.Nonce != nonce {
		return nil
	}
	if d := g.cfg.Now().Sub(time.UnixMilli(s.Time)); d.Abs() > fresh {
		return nil
	}
	return &s
}

// vouch asks the holder itself.
func (g *Guard) vouch(ctx context.Context, t *target, nonce [32]byte) (*wire.Statement, []byte) {
	answer, err := g.cfg.Transport.Call(ctx, t.holder, &wire.Vouch{Resource: t.res, Part: t.part, Nonce: nonce})
	v, ok := answer.(*wire.Vouched)
	if err != nil || !ok {
		return nil, nil
	}
	return g.open(t, v.Statement, nonce), v.Statement
}

// holds reports whether the holder gives the owner the record.
func (g *Guard) holds(ctx context.Context, t *target) bool {
	answer, err := g.cfg.Transport.Call(ctx, t.holder, &wire.Fetch{Position: t.pos, Resource: t.res, Part: &t.part})
	fetched, ok := answer.(*wire.Fetched)
	if err != nil || !ok {
		return false
	}
	for i := range fetched.Records {
		if digestOf(&fetched.Records[i]) == t.digest {
			return true
		}
	}
	return false
}

func (g *Guard) noteWithheld(id identity.NodeID) {
	g.cfg.Refused(ReasonWithheld)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.withheld[id]; known || len(g.withheld) < maxWithheld {
		g.withheld[id]++
	}
}

// prove makes a proof of a holder's statements, with its certificate.
func (g *Guard) prove(ctx context.Context, t *target, kind Kind, statements ...[]byte) {
	s, err := wire.ReadStatement(g.cfg.Trust.Overlay(), statements[0])
	if err != nil {
		return
	}
	hashes := []wire.CertHash{s.Certificate}
	certs := g.cfg.Notary.Certificates(hashes)
	if len(certs.Nodes) == 0 {
		answer, err := g.cfg.Transport.Call(ctx, t.holder, &wire.GetCertificates{Hashes: hashes})
		if got, ok := answer.(*wire.Certificates); ok && err == nil {
			g.cfg.Notary.Learn(got)
			certs = g.cfg.Notary.Certificates(hashes)
		}
	}
	if len(certs.Nodes) != 1 || len(certs.Issuers) != 1 {
		return
	}
	p := &Proof{Kind: kind, Node: certs.Nodes[0], Issuer: certs.Issuers[0], Statements: statements}
	if _, err := g.accept(p, true); err != nil {
		g.cfg.Log.Debug().Err(err).Msg("statements that contradict each other are no proof") // the other member may have made one up
		return
	}
	g.noteWithheld(t.holder.ID)
}

// Confirmed reports whether another member was given the record that lies at a
// position within the last so long, so that its owner need not ask again.
func (g *Guard) Confirmed(pos identity.NodeID, part uint64, within time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.confirmed[place{pos, part}]
	return ok && time.Since(at) < within
}
