package wire_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// most says, independently of the code, how long each text, byte string and list
// may be. A field that is not here fails the tests.
var most = map[string]int{
	"Peer.Addrs":    8,
	"Record.Signed": 4096, "Chain.Certificates": 3, "Chain.Certificates[]": 2048, "Chain.Delegation": 512,
	"Error.Reason": 256, "CharterIs.Charter": 4096,
	"State.Succ": 32, "Changed.Order": 33, "Changed.New": 32, "Found.Peers": 32, "Joined.Succ": 32, "Joined.Closer": 32, "Leave.Succ": 32,
	"Descriptor.Addrs": 5, "Gossip.Groups": 64, "News.Descs": 64, "News.Notices": 64, "GetMembers.Digests": 256, "Members.Descs": 384,
	"GetCertificates.Hashes": 64, "Certificates.Issuers": 4, "Certificates.Issuers[]": 2048,
	"Certificates.Nodes": 64, "Certificates.Nodes[]": 2048,
	"GetBulletins.Want": 15, "Bulletins.IDs": 1024, "Bulletins.Items": 15, "Post.Items": 15,
	"SignedBulletin.Signed": 512, "SignedBulletin.Chain": 2, "SignedBulletin.Chain[]": 2048,
	"DialBack.Addrs": 4, "DialBack.Padding": 4096, "Dialed.Reached": 4, "Dialed.Silent": 4, "Dialed.Others": 4, "Attached.Addrs": 8, "Punch.Addrs": 8, "Punch.Padding": 1024, "Punched.Addrs": 8,
	"StoreMany.Items": 15, "StoredMany.Outcomes": 15, "Fetched.Records": 15,
	"Offer.Items": 256, "Wanted.Answers": 256,
	"EnrolChallenge.Charter": 4096, "EnrolChallenge.Root": 2048, "EnrolChallenge.Issuer": 2048,
	"Register.ByAccount": 4096, "Register.ByDevice": 4096, "Register.ByNode": 4096,
	"Registered.Node": 2048, "Registered.Account": 2048, "Registered.Issuer": 2048, "Registered.Charter": 4096,
	"Registered.Shares": 64, "Registered.Peers": 32, "Registered.Delegation": 512,
	"Rotate.ByOld": 4096, "Rotate.ByNew": 4096, "RotateBody.AOR": 133, "RotateBody.Rotation": 432,
	"Renew.Signed": 4096, "Delegate.AOR": 133, "Delegated.Delegation": 512,
	"Invite.Signed": 4096, "Invite.Delegation": 512, "Invite.Chain": 3, "Invite.Chain[]": 2048,
	"Redirect.Signed": 4096, "Redirect.Delegation": 512, "Redirect.Chain": 3, "Redirect.Chain[]": 2048,
	"Text.Signed": 18432, "Text.Delegation": 512, "Text.Chain": 3, "Text.Chain[]": 2048,
	"TextAck.Signed": 4096, "TextAck.Delegation": 512, "TextAck.Chain": 3, "TextAck.Chain[]": 2048,
	"CarryFrame.Data":   61440,
	"InviteBody.Caller": 133, "InviteBody.Callee": 133, "InviteBody.CallID": 256, "InviteBody.Paths": 8, "InviteBody.Paths[]": 16,
	"RedirectBody.Caller": 133, "RedirectBody.Callee": 133, "RedirectBody.CallID": 256, "RedirectBody.Reason": 256,
	"RedirectBody.Warning": 256, "RedirectBody.Contact": 512, "RedirectBody.Paths": 8, "RedirectBody.Paths[]": 16,
	"TextBody.Caller": 133, "TextBody.Callee": 133, "TextBody.CallID": 256, "TextBody.ContentType": 128, "TextBody.Body": 16384,
	"TextAckBody.Reason": 256,
	"RegisterBody.AOR":   133, "RegisterBody.Number": 64, "RegisterBody.Invitation": 64, "RegisterBody.Addrs": 8, "RegisterBody.Software": 128,
	"RenewBody.AOR":     133,
	"Vouched.Statement": 512, "Accuse.Proof": 16384,
	"Pass.Box": 240, "Turn.Box": 240, "Ask.Box": 176, "Passed.Box": 61497,
}

// exempt are the types whose inside is not ours to bound.
var exempt = map[string]bool{"AddrPort": true}

