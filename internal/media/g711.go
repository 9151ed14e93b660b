package media

import "math/bits"

// SampleRate is G.711's: 8000 samples a second, one byte each.
const SampleRate = 8000

// EncodeULaw turns 16-bit samples into G.711 µ-law (ITU-T G.711), one byte
// each.
func EncodeULaw(pcm []int16) []byte {
	out := make([]byte, len(pcm))
	for i, s := range pcm {
		out[i] = encodeULaw(int(s))
	}
	return out
}

// DecodeULaw turns G.711 µ-law into 16-bit samples.
func DecodeULaw(ulaw []byte) []int16 {
	out := make([]int16, len(ulaw))
	for i, u := range ulaw {
		out[i] = decodeULaw(u)
	}
	return out
}

// The bias makes every segment begin at a power of two.
const ulawBias, ulawClip = 132, 32635

func encodeULaw(s int) byte {
	var sign byte
	if s < 0 {
		s, sign = -s, 0x80
	}
	s = min(s, ulawClip) + ulawBias
	exponent := bits.Len(uint(s)) - 8
	mantissa := s >> (exponent + 3) & 0x0f
	return ^(sign | byte(exponent)<<4 | byte(mantissa))
}

func decodeULaw(u byte) int16 {
	u = ^u
	s := (int(u&0x0f)<<3+ulawBias)<<(u>>4&7) - ulawBias
	if u&0x80 != 0 {
		s = -s
	}
	return int16(s)
}
