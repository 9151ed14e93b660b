package identity

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a board. Strangers cannot post at all; of what accounts post, each
// has its share, and none of it takes the issuer's places.
const (
	MaxBulletins       = 8192 // in all
	MaxMemberBulletins = 4096 // of them by accounts
	MaxPerAccount      = 32   // of them by one account
)

// Posted is a bulletin that has been verified. Not to be changed.
type Posted struct {
	Bulletin
	ID     BulletinID
	Signed SignedBulletin
	Seen   time.Time // when this node first had it, overlay time
	by     author
}

// Mine tells that a member posted it, and not the issuer or the root.
func (p *Posted) Mine(account KeyDigest) bool { return p.by.byAccount() && p.by.account == account }

// restsOnIssuer tells whether a bulletin counts by the word of an issuing key.
// What an account says of its own key, it says itself: that a device is not its
// any more, or that it objects, outlives the issuing key that certified it.
func (p *Posted) restsOnIssuer() bool {
	own := p.by.byAccount() && (p.Kind == RevokeDevice || p.Kind == Veto)
	return p.by.issuer != (PublicKey{}) && !own
}

// Owner is that of the account that posted it, zero for the issuer and the root.
func (p *Posted) Owner() OwnerTag { return p.by.owner }

// Board is the set of an overlay's bulletins as one node has them. Only what
// verifies comes on it, so strangers cannot fill it. Safe for concurrent use.
type Board struct {
	trust *Trust
	size  atomic.Int64 // of held: the way of a board that is empty takes no lock

	mu      sync.RWMutex
	held    map[BulletinID]*Posted
	about   map[subject][]*Posted
	names   map[NodeID][]*Posted    // account revocations and recoveries of a name
	members map[KeyDigest][]*Posted // by account, in the order they came
	posted  int                     // by accounts
	digest  BulletinID              // exclusive or of the IDs
}

type subject struct {
	kind BulletinKind
	of   KeyDigest
}

func newBoard(t *Trust) *Board {
	return &Board{
		trust: t, held: map[BulletinID]*Posted{}, about: map[subject][]*Posted{},
		names: map[NodeID][]*Posted{}, members: map[KeyDigest][]*Posted{},
	}
}

// Post takes in a bulletin that was first seen at seen; now is overlay time,
// zero while that is unknown, which skips what depends on it. fresh tells that
// the board did not have it. The error wraps ErrMalformed, ErrUntrusted,
// ErrOtherOverlay, ErrExpired (over, or signed ahead of time), ErrRevoked (by a
// key that was revoked itself), ErrTooLate or ErrBoardFull.
func (b *Board) Post(s SignedBulletin, seen, now time.Time) (p *Posted, fresh bool, err error) {
	id := s.ID()
	b.mu.RLock()
	p = b.held[id]
	b.mu.RUnlock()
	if p != nil {
		return p, false, nil
	}
	body, by, err := b.trust.verifyBulletin(s)
	if err != nil {
		return nil, false, err
	}
	if err := body.checkTime(now); err != nil {
		return nil, false, err
	}
	p = &Posted{Bulletin: body, ID: id, Signed: s.clone(), Seen: seen, by: by}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.held[id]; old != nil {
		return old, false, nil
	}
	if err := b.mayPostLocked(p); err != nil {
		return nil, false, err
	}
	if err := b.makeRoomLocked(p); err != nil {
		return nil, false, err
	}
	b.addLocked(p)
	b.sweepLocked(p)
	return p, true, nil
}

func (b *Bulletin) checkTime(now time.Time) error {
	switch {
	case now.IsZero():
		return nil
	case time.UnixMilli(b.Issued).After(now.Add(ClockSkew)):
		return fmt.Errorf("%w: bulletin of %s", ErrExpired, time.UnixMilli(b.Issued).UTC().Format(time.RFC3339))
	case now.UnixMilli() > b.Until:
		return fmt.Errorf("%w: bulletin that was over at %s", ErrExpired, time.UnixMilli(b.Until).UTC().Format(time.RFC3339))
	}
	return nil
}

// mayPostLocked refuses the word of keys that were revoked before, and vetoes
// that come too late.
func (b *Board) mayPostLocked(p *Posted) error {
	if p.restsOnIssuer() && b.hasLocked(RevokeIssuer, p.by.issuer.Digest()) {
		return fmt.Errorf("%w: the issuing key of a bulletin", ErrRevoked)
	}
	if !p.by.byAccount() {
		return nil
	}
	for _, r := range b.about[subject{RevokeAccount, p.by.account}] {
		if p.Issued > r.Issued {
			return fmt.Errorf("%w: the account that signed a bulletin", ErrRevoked)
		}
	}
	if p.Kind != Veto {
		return nil
	}
	if r := b.held[BulletinID(p.Subject)]; r != nil && r.Kind == Recovery &&
		(p.Seen.After(r.public()) || p.Issued > r.Issued+RecoveryDelay.Milliseconds()) {
		return fmt.Errorf("%w: the recovery has been in force since %s", ErrTooLate, r.public().UTC().Format(time.RFC3339))
	}
	return nil
}

