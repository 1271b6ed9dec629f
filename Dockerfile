# Builds Evenkeel from source for whoever has Docker but no Rust:
#
#   docker build --tag evenkeel --tag evenkeel-replica .
#
# The image is both the balancer and the demo replica; the command decides which. With Rust at
# hand, `make image` is faster: it compiles outside of Docker.
#
# Nothing here needs BuildKit, so engines without it build this file too.

# Debian's C library rather than Alpine's, whose memory allocator is slow under several threads.
FROM rust:1.95-slim-bookworm AS toolchain
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
RUN cargo build --release --locked --package evenkeel --target host-tuple \
    && cargo clean --release --workspace --target host-tuple

WORKDIR /source
COPY . .
RUN cargo build --release --locked --package evenkeel --target host-tuple \
    && cp /target/*/release/evenkeel /evenkeel \
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
