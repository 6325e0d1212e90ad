# check=error=true;experimental=all

# Two images from one source: --target manager (callback-manager) and --target proxy (callback-proxy).
# Each is one static binary on scratch that runs as user 65532 without a shell, a libc or write access
# outside of its volumes. hack/dockerfile.sh checks this file without a container engine: it runs these
# go build commands on a copy of these files.

# GO_VERSION is the Go that builds the images; never older than the go line of go.mod.
ARG GO_VERSION=1.26.8

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS source
ENV GOFLAGS="-mod=readonly -buildvcs=false" GOTOOLCHAIN=local
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY internal internal
COPY proxy proxy
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev

FROM source AS build-manager
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -buildid= -X main.version=$VERSION" -o bin/manager ./cmd/manager

FROM source AS build-proxy
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -buildid= -X main.version=$VERSION" -o bin/proxy ./cmd/proxy

FROM scratch AS manager
ARG VERSION=dev
LABEL org.opencontainers.image.title="callback-manager" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=source /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-manager /src/bin/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]

FROM scratch AS proxy
ARG VERSION=dev
LABEL org.opencontainers.image.title="callback-proxy" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=source /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build-proxy /src/bin/proxy /proxy
USER 65532:65532
ENTRYPOINT ["/proxy"]
