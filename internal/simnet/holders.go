package simnet

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// HolderTrial is what came of many readings of one name's shares, the holders
// being drawn anew each time from a ring in which some nodes are bad.
type HolderTrial struct {
	K, N     int
	Ring     int // nodes to draw the holders from
	Bad      int // bad ones of them
	Trials   int
	Right    int
	Hijacked int // the attackers' key came out
	Refused  int // no key came out
}

// PredictRefused returns the chance that more than n-k of the n holders are bad:
// the upper tail of the hypergeometric distribution. The attackers can keep
// shares back, and no more.
func (h *HolderTrial) PredictRefused() float64 { return tail(h.Ring, h.Bad, h.N, h.N-h.K+1) }

// PredictUnsigned returns the chance that k holders of n are bad, which is all
// that it takes to put a key of the attackers' own in the place of the right one
// where shares are not signed.
func (h *HolderTrial) PredictUnsigned() float64 { return tail(h.Ring, h.Bad, h.N, h.K) }

// tail returns the chance that of n drawn from all without putting back, bad of
// them bad, at least so many are bad.
func tail(all, bad, n, least int) (p float64) {
	for i := least; i <= min(n, bad); i++ {
		if n-i <= all-bad {
			p += math.Exp(logChoose(bad, i) + logChoose(all-bad, n-i) - logChoose(all, n))
		}
	}
	return min(1, p)
}

func logChoose(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return lg(n) - lg(k) - lg(n-k)
}

// readers is what the trials share.
type readers struct {
	trust  *identity.Trust
	aor    identity.AOR
	key    identity.PublicKey // the right one
	lie    identity.PublicKey
	honest []record.Record
	forged []record.Record // signed by an authority of the attackers
	old    []record.Record // signed by the issuer, of the name's first key, which the attackers have
	claim  keyshare.Claim  // of the account certificate
}

// HolderTrials reads the shares of a name so many times for each number of bad
// nodes in a ring, with keyshare's own code and real signatures. The bad holders
// work together: each either keeps its share back, or gives one of the
// attackers' key that another authority has signed, or a genuine one of an
// earlier key of the name.
func HolderTrials(k, n, ring int, bad []int, trials int, seed uint64) ([]HolderTrial, error) {
	cfg := Config{K: k, N: n, Seed: seed}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r, err := newReaders(&cfg)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x686f6c64))
	var out []HolderTrial
	for _, b := range bad {
		if b > ring {
			return nil, fmt.Errorf("%w: %d bad nodes of %d", ErrConfig, b, ring)
		}
		h := HolderTrial{K: k, N: n, Ring: ring, Bad: b, Trials: trials}
		for range trials {
			switch key, ok := r.read(rng, &h); {
			case !ok:
				h.Refused++
			case key == r.key:
				h.Right++
			default:
				h.Hijacked++
			}
		}
		out = append(out, h)
	}
	return out, nil
}

func newReaders(cfg *Config) (*readers, error) {
	ours, err := newOverlay(cfg, 1)
	if err != nil {
		return nil, err
	}
	theirs := *cfg
	theirs.Seed += 1 << 32
	other, err := newOverlay(&theirs, 1)
	if err != nil {
		return nil, err
	}
	r := &readers{trust: ours.trust}
	if r.aor, err = identity.NewAOR("bob", overlayName); err != nil {
		return nil, err
	}
	deal := func(o *overlay, salt uint64, version uint32) (identity.PublicKey, []record.Record, error) {
		key, err := newKey(rand.New(rand.NewPCG(cfg.Seed, salt)))
		if err != nil {
			return identity.PublicKey{}, nil, err
		}
		recs, err := keyshare.Deal(key.Public(), keyshare.Params{
			AOR: r.aor, Owner: identity.OwnerTag{1}, Version: version, Dealing: uint64(version),
			K: uint8(cfg.K), N: uint8(cfg.N), Seq: uint64(version), Now: epoch(), Lifetime: 90 * 24 * 3600e9,
		}, o.issuer)
		return key.Public(), recs, err
	}
	if r.key, r.honest, err = deal(ours, 10, 2); err != nil {
		return nil, err
	}
	if r.lie, r.forged, err = deal(other, 11, 2); err != nil {
		return nil, err
	}
	if _, r.old, err = deal(ours, 12, 1); err != nil {
		return nil, err
	}
	r.claim = keyshare.Claim{Version: 2, Digest: r.key.Digest()}
	return r, nil
}

// read is one reading: all n holders are asked in random order until there is a
// key or nobody is left.
func (r *readers) read(rng *rand.Rand, h *HolderTrial) (identity.PublicKey, bool) {
	c := keyshare.NewCollector(r.aor, uint8(h.K), uint8(h.N))
	c.Expect(r.claim)
	holders := rng.Perm(h.Ring)[:h.N] // nodes; those below Bad are bad
	for _, i := range rng.Perm(h.N) {
		rec := r.honest[i]
		if holders[i] < h.Bad {
			switch rng.IntN(3) {
			case 0:
				continue
			case 1:
				rec = r.forged[i]
			default:
				rec = r.old[i]
			}
		}
		share, err := keyshare.Verify(rec, r.trust, epoch())
		if err != nil {
			continue
		}
		_ = c.Add(identity.NodeID{byte(i)}, share) // one that does not count is named, and the next is asked
		if key, ok := c.Key(); ok {
			return key.Key, true
		}
	}
	return identity.PublicKey{}, false
}
