package simnet

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

const overlayName = "sim.example"

// overlay is what all people share. One Trust verifies for all of them and keeps
// what it has verified, by the bytes that were signed: the same bytes verify
// the same everywhere, so each signature is checked once and not once a node.
type overlay struct {
	trust  *identity.Trust
	issuer *identity.Issuer
	keys   map[chord.ID]identity.PublicKey // node keys
	owners map[chord.ID]identity.OwnerTag

	certificate int // the length of a node's, in bytes
}

// describedAs is what tells the descriptors apart that a node has signed.
type describedAs struct {
	id  chord.ID
	seq int64
}

// vouched is a member whose descriptor has been verified, with its number.
type vouched struct {
	who *chord.Member
	num int32
}

func newOverlay(cfg *Config, people int) (*overlay, error) {
	root, err := newKey(rand.New(rand.NewPCG(cfg.Seed, 1)))
	if err != nil {
		return nil, err
	}
	der, err := identity.NewRootCertificate(root, overlayName, epoch())
	if err != nil {
		return nil, err
	}
	charter := identity.DefaultCharter(overlayName, root.Public(), epoch())
	charter.K, charter.N = uint8(cfg.K), uint8(cfg.N)
	charter.OwnerRecords = max(charter.OwnerRecords, 2*uint32(cfg.N)) // a small ring gives one holder all of them
	charter.OwnerBytes = max(charter.OwnerBytes, 2<<10*uint32(cfg.N))
	o := &overlay{
		keys: make(map[chord.ID]identity.PublicKey, people), owners: make(map[chord.ID]identity.OwnerTag, people),
	}
	records := people * (int(charter.N) + 4) // shares, account, registrations of late
	if o.trust, err = identity.NewTrustFor(der, charter, people, records); err != nil {
		return nil, err
	}
	key, err := newKey(rand.New(rand.NewPCG(cfg.Seed, 2)))
	if err != nil {
		return nil, err
	}
	cert, err := identity.IssueIssuerCertificate(root, der, key.Public(), epoch())
	if err != nil {
		return nil, err
	}
	if o.issuer, err = identity.NewIssuer(key, cert); err != nil {
		return nil, err
	}
	der, err = o.issuer.IssueNode(identity.NodeParams{
		Key: key.Public(), ID: chord.ID{1}, Overlay: overlayName, Owner: identity.OwnerTag{1}, NotBefore: epoch(), NotAfter: epoch().AddDate(0, 0, 90),
	})
	o.certificate = len(der)
	return o, err
}

func newKey(rng *rand.Rand) (identity.PrivateKey, error) {
	var seed [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(seed[8*i:], rng.Uint64())
	}
	return identity.NewKeyFromSeed(seed[:])
}

// person is the owner of a device, with what an enrolment gives and what lies on
// the device's disk.
type person struct {
	aor        identity.AOR
	account    identity.PrivateKey
	device     identity.PrivateKey
	chain      record.Chain
	records    []record.Record // shares and account record, as enrolled
	last       *record.Record  // the registration, as published last
	seq        uint64
	registered bool // the registration was taken by the ring in this run
	store      *record.Store
	pace       directory.Pace
	repair     directory.Schedule
	rng        *rand.Rand
}