// walk calls visit for every text, byte string and list in v.
func walk(v reflect.Value, name string, visit func(name string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), name, visit)
		}
	case reflect.Struct:
		if exempt[v.Type().Name()] {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "_" {
				walk(v.Field(i), v.Type().Name()+"."+f.Name, visit)
			}
		}
	case reflect.String:
		visit(name, v)
	case reflect.Slice:
		visit(name, v)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(v.Index(i), name+"[]", visit)
		}
	}
}

// withinBounds returns an error for the first field that exceeds its bound.
func withinBounds(v any) (err error) {
	walk(reflect.ValueOf(v), "", func(name string, f reflect.Value) {
		limit, ok := most[name]
		if err != nil {
			return
		}
		if !ok {
			err = fmt.Errorf("%s has no bound", name)
		} else if f.Len() > limit {
			err = fmt.Errorf("%s: %d exceeds %d", name, f.Len(), limit)
		}
	})
	return err
}

// Every field is refused one past its bound, and accepted at it, unless the
// whole is then too large.
func TestEveryBound(t *testing.T) {
	seen := make(map[string]bool)
	grow := func(t *testing.T, fresh func() any, check func(any) error) {
		var names []string
		walk(reflect.ValueOf(fresh()), "", func(name string, _ reflect.Value) { names = append(names, name) })
		for i, name := range names {
			seen[name] = true
			limit := most[name]
			for _, n := range []int{limit, limit + 1} {
				v, at := fresh(), -1
				walk(reflect.ValueOf(v), "", func(_ string, f reflect.Value) {
					if at++; at == i {
						resize(f, n)
					}
				})
				err := check(v)
				if n > limit && !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrTooLarge) {
					t.Errorf("%s of %d: %v", name, n, err)
				}
				if n == limit && name != "Record.Signed" && name != "Chain.Certificates[]" && name != "Chain.Certificates" && err != nil {
					t.Errorf("%s of %d: %v", name, n, err)
				}
			}
		}
	}
	for i := range samples(t) {
		grow(t, func() any { return clone(t, samples(t)[i]) }, func(v any) error {
			_, err := wire.Encode(v.(wire.Message))
			return err
		})
	}
	grow(t, func() any { b := inviteBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.InviteBody)) })
	grow(t, func() any { b := redirectBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.RedirectBody)) })
	grow(t, func() any { b := textBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.TextBody)) })
	grow(t, func() any { b := textAckBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.TextAckBody)) })
	grow(t, func() any { b := registerBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.RegisterBody)) })
	grow(t, func() any { b := renewBody(t); return &b }, func(v any) error { return wire.Check(v.(*wire.RenewBody)) })
	rotation := rotateBody(t)
	rotation.Device, rotation.Rotation = key(t, "eve").Public(), []byte{1}
	grow(t, func() any { b := rotation; return &b }, func(v any) error { return wire.Check(v.(*wire.RotateBody)) })
	for name := range most {
		if !seen[name] {
			t.Errorf("%s was never tried", name)
		}
	}
}

// clone returns a copy of m that shares nothing with it.
func clone(t *testing.T, m wire.Message) wire.Message {
	t.Helper()
	return must[wire.Message](t)(wire.Decode(must[[]byte](t)(wire.Encode(m))))
}

// resize gives a text, byte string or list n items of the kind it has.
func resize(f reflect.Value, n int) {
	if f.Kind() == reflect.String {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'x'
		}
		f.SetString(string(b))
		return
	}
	item := reflect.Zero(f.Type().Elem())
	switch f.Type().Elem() {
	case reflect.TypeFor[netip.AddrPort]():
		item = reflect.ValueOf(addr4)
	case reflect.TypeFor[record.Record]():
		item = reflect.ValueOf(rec)
	case reflect.TypeFor[wire.Placed]():
		item = reflect.ValueOf(wire.Placed{Record: rec})
	case reflect.TypeFor[identity.SignedBulletin]():
		item = reflect.ValueOf(identity.SignedBulletin{Signed: []byte{0xd2}})
	case reflect.TypeFor[[]byte]():
		item = reflect.ValueOf([]byte{0x30})
	}
	out := reflect.MakeSlice(f.Type(), 0, n)
	for range n {
		out = reflect.Append(out, item)
	}
	f.Set(out)
}

func TestBoundsAgree(t *testing.T) {
	if wire.MaxCertificate != identity.MaxCertificate || record.MaxRecord != 4096 || wire.MaxAOR != 133 {
		t.Error("the table above is out of date")
	}
}
