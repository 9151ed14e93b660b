package identity_test

import (
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestCharterEdit(t *testing.T) {
	c := testCharter(t)
	now := time.UnixMilli(c.Issued).Add(time.Hour)
	values := map[string]string{}
	for _, r := range c.Rules() {
		if !r.Fixed {
			values[r.Key] = r.Value
		}
	}
	same, err := c.Edit(values, now)
	if err != nil || same.Seq != c.Seq+1 || same.Issued != now.UnixMilli() || same.Grace != c.Grace || same.OwnerBytes != c.OwnerBytes || c.Succeed(same) != nil {
		t.Fatalf("%+v, %v", same, err)
	}
	next, err := c.Edit(map[string]string{"grace": "7", "max-devices": "3", "store-bytes": "1000000", "paths": "carried,direct"}, now)
	if err != nil || next.Grace != 7 || next.MaxDevices != 3 || next.StoreBytes != 1_000_000 || len(next.Paths) != 2 || c.MaxDevices == 3 {
		t.Fatalf("%+v, %v", next, err)
	}
	for key, c2 := range map[string]struct {
		value string
		want  error
	}{
		"k": {"3", identity.ErrFixed}, "n": {"3", identity.ErrFixed}, "registration-replicas": {"3", identity.ErrFixed},
		"max-devices": {"256", identity.ErrMalformed}, "grace": {"-1", identity.ErrMalformed}, "owner-bytes": {"4294967296", identity.ErrMalformed},
		"paths": {"", identity.ErrMalformed}, "seq": {"9", identity.ErrMalformed}, "renew-after": {"999999999", identity.ErrMalformed},
	} {
		if _, err := c.Edit(map[string]string{key: c2.value}, now); !errors.Is(err, c2.want) {
			t.Errorf("%s=%s: %v", key, c2.value, err)
		}
	}
	signed := must(next.Sign(testKey(t, 1)))(t)
	if signed.Edition() != next.Seq || identity.SignedCharter("no").Edition() != 0 || identity.SignedCharter(make([]byte, 1<<20)).Edition() != 0 {
		t.Error("the number of an edition is read wrongly")
	}
}
