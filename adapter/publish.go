package adapter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// publication is what the ring was last told of an account.
type publication struct {
	turn chan struct{} // holds one token while somebody publishes, so that sequence numbers arrive in order

	// The adapter's mutex guards the rest.
	live    bool               // a registration lies there, no tombstone
	at      time.Time          // overlay time, for status
	since   time.Time          // the same by the monotonic clock
	clock   time.Duration      // by which the clock had been corrected then
	addrs   []netip.AddrPort   // that it names
	via     []record.Via       // likewise
	last    *record.Record     // as published
	problem string             // why it does not lie there, for status
	behind  bool               // the ring holds the name with another account key than this device knows
	repair  directory.Schedule // when to look after the account's records next
}

func sameVia(a, b record.Via) bool { return a.Node == b.Node && slices.Equal(a.Addrs, b.Addrs) }

// features returns what an account's registration says that this device can do,
// and its name, if it has one.
func features(acct *account) []string {
	out := []string{"carried", "protected", "text"}
	if acct.DeviceName != "" {
		out = append(out, nameFeature+acct.DeviceName)
	}
	return out
}

// correctedBy is how far the clock must have been corrected since a registration
// was signed for a new one: to others that one is of another time, and may have
// expired.
const correctedBy = time.Minute

// publish puts the registration on the ring: on a phone's REGISTER and, as
// refresh, before it ends. Nothing happens while one that names our addresses
// is younger than the charter's refresh time, and the clock was right.
func (a *Adapter) publish(ctx context.Context, n *node.Node, acct *account) error {
	p, err := a.takeTurn(ctx, acct.User)
	if err != nil {
		return err
	}
	defer p.release()
	if a.isLeaving() { // the tombstone is the last word
		return sipbridge.OverlayDown("this adapter is stopping", 5*time.Second)
	}
	charter := n.Trust().Charter()
	addrs, via := n.Self().Addrs, n.Via()
	a.mu.Lock()
	corrected := (a.time.Correction() - p.clock).Abs() > correctedBy
	fresh := p.live && !corrected && time.Since(p.since) < time.Duration(charter.RegistrationRefresh)*time.Second && slices.Equal(p.addrs, addrs) && slices.EqualFunc(p.via, via, sameVia)
	a.mu.Unlock()
	if fresh {
		return nil
	}
	clock := a.time.Correction()
	data, err := a.registrationData(ctx, n, acct, record.Registration{
		Node: n.Self().ID, Addrs: addrs, Device: acct.DeviceKey.Public(), Features: features(acct), Via: via,
	})
	if err != nil {
		return err
	}
	rec, err := a.store(ctx, n, acct, record.Body{Lifetime: charter.RegistrationLifetime, Data: data})
	a.notePublished(acct.User, true, addrs, via, rec, err)
	a.mu.Lock()
	p.clock = clock
	a.mu.Unlock()
	if err != nil {
		return sipbridge.OverlayDown("the registration could not be stored on the ring", 5*time.Second)
	}
	return nil
}

// registrationData is what the ring is given: the registration, or what its
// readers alone can open.
func (a *Adapter) registrationData(ctx context.Context, n *node.Node, acct *account, reg record.Registration) ([]byte, error) {
	if aor, err := identity.NewAOR(acct.User, n.Trust().Overlay()); err == nil {
		if now := a.account(aor); now != nil {
			acct = now // as it is now that it is our turn
		}
	}
	if acct.Restricted {
		return a.sealFor(ctx, n, acct, reg)
	}
	return canon.Marshal(reg)
}

// unpublish replaces the registration by a tombstone.
func (a *Adapter) unpublish(ctx context.Context, n *node.Node, acct *account) error {
	p, err := a.takeTurn(ctx, acct.User)
	if err != nil {
		return err
	}
	defer p.release()
	a.mu.Lock()
	live := p.live
	a.mu.Unlock()
	if !live {
		return nil
	}
	rec, err := a.store(ctx, n, acct, record.Body{Lifetime: n.Trust().Charter().RegistrationLifetime, Tombstone: true})
	a.notePublished(acct.User, false, nil, nil, rec, err)
	if err != nil {
		return sipbridge.OverlayDown("the registration could not be taken back", 5*time.Second)
	}
	return nil
}

