package zave

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// ID is a place on the ring.
type ID = identity.NodeID

// MaxSuccessors bounds r, the length of a successor list.
const MaxSuccessors = 8

// Between reports whether b lies strictly between a and c, clockwise. When
// a == c that is everywhere but at a.
func Between(a, b, c ID) bool {
	if bytes.Compare(a[:], c[:]) < 0 {
		return bytes.Compare(a[:], b[:]) < 0 && bytes.Compare(b[:], c[:]) < 0
	}
	return bytes.Compare(a[:], b[:]) < 0 || bytes.Compare(b[:], c[:]) < 0
}

// Owns reports whether target lies in (pred, self], the interval that self is
// responsible for. When pred == self that is the whole circle.
func Owns(pred, target, self ID) bool {
	return target == self || pred == self || Between(pred, target, self)
}

// List is a successor list: at most MaxSuccessors IDs in clockwise order. It
// is a value; the zero List is empty.
type List struct {
	n   uint8
	ids [MaxSuccessors]ID
}

// MakeList returns a list of the first MaxSuccessors IDs.
func MakeList(ids ...ID) List {
	var l List
	for _, id := range ids {
		l.push(id)
	}
	return l
}

// Len returns the number of entries, 0 to MaxSuccessors.
func (l *List) Len() int { return int(l.n) }

// At returns entry i, 0 ≤ i < Len.
func (l *List) At(i int) ID {
	if i >= int(l.n) {
		panic(fmt.Sprintf("zave: entry %d of %d", i, l.n))
	}
	return l.ids[i]
}

// IDs returns the entries; the slice aliases l.
func (l *List) IDs() []ID { return l.ids[:l.n] }

// Contains reports whether id is an entry.
func (l *List) Contains(id ID) bool {
	for i := range l.n {
		if l.ids[i] == id {
			return true
		}
	}
	return false
}

// String lists the short forms.
func (l List) String() string {
	var b strings.Builder
	for i, id := range l.IDs() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(id.Short())
	}
	return b.String()
}

func (l *List) push(id ID) {
	if l.n < MaxSuccessors {
		l.ids[l.n] = id
		l.n++
	}
}

// removeAt drops entry i and shifts the rest.
func (l *List) removeAt(i int) {
	copy(l.ids[i:], l.ids[i+1:l.n])
	l.n--
	l.ids[l.n] = ID{} // equal lists compare equal
}

// insertAt puts id before entry i; with limit entries already there the last
// one falls out.
func (l *List) insertAt(i int, id ID, limit int) {
	if int(l.n) < limit {
		l.n++
	}
	copy(l.ids[i+1:l.n], l.ids[i:])
	l.ids[i] = id
}

// State is what a member knows of the ring. It is a value and comparable.
type State struct {
	Self ID
	Pred ID    // never nil; Self only while alone
	R    uint8 // length of a full list, 1 to MaxSuccessors
	Succ List
}

// Alone returns the state of a member that starts a ring.
func Alone(self ID, r int) State {
	if r < 1 || r > MaxSuccessors {
		panic(fmt.Sprintf("zave: lists of %d entries", r))
	}
	return State{Self: self, Pred: self, R: uint8(r)}
}

// Small reports whether the member is in small-ring mode.
func (s *State) Small() bool { return s.Succ.n < s.R }

// Head returns the first successor; a member alone is its own.
func (s *State) Head() ID {
	if s.Succ.n == 0 {
		return s.Self
	}
	return s.Succ.ids[0]
}

// String writes predecessor, member and list.
func (s State) String() string {
	return fmt.Sprintf("%s<-%s->[%s]", s.Pred.Short(), s.Self.Short(), s.Succ)
}

// View returns what other members see of this one.
func (s *State) View() View { return View{Self: s.Self, Pred: s.Pred, Succ: s.Succ, R: s.R} }

// View is what one member has read of another.
type View struct {
	Self ID
	Pred ID
	R    uint8
	Succ List
}

// Wrapped returns the view's extended list as the circle that it stands for:
// itself, its successors and, when the list is short, itself again. The next
// entry follows the last, so a reader in between finds everybody.
func (v *View) Wrapped() (ids [MaxSuccessors + 2]ID, n int) {
	ids[0] = v.Self
	n = 1 + copy(ids[1:], v.Succ.IDs())
	if v.Succ.n < v.R {
		ids[n] = v.Self
		n++
	}
	return ids, n
}
