//go:build e2e && linux

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// smallDisk mounts a disk of its own, which can be full, at a folder.
func smallDisk(t testing.TB, folder, size string) {
	t.Helper()
	must(t, os.MkdirAll(folder, 0o700))
	must(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0700,size="+size))
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", folder, err)
		}
	})
}

// fill writes a file until the disk is full.
func fill(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	must(t, err)
	defer f.Close()
	for size := 64 << 10; size > 0; { // as the rest gets smaller, so do the pieces
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else {
			must(t, err)
		}
	}
}

// TestFullDisk: the disk of one adapter is full. It says so, stores nothing more for others, who are not hindered by it,
// and goes on serving what it has; with room again it is as before, and what is on its disk is whole.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	o := newOffice(t,
		spec{user: "alice", kind: "baresip", hz: callerHz},
		spec{user: "bob", kind: "baresip", hz: calledHz, disk: "2m"},
	)
	alice, bob := o.people["alice"], o.people["bob"]
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})

	full := filepath.Join(bob.state, "full")
	fill(t, full)
	carol := o.hire(spec{user: "carol", kind: "baresip", hz: calledHz}) // whose records belong with bob too
	must(t, carol.phone.WaitRegistered(within(t, starting)))
	o.settled(4)
	s := bob.wait("it says that its disk is full", func(s admin.Status) bool { return warned(s) })
	t.Logf("bob's adapter warns: %v", s.Warnings)
	var report admin.DoctorReport
	ctx := within(t, starting)
	must(t, admin.Dial(bob.state).Call(ctx, admin.MethodDoctor, nil, &report))
	if c := check(report, "store"); c.Result != admin.CheckFail || c.Mend == "" || !strings.Contains(c.Detail, "no space left on device") || !strings.Contains(c.Detail, "stores nothing for others") {
		t.Errorf("doctor says of the store: %+v", c)
	}
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	proveCall(t, call{from: alice.phone, to: carol.phone, uri: alice.uri("carol")})
	held := s.Store.Records
	if !s.Store.DiskFails {
		t.Error("the status of the store does not say so")
	}

	must(t, os.Remove(full))
	s = bob.wait("it stores again", func(s admin.Status) bool { return !warned(s) && !s.Store.DiskFails && s.Store.Records > held })
	t.Logf("bob held %d records while the disk was full, and %d with room again", held, s.Store.Records)

	bob.kill()
	bob.start()
	o.settled(4)
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
}

func warned(s admin.Status) bool {
	for _, w := range s.Warnings {
		if strings.Contains(w, "cannot be written to disk") {
			return true
		}
	}
	return false
}

func check(r admin.DoctorReport, name string) admin.Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return admin.Check{}
}
