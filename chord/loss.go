package chord

// A network that loses packets keeps answers away that a node meant to give: who
// is given up after two calls then, and is there, costs a change of the ring, which
// everybody follows up, and another one when it shows. So a node remembers how
// often it was the second call that was answered, and where that happens, calls a
// third time before its verdict, and asks the rest of its list only then.
//
// Who is dead answers no second call, so deaths alone leave this as it is.
type lossMeter struct{ late float64 } // share of the answers that came to a second or third call

const (
	lossMemory = 32   // answers that count
	lossy      = 0.02 // so many late ones in them: for a while after a single one
)

// answered takes in how many calls an answer took.
func (l *lossMeter) answered(try uint8) {
	x := 0.0
	if try > 1 {
		x = 1
	}
	l.late += (x - l.late) / lossMemory
}

// tries is how often a call is made before the verdict.
func (l *lossMeter) tries() uint8 {
	if l.late > lossy {
		return 3
	}
	return 2
}
