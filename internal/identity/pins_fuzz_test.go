package identity

import (
	"maps"
	"testing"
	"time"
)

// A person edits the file. What is read is what is written back and read again.
func FuzzParsePins(f *testing.F) {
	k, err := NewKeyFromSeed(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	bob, err := NewAOR("bob", "lan.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(formatPins(map[AOR]Pin{bob: {Key: k.Public(), Version: 1, First: time.Unix(1, 0).UTC(), Last: time.Unix(1e9, 0).UTC()}}))
	f.Add(formatPins(map[AOR]Pin{bob: {Key: k.Public(), Version: 3, Compared: time.Unix(1e9, 0).UTC(), ComparedVersion: 2}}))
	f.Add([]byte("# nothing\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		pins, err := parsePins(data)
		if err != nil {
			return
		}
		for name, pin := range pins { // the format has whole seconds
			pin.First, pin.Last, pin.Compared = toSecond(pin.First), toSecond(pin.Last), toSecond(pin.Compared)
			pins[name] = pin
		}
		again, err := parsePins(formatPins(pins))
		if err != nil || !maps.Equal(again, pins) {
			t.Fatalf("%v\n%v, %v", pins, again, err)
		}
	})
}
