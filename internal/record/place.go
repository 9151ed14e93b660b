package record

import "github.com/secp2psip/secp2psip/internal/identity"

// Resource returns the first of a resource's places on the ring, which also
// names it: H(AOR ‖ kind).
func Resource(aor identity.AOR, k Kind) identity.NodeID { return resource(aor.String(), k) }

func resource(aor string, k Kind) identity.NodeID { return identity.HashID(aor, k.String()) }

// Position returns place i of m of a resource, 0 ≤ i < m: symmetric
// replication (Ghodsi, Alima, Haridi, DBISP2P 2005).
func Position(res identity.NodeID, i, m int) identity.NodeID {
	return res.Add(identity.Fraction(i, m))
}

// Replicas returns how many places a resource of kind k has under charter c.
// A share lies at one of them, a record of any other kind at all.
func Replicas(k Kind, c identity.Charter) int {
	if k == KindShare {
		return int(c.N)
	}
	return int(c.RegistrationReplicas)
}

// PositionsOf returns all places at which a record belongs: one for a share,
// none for one whose part is not in 1 to n.
func PositionsOf(b Body, c identity.Charter) []identity.NodeID {
	return positions(resource(b.AOR, b.Kind), b.Kind, b.Part, c)
}

func positions(res identity.NodeID, k Kind, part uint64, c identity.Charter) []identity.NodeID {
	m := Replicas(k, c)
	if k == KindShare {
		if part < 1 || part > uint64(m) {
			return nil
		}
		return []identity.NodeID{Position(res, int(part)-1, m)}
	}
	out := make([]identity.NodeID, m)
	for i := range out {
		out[i] = Position(res, i, m)
	}
	return out
}
