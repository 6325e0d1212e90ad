# `make help` lists the targets. Needed: Go, git and make; everything else is pinned in a go.mod.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROOT := $(CURDIR)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -buildid= -X main.version=$(VERSION)

# What is pinned stays pinned: no command edits a go.mod. The user's own flags stay, ours come last.
export GOFLAGS := $(strip $(filter-out -mod=%,$(shell go env GOFLAGS)) -mod=readonly)
export GOWORK := off

# Modules in this tree. Those of PIN_MODULES only hold the versions of programs that we build and run.
ALL_MODULES := . $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod \
	-not -path '*/testdata/*' -not -path './bin/*' -not -path '*/.*')))
PIN_MODULES := hack/tools hack/controlplane test/monitoring/promtool \
	hack/cluster/kubernetes hack/cluster/containerd hack/cluster/coredns hack/cluster/helm
CODE_MODULES := $(filter-out $(PIN_MODULES),$(ALL_MODULES))
export ALL_MODULES CODE_MODULES

# Tools come from hack/tools/go.mod; Go keeps the built binaries in its cache.
TOOL := go tool -modfile=$(ROOT)/hack/tools/go.mod
CONTROLLER_GEN := $(TOOL) controller-gen
WAIT := hack/heartbeat.sh

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: ## A real login through the proxy, blue to green, the sunset. KEEP=1 leaves it running.
	@cd demo && $(ROOT)/$(WAIT) "build the demo" go build -o ../bin/demo .
	@KEEP=$(KEEP) bin/demo

.PHONY: control-plane
control-plane: ## Start a control plane for development and print its kubeconfig.
	go run ./hack/devcluster

##@ A real cluster

.PHONY: cluster
cluster: ## Start a Kubernetes node on this machine (Linux, root; no Docker). CLUSTER_DIR chooses where its state is.
	@hack/cluster/up.sh

.PHONY: cluster-load
cluster-load: ## Build the manager and the proxy and bring their images to the node.
	@hack/cluster/load.sh

.PHONY: cluster-down
cluster-down: ## End the cluster and remove everything of it.
	@hack/cluster/down.sh

.PHONY: cluster-test
cluster-test: ## Start a cluster, use it, end it, and compare the machine with what it was before.
	@hack/cluster/test.sh

.PHONY: e2e
e2e: ## Install by Helm on a real node and break it, end to end. E2E_KUBECONFIG: on any cluster, such as kind.
	@test/cluster/run.sh

##@ Develop

.PHONY: build
build: ## Build the manager, the proxy and kubectl-callback, static, into bin/.
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/manager ./cmd/manager
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/proxy ./cmd/proxy
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kubectl-callback ./cmd/kubectl-callback

.PHONY: generate
generate: ## Generate deep copies and apply configurations of the API types.
	@$(WAIT) "generate code" $(CONTROLLER_GEN) \
	  object:headerFile=hack/boilerplate.go.txt paths=./api/...
	@rm -rf api/v1alpha1/applyconfiguration
	@$(WAIT) "generate apply configurations" $(CONTROLLER_GEN) \
	  applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRDs, the manager's RBAC, and what is made of them: the chart's copies and the kustomize bases.
	@rm -rf config/crd/bases
	@$(WAIT) "generate CRDs" $(CONTROLLER_GEN) \
	  crd:generateEmbeddedObjectMeta=false paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(WAIT) "generate RBAC" $(CONTROLLER_GEN) \
	  rbac:roleName=callback-manager paths=./controllers/... output:rbac:artifacts:config=config/rbac
	@$(MAKE) chart

.PHONY: chart
chart: ## Bring the chart's copies, its README and the kustomize bases up to date.
	@cd test/chart && $(ROOT)/$(WAIT) "render chart" go run ./generate

.PHONY: fmt
fmt: ## Format all Go code.
	@for m in $(CODE_MODULES); do (cd $$m && $(TOOL) golangci-lint fmt --config $(ROOT)/.golangci.yml ./...); done

##@ Check

.PHONY: lint
lint: ## Lint all modules, and the API types against the Kubernetes conventions.
	@hack/lint.sh

.PHONY: test
test: ## Run all tests of all modules, against a real API server, with the race detector.
	@hack/test.sh

.PHONY: verify
verify: ## Regenerate, lint, check modules and licenses; fail when anything differs from the commit.
	@hack/verify.sh

.PHONY: bench
bench: ## Run the micro-benchmarks.
	go test -run '^$$' -bench . -benchmem ./controllers/... ./proxy/...

.PHONY: bench-propagation
bench-propagation: ## Measure from a changed backend to the first request that the new one serves.
	KUBEBUILDER_ASSETS=$$(hack/controlplane/build.sh) go test -run "^$$" -bench Propagation -benchtime 100x -timeout 30m ./test/e2e

.PHONY: bench-scale
bench-scale: ## Measure 100, 1,000 and 10,000 routes on 20 proxies. SCALE_ROUTES=100,1000 chooses.
	go test -run '^$$' -bench '^BenchmarkScale$$' -benchtime 1x -timeout 90m ./test/scale

FAULTS ?= full
.PHONY: faults
faults: ## Break everything for as long as it must be survived, and print a table. FAULTS=fast: ten minutes instead of hours.
	cd test/faults && FAULTS=$(FAULTS) KUBEBUILDER_ASSETS=$$($(ROOT)/hack/controlplane/build.sh) go test -count=1 -timeout 5h

##@ Release

.PHONY: install-manifest
install-manifest: ## Write everything that an installation needs into dist/install.yaml.
	@mkdir -p dist
	@"$$(hack/controlplane/build.sh)"/kubectl kustomize config/default >dist/install.yaml
	@echo dist/install.yaml

.PHONY: sbom
sbom: build ## List what is in the binaries, in dist/sbom, as CycloneDX.
	@hack/sbom.sh $(VERSION) bin/manager bin/proxy bin/kubectl-callback

.PHONY: reproduce
reproduce: ## Build the last commit's binaries twice, independently, and compare them.
	@hack/reproduce.sh

##@ Clean up

.PHONY: clean
clean: ## Remove what was built here (not Go's caches, not the cached control plane).
	rm -rf bin dist
