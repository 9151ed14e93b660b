package adapter

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// lines reads a file of calls.
func lines(t *testing.T, path string) (out []admin.CallRecord) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var r admin.CallRecord
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		out = append(out, r)
	}
	return out
}

func ended(reason string) admin.CallRecord {
	return admin.CallRecord{Call: admin.Call{From: "alice", To: "bob", Reason: reason}}
}

func TestEveryCallIsWrittenDownWithinBounds(t *testing.T) {
	dir := t.TempDir()
	lost := 0
	r := newRecords(dir, nil, func() { lost++ }, zerolog.Nop())
	r.most = 4 << 10
	stop := r.start()
	for range recordQueue {
		r.add(ended(strings.Repeat("x", 50)))
	}
	stop()
	now, before := filepath.Join(dir, recordsFile), filepath.Join(dir, recordsOld)
	if n := len(lines(t, now)) + len(lines(t, before)); n == 0 || lost != 0 {
		t.Errorf("%d lines, %d lost", n, lost)
	}
	for _, path := range []string{now, before} {
		info, err := os.Stat(path)
		if err != nil || info.Size() > r.most || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
	}
	stop = newRecords(dir, nil, func() { lost++ }, zerolog.Nop()).start() // again after a restart: nothing is lost of what was there
	stop()
	if len(lines(t, now)) == 0 {
		t.Error("a restart empties the file")
	}
}

func TestADiskThatFailsHoldsUpNoCall(t *testing.T) {
	lost := 0
	r := newRecords(filepath.Join(t.TempDir(), "gone"), nil, func() { lost++ }, zerolog.Nop())
	for range recordQueue + 10 { // nobody writes
		r.add(ended("hung up"))
	}
	if lost != 10 {
		t.Errorf("%d lost of a full queue", lost)
	}
	r.start()()
	if lost != recordQueue+10 {
		t.Errorf("%d lost without a folder", lost)
	}
	var none *records
	none.add(ended("hung up"))
	none.start()()
}

// What a power cut leaves half written spoils no other line.
func TestHalfALineSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), recordsFile)
	for _, before := range []string{"", `{"from":"al`, `{"from":"carol"}` + "\n", `{"from":"carol"}` + "\n" + `{"from":"al`} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRecords(filepath.Dir(path), nil, func() { t.Error("a call is lost") }, zerolog.Nop())
		stop := r.start()
		r.add(ended("hung up"))
		stop()
		got := lines(t, path)
		if want := 1 + strings.Count(before, "\n"); len(got) != want || got[want-1].Reason != "hung up" || r.warning() != "" {
			t.Errorf("%q becomes %+v", before, got)
		}
	}
}
