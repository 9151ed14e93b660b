package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// newPerson issues the account certificate and deals the key: the poster's
// II.B.
func (s *Server) newPerson(tx *bbolt.Tx, aor identity.AOR, number string, key identity.PublicKey, now time.Time) (person, error) {
	p := person{
		User: aor.User(), Number: number, Account: key, Version: 1, Dealing: uint64(now.UnixMilli()),
		Owner: identity.NewOwnerTag(), Enrolled: now, Renewed: now,
	}
	if err := s.deal(&p, aor, now); err != nil {
		return p, err
	}
	if number != "" {
		if err := tx.Bucket(bucketNumbers).Put([]byte(number), []byte(p.User)); err != nil {
			return p, err
		}
	}
	_, err := tx.Bucket(bucketPeople).NextSequence()
	return p, err
}

// certify issues the person's account certificate, look-up record and number
// record anew. The certificate tells of as many rotations as fit the look-up
// record.
func (s *Server) certify(p *person, now time.Time) error {
	for {
		err := s.certifyAll(p, now)
		if !errors.Is(err, record.ErrTooLarge) || len(p.Rotations) < 2 {
			return err
		}
		p.Rotations = p.Rotations[1:]
	}
}

func (s *Server) certifyAll(p *person, now time.Time) error {
	charter := s.trust.Charter()
	aor, err := identity.NewAOR(p.User, charter.Overlay)
	if err != nil {
		return err
	}
	params := identity.AccountParams{
		Key: p.Account, AOR: aor, Number: p.Number, Version: p.Version, Owner: p.Owner, Rotations: p.Rotations,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(seconds(charter.CertificateLifetime)),
	}
	if p.Cert, err = s.overlay.issuer.Load().IssueAccount(params); err != nil {
		return fmt.Errorf("issue the account certificate: %w", err)
	}
	lookup := record.Account{Version: p.Version, Certificate: p.Cert}
	if p.Number != "" {
		number, err := identity.NewAOR(p.Number, charter.Overlay)
		if err != nil {
			return err
		}
		lookup.Number = number.String()
		alias, err := s.signRecord(number, record.KindNumber, now, record.Number{AOR: aor.String(), Owner: p.Owner})
		if err != nil {
			return err
		}
		p.Alias = &alias
	}
	p.Lookup, err = s.signRecord(aor, record.KindAccount, now, lookup)
	return err
}

// signRecord signs one issuer's record that lives as long as the shares do.
func (s *Server) signRecord(aor identity.AOR, kind record.Kind, now time.Time, data any) (record.Record, error) {
	raw, err := canon.Marshal(data)
	if err != nil {
		return record.Record{}, err
	}
	life := s.trust.Charter().ShareLifetime
	issuer := s.overlay.issuer.Load()
	return record.Sign(record.Body{
		AOR: aor.String(), Kind: kind, Seq: uint64(now.UnixMilli()), Time: now.UnixMilli(),
		Lifetime: life, Expires: now.Add(seconds(life)).UnixMilli(), Data: raw,
	}, issuer.Key(), record.Chain{Certificates: [][]byte{issuer.Certificate()}})
}

func (s *Server) countNames() (n int) {
	_ = s.db.View(func(tx *bbolt.Tx) error { n = int(tx.Bucket(bucketPeople).Sequence()); return nil })
	return n
}

// people calls f for every enrolled person in order of name.
func (s *Server) people(f func(person)) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketPeople).ForEach(func(k, v []byte) error {
			var p person
			if err := json.Unmarshal(v, &p); err != nil {
				return fmt.Errorf("state file, %s %q: %w", bucketPeople, k, err)
			}
			f(p)
			return nil
		})
	})
}
