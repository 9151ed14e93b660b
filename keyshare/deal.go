package keyshare

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Params describes one dealing.
type Params struct {
	AOR      identity.AOR
	Owner    identity.OwnerTag // the account's, so that holders can count it
	Version  uint32            // 1 for a name's first key
	Dealing  uint64            // rises with every split of a key
	K, N     uint8             // 2 ≤ K ≤ N
	Seq      uint64            // of the records
	Now      time.Time         // overlay time
	Lifetime time.Duration     // whole seconds
	Beside   []record.Body     // what the issuer signs together with the shares
}

// Deal splits key into p.N shares, any p.K of which give it back, and signs
// them, as one batch, as records: element i has part and x = i+1 and lies at
// replica i of p.N. Behind them are the records of p.Beside. It returns ErrParams
// for numbers that make no dealing.
func Deal(key identity.PublicKey, p Params, issuer *identity.Issuer) ([]record.Record, error) {
	if p.AOR.IsZero() || p.K < 2 || p.N < p.K || p.Lifetime < time.Second {
		return nil, fmt.Errorf("%w: %d of %d shares of %s for %s", ErrParams, p.K, p.N, p.AOR, p.Lifetime)
	}
	points, err := split(key, int(p.K), int(p.N))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(key[:])
	bodies := make([]record.Body, len(points), len(points)+len(p.Beside))
	for i := range points {
		s := record.Share{
			Version: p.Version, Dealing: p.Dealing, X: points[i].x(), Y: points[i].y(),
			K: p.K, N: p.N, Digest: digest, Owner: p.Owner,
		}
		if bodies[i], err = body(p.AOR, s, p.Seq, p.Now, p.Lifetime); err != nil {
			return nil, err
		}
	}
	return sign(append(bodies, p.Beside...), issuer)
}

// Renewal says how shares are signed anew.
type Renewal struct {
	Seq      uint64        // above that of the records renewed
	Now      time.Time     // overlay time
	Lifetime time.Duration // whole seconds
	Beside   []record.Body // as in Params
}

// Resign signs the shares of one dealing anew, with later times and a higher
// sequence, and p.Beside with them. The values stay: a holder that missed the renewal still has a
// share that fits. It wants all n of them, in any order, each signed by an
// issuer of the overlay and on one polynomial whose key has the digest they
// carry; anything else is ErrParams or a *BadShare, so that no issuer is made
// to sign what was never dealt.
func Resign(recs []record.Record, t *identity.Trust, p Renewal, issuer *identity.Issuer) ([]record.Record, error) {
	shares, err := whole(recs, t, p.Now)
	if err != nil {
		return nil, err
	}
	bodies := make([]record.Body, len(shares), len(shares)+len(p.Beside))
	for i, s := range shares {
		if p.Seq <= s.Seq {
			return nil, fmt.Errorf("%w: renewal has sequence %d, share %d has %d", ErrParams, p.Seq, s.X, s.Seq)
		}
		if bodies[i], err = body(s.AOR, s.Share, p.Seq, p.Now, p.Lifetime); err != nil {
			return nil, err
		}
	}
	return sign(append(bodies, p.Beside...), issuer)
}

// whole returns the n shares of one dealing in the order of x.
func whole(recs []record.Record, t *identity.Trust, now time.Time) ([]*Share, error) {
	if len(recs) == 0 {
		return nil, fmt.Errorf("%w: no shares", ErrParams)
	}
	shares := make([]*Share, len(recs))
	for i, r := range recs {
		var err error
		if shares[i], err = Verify(r, t, now); err != nil {
			return nil, err
		}
	}
	first := shares[0]
	c := NewCollector(first.AOR, first.K, first.N)
	for _, s := range shares {
		if s.Version != first.Version || s.Dealing != first.Dealing {
			return nil, &BadShare{X: s.X, Reason: ReasonOtherDealing}
		}
		if err := c.Add(identity.NodeID{}, s); err != nil {
			return nil, err
		}
	}
	if _, ok := c.Key(); !ok || len(shares) != int(first.N) {
		return nil, fmt.Errorf("%w: %d shares of %d, or not of their key", ErrParams, len(shares), first.N)
	}
	if bad := c.Bad(); len(bad) > 0 {
		return nil, &bad[0]
	}
	slices.SortFunc(shares, func(a, b *Share) int { return int(a.X) - int(b.X) })
	return shares, nil
}

func body(aor identity.AOR, s record.Share, seq uint64, now time.Time, life time.Duration) (record.Body, error) {
	data, err := canon.Marshal(s)
	return record.Body{
		AOR: aor.String(), Kind: record.KindShare, Part: uint64(s.X), Seq: seq,
		Time: now.UnixMilli(), Lifetime: uint32(life / time.Second), Expires: now.Add(life).UnixMilli(), Data: data,
	}, err
}

// sign has one signature for all: who reads k of them checks one.
func sign(bodies []record.Body, issuer *identity.Issuer) ([]record.Record, error) {
	return record.SignBatch(bodies, issuer.Key(), record.Chain{Certificates: [][]byte{issuer.Certificate()}})
}
