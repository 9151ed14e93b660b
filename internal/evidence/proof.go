package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Kind is what a proof consists of.
type Kind uint8

// The kinds. They travel.
const (
	KindStatements  Kind = 1
	KindRuns        Kind = 2
	KindDescriptors Kind = 3
	KindKeys        Kind = 4
)

// String returns one word.
func (k Kind) String() string {
	names := [...]string{"unknown", "statements", "runs", "descriptors", "keys"}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k] // #nosec G602 -- checked above
}

// The ages of a proof.
const (
	oldest     = 7 * 24 * time.Hour // a proof is believed, and evicts, for so long
	ahead      = 5 * time.Minute    // that its newest part may lie in the future
	strikes    = 3                  // colliding descriptors that are needed
	strikeSpan = time.Hour          // within which they must lie
)

// Claim is one of an issuer's signatures for a name's key: a record, or an
// account certificate.
type Claim struct {
	_           struct{} `cbor:",toarray"`
	Record      *record.Record
	Certificate []byte
}

// Proof is what shows that somebody contradicts itself.
//
//	[ kind: uint, node: cert or empty, issuer: cert, statements: signed*3,
//	  descriptors: descriptor*6, claims: [ record?, cert or empty ]*2 ]
type Proof struct {
	_           struct{} `cbor:",toarray"`
	Kind        Kind
	Node        []byte // the culprit's certificate, DER; empty against an issuer
	Issuer      []byte // the one above it, or that of the claims
	Statements  [][]byte
	Descriptors []wire.Descriptor
	Claims      []Claim
}

// Finding is what a proof proves.
type Finding struct {
	Kind   Kind
	Node   identity.NodeID   // who; zero against an issuer
	Owner  identity.OwnerTag // whose node that is; zero against an issuer
	AOR    string            // of which name an issuer signed two keys
	When   time.Time         // of the newest part, by the culprit's clock
	Detail string            // one sentence
}

// Key names whom and how: of two proofs with one key, one is enough.
func (f *Finding) Key() ID {
	sum := sha256.Sum256(append(append([]byte{byte(f.Kind)}, f.Node[:]...), f.AOR...))
	return ID(sum[:len(ID{})])
}

// ID names a proof in a store.
type ID [8]byte

// String returns 16 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Encode returns the bytes of a proof.
func (p *Proof) Encode() ([]byte, error) { return canon.Marshal(p) }

// Decode reads a proof, which is not verified thereby.
func Decode(b []byte) (*Proof, error) {
	var p Proof
	if len(b) > wire.MaxProof {
		return nil, fmt.Errorf("%w: %d bytes", ErrNoProof, len(b))
	}
	if err := canon.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoProof, err)
	}
	if len(p.Statements) > 3 || len(p.Descriptors) > 2*strikes || len(p.Claims) > 2 {
		return nil, fmt.Errorf("%w: it has more parts than any proof", ErrNoProof)
	}
	return &p, nil
}

// Verify says what p proves, whoever gave it. ErrNoProof means nothing,
// ErrStale that it did once.
func (p *Proof) Verify(trust *identity.Trust, now time.Time) (*Finding, error) {
	f := &Finding{Kind: p.Kind}
	if p.Kind == KindKeys {
		return f, p.keys(f, trust, now)
	}
	cert, err := trust.VerifyNode([][]byte{p.Node, p.Issuer}, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoProof, err)
	}
	f.Node, f.Owner = cert.ID, cert.Owner
	switch p.Kind {
	case KindStatements:
		err = p.statements(f, trust.Overlay(), cert)
	case KindRuns:
		err = p.runs(f, trust.Overlay(), cert)
	case KindDescriptors:
		err = p.descriptors(f, trust.Overlay(), cert)
	default:
		err = fmt.Errorf("%w: kind %d", ErrNoProof, p.Kind)
	}
	if err == nil && (f.When.After(now.Add(ahead)) || f.When.Before(now.Add(-oldest))) {
		err = ErrStale
	}
	return f, err
}

// said opens the statements of a proof.
func (p *Proof) said(want int, overlay string, cert *identity.NodeCertificate) ([]wire.Statement, error) {
	if len(p.Statements) != want {
		return nil, fmt.Errorf("%w: %d statements", ErrNoProof, len(p.Statements))
	}
	out := make([]wire.Statement, want)
	for i, signed := range p.Statements {
		s, err := wire.OpenStatement(overlay, signed, cert.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoProof, err)
		}
		if s.Node != cert.ID {
			return nil, fmt.Errorf("%w: a statement of another node", ErrNoProof)
		}
		out[i] = s
	}
	return out, nil
}

func (p *Proof) statements(f *Finding, overlay string, cert *identity.NodeCertificate) error {
	s, err := p.said(2, overlay, cert)
	if err != nil {
		return err
	}
	if !Contradict(&s[0], &s[1]) {
		return fmt.Errorf("%w: the statements agree", ErrNoProof)
	}
	f.When = time.UnixMilli(max(s[0].Time, s[1].Time))
	f.Detail = fmt.Sprintf("it signed both that it held sequence %d and that it held %d (0 is nothing) at revision %d of its store",
		s[0].Seq, s[1].Seq, max(s[0].Since, s[1].Since))
	return nil
}

