# `make help` lists the targets. Requires Go, git and make; all other tools are pinned in a go.mod. Targets that use a cluster require
# kubectl, and those that build images a container engine.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROOT := $(CURDIR)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Registry and path of both images, such as registry.example.com/identity; their tag is VERSION.
REGISTRY ?=
# File with values of the chart for build-installer and deploy.
VALUES ?=
KUBECTL ?= kubectl
CONTAINER_TOOL ?= docker
# Without debug information, as the linker drops it (-s -w): hack/controlplane compiles with the same flags, so they share packages.
BUILD_FLAGS := -trimpath -gcflags=all=-dwarf=false
LDFLAGS := -s -w -buildid= -X main.version=$(VERSION)

# No command edits a go.mod. The user's other flags are kept.
export GOFLAGS := $(strip $(filter-out -mod=%,$(shell go env GOFLAGS)) -mod=readonly)
export GOWORK := off

# The modules of the repository. Those of PIN_MODULES only pin versions of programs.
ALL_MODULES := . $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod \
	-not -path '*/testdata/*' -not -path './bin/*' -not -path '*/.*')))
PIN_MODULES := hack/tools hack/controlplane test/monitoring/promtool \
	hack/cluster/kubernetes hack/cluster/containerd hack/cluster/coredns hack/cluster/helm test/bench/caddy
CODE_MODULES := $(filter-out $(PIN_MODULES),$(ALL_MODULES))
export ALL_MODULES CODE_MODULES

# Tools come from hack/tools/go.mod; Go keeps the built binaries in its cache.
TOOL := go tool -modfile=$(ROOT)/hack/tools/go.mod
CONTROLLER_GEN := $(TOOL) controller-gen
WAIT := hack/heartbeat.sh

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: ## Run a login through the proxy, a switch from blue to green, and a sunset. KEEP=1 leaves the demo running.
	@CGO_ENABLED=0 $(WAIT) "build the manager and the proxy" \
	  go build $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/manager ./cmd/proxy
	@cd demo && CGO_ENABLED=0 $(ROOT)/$(WAIT) "build the demo" go build $(BUILD_FLAGS) -o ../bin/demo .
	@KEEP=$(KEEP) bin/demo -programs bin

.PHONY: control-plane
control-plane: ## Start a control plane for development and print its kubeconfig.
	go run ./hack/devcluster

##@ Deploy to the cluster of your kubeconfig

.PHONY: install
install: ## Install the CRDs.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Delete the CRDs, and with them all CallbackRoutes and CallbackProxies.
	$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: run
run: ## Run the manager on this machine. ARGS="--watch-namespaces=identity" sets flags.
	go run ./cmd/manager $(ARGS)

.PHONY: deploy
deploy: build-installer ## Install everything: CRDs, manager, roles and policies. Needs REGISTRY or VALUES.
	$(KUBECTL) apply --server-side -f dist/install.yaml
	@if $(KUBECTL) get --raw /apis/admissionregistration.k8s.io/v1 | grep -q '"mutatingadmissionpolicies"'; \
	  then $(KUBECTL) apply --server-side -f dist/injection.yaml; \
	  else echo "no injection of sidecars: the API server has no MutatingAdmissionPolicy (Kubernetes 1.36)"; fi

.PHONY: undeploy
undeploy: ## Delete everything that deploy installs, and with the CRDs all CallbackRoutes and CallbackProxies.
	@$(MAKE) build-installer REGISTRY='$(or $(REGISTRY),registry.example.com)'
	@if $(KUBECTL) get --raw /apis/admissionregistration.k8s.io/v1 | grep -q '"mutatingadmissionpolicies"'; \
	  then $(KUBECTL) delete --ignore-not-found -f dist/injection.yaml; fi
	$(KUBECTL) delete --ignore-not-found -f dist/install.yaml

##@ Test cluster

.PHONY: cluster
cluster: ## Start a Kubernetes node on this machine (Linux, root; no Docker). CLUSTER_DIR is the directory of its state.
	@hack/cluster/up.sh

.PHONY: cluster-load
cluster-load: ## Build the manager and the proxy and load their images into the node.
	@hack/cluster/load.sh

.PHONY: cluster-down
cluster-down: ## Stop the cluster and remove its state.
	@hack/cluster/down.sh

.PHONY: cluster-test
cluster-test: ## Start a cluster, use it, stop it, and check that nothing is left on the machine.
	@hack/cluster/test.sh

.PHONY: e2e
e2e: ## Install by Helm on a real node and inject faults. E2E_KUBECONFIG selects another cluster, such as kind.
	@test/cluster/run.sh

##@ Develop

.PHONY: build
build: ## Build the manager, the proxy and kubectl-callback, static, into bin/.
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o bin/manager ./cmd/manager
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o bin/proxy ./cmd/proxy
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o bin/kubectl-callback ./cmd/kubectl-callback

.PHONY: generate
generate: ## Generate deep copies and apply configurations of the API types.
	@$(WAIT) "generate code" $(CONTROLLER_GEN) \
	  object:headerFile=hack/boilerplate.go.txt paths=./api/...
	@rm -rf api/v1alpha1/applyconfiguration
	@$(WAIT) "generate apply configurations" $(CONTROLLER_GEN) \
	  applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRDs, the manager's RBAC and the chart's README.
	@rm -rf config/crd/bases
	@$(WAIT) "generate CRDs" $(CONTROLLER_GEN) \
	  crd:generateEmbeddedObjectMeta=false paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(WAIT) "generate RBAC" $(CONTROLLER_GEN) \
	  rbac:roleName=callback-manager paths=./controllers/... output:rbac:artifacts:config=config/rbac
	@$(MAKE) chart

