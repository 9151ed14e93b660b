# make test passes every check; make demo shows a call. The rest is parts of these.

.PHONY: help build test test-long unit matrix lint fuzz e2e cross demo bench bench-dht bench-micro bench-front bench-media figures install clean

help:        ## list the targets
	@grep -hE '^[a-z0-9-]+: *.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1	/' | expand -t 14

build:       ## build bin/secp2psip
	go build -trimpath -o bin/secp2psip ./cmd/secp2psip

test:        ## every check; installs the Debian packages it needs where it may
	scripts/test.sh

test-long:   ## the tests at their full sizes; ARGS="correctness survival fuzz" choose among them
	scripts/test-long.sh $(ARGS)

unit:        ## the tests of each room, with the race detector
	scripts/test.sh unit

matrix:      ## the attack tests, a line for each row of docs/security.md; ARGS="--undefended --json"
	scripts/matrix.sh $(ARGS)

lint:        ## gofmt, go vet, staticcheck, gosec, go mod tidy
	scripts/test.sh format vet lint tidy

fuzz:        ## each fuzz target for FUZZ_SECONDS (15)
	scripts/test.sh fuzz

e2e:         ## real phones against the real binary; ARGS="-run Matrix -v" are passed on
	scripts/e2e.sh $(ARGS)

cross:       ## build for linux/arm64, darwin/arm64 and windows/amd64
	scripts/test.sh cross

demo:        ## a whole LAN in one process, with a call
	go run ./cmd/secp2psip demo

bench:       ## every figure that docs/benchmarks.md gives
	scripts/bench.sh

bench-dht:   ## put and get beside OpenDHT; NODES="32 64 128"
	scripts/bench-dht.sh

bench-micro: ## the small operations, with their allocations
	scripts/bench-micro.sh

bench-front: ## the SIP front beside Kamailio
	scripts/bench-front.sh

bench-media: ## media of protected calls, beside rtpengine; ROUNDS=5
	scripts/bench-media.sh

figures:     ## draw every figure in docs/figures anew, SEED=1
	scripts/figures.sh

install:     ## put secp2psip where go install puts programs
	go install ./cmd/secp2psip

clean:       ## remove what was built
	rm -rf bin dist