// Contradict reports whether one of two statements must be a lie: of one run,
// about one slot, they say different things of the same moment.
func Contradict(a, b *wire.Statement) bool {
	return a.Node == b.Node && a.Run == b.Run && a.Resource == b.Resource && a.Part == b.Part &&
		(a.Seq != b.Seq || a.Digest != b.Digest) &&
		max(a.Since, b.Since) <= min(a.Revision, b.Revision)
}

func (p *Proof) runs(f *Finding, overlay string, cert *identity.NodeCertificate) error {
	s, err := p.said(3, overlay, cert)
	if err != nil {
		return err
	}
	if !answers(&s[1], p.Statements[0]) || !answers(&s[2], p.Statements[1]) {
		return fmt.Errorf("%w: the statements do not follow each other", ErrNoProof)
	}
	if s[0].Run != s[2].Run || s[1].Run == s[0].Run {
		return fmt.Errorf("%w: no run came back", ErrNoProof)
	}
	f.When = time.UnixMilli(max(s[0].Time, s[1].Time, s[2].Time))
	f.Detail = "it speaks to some as one process and to others as another"
	return nil
}

// answers reports whether a statement was signed after another, whose hash it
// bears.
func answers(s *wire.Statement, before []byte) bool { return s.Nonce == After(before) }

// After is the nonce that shows that a statement came after another.
func After(signed []byte) [32]byte { return sha256.Sum256(signed) }

func (p *Proof) descriptors(f *Finding, overlay string, cert *identity.NodeCertificate) error {
	if len(p.Descriptors) != 2*strikes {
		return fmt.Errorf("%w: %d descriptors", ErrNoProof, len(p.Descriptors))
	}
	var first, last int64
	for i := 0; i < 2*strikes; i += 2 {
		a, b := &p.Descriptors[i], &p.Descriptors[i+1]
		for _, d := range []*wire.Descriptor{a, b} {
			if d.ID != cert.ID || d.Verify(overlay, cert.Key) != nil {
				return fmt.Errorf("%w: a descriptor of another node, or forged", ErrNoProof)
			}
		}
		if a.Seq != b.Seq || i > 0 && a.Seq <= last {
			return fmt.Errorf("%w: the descriptors are not pairs of rising sequence", ErrNoProof)
		}
		if i == 0 {
			first = a.Seq
		}
		last = a.Seq
		if !Differ(a, b) {
			return fmt.Errorf("%w: two descriptors say the same", ErrNoProof)
		}
	}
	if time.Duration(last-first)*time.Millisecond > strikeSpan {
		return fmt.Errorf("%w: the descriptors are too far apart", ErrNoProof)
	}
	f.When = time.UnixMilli(last)
	f.Detail = fmt.Sprintf("it signed two different descriptors of itself under one number, %d times", strikes)
	return nil
}

// Differ reports whether two descriptors say different things; the signatures
// and which edition of the certificate they name aside.
func Differ(a, b *wire.Descriptor) bool {
	x, y := *a, *b
	x.Signature, y.Signature = [64]byte{}, [64]byte{}
	x.Certificate, y.Certificate = wire.CertHash{}, wire.CertHash{}
	p, errP := canon.Marshal(&x)
	q, errQ := canon.Marshal(&y)
	return errP == nil && errQ == nil && string(p) != string(q)
}

// keys checks two claims of one version under different keys.
func (p *Proof) keys(f *Finding, trust *identity.Trust, now time.Time) error {
	if len(p.Claims) != 2 {
		return fmt.Errorf("%w: %d claims", ErrNoProof, len(p.Claims))
	}
	var names [2]string
	var versions [2]uint32
	var digests [2][sha256.Size]byte
	for i, c := range p.Claims {
		switch {
		case c.Record != nil:
			v, err := record.Verify(*c.Record, trust, now)
			if err != nil || v.Share == nil {
				return fmt.Errorf("%w: a claim is no share: %w", ErrNoProof, orErr(err))
			}
			names[i], versions[i], digests[i] = v.Body.AOR, v.Share.Version, v.Share.Digest
		default:
			a, err := trust.VerifyAccount([][]byte{c.Certificate, p.Issuer}, now)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrNoProof, err)
			}
			names[i], versions[i], digests[i] = a.AOR.String(), a.Version, sha256.Sum256(a.Key[:])
		}
	}
	if names[0] != names[1] || versions[0] != versions[1] || digests[0] == digests[1] {
		return fmt.Errorf("%w: the claims do not contradict each other", ErrNoProof)
	}
	f.AOR, f.When = names[0], now
	f.Detail = fmt.Sprintf("the issuer signed two keys, %x… and %x…, for version %d", digests[0][:4], digests[1][:4], versions[0])
	return nil
}

func orErr(err error) error {
	if err == nil {
		return ErrNoProof
	}
	return err
}
