package media

import "math"

// Tone returns n samples of a sine of hz at half of full scale, 8000 samples a
// second, beginning with sample number first: consecutive calls join without a
// click.
func Tone(hz float64, first, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(16384 * math.Sin(2*math.Pi*hz*float64(first+i)/SampleRate))
	}
	return pcm
}

// Detect returns the share of the signal's energy that lies at hz, 0 to 1
// (Goertzel's algorithm). A pure tone that came through G.711 gives more than
// 0.9 over 100 ms; silence gives 0. It tells frequencies apart that differ by
// more than 2·8000/len(pcm) Hz.
func Detect(pcm []int16, hz float64) float64 {
	if len(pcm) == 0 {
		return 0
	}
	coeff := 2 * math.Cos(2*math.Pi*hz/SampleRate)
	var s1, s2, energy float64
	for _, p := range pcm {
		x := float64(p)
		energy += x * x
		s1, s2 = x+coeff*s1-s2, s1
	}
	if energy == 0 {
		return 0
	}
	power := s1*s1 + s2*s2 - coeff*s1*s2
	// A full-scale sine of n samples has energy n·a²/2 and power (n·a/2)².
	return min(1, 2*power/(float64(len(pcm))*energy))
}
