package bootstrap

import (
	"context"
	"time"

	"go.etcd.io/bbolt"
)

// maintainEvery is how often records that are missing on the ring are put
// back and the issuing and node certificates are looked after.
const maintainEvery = time.Hour

// republishMost is how many names one round looks after; their owners do so
// themselves every few minutes while they are there.
const republishMost = 500

// maintain renews certificates of our own and puts back records that the ring
// has lost, at start and now and then.
func (s *Server) maintain(ctx context.Context) error {
	select {
	case <-s.node.Joined():
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		if err := s.revokeIfDue(s.time.Now()); err != nil {
			s.log.Error().Err(err).Msg("the old issuing key could not be revoked; trying again")
		}
		if err := s.dealOutdated(ctx); err != nil {
			s.log.Error().Err(err).Msg("shares could not be dealt anew under the new issuing key; trying again in an hour")
		}
		if err := s.renewOwn(); err != nil {
			s.log.Warn().Err(err).Msg("own certificates could not be renewed; trying again in an hour")
		}
		s.republish(ctx)
		tick.Reset(s.untilMaintenance())
		select {
		case <-tick.C:
		case <-s.due:
		case <-ctx.Done():
			return nil
		}
	}
}

// untilMaintenance is the time to the next round.
func (s *Server) untilMaintenance() time.Duration {
	r, err := s.pendingRevocation()
	if err != nil || r == nil {
		return maintainEvery
	}
	return min(maintainEvery, max(r.At.Sub(s.time.Now()), 100*time.Millisecond))
}

// republish looks whether the records of some of the enrolled still lie on the
// ring, and puts back what is missing.
func (s *Server) republish(ctx context.Context) {
	batch, err := s.nextBatch()
	if err != nil {
		s.log.Error().Err(err).Msg("the state file cannot be read; bring a backup back with 'secp2psip restore FILE'")
		return
	}
	missing := 0
	for _, p := range batch {
		if ctx.Err() != nil {
			return
		}
		if s.cursor = p.User; !p.Revoked.IsZero() {
			continue
		}
		missing += s.node.Directory().Repair(ctx, p.records()).Missing
	}
	if missing > 0 {
		s.log.Debug().Int("records", missing).Msg("put back what the ring had lost")
	}
	if len(batch) < republishMost {
		s.cursor = ""
	}
}

// nextBatch returns the names after those of the last round.
func (s *Server) nextBatch() (batch []person, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketPeople).Cursor()
		for k, _ := c.Seek([]byte(s.cursor)); k != nil && len(batch) < republishMost; k, _ = c.Next() {
			var p person
			if string(k) == s.cursor {
				continue
			}
			if _, err := getJSON(tx, bucketPeople, k, &p); err != nil {
				return err
			}
			batch = append(batch, p)
		}
		return nil
	})
	return batch, err
}

// renewOwn renews the issuing certificate while the root key is here, and
// warns in time where it is not.
func (s *Server) renewOwn() error {
	now := s.time.Now()
	if err := s.overlay.renewIssuer(s.db, now); err != nil {
		return err
	}
	if left := s.overlay.issuer.Load().NotAfter().Sub(now); left < issuerWarnBefore {
		s.log.Warn().Stringer("left", left.Round(time.Hour)).Msg("the issuing certificate ends soon: renew it with the root key: secp2psip root renew FILE")
	}
	return s.showOwn()
}

// showOwn issues this node's own certificate anew and shows it from now on.
func (s *Server) showOwn() error {
	chain, err := s.ownChain(s.time.Now())
	if err != nil {
		return err
	}
	return s.node.SetIdentity(chain)
}
