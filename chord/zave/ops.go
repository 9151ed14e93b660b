package zave

// Step is the outcome of an operation that may want more work done.
type Step struct {
	State State

	// Notify is the member to be told about State.Self, when HasNotify. Every
	// completed stabilisation notifies the head of the list as it is then.
	Notify    ID
	HasNotify bool

	// Candidate is to be asked next, by StabilizeFromPredecessor.
	Candidate    ID
	HasCandidate bool

	// Again means that the head of the list was dead and the next one is to be
	// asked whether it lives.
	Again bool

	// Short means that the other member's list came round to State.Self before
	// it gave r entries, so perhaps there are not r+1 members any more. The
	// caller asks its own entries and then calls Shrink.
	Short bool
}

// Join returns the state of j when m, a member, has let it in. m checks that j
// belongs between it and its first successor; ok is false when it does not,
// and j looks again. Nothing but j changes, except that an m in small-ring
// mode meets j at once.
func Join(j ID, m View) (s State, ok bool) {
	head := m.Self
	if m.Succ.n > 0 {
		head = m.Succ.ids[0]
	}
	if j == m.Self || !Between(m.Self, j, head) {
		return State{}, false
	}
	s = State{Self: j, Pred: m.Self, R: m.R}
	ids, n := m.Wrapped()
	fill(&s, ids[1:n])
	return enter(s, true), true
}

// SuccessorLive is StabilizeFromSuccessor when the head of t's list is live and
// has answered with s: t adopts s and its whole list but the last. A
// predecessor of s that lies between is the candidate to ask next; else s is
// notified.
func SuccessorLive(t State, s View) Step {
	out := adopt(t, s)
	if Between(t.Self, s.Pred, s.Self) {
		out.Candidate, out.HasCandidate = s.Pred, true
		return out
	}
	return notifyHead(out)
}

// SuccessorDead is StabilizeFromSuccessor when the head of t's list is dead: it
// is dropped, and the end is padded with an ID just past the last entry, which
// cannot skip anybody. The caller asks the new head: dead, this again; live,
// SuccessorFound. In small-ring mode nothing is padded.
func SuccessorDead(t State) Step {
	if t.Succ.n == 0 {
		return Step{State: t}
	}
	if t.Small() {
		t = Forget(t, t.Succ.ids[0])
		return Step{State: t, Again: t.Succ.n > 0}
	}
	last := t.Succ.ids[t.Succ.n-1]
	t.Succ.removeAt(0)
	if pad := next(last); Between(last, pad, t.Self) {
		t.Succ.push(pad)
	} else {
		t = enter(t, true) // the list goes all the way round
	}
	return Step{State: t, Again: t.Succ.n > 0}
}

// SuccessorFound ends a StabilizeFromSuccessor that dropped dead entries and
// has found the head alive.
func SuccessorFound(t State) Step { return notifyHead(Step{State: t}) }

// Candidate reports whether x may become t's first successor.
func Candidate(t *State, x ID) bool { return Between(t.Self, x, t.Head()) }

// CandidateLive is StabilizeFromPredecessor when the candidate answered with
// c: t adopts it and its whole list but the last, and notifies it. If the
// candidate no longer lies between t and its head, nothing changes but the
// head is notified all the same.
func CandidateLive(t State, c View) Step {
	if !Candidate(&t, c.Self) {
		return notifyHead(Step{State: t})
	}
	out := adopt(t, c)
	if out.Short {
		// c knows less than t does: a node that was alone until now. It comes
		// before what t has, which skips nobody: whoever lies between c and
		// the old head lay between t and that head.
		out.State.Succ.insertAt(0, c.Self, int(t.R))
	}
	return notifyHead(out)
}

// CandidateDead is StabilizeFromPredecessor when the candidate is dead.
func CandidateDead(t State) Step { return notifyHead(Step{State: t}) }

// Rectify is run by t when new has notified it: new becomes the predecessor if
// it is closer than the present one or the present one is dead. The
// predecessor is never set to nil. In small-ring mode new is also met.
func Rectify(t State, new ID, predLive bool) State {
	if new == t.Self {
		return t
	}
	if t.Small() {
		if !predLive {
			t = Forget(t, t.Pred)
		}
		return Meet(t, new)
	}
	if Between(t.Pred, new, t.Self) || !predLive {
		t.Pred = new
	}
	return t
}

func notifyHead(s Step) Step {
	if s.State.Succ.n > 0 {
		s.Notify, s.HasNotify = s.State.Succ.ids[0], true
	}
	return s
}

// Shrink is run by a member with a full list that has asked all of it, after a
// Step that was Short: entries that are dead go. If fewer than r are left the
// member is in small-ring mode from then on.
func Shrink(t State, live func(ID) bool) State {
	if t.Small() {
		return t
	}
	kept := List{}
	for _, id := range t.Succ.IDs() {
		if live(id) {
			kept.push(id)
		}
	}
	if kept.n == t.R {
		return t
	}
	t.Succ = kept
	return enter(t, live(t.Pred))
}

// adopt replaces t's list by s and its list. A t in small-ring mode keeps those
// that it knows and meets s; what s told is hearsay, which the caller asks. A
// list that comes round to t before it is full is not taken as it is.
func adopt(t State, s View) Step {
	if t.Small() {
		return Step{State: Meet(t, s.Self)}
	}
	adopted := t
	adopted.Succ = List{}
	ids, n := s.Wrapped()
	fill(&adopted, ids[:n])
	if adopted.Small() {
		return Step{State: t, Short: true}
	}
	return Step{State: adopted}
}

// fill appends ids for as long as they go clockwise and do not reach t.
func fill(t *State, ids []ID) {
	prev := t.Self
	for _, id := range ids {
		if t.Succ.n == t.R || id == t.Self || !Between(prev, id, t.Self) {
			return
		}
		t.Succ.push(id)
		prev = id
	}
}

// next returns the ID just past id.
func next(id ID) ID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			break
		}
	}
	return id
}
