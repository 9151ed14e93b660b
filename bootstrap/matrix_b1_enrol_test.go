package bootstrap_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
)

// B1: real enrolments, and again with the same keys to draw again: the place is
// the same, and the places of all are spread as chance spreads them.
func TestMatrixB1EnrolAgain(t *testing.T) {
	redraw(t, 24)
}

// redraw enrols so many people, each three times.
func redraw(t *testing.T, people int) {
	s, _ := run(t, func(c *bootstrap.Config) {
		c.Open, c.OpenPerSource, c.MaxNames = true, people+1, people+1
		c.Charter.StoreBytes = 1 << 30 // the server alone holds what they all store
	})
	trust := s.Node().Trust()
	idOf := func(n *newcomer) (identity.NodeID, error) {
		got, err := n.enrol(t, s)
		if err != nil {
			return identity.NodeID{}, err
		}
		cert, err := trust.VerifyNode([][]byte{got.Node, got.Issuer}, time.Time{})
		if err != nil {
			return identity.NodeID{}, err
		}
		return cert.ID, nil
	}
	low, again, refused := 0, 0, 0
	for i := range people {
		name := fmt.Sprintf("n%d", i)
		n := newNewcomer(t, name, nil)
		first, err := idOf(n)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if first[0] < 0x80 {
			low++
		}
		for range 2 {
			next, err := idOf(n)
			remote := new(link.RemoteError)
			switch {
			case errors.As(err, &remote):
				refused++
			case err != nil:
				t.Fatalf("%s again: %v", name, err)
			case next != first:
				t.Errorf("%s draws %s, and then %s", name, first.Short(), next.Short())
			default:
				again++
			}
		}
	}
	if again+refused != 2*people || low < people/8 || low > people*7/8 {
		t.Errorf("%d the same, %d refused of %d; %d of %d in the lower half", again, refused, 2*people, low, people)
	}
	t.Logf("matrix: B1 enrolled %d, and each twice again: another place 0 times, the same %d, refused %d", people, again, refused)
}
