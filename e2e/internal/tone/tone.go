// Package tone makes the sound that a test phone plays and recognises it in what another phone recorded.
//
// Each phone of a call plays a sine of its own frequency. A recording that holds the other phone's frequency
// proves that audio crossed in that direction: an echo, silence or comfort noise does not look like it.
package tone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// Rate is the sample rate of the files that Write makes, in Hz: what a phone with G.711 uses.
const Rate = 8000

// ErrNoAudio reports a recording that is absent, is no WAV file, or is too short to measure.
var ErrNoAudio = errors.New("no audio")

// Sound is what Measure found in a recording.
type Sound struct {
	Hz     float64       // the strongest frequency
	RMS    float64       // amplitude, 0 to 1; a full-scale sine has 0.707
	Purity float64       // share of the power that lies at Hz, 0 to 1
	Length time.Duration // of the whole recording
}

// String gives the figures as a failing test prints them.
func (s Sound) String() string {
	return fmt.Sprintf("%.0f Hz, RMS %.2f, purity %.2f, %v long", s.Hz, s.RMS, s.Purity, s.Length.Round(time.Millisecond))
}

// Is tells whether the sound is the tone hz: within 5 %, louder than RMS 0.1, and mostly that.
func (s Sound) Is(hz float64) bool {
	return math.Abs(s.Hz-hz) <= 0.05*hz && s.RMS > 0.1 && s.Purity > 0.7
}

// Write makes a mono 16 bit WAV file with a sine of hz at half of full scale.
func Write(path string, hz float64, length time.Duration) error {
	n := int(length.Seconds() * Rate)
	out := make([]byte, 0, 44+2*n)
	out = append(out, "RIFF"...)
	out = binary.LittleEndian.AppendUint32(out, uint32(36+2*n))
	out = append(out, "WAVEfmt "...)
	out = binary.LittleEndian.AppendUint32(out, 16)
	for _, v := range []uint16{1, 1, Rate & 0xffff, Rate >> 16, 2 * Rate & 0xffff, 2 * Rate >> 16, 2, 16} {
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	out = append(out, "data"...)
	out = binary.LittleEndian.AppendUint32(out, uint32(2*n))
	for i := range n {
		v := math.Sin(2 * math.Pi * hz * float64(i) / Rate)
		out = binary.LittleEndian.AppendUint16(out, uint16(int16(v*math.MaxInt16/2)))
	}
	return os.WriteFile(path, out, 0o644) // #nosec G306 -- a sound for test phones
}

// Measure reads a 16 bit PCM WAV file, also one whose writer has not closed it yet. Of its last 1.5 s it gives the purest
// half second: on a machine with more to do than it can, phones drop some packets. A recording of less than half a
// second is measured as a whole, from a quarter of a second on.
func Measure(path string) (Sound, error) {
	samples, rate, err := read(path)
	if err != nil {
		return Sound{}, err
	}
	length := time.Duration(len(samples)) * time.Second / time.Duration(rate)
	if len(samples) < rate/4 {
		return Sound{Length: length}, fmt.Errorf("%w: %s holds %v", ErrNoAudio, path, length)
	}
	window := min(len(samples), rate/2)
	var best Sound
	for end := len(samples); end >= window && end > len(samples)-rate; end -= rate / 4 {
		if now := measure(samples[end-window:end], rate); now.Purity >= best.Purity {
			best = now
		}
	}
	best.Length = length
	return best, nil
}

// Length tells how much a recording holds, and costs less than Measure.
func Length(path string) (time.Duration, error) {
	samples, rate, err := read(path)
	if err != nil {
		return 0, err
	}
	return time.Duration(len(samples)) * time.Second / time.Duration(rate), nil
}

func read(path string) (samples []float64, rate int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrNoAudio, err)
	}
	if samples, rate, err = decode(data); err != nil {
		return nil, 0, fmt.Errorf("%w in %s", err, path)
	}
	return samples, rate, nil
}

// measure finds the strongest frequency of a window.
func measure(window []float64, rate int) (s Sound) {
	var power float64
	for _, v := range window {
		power += v * v
	}
	power /= float64(len(window))
	s.RMS = math.Sqrt(power)
	var best float64
	for hz := 50.0; hz <= min(3400, float64(rate)/2); hz += 5 {
		if p := powerAt(window, hz, rate); p > best {
			best, s.Hz = p, hz
		}
	}
	if power > 0 {
		s.Purity = min(1, best/power)
	}
	return s
}

// powerAt gives the mean power that a sine of hz has in the samples. It adds up pieces of 100 ms, so that a jump of the
// phase, where a packet was lost or a clock drifts, costs one piece, and a tone between two steps of 5 Hz is still seen.
func powerAt(samples []float64, hz float64, rate int) float64 {
	var sum float64
	piece, n := rate/10, 0
	for ; len(samples) >= piece; samples = samples[piece:] {
		sum += goertzel(samples[:piece], hz, rate)
		n++
	}
	return sum / float64(n)
}

// goertzel gives the power of the component at hz (G. Goertzel, 1958).
func goertzel(samples []float64, hz float64, rate int) float64 {
	w := 2 * math.Pi * hz / float64(rate)
	c := 2 * math.Cos(w)
	var s1, s2 float64
	for _, v := range samples {
		s1, s2 = v+c*s1-s2, s1
	}
	n := float64(len(samples))
	return 2 * (s1*s1 + s2*s2 - c*s1*s2) / (n * n)
}

// decode gives the first channel's samples, -1 to 1. The lengths in the header are not trusted: a recorder that was
// killed, or has not finished, leaves them at zero.
func decode(data []byte) (samples []float64, rate int, err error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return nil, 0, fmt.Errorf("%w: not a WAV file", ErrNoAudio)
	}
	var channels int
	for p := 12; p+8 <= len(data); {
		id, size := string(data[p:p+4]), int(binary.LittleEndian.Uint32(data[p+4:]))
		body := data[p+8:]
		if id == "data" {
			if channels == 0 || rate == 0 {
				break
			}
			for i := 0; i+2*channels <= len(body); i += 2 * channels {
				samples = append(samples, float64(int16(binary.LittleEndian.Uint16(body[i:])))/math.MaxInt16)
			}
			return samples, rate, nil
		}
		if size > len(body) {
			break
		}
		if id == "fmt " && size >= 16 {
			channels, rate = int(binary.LittleEndian.Uint16(body[2:])), int(binary.LittleEndian.Uint32(body[4:]))
			if bits := binary.LittleEndian.Uint16(body[14:]); bits != 16 {
				return nil, 0, fmt.Errorf("%w: %d bit samples", ErrNoAudio, bits)
			}
		}
		p += 8 + size + size&1
	}
	return nil, 0, fmt.Errorf("%w: no samples", ErrNoAudio)
}
