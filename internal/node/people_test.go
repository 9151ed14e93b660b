package node_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

// person is somebody enrolled whose device is at a node.
type person struct {
	o       *overlay
	aor     identity.AOR
	key     identity.PrivateKey
	device  identity.PrivateKey
	owner   identity.OwnerTag
	cert    []byte
	deleg   []byte
	at      wire.Peer
	records []record.Record // shares, look-up record and registration, as last signed
}

// enrol makes a person with all records; nothing is published yet.
func (o *overlay) enrol(user string, at wire.Peer) *person {
	o.t.Helper()
	t, now := o.t, time.Now()
	p := &person{
		o: o, aor: must(identity.NewAOR(user, "lan.example"))(t), key: must(identity.GenerateKey())(t),
		device: must(identity.GenerateKey())(t), owner: at.Owner, at: at,
	}
	p.cert = must(o.issuer.IssueAccount(identity.AccountParams{
		Key: p.key.Public(), AOR: p.aor, Version: 1, Owner: p.owner, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(90 * 24 * time.Hour),
	}))(t)
	p.deleg = must(identity.Delegation{
		AOR: p.aor.String(), Device: p.device.Public(), Node: at.ID, Part: 1,
		Issued: now.UnixMilli(), Expires: now.Add(90 * 24 * time.Hour).UnixMilli(),
	}.Sign(p.key))(t)
	p.records = must(keyshare.Deal(p.key.Public(), keyshare.Params{
		AOR: p.aor, Owner: p.owner, Version: 1, Dealing: 1, K: 4, N: 10, Seq: 1, Now: now, Lifetime: 90 * 24 * time.Hour,
	}, o.issuer))(t)
	account := must(canon.Marshal(record.Account{Version: 1, Certificate: p.cert}))(t)
	p.records = append(p.records, must(record.Sign(
		record.Body{AOR: p.aor.String(), Kind: record.KindAccount, Seq: 1, Time: now.UnixMilli(), Lifetime: 90 * 24 * 3600, Data: account},
		o.issuer.Key(), record.Chain{Certificates: [][]byte{o.issuer.Certificate()}}))(t))
	p.records = append(p.records, p.registration(1))
	return p
}

// registration signs one with this sequence.
func (p *person) registration(seq uint64) record.Record { return p.registrationOf(seq, p.at) }

// registrationOf names the addresses of at.
func (p *person) registrationOf(seq uint64, at wire.Peer) record.Record {
	p.o.t.Helper()
	data := must(canon.Marshal(record.Registration{Node: at.ID, Device: p.device.Public(), Addrs: at.Addrs}))(p.o.t)
	return must(record.Sign(
		record.Body{AOR: p.aor.String(), Kind: record.KindRegistration, Part: 1, Seq: seq, Time: time.Now().UnixMilli(), Lifetime: 900, Data: data},
		p.device, record.Chain{Certificates: [][]byte{p.cert, p.o.issuer.Certificate()}, Delegation: p.deleg}))(p.o.t)
}

// publishAll brings the people's records to the ring, each through the node of
// the person.
func publishAll(t testing.TB, people []*person, through func(*person) *node.Node) {
	t.Helper()
	var work sync.WaitGroup
	room := make(chan struct{}, 4)
	for _, p := range people {
		room <- struct{}{}
		work.Go(func() {
			defer func() { <-room }()
			ctx := limited(t)
			for { // as an adapter does: a busy ring may need longer than one attempt
				_, err := through(p).Directory().PublishAll(ctx, p.records)
				if err == nil {
					return
				}
				if ctx.Err() != nil {
					t.Errorf("publish %s: %v", p.aor, err)
					return
				}
			}
		})
	}
	work.Wait()
}

// resolves reports what is wrong with what a node resolves a name to.
func (p *person) resolves(ctx context.Context, by *node.Node) error {
	res, err := by.Directory().Resolve(ctx, p.aor, directory.Options{Fresh: true, NoPin: true})
	switch {
	case err != nil:
		return err
	case res.Key != p.key.Public():
		return errors.New("another key")
	case len(res.Devices) != 1 || res.Devices[0].Node != p.at.ID:
		return fmt.Errorf("devices %+v", res.Devices)
	}
	return nil
}

// ideal returns what keeps the nodes from being one ideal ring.
func ideal(nodes []*node.Node) error {
	var rings []*chord.Node
	for _, n := range nodes {
		if n.Ring() == nil {
			return fmt.Errorf("%s starts", n.ID().Short())
		}
		rings = append(rings, n.Ring())
	}
	return idealRings(rings)
}

func idealRings(rings []*chord.Node) error {
	var all []chord.Status
	for _, r := range rings {
		all = append(all, r.Status())
	}
	slices.SortFunc(all, func(a, b chord.Status) int { return a.Self.ID.Compare(b.Self.ID) })
	n := len(all)
	for i, st := range all {
		if pred := all[(i+n-1)%n].Self.ID; st.Pred.ID != pred {
			return fmt.Errorf("%s: predecessor %s, not %s", st.Self.ID.Short(), st.Pred.ID.Short(), pred.Short())
		}
		if want := min(n-1, 8); len(st.Succ) != want {
			return fmt.Errorf("%s: %d successors, not %d", st.Self.ID.Short(), len(st.Succ), want)
		}
		for k, s := range st.Succ {
			if next := all[(i+1+k)%n].Self.ID; s.ID != next {
				return fmt.Errorf("%s: successor %d is %s, not %s", st.Self.ID.Short(), k, s.ID.Short(), next.Short())
			}
		}
	}
	return nil
}

// onDisk gives a node a state file of its own.
func onDisk(t testing.TB, path string) *bbolt.DB {
	t.Helper()
	db := must(bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second}))(t)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func stateFile(dir, name string) string { return filepath.Join(dir, name+".db") }
