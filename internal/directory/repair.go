package directory

import (
	"bytes"
	"context"
	"sync"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Repairs counts what Repair found.
type Repairs struct {
	Checked int `json:"checked"` // positions that answered
	Missing int `json:"missing"` // of these without the record
	Stored  int `json:"stored"`  // of the missing, put back
	Silent  int `json:"silent"`  // positions without an answer
}

// Repair looks whether each record still lies where it belongs, and puts back
// what is missing or was replaced by something older. Owners call it now and
// then with all their records, shares included: so nothing is lost that an
// owner still has, whoever else is down. It returns when it has been
// everywhere, or ctx ends.
func (d *Directory) Repair(ctx context.Context, recs []record.Record) Repairs {
	type place struct {
		rec  record.Record
		body record.Body
		pos  identity.NodeID
	}
	var places []place
	for _, rec := range recs {
		b, err := rec.Body()
		if err != nil {
			continue
		}
		for _, pos := range record.PositionsOf(b, d.Trust().Charter()) {
			places = append(places, place{rec, b, pos})
		}
	}
	var mu sync.Mutex
	var out Repairs
	each(len(places), func(i int) {
		p := places[i]
		one := d.repairOne(ctx, p.rec, p.body, p.pos)
		mu.Lock()
		defer mu.Unlock()
		out.Checked += one.Checked
		out.Missing += one.Missing
		out.Stored += one.Stored
		out.Silent += one.Silent
	})
	return out
}

func (d *Directory) repairOne(ctx context.Context, rec record.Record, b record.Body, pos identity.NodeID) (out Repairs) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return out
	}
	ans, err := d.cfg.Ring.Fetch(ctx, pos, record.Resource(aor, b.Kind), &b.Part)
	if err != nil {
		out.Silent = 1
		return out
	}
	out.Checked = 1
	for _, have := range ans.Records[:min(len(ans.Records), maxNewest)] {
		if bytes.Equal(have.Signed, rec.Signed) {
			return out
		}
		v, err := record.Verify(have, d.Trust(), d.cfg.Now())
		if err == nil && v.AOR == aor && v.Body.Kind == b.Kind && v.Body.Part == b.Part && v.Body.Seq >= b.Seq {
			return out
		}
	}
	out.Missing = 1
	if _, err := d.cfg.Ring.Store(ctx, pos, rec); err == nil {
		out.Stored = 1
	}
	return out
}
