package zave

// Meet lets x, which is known first-hand to be a live member, into the list of
// a member in small-ring mode, and makes it the predecessor if it is closer.
// With a full list nothing changes: there a member gets in as a candidate.
//
// Meeting keeps the invariant of a ring that has it: a pair of the extended
// list is split in two, nobody more is skipped, and x is live.
func Meet(t State, x ID) State {
	if x == t.Self || !t.Small() {
		return t
	}
	if t.Pred == t.Self || Between(t.Pred, x, t.Self) {
		t.Pred = x
	}
	prev := t.Self
	for i, id := range t.Succ.IDs() {
		if id == x {
			return t
		}
		if Between(prev, x, id) {
			t.Succ.insertAt(i, x, int(t.R))
			return t
		}
		prev = id
	}
	t.Succ.push(x)
	return t
}

// enter begins small-ring mode for a member whose list is short: a live
// predecessor is met, and the last of the list is the predecessor from now on.
func enter(t State, predLive bool) State {
	if !t.Small() {
		return t
	}
	if predLive {
		t = Meet(t, t.Pred)
	}
	if t.Small() {
		t.Pred = t.Self
		if n := t.Succ.n; n > 0 {
			t.Pred = t.Succ.ids[n-1]
		}
	}
	return t
}

// Forget removes x, which the member's own calls have found dead, from the
// list and the predecessor's place of a member in small-ring mode. With a full
// list nothing changes: there only a dead head is dropped, by SuccessorDead.
func Forget(t State, x ID) State {
	if !t.Small() {
		return t
	}
	for i, id := range t.Succ.IDs() {
		if id == x {
			t.Succ.removeAt(i)
			break
		}
	}
	if t.Pred == x {
		t.Pred = t.Self
		if n := t.Succ.n; n > 0 {
			t.Pred = t.Succ.ids[n-1]
		}
	}
	return t
}