// makeRoomLocked finds a place. Among accounts, who has most makes room for who
// has less.
func (b *Board) makeRoomLocked(p *Posted) error {
	if !p.by.byAccount() {
		if len(b.held)-b.posted >= MaxBulletins-MaxMemberBulletins {
			return fmt.Errorf("%w: the issuer has posted %d", ErrBoardFull, len(b.held)-b.posted)
		}
		return nil
	}
	own := len(b.members[p.by.account])
	if own >= MaxPerAccount {
		return fmt.Errorf("%w: the account has posted %d", ErrBoardFull, own)
	}
	if b.posted < MaxMemberBulletins {
		return nil
	}
	if p := b.orphanLocked(); p != nil {
		b.removeLocked(p)
		return nil
	}
	var most []*Posted
	for _, list := range b.members {
		if len(list) > len(most) || len(list) == len(most) && bytes.Compare(list[0].ID[:], most[0].ID[:]) < 0 {
			most = list
		}
	}
	if len(most) <= own+1 {
		return fmt.Errorf("%w: accounts have posted %d", ErrBoardFull, b.posted)
	}
	b.removeLocked(most[0])
	return nil
}

// orphanLocked returns what an account has posted whose issuing key has been
// revoked since, the lowest ID first: whoever had that key could make any number
// of accounts.
func (b *Board) orphanLocked() (lowest *Posted) {
	for _, list := range b.members {
		for _, p := range list {
			if b.hasLocked(RevokeIssuer, p.by.issuer.Digest()) && (lowest == nil || bytes.Compare(p.ID[:], lowest.ID[:]) < 0) {
				lowest = p
			}
		}
	}
	return lowest
}

func (b *Board) addLocked(p *Posted) {
	b.held[p.ID] = p
	at := subject{p.Kind, p.Subject}
	b.about[at] = append(b.about[at], p)
	if p.Kind == RevokeAccount || p.Kind == Recovery {
		b.names[p.Name] = append(b.names[p.Name], p)
	}
	if p.by.byAccount() {
		b.members[p.by.account] = append(b.members[p.by.account], p)
		b.posted++
	}
	subtle.XORBytes(b.digest[:], b.digest[:], p.ID[:])
	b.size.Store(int64(len(b.held)))
}

func (b *Board) removeLocked(p *Posted) {
	delete(b.held, p.ID)
	dropPosted(b.about, subject{p.Kind, p.Subject}, p)
	dropPosted(b.names, p.Name, p)
	if p.by.byAccount() {
		dropPosted(b.members, p.by.account, p)
		b.posted--
	}
	subtle.XORBytes(b.digest[:], b.digest[:], p.ID[:])
	b.size.Store(int64(len(b.held)))
}

func dropPosted[K comparable](m map[K][]*Posted, key K, p *Posted) {
	rest := slices.DeleteFunc(slices.Clone(m[key]), func(o *Posted) bool { return o == p })
	if len(rest) == 0 {
		delete(m, key)
		return
	}
	m[key] = rest
}

// sweepLocked drops what a new bulletin makes void: all that a revoked issuing
// key has signed, and what a revoked account has signed afterwards. So boards
// become equal in whatever order bulletins come.
func (b *Board) sweepLocked(fresh *Posted) {
	var void []*Posted
	switch fresh.Kind {
	case RevokeIssuer:
		for _, p := range b.held {
			if p.restsOnIssuer() && p.by.issuer.Digest() == fresh.Subject {
				void = append(void, p)
			}
		}
	case RevokeAccount:
		for _, p := range b.members[fresh.Account] {
			if p.Issued > fresh.Issued {
				void = append(void, p)
			}
		}
	}
	for _, p := range void {
		b.removeLocked(p)
	}
}

// Prune drops what is over and returns the IDs.
func (b *Board) Prune(now time.Time) (gone []BulletinID) {
	if b.size.Load() == 0 || now.IsZero() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, p := range b.held {
		if now.UnixMilli() > p.Until {
			gone = append(gone, id)
			b.removeLocked(p)
		}
	}
	return gone
}

// Len returns how many bulletins there are.
func (b *Board) Len() int { return int(b.size.Load()) }

// Digest stands for all bulletins on the board; boards with the same ones have
// the same.
func (b *Board) Digest() BulletinID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.digest
}

// Get returns the bulletin of that ID, or nil.
func (b *Board) Get(id BulletinID) *Posted {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.held[id]
}

// All returns the bulletins in the order of their IDs.
func (b *Board) All() []*Posted {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]*Posted, 0, len(b.held))
	for _, p := range b.held {
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y *Posted) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	return out
}

// After returns up to n IDs that follow id in their order.
func (b *Board) After(id BulletinID, n int) []BulletinID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []BulletinID
	for other := range b.held {
		if bytes.Compare(other[:], id[:]) > 0 {
			out = append(out, other)
		}
	}
	slices.SortFunc(out, func(x, y BulletinID) int { return bytes.Compare(x[:], y[:]) })
	return out[:min(n, len(out))]
}

func (s SignedBulletin) clone() SignedBulletin {
	out := SignedBulletin{Signed: bytes.Clone(s.Signed)}
	for _, c := range s.Chain {
		out.Chain = append(out.Chain, bytes.Clone(c))
	}
	return out
}

func (b *Board) hasLocked(kind BulletinKind, of KeyDigest) bool {
	return len(b.about[subject{kind, of}]) > 0
}

// latest is the last bulletin of a kind about a name.
func latest(list []*Posted, kind BulletinKind) (last *Posted) {
	for _, p := range list {
		if p.Kind == kind && (last == nil || cmp.Compare(p.Issued, last.Issued) > 0) {
			last = p
		}
	}
	return last
}
