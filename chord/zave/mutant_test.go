package zave

import "testing"

// The mutants are what common implementations of Chord do instead. Each must
// make one of the tests above fail, else these show nothing.
func mutants() map[string]protocol {
	prepends := real()
	prepends.candidateLive = func(t State, c View) Step { // instead of adopting its whole list
		if Candidate(&t, c.Self) {
			t.Succ.insertAt(0, c.Self, int(t.R))
		}
		return notifyHead(Step{State: t})
	}

	stale := real()
	stale.successorLive = func(t State, s View) Step { // keeps its own tail
		step := SuccessorLive(t, s)
		step.State = t
		return step
	}

	nilPred := real()
	nilPred.rectify = func(t State, by ID, predLive bool) State { // forgets a dead predecessor
		if !predLive {
			t.Pred = ID{}
			return t
		}
		return Rectify(t, by, predLive)
	}

	ignores := real()
	ignores.rectify = func(t State, by ID, _ bool) State { // does not ask whether the predecessor lives
		return Rectify(t, by, true)
	}

	anywhere := real()
	anywhere.join = func(j ID, m View) (State, bool) { // whoever is asked lets it in
		s := State{Self: j, Pred: m.Self, R: m.R, Succ: m.Succ}
		return s, j != m.Self
	}

	notifiesOld := real()
	notifiesOld.candidateLive = func(t State, c View) Step { // notifies the head that it had before
		step := CandidateLive(t, c)
		step.Notify = t.Head()
		return step
	}

	noPad := real()
	noPad.successorDead = func(t State) Step { // leaves the list short
		t.Succ.removeAt(0)
		return Step{State: t, Again: t.Succ.Len() > 0}
	}
	return map[string]protocol{
		"prepends the new successor":     prepends,
		"keeps a stale tail":             stale,
		"sets a dead predecessor to nil": nilPred,
		"ignores liveness in notify":     ignores,
		"lets in anywhere":               anywhere,
		"notifies the former head":       notifiesOld,
		"does not pad":                   noPad,
	}
}

func TestMutantsAreFound(t *testing.T) {
	for name, p := range mutants() {
		t.Run(name, func(t *testing.T) {
			if _, err := inductive(p, 2, 5, 1<<56); err != nil {
				t.Logf("inductive: %v", err)
				return
			}
			for seed := range uint64(20) {
				if _, _, err := run(p, 3, 30, 5000, 0.3, seed); err != nil {
					t.Logf("random run, seed %d: %v", seed, err)
					return
				}
			}
			t.Error("no test notices")
		})
	}
}
