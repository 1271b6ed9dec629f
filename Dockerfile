# Builds Evenkeel from source for whoever has Docker but no Rust:
#
#   docker build --tag evenkeel --tag evenkeel-replica .
#
# The image is both the balancer and the demo replica; the command decides which. With Rust at
# hand, `make image` is faster: it compiles outside of Docker.
#
# Nothing here needs BuildKit, so engines without it build this file too.

# Debian's C library rather than Alpine's, whose memory allocator is slow under several threads.
# By its digest, which nobody can give to another image. To renew it, with the version here and in Cargo.toml:
#
#   docker pull rust:1.95.0-slim-bookworm
#   docker image inspect --format '{{index .RepoDigests 0}}' rust:1.95.0-slim-bookworm
FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS toolchain
# The allocator is built with it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
# A static binary is the only file of the final image. With --target, the flag leaves alone what
# runs during the build, which cannot be static.
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_TARGET_DIR=/target \
    CARGO_TERM_COLOR=never

# The workspace with every source file emptied. It changes when a manifest or the list of files
# does, and with it the layer of compiled dependencies below. An edit to the code keeps both.
FROM toolchain AS outline
WORKDIR /outline
COPY . .
RUN find . -name '*.rs' | while read -r file; do echo 'fn main() {}' > "$file"; done

FROM toolchain AS build
WORKDIR /outline
COPY --from=outline /outline .
# What was compiled from the empty files goes again: the files to come may be older than it, and
# Cargo would take it for up to date.
RUN cargo build --profile dist --locked --package evenkeel --no-default-features --target host-tuple \
    && cargo clean --profile dist --workspace --target host-tuple

WORKDIR /source
COPY . .
RUN cargo build --profile dist --locked --package evenkeel --no-default-features --target host-tuple \
    && cp /target/*/dist/evenkeel /evenkeel \
    && /evenkeel --version | grep evenkeel
RUN headers="$(readelf --program-headers /evenkeel)" || exit 1; case "$headers" in *INTERP*) \
      echo "the binary is not static: it would not start in an empty image" >&2; exit 1;; esac

FROM scratch
LABEL org.opencontainers.image.title="evenkeel" \
      org.opencontainers.image.description="An HTTP load balancer that owns its replicas" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /evenkeel /evenkeel
# Nobody, by number, for there is no /etc/passwd here. A balancer that starts containers needs the
# Docker socket and is given another user for it; see docker-compose.yml.
USER 65534:65534
EXPOSE 5000
ENTRYPOINT ["/evenkeel"]
CMD ["replica", "--listen", "0.0.0.0:5000"]
