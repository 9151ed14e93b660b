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

// dealing signs a person's shares together with other records, which follow
// them.
type dealing func(beside []record.Body) ([]record.Record, error)

// certify issues the person's account certificate, shares, look-up record and
// number record anew: one signature for the certificate, one for all the
// records. The certificate tells of as many rotations as fit the look-up record.
func (s *Server) certify(p *person, now time.Time, deal dealing) error {
	for {
		err := s.certifyAll(p, now, deal)
		if !errors.Is(err, record.ErrTooLarge) || len(p.Rotations) < 2 {
			return err
		}
		p.Rotations = p.Rotations[1:]
	}
}

func (s *Server) certifyAll(p *person, now time.Time, deal dealing) error {
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
	beside := make([]record.Body, 1, 2)
	if p.Number != "" {
		number, err := identity.NewAOR(p.Number, charter.Overlay)
		if err != nil {
			return err
		}
		lookup.Number = number.String()
		alias, err := s.issuedBody(number, record.KindNumber, now, record.Number{AOR: aor.String(), Owner: p.Owner})
		if err != nil {
			return err
		}
		beside = append(beside, alias)
	}
	if beside[0], err = s.issuedBody(aor, record.KindAccount, now, lookup); err != nil {
		return err
	}
	recs, err := deal(beside)
	if err != nil {
		return fmt.Errorf("sign the key shares: %w", err)
	}
	rest := len(recs) - len(beside)
	p.Shares, p.Lookup = recs[:rest:rest], recs[rest]
	if p.Number != "" {
		p.Alias = &recs[rest+1]
	}
	return nil
}

// issuedBody is what the issuer signs of a record that lives as long as the
// shares do.
func (s *Server) issuedBody(aor identity.AOR, kind record.Kind, now time.Time, data any) (record.Body, error) {
	raw, err := canon.Marshal(data)
	life := s.trust.Charter().ShareLifetime
	return record.Body{
		AOR: aor.String(), Kind: kind, Seq: uint64(now.UnixMilli()), Time: now.UnixMilli(),
		Lifetime: life, Expires: now.Add(seconds(life)).UnixMilli(), Data: raw,
	}, err
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
