package wire_test

import (
	"testing"

	"github.com/secp2psip/secp2psip/internal/wire"
)

func BenchmarkCodec(b *testing.B) {
	for _, m := range samples(b) {
		switch m.(type) {
		case *wire.Find, *wire.Found, *wire.Fetched, *wire.Invite:
		default:
			continue
		}
		data := must[[]byte](b)(wire.Encode(m))
		b.Run("encode/"+m.Type().String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wire.Encode(m)
			}
		})
		b.Run("decode/"+m.Type().String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wire.Decode(data)
			}
		})
	}
}
