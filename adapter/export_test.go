package adapter

import "testing"

// FillDisk keeps the state file from growing, as a full disk would; with false
// it may grow again.
func (a *Adapter) FillDisk(full bool) {
	a.state.db.MaxSize = 0
	if full {
		a.state.db.MaxSize = 1
	}
}

// KeepKeys makes and keeps the keys of an enrolment, as the first try does.
func (a *Adapter) KeepKeys(t *testing.T, user string) {
	t.Helper()
	aor, err := a.Account(user)
	if err == nil {
		_, err = a.pendingAccount(aor)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CallNames returns the names under which carried calls can be taken over.
func (a *Adapter) CallNames() (names [][16]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.lasting {
		names = append(names, name)
	}
	return names
}