// unpublishAll takes back what is published, all accounts side by side.
func (a *Adapter) unpublishAll(ctx context.Context, n *node.Node) {
	select {
	case <-n.Joined():
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, unpublishTimeout)
	defer cancel()
	var work sync.WaitGroup
	for _, acct := range a.allAccounts() {
		work.Go(func() {
			if err := a.unpublish(ctx, n, acct); err != nil {
				a.log.Debug().Err(err).Msg("a registration could not be taken back; it ends by itself")
			}
		})
	}
	work.Wait()
}

// A ring that is just changing refuses for a moment; a phone waits longer.
const (
	patience   = 6 * time.Second
	patientFor = 200 * time.Millisecond // between attempts
)

// patiently repeats what failed only because too few nodes answered; not when
// the adapter leaves, for then others may do so, too.
func (a *Adapter) patiently(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try(ctx)
		if !errors.Is(err, directory.ErrTimeout) && !errors.Is(err, directory.ErrRingDown) && !errors.Is(err, directory.ErrQuorum) {
			return err
		}
		if errors.Is(err, directory.ErrStale) || errors.Is(err, directory.ErrConflict) || errors.Is(err, record.ErrKeyConflict) || a.isLeaving() {
			return err
		}
		select {
		case <-time.After(patientFor):
		case <-ctx.Done():
			return err
		}
	}
}

// takeTurn waits until nobody else publishes for the account.
func (a *Adapter) takeTurn(ctx context.Context, user string) (*publication, error) {
	a.mu.Lock()
	p := a.publication(user)
	a.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
		return p, nil
	case <-ctx.Done():
		return nil, sipbridge.OverlayDown("the ring takes long to store the registration before this one", 5*time.Second)
	}
}

func (p *publication) release() { <-p.turn }

// publication returns the account's entry; a.mu is held.
func (a *Adapter) publication(user string) *publication {
	p := a.published[user]
	if p == nil {
		p = &publication{turn: make(chan struct{}, 1)}
		a.published[user] = p
	}
	return p
}

// notePublished keeps how a publication went. Of a lasting failure the log
// tells once.
func (a *Adapter) notePublished(user string, live bool, addrs []netip.AddrPort, via []record.Via, rec *record.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.publication(user)
	p.behind = errors.Is(err, record.ErrKeyConflict)
	if err != nil {
		if p.problem == "" && !a.isLeaving() {
			a.log.Warn().Err(err).Msg("a registration could not be stored on the ring; trying again")
		}
		p.problem = err.Error()
		return
	}
	if p.problem != "" {
		a.log.Info().Msg("the registration is stored on the ring again")
	}
	p.live, p.at, p.since, p.addrs, p.via, p.last, p.problem = live, a.time.Now(), time.Now(), addrs, via, rec, ""
}

func (a *Adapter) isLeaving() bool {
	select {
	case <-a.leaving:
		return true
	default:
		return false
	}
}

// store signs one version of the registration record and publishes it. Where
// the ring holds a higher sequence number than we know (a restored backup, a
// lost disk), it learns that and tries once more.
func (a *Adapter) store(ctx context.Context, n *node.Node, acct *account, b record.Body) (*record.Record, error) {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return nil, err
	}
	if now := a.account(aor); now != nil {
		acct = now // as it is now that it is our turn
	}
	rec, err := n.Directory().PublishAbove(ctx, directory.Above{
		AOR: aor, Kind: record.KindRegistration, Part: acct.Part,
		Known: acct.Seq != 0, // else it is this device's first write
		Try:   a.patiently,
		Sign: func(floor uint64) (record.Record, error) {
			seq, err := a.nextSeq(acct.User, floor)
			if err != nil {
				return record.Record{}, err
			}
			b.AOR, b.Kind, b.Part, b.Seq, b.Time, b.Expires = aor.String(), record.KindRegistration, acct.Part, seq, a.time.Now().UnixMilli(), 0
			by, err := a.signer(acct, aor, n.Trust())
			if err != nil {
				return record.Record{}, err
			}
			return record.Sign(b, by.key, by.chain)
		},
	})
	if errors.Is(err, directory.ErrStale) || errors.Is(err, directory.ErrConflict) {
		return nil, fmt.Errorf("the ring holds newer registrations of this device than it can know of: %w", err)
	}
	return rec, err
}

// nextSeq returns max(last+1, floor+1, Unix ms) and has it on disk before it
// is used.
func (a *Adapter) nextSeq(user string, floor uint64) (uint64, error) {
	acct, err := a.update(user, func(acct *account) {
		acct.Seq = max(acct.Seq+1, floor+1, uint64(a.time.Now().UnixMilli()))
	})
	return acct.Seq, err
}