// enrol gives a device its owner, once.
func (s *Sim) enrol(n *node) error {
	p := &person{rng: rand.New(rand.NewPCG(n.seed, 3))}
	var err error
	for _, key := range []*identity.PrivateKey{&p.account, &p.device} {
		if *key, err = newKey(p.rng); err != nil {
			return err
		}
	}
	if p.aor, err = identity.NewAOR(fmt.Sprintf("u%06d", n.num), overlayName); err != nil {
		return err
	}
	o, now := s.overlay, s.start
	charter := o.trust.Charter()
	life := time.Duration(charter.CertificateLifetime) * time.Second
	cert, err := s.accountCertificate(identity.AccountParams{
		Key: p.account.Public(), AOR: p.aor, Version: 1, Owner: n.peer.Owner, NotBefore: now, NotAfter: now.Add(life),
	})
	if err != nil {
		return err
	}
	delegation, err := identity.Delegation{
		AOR: p.aor.String(), Device: p.device.Public(), Node: n.peer.ID, Part: 1, Issued: now.UnixMilli(), Expires: now.Add(life).UnixMilli(),
	}.Sign(p.account)
	if err != nil {
		return err
	}
	p.chain = record.Chain{Certificates: [][]byte{cert, o.issuer.Certificate()}, Delegation: delegation}
	data, err := canon.Marshal(record.Account{Version: 1, Certificate: cert})
	if err != nil {
		return err
	}
	account := record.Body{
		AOR: p.aor.String(), Kind: record.KindAccount, Seq: uint64(now.UnixMilli()), Time: now.UnixMilli(), Lifetime: charter.ShareLifetime, Data: data,
	}
	p.records, err = keyshare.Deal(p.account.Public(), keyshare.Params{
		AOR: p.aor, Owner: n.peer.Owner, Version: 1, Dealing: 1, K: charter.K, N: charter.N, Seq: uint64(now.UnixMilli()), Now: now,
		Lifetime: time.Duration(charter.ShareLifetime) * time.Second, Beside: []record.Body{account},
	}, o.issuer)
	if err != nil {
		return err
	}
	sh := s.of(n)
	p.store, err = record.OpenStore(record.StoreConfig{
		Trust: o.trust, Now: func() time.Time { return s.at(sh.now) }, Monotonic: func() time.Duration { return time.Duration(sh.now) },
		Refused: sh.stats.refuse,
	})
	n.person = p
	return err
}

// accountCertificate issues one whose serial number has its usual length: it is
// random, and one that begins with zeros would make records of one run shorter
// than those of another.
func (s *Sim) accountCertificate(params identity.AccountParams) ([]byte, error) {
	for {
		der, err := s.overlay.issuer.IssueAccount(params)
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if cert.SerialNumber.BitLen() >= 120 {
			return der, nil
		}
	}
}

// registration signs the device's registration anew.
func (s *shard) registration(n *node) (record.Record, error) {
	p, now := n.person, s.at(s.now)
	data, err := canon.Marshal(record.Registration{Node: n.peer.ID, Addrs: n.peer.Addrs, Device: p.device.Public(), Features: []string{"carried"}, Via: n.via})
	if err != nil {
		return record.Record{}, err
	}
	p.seq = max(p.seq+1, uint64(now.UnixMilli()))
	return record.Sign(record.Body{
		AOR: p.aor.String(), Kind: record.KindRegistration, Part: 1, Seq: p.seq, Time: now.UnixMilli(),
		Lifetime: s.overlay.trust.Charter().RegistrationLifetime, Data: data,
	}, p.device, p.chain)
}

// enrolAll gives every device its owner. Each draws from a generator of its own,
// so that two processors give what one gives.
func (s *Sim) enrolAll() {
	if s.cfg.Plain || s.cfg.RoutingOnly {
		return
	}
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := w; i < len(s.nodes); i += workers {
				if err := s.enrol(s.nodes[i]); err != nil {
					panic(err) // nothing of it depends on anything but the code
				}
				for _, r := range s.nodes[i].person.records { // so that it is known by then
					_, _ = record.Verify(r, s.overlay.trust, s.start)
				}
			}
		})
	}
	work.Wait()
}

// layAll lays what enrolments have given where it belongs, on the responsible
// node and on its first successor: all people were enrolled before what is
// measured begins, those who do not run now as well.
func (s *Sim) layAll() {
	if s.cfg.Plain || s.cfg.RoutingOnly || len(s.ring.ids) == 0 {
		return
	}
	charter := s.overlay.trust.Charter()
	for _, n := range s.nodes {
		for _, r := range n.person.records {
			where, err := r.Where(charter)
			if err != nil {
				panic(err)
			}
			for _, pos := range where.Places {
				i, _ := s.ring.search(pos)
				for k := range min(2, len(s.ring.nums)) {
					holder := s.nodes[s.ring.nums[(i+k)%len(s.ring.nums)]]
					_, _, _ = holder.person.store.Put(r) // it counts what it refuses
				}
			}
		}
	}
}