.PHONY: chart
chart: ## Generate the chart's README from the comments of values.yaml.
	@cd hack/chart && $(ROOT)/$(WAIT) "generate the chart's README" go run . readme

.PHONY: setup-envtest
setup-envtest: ## Make etcd, kube-apiserver and kubectl available for tests and print KUBEBUILDER_ASSETS.
	@assets=$$(hack/controlplane/build.sh) && echo "export KUBEBUILDER_ASSETS=$$assets"

.PHONY: fmt
fmt: ## Format all Go code.
	@for m in $(CODE_MODULES); do (cd $$m && $(TOOL) golangci-lint fmt --config $(ROOT)/.golangci.yml ./...); done

##@ Check

.PHONY: lint
lint: ## Lint all modules, and the API types against the Kubernetes conventions.
	@hack/lint.sh

.PHONY: test
test: ## Test the root module and the light modules, against a real API server, with the race detector.
	@hack/test.sh contributor

.PHONY: check
check: verify ## Run what CI runs beside `make test`: verify, chart, monitoring, fuzzing, system tests, edges, Dockerfile, SBOM.
	@hack/test.sh rest

.PHONY: verify
verify: ## Regenerate, lint, check modules; fail when anything differs from the commit.
	@hack/verify.sh

.PHONY: bench
bench: ## Compare a callback's CPU time, latency and memory with nginx, HAProxy and Caddy. ARGS="-rounds 1" sets flags.
	@hack/bench.sh $(ARGS)

.PHONY: bench-micro
bench-micro: ## Run the micro-benchmarks.
	go test -run '^$$' -bench . -benchmem ./controllers/... ./proxy/...

.PHONY: bench-propagation
bench-propagation: ## Measure the time from a change of a route to the first callback at the new backend.
	KUBEBUILDER_ASSETS=$$(hack/controlplane/build.sh) go test -run "^$$" -bench Propagation -benchtime 100x -timeout 30m ./test/system

.PHONY: bench-scale
bench-scale: ## Measure 100, 1,000 and 10,000 routes on 20 proxies. SCALE_ROUTES=100,1000 chooses.
	go test -run '^$$' -bench '^BenchmarkScale$$' -benchtime 1x -timeout 90m ./test/scale

FAULTS ?= full
.PHONY: faults
faults: ## Run each fault for its full required duration (hours) and print a table. FAULTS=fast takes ten minutes.
	cd test/system && FAULTS=$(FAULTS) KUBEBUILDER_ASSETS=$$($(ROOT)/hack/controlplane/build.sh) go test -count=1 -timeout 5h -run TestF

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## Run each fuzz target of the proxy for FUZZTIME, 30s by default. FUZZ=Exchange selects targets.
	@FUZZTIME=$(FUZZTIME) FUZZ='$(FUZZ)' hack/fuzz.sh

SOAK ?= 1000000
.PHONY: soak
soak: ## Send a million callbacks while everything fails at random. SOAK=20000 sends fewer, SOAK_SEED repeats a run.
	cd test/system && SOAK=$(SOAK) KUBEBUILDER_ASSETS=$$($(ROOT)/hack/controlplane/build.sh) go test -count=1 -timeout 12h -run TestSoak

.PHONY: edges
edges: ## Test the proxy between real browsers and fronts (Chromium, nginx, HAProxy, Apache, Caddy) and five origins. EDGES=full takes a quarter of an hour. ARGS are flags of go test.
	@hack/edges.sh $(ARGS)

.PHONY: screenshots
screenshots: ## Take the pictures of docs/pages.md in Chromium.
	@EDGES_PICTURES='$(ROOT)/docs/pages' hack/edges.sh -run '^TestPages_'

##@ Release

.PHONY: docker-build
docker-build: require-registry ## Build both images as REGISTRY/callback-{manager,proxy}:VERSION.
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) --target manager -t $(REGISTRY)/callback-manager:$(VERSION) .
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) --target proxy -t $(REGISTRY)/callback-proxy:$(VERSION) .

.PHONY: docker-push
docker-push: require-registry ## Push both images.
	$(CONTAINER_TOOL) push $(REGISTRY)/callback-manager:$(VERSION)
	$(CONTAINER_TOOL) push $(REGISTRY)/callback-proxy:$(VERSION)

.PHONY: require-registry
require-registry:
	@[ -n "$(REGISTRY)" ] || { echo "set REGISTRY, such as REGISTRY=registry.example.com/identity" >&2; exit 1; }

.PHONY: build-installer
build-installer: ## Render dist/install.yaml and dist/injection.yaml for kubectl. Needs REGISTRY or VALUES.
	@cd hack/chart && go run . installer -registry '$(REGISTRY)' -tag '$(VERSION)' -values '$(VALUES)' -output dist

.PHONY: sbom
sbom: build ## Write the modules of the binaries to dist/sbom, in CycloneDX format.
	@hack/sbom.sh $(VERSION) bin/manager bin/proxy bin/kubectl-callback

.PHONY: reproduce
reproduce: ## Build the binaries of the last commit twice, independently, and compare them.
	@hack/reproduce.sh

##@ Clean up

.PHONY: clean
clean: ## Remove bin and dist. Go's caches and the cached control plane stay.
	rm -rf bin dist
