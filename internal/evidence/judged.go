package evidence

import (
	"crypto/sha256"
	"time"
)

// A proof spreads by many members telling each other, so that each is told of it
// some thirty times. Its signatures are checked the first time only.
const (
	maxJudged = 512              // proofs whose digests are remembered
	badFor    = 10 * time.Minute // one that proved nothing may do so later: a clock was wrong, a certificate came
)

// judgement is what became of a proof that somebody told of.
type judgement struct {
	proves bool
	id     ID        // of what it proves
	at     time.Time // monotonic
}

// told takes in what another member tells of: one that has been judged is not
// verified again.
func (g *Guard) told(encoded []byte) error {
	digest := sha256.Sum256(encoded)
	if j, known := g.judged(digest); known {
		if j.proves {
			return nil
		}
		return ErrNoProof
	}
	p, err := Decode(encoded)
	if err == nil && p.Kind == KindKeys {
		err = ErrNoProof // names a person; nobody is told
	}
	j := judgement{at: time.Now()}
	if err == nil {
		j.id, err = g.accept(p, false)
	}
	j.proves = err == nil
	g.remember(digest, j)
	return err
}

// judged returns what became of a proof. One that has been dropped since, to make
// room, is as good as new.
func (g *Guard) judged(digest [sha256.Size]byte) (judgement, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	j, known := g.judgements[digest]
	if known && j.proves {
		_, known = g.items[j.id]
	} else if known {
		known = time.Since(j.at) < badFor
	}
	return j, known
}

func (g *Guard) remember(digest [sha256.Size]byte, j judgement) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.judgements) >= maxJudged {
		for old := range g.judgements { // any: who sends many bad ones is bounded by its own rate
			delete(g.judgements, old)
			break
		}
	}
	g.judgements[digest] = j
}
