package media

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestToneSurvivesG711(t *testing.T) {
	for _, hz := range []float64{300, 440, 697, 1000, 1633, 3000} {
		pcm := DecodeULaw(EncodeULaw(Tone(hz, 0, 800)))
		if got := Detect(pcm, hz); got < 0.9 {
			t.Errorf("%v Hz: %.3f", hz, got)
		}
		if got := Detect(pcm, hz+100); got > 0.1 {
			t.Errorf("%v Hz is heard at %v Hz: %.3f", hz, hz+100, got)
		}
	}
}

func TestToneJoins(t *testing.T) {
	whole := Tone(440, 0, 320)
	if joined := append(Tone(440, 0, 160), Tone(440, 160, 160)...); !slices.Equal(whole, joined) {
		t.Error("two halves are not the whole")
	}
}

func TestDetectHearsNothing(t *testing.T) {
	noise := make([]int16, 8000)
	r := rand.New(rand.NewPCG(1, 2)) // a fixed seed: the same noise every time
	for i := range noise {
		noise[i] = int16(r.IntN(1<<16) - 1<<15)
	}
	for name, pcm := range map[string][]int16{"nothing": nil, "silence": make([]int16, 800), "noise": noise} {
		if got := Detect(pcm, 440); got > 0.05 {
			t.Errorf("%s: %.3f", name, got)
		}
	}
}

// Values of ITU-T G.711, Tables 2a and 2b, on the 16-bit scale.
func TestULawTable(t *testing.T) {
	for u, want := range map[byte]int16{0xff: 0, 0x7f: 0, 0x80: 32124, 0x00: -32124, 0xfe: 8, 0xf0: 120, 0xef: 132, 0x8f: 16764} {
		if got := decodeULaw(u); got != want {
			t.Errorf("%#x is %d, want %d", u, got, want)
		}
	}
	for i := range 256 {
		u := byte(i)
		if back := encodeULaw(int(decodeULaw(u))); back != u && u != 0x7f { // two zeros
			t.Errorf("%#x became %#x", u, back)
		}
	}
	for s := -32768; s < 32768; s++ {
		got := int(decodeULaw(encodeULaw(s)))
		if diff := max(got-s, s-got); diff > max(8, max(s, -s)/16) {
			t.Fatalf("%d became %d", s, got)
		}
	}
}
