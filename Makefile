# Targets are short; what they do is Go. ARGS goes to the command behind a target.
ARGS ?=
SEED ?= 1
HOURS ?= 1
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build demo demo-lvs lab test verify sim bench clean

# Both programs, side by side in bin/.
build:
	go build -o bin/ ./cmd/...

# The main job: three directors, one VIP, never two. Needs root.
# make demo ARGS="--script" runs the story without a terminal.
demo: build
	@go run ./test/setup demo
	bin/hafence demo $(ARGS)

# A virtual server with two real ones through a failover, on a kernel with IPVS that the
# kernel lab brings along. make demo-lvs ARGS="NAT"; DR is the default.
demo-lvs: build
	@go run ./test/setup lab
	go run ./test/lab/kernel/demo $(ARGS)

# A shell in a machine of the kernel lab: make lab ARGS="-modules ip_vs -n 2"
lab:
	@go run ./test/setup lab
	go run ./test/lab/kernel/shell $(ARGS)

# Every test that needs no special machine. As root; without, the lab is skipped. Never
# from the cache: some tests build and run the programs, which the cache does not see. One
# package at a time, for the kernel lab takes all the time that there is.
test: build
	@go run ./test/setup test
	go test -p 1 -count=1 -timeout 25m $(ARGS) ./...

# Form: gofmt, vet, staticcheck, tidy modules; import directions and docs are in test/tidy.
verify: build
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff && go test ./test/tidy

# One simulated run, replayed by its seed: make sim SEED=42 HOURS=10
sim:
	go run ./test/sim -seed $(SEED) -hours $(HOURS) $(ARGS)

# Figures, with the machine and the settings that they were measured with. Needs root.
bench: build
	@go run ./test/setup bench
	go run ./test/bench $(ARGS)

clean:
	rm -rf bin
