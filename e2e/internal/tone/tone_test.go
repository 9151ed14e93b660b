package tone

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMeasureFindsWhatWriteMade(t *testing.T) {
	for _, hz := range []float64{440, 1000, 1002.5, 1751} {
		path := filepath.Join(t.TempDir(), "tone.wav")
		if err := Write(path, hz, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		s, err := Measure(path)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Is(hz) || s.Length != 2*time.Second {
			t.Errorf("a tone of %v Hz measures as %v", hz, s)
		}
		if d, err := Length(path); err != nil || d != s.Length {
			t.Errorf("its length is %v, %v", d, err)
		}
		if s.Is(hz * 1.1) {
			t.Errorf("%v passes for %v Hz", s, hz*1.1)
		}
	}
}

func TestMeasureRefusesSilence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silence.wav")
	if err := Write(path, 0, time.Second); err != nil {
		t.Fatal(err)
	}
	s, err := Measure(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Is(440) || s.Is(1000) || s.RMS != 0 {
		t.Errorf("silence measures as %v", s)
	}
}

func TestMeasureRefusesTwoTonesAsOne(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.wav"), filepath.Join(dir, "b.wav")
	if err := errors.Join(Write(a, 440, time.Second), Write(b, 1000, time.Second)); err != nil {
		t.Fatal(err)
	}
	one, err1 := os.ReadFile(a)
	two, err2 := os.ReadFile(b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	// Half of each: the header of the first, then samples that alternate in blocks of 20 ms.
	for at := 44; at+320 <= len(one); at += 640 {
		copy(one[at:at+320], two[at:at+320])
	}
	if err := os.WriteFile(a, one, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := Measure(a); err != nil || s.Is(440) || s.Is(1000) {
		t.Errorf("a mixture measures as %v, %v", s, err)
	}
}

func TestMeasureRefusesWhatIsNoRecording(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "", "text": "hello", "header": "RIFF\x00\x00\x00\x00WAVE"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Measure(path); !errors.Is(err, ErrNoAudio) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Measure(filepath.Join(dir, "absent")); !errors.Is(err, ErrNoAudio) {
		t.Errorf("absent file: error %v", err)
	}
}
