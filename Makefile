VERSION    ?= devel
IMAGE_ROOT ?= bin/image
CA_BUNDLE  ?= /etc/ssl/certs/ca-certificates.crt
BENCH      ?= .
FUZZTIME   ?= 20s
NFPM       ?= go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
DEB_ARCH   ?= $(shell go env GOARCH)
# Debian wants a digit first; ~ sorts before what is released.
DEB_VERSION ?= $(if $(filter devel,$(VERSION)),0~devel,$(patsubst v%,%,$(VERSION)))

.PHONY: build test race lint fuzz bench drill measured peers image-root deb clean

build: ## a static binary in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/sinkhole ./cmd/sinkhole

test:
	go test ./...

race:
	go test -race ./...

lint:
	golangci-lint run ./...

fuzz: ## every fuzz target for FUZZTIME
	sh .ci/fuzz $(FUZZTIME)

bench: ## each step of a query, six times, beside bin/bench.base where that is kept (cp bin/bench.new bin/bench.base)
	mkdir -p bin
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 ./resolver/... ./blocklist ./hits | tee bin/bench.new
	go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da $$(ls bin/bench.base 2>/dev/null) bin/bench.new

drill: ## 200 infected machines among 5,000 clean ones: who is found, and as what
	go test -count=1 -timeout 2m -v -run '^TestDrill' ./cmd/sinkhole

measured: ## the figures of the README, on the lists in SINKHOLE_REAL_DATA
	SINKHOLE_MEASURE=1 go test -count=1 -p 1 -timeout 20m -v -run 'TestMeasured|TestPolicyMemory' ./cmd/sinkhole ./blocklist ./blocklist/feed

peers: ## this server beside others that are installed, as CPU time a query and latency; alone on the machine, some 20 minutes
	SINKHOLE_MEASURE=1 go test -count=1 -p 1 -timeout 60m -v -run TestCompared ./cmd/sinkhole

image-root: ## the content of the container image, under IMAGE_ROOT
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(IMAGE_ROOT)/sinkhole ./cmd/sinkhole
	install -D -m 0644 $(CA_BUNDLE) $(IMAGE_ROOT)/etc/ssl/certs/ca-certificates.crt
	install -D -m 0644 configs/docker.yaml $(IMAGE_ROOT)/etc/sinkhole/sinkhole.yaml
	install -d -m 0755 $(IMAGE_ROOT)/etc/sinkhole/lists
	install -d -m 0750 $(IMAGE_ROOT)/var/lib/sinkhole
	install -d -m 1777 $(IMAGE_ROOT)/tmp
	printf 'sinkhole:x:65532:65532:sinkhole:/var/lib/sinkhole:/sinkhole\n' > $(IMAGE_ROOT)/etc/passwd
	printf 'sinkhole:x:65532:\n' > $(IMAGE_ROOT)/etc/group

deb: ## a Debian package in bin/
	mkdir -p bin/deb
	CGO_ENABLED=0 GOARCH=$(DEB_ARCH) go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/deb/sinkhole ./cmd/sinkhole
	for shell in bash zsh fish; do go run ./cmd/sinkhole completion $$shell > bin/deb/$$shell || exit 1; done
	sh configs/packaging/notices | gzip -9n > bin/deb/notices.gz
	gzip -9nc configs/packaging/sinkhole.8 > bin/deb/sinkhole.8.gz
	printf 'sinkhole (%s) unstable; urgency=medium\n\n  * See README.md.\n\n -- sinkhole maintainers <maintainers@sinkhole.example>  Thu, 01 Jan 2026 00:00:00 +0000\n' '$(DEB_VERSION)' | gzip -9n > bin/deb/changelog.gz
	DEB_ARCH=$(DEB_ARCH) DEB_VERSION='$(DEB_VERSION)' $(NFPM) package --config nfpm.yaml --packager deb --target bin/

clean:
	rm -rf bin
