package hidden

import (
	"bytes"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

const overlay = "lan.example"

func newKey(t testing.TB) identity.PrivateKey {
	t.Helper()
	k, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// must fails the test where err is not nil.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func fetch(part uint64) *wire.Fetch {
	return &wire.Fetch{Position: identity.HashID("position"), Resource: identity.HashID("resource"), Part: &part}
}

// holding is an answer with records of that many bytes in all.
func holding(bytes int) *wire.Fetched {
	out := &wire.Fetched{}
	for ; bytes > 0; bytes -= 4000 {
		out.Records = append(out.Records, record.Record{Signed: make([]byte, min(bytes, 4000))})
	}
	return out
}

// A question and its answer come through as they were, whatever they are, with
// one length each for all questions, and three for all answers.
func TestBoxes(t *testing.T) {
	second, holder := newKey(t), newKey(t)
	secondOpens, holderOpens := must(openingKey(second))(t), must(openingKey(holder))(t)
	lengths := map[int]bool{}
	for _, q := range []*wire.Fetch{fetch(0), fetch(1 << 60), {}} {
		for _, a := range []wire.Message{&wire.Fetched{}, holding(1000), holding(4000), holding(9000), holding(40_000), wire.Errorf(wire.CodeInternal, "no")} {
			ask, opensAsk, err := sealAsk(holder.Public(), overlay, q)
			if err != nil || len(ask) != wire.AskBox {
				t.Fatalf("%d bytes: %v", len(ask), err)
			}
			turn, opensTurn, err := sealTurn(second.Public(), overlay, identity.HashID("holder"), ask)
			if err != nil || len(turn) != wire.TurnBox {
				t.Fatalf("%d bytes: %v", len(turn), err)
			}
			to, inner, sealsTurn, err := openTurn(secondOpens, overlay, turn)
			if err != nil || to != identity.HashID("holder") || !bytes.Equal(inner, ask) {
				t.Fatal(to, err)
			}
			req, sealsAsk, err := openAsk(holderOpens, overlay, inner)
			if err != nil || !bytes.Equal(must(wire.Encode(req))(t), must(wire.Encode(q))(t)) {
				t.Fatal(req, err)
			}
			passed := sealTurned(sealsTurn, must(sealAnswer(sealsAsk, a))(t))
			lengths[len(passed.Box)] = true
			got, err := openTurned(opensTurn, opensAsk, passed.Box)
			if err != nil || !bytes.Equal(must(wire.Encode(got))(t), must(wire.Encode(a))(t)) {
				t.Fatal(got, err)
			}
			if _, err := wire.Encode(passed); err != nil {
				t.Error(err)
			}
			none := sealTurned(sealsTurn, nil)
			if _, err := openTurned(opensTurn, opensAsk, none.Box); !errors.Is(err, ErrNoAnswer) || !lengths[len(none.Box)] {
				t.Errorf("no answer, in %d bytes: %v", len(none.Box), err)
			}
			again := must(sealAnswer(sealsAsk, a))(t) // as if the box had been passed on twice
			if bytes.Equal(again.Box[:12], must(sealAnswer(sealsAsk, a))(t).Box[:12]) {
				t.Fatal("two answers under one nonce")
			}
		}
	}
	if len(lengths) != 3 {
		t.Errorf("answers of %d lengths", len(lengths))
	}
}

// Whatever is changed in a box, or who opens it with another key, as another box or
// for another overlay, gets nothing.
func TestBoxesThatAreNotMeant(t *testing.T) {
	key := newKey(t)
	opens, others := must(openingKey(key))(t), must(openingKey(newKey(t)))(t)
	ask, _, err := sealAsk(key.Public(), overlay, fetch(1))
	if err != nil {
		t.Fatal(err)
	}
	turn, opensTurn, err := sealTurn(key.Public(), overlay, identity.HashID("holder"), ask)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for i := range ask {
		b := bytes.Clone(ask)
		b[i] ^= 1
		if _, _, err := openAsk(opens, overlay, b); err == nil {
			opened++
		}
	}
	for i := range turn {
		b := bytes.Clone(turn)
		b[i] ^= 1
		if _, _, _, err := openTurn(opens, overlay, b); err == nil {
			opened++
		}
	}
	for _, b := range [][]byte{nil, ask[:40], append(bytes.Clone(ask), 0), turn} {
		if _, _, err := openAsk(opens, overlay, b); err == nil {
			opened++
		}
	}
	if _, _, err := openAsk(others, overlay, ask); !errors.Is(err, ErrBox) {
		opened++
	}
	if _, _, err := openAsk(opens, "wan.example", ask); !errors.Is(err, ErrBox) {
		opened++
	}
	if _, _, _, err := openTurn(opens, "wan.example", turn); !errors.Is(err, ErrBox) {
		opened++
	}
	if _, err := openTurned(opensTurn, opensTurn, make([]byte, 6000)); !errors.Is(err, ErrBox) {
		opened++
	}
	if opened > 0 {
		t.Errorf("%d were opened", opened)
	}
}

// A box that a stranger made: it opens to a message that is written as it was
// read, with zeros behind it, or not at all.
func FuzzUnpad(f *testing.F) {
	for _, m := range []wire.Message{fetch(3), holding(100), &wire.Ack{}} {
		plain, err := pad(m, 4, 5<<10)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain[:300])
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		for _, head := range []int{2, 4} {
			m, err := unpad(plain, head)
			if err != nil {
				if !errors.Is(err, ErrBox) {
					t.Fatal(err)
				}
				continue
			}
			if again, err := pad(m, head, len(plain)); err != nil || !bytes.Equal(again, plain) {
				t.Fatalf("%x is written as %x (%v)", plain, again, err)
			}
		}
	})
}
