package main

import (
	"strings"

	"rsc.io/qr"
)

// quiet is the margin in modules that readers need (ISO/IEC 18004 §9.1).
const quiet = 4

// drawQR draws two modules in one character, black on white whatever the
// terminal's colours are.
func drawQR(code *qr.Code) string {
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quiet; x < code.Size+quiet; x++ {
			upper, lower := code.Black(x, y), code.Black(x, y+1)
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}
