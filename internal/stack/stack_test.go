package stack_test

import (
	"crypto/ed25519"
	"sync"
	"testing"

	"github.com/secp2psip/secp2psip/internal/stack"
)

// What one goroutine for each signature check costs: on the stack that it
// begins with, and on one that has been deepened.
func BenchmarkVerifyInGoroutine(b *testing.B) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 300)
	signature := ed25519.Sign(private, message)
	for name, begin := range map[string]func(){"shallow": func() {}, "deepened": stack.Deepen} {
		b.Run(name, func(b *testing.B) {
			var wg sync.WaitGroup
			for b.Loop() {
				wg.Go(func() {
					begin()
					if !ed25519.Verify(public, message, signature) {
						b.Error("refused")
					}
				})
				wg.Wait()
			}
		})
	}
}

// Deepening must neither move what is already there out of reach nor cost
// memory of the heap.
func TestDeepen(t *testing.T) {
	done := make(chan int)
	go func() {
		kept := [4]int{1, 2, 3, 4}
		p := &kept
		stack.Deepen()
		done <- p[0] + p[3]
	}()
	if got := <-done; got != 5 {
		t.Fatal(got)
	}
	if n := testing.AllocsPerRun(100, stack.Deepen); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
