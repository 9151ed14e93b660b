package adapter_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// E2: an adapter is restored from a backup that knows an old number, on a host
// whose clock is four minutes slow, while the ring holds what it wrote since, on a
// clock that was fast: overlay time brings it out above that at once, it is found
// and called by everybody, and nobody takes it for a liar.
func TestMatrixE2RestoredBackup(t *testing.T) {
	withoutServer(t, 3, 4, nil, func(o *office) {
		o.until(1)
		o.arrive(o.desks)
		o.gather(o.desks)
		lost := o.desks[0]
		lost.stop(true)
		backup := t.TempDir()
		copyState(t, backup, lost.state)
		lost.behind = -3 * time.Minute // it writes ahead of what the backup can know
		o.arrive(o.desks[:1])
		<-time.After(11 * time.Minute)
		o.ring(o.desks, 4)
		lost.stop(true)
		lost.state, lost.behind = backup, 4*time.Minute
		o.arrive(o.desks[:1])
		o.gather(o.desks)
		o.ring(o.desks, 12)
		evicted := 0
		for _, d := range o.desks {
			evicted += len(d.it.Node().Guard().Items())
		}
		t.Logf("matrix: E2 an adapter restored from a backup of %d minutes before, its clock four minutes slow: %d of %d calls, %d absent; evidence: %d", 12, o.calls-o.missed, o.calls, o.absent, evicted)
		if o.missed+o.absent+evicted > 0 {
			t.Errorf("%d of %d missed, %d absent, %d pieces of evidence: %v", o.missed, o.calls, o.absent, evicted, o.why)
		}
	})
}

// copyState copies a state folder, as private as it is.
func copyState(t *testing.T, to, from string) {
	t.Helper()
	err := os.CopyFS(to, os.DirFS(from))
	if err == nil {
		err = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
			mode := fs.FileMode(0o600)
			if err == nil && d.IsDir() {
				mode = 0o700
			}
			return errors.Join(err, os.Chmod(path, mode))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}
