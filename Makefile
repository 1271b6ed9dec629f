# `make` alone says what there is. Every target is a few commands that can be typed by hand.

.DEFAULT_GOAL := help
.PHONY: help image image-from-source up down test compose-test deny clean distclean

DOCKER ?= docker
CARGO ?= cargo
# The plugin of newer engines or the program of older ones, whichever is there.
COMPOSE ?= $(shell if $(DOCKER) compose version > /dev/null 2>&1; then echo $(DOCKER) compose; else echo docker-compose; fi)
# The name is given here, so that it does not depend on what the checkout's folder is called.
PROJECT = $(COMPOSE) --project-name evenkeel

IMAGE = evenkeel:latest
REPLICA_IMAGE = evenkeel-replica:latest
# The owners of what `make up` and `evenkeel up --driver docker` start.
OWNERS = evenkeel-compose $(DEMO_OWNER)
DEMO_OWNER = 127.0.0.1:5000

TARGET = $(shell uname -m)-unknown-linux-gnu
# A folder of its own: other flags in the shared one would compile everything anew each time.
STATIC_DIR = target/static
# `make image PROFILE=release` is there in half of the time, and a little slower at its work.
PROFILE ?= dist
BINARY = $(STATIC_DIR)/$(TARGET)/$(PROFILE)/evenkeel
# The program on this host. What `evenkeel up --driver docker` has left is for it to end: nothing else can prove whose it is.
HOST_PROGRAM = $(firstword $(wildcard $(BINARY) target/release/evenkeel target/debug/evenkeel))
END_DEMO = if [ -n "$$($(DOCKER) ps --all --quiet --filter label=evenkeel.owner=$(DEMO_OWNER) --filter ancestor=$(REPLICA_IMAGE))" ]; then \
	if [ -n "$(HOST_PROGRAM)" ]; then env -u EVENKEEL_CONFIG -u EVENKEEL_LISTEN $(HOST_PROGRAM) down; \
	else echo "containers of 'evenkeel up --driver docker' are there; 'evenkeel down' ends them" >&2; fi; fi
# All that Docker is sent.
CONTEXT = target/image

help: ## Say what there is
	@echo "Evenkeel: an HTTP load balancer that owns its replicas"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Begin with:  make image && make up"
	@echo "Without Docker:  cargo run --release -- up"

image: ## Compile a static binary and build the image evenkeel, also called evenkeel-replica
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --profile $(PROFILE) --locked --package evenkeel --no-default-features \
		--target $(TARGET) --target-dir $(STATIC_DIR)
	@headers="$$(readelf --program-headers $(BINARY))" || exit 1; case "$$headers" in *INTERP*) \
		echo "$(BINARY) is not static: it would not start in an empty image" >&2; exit 1;; esac
	rm -rf $(CONTEXT) && mkdir -p $(CONTEXT) && cp $(BINARY) $(CONTEXT)/evenkeel
	$(DOCKER) build --file deploy/Dockerfile.prebuilt --tag $(IMAGE) --tag $(REPLICA_IMAGE) $(CONTEXT)

image-from-source: ## The same image without Rust on this machine: compiles inside Docker, slower
	$(DOCKER) build --tag $(IMAGE) --tag $(REPLICA_IMAGE) .

up: ## Start the balancer and three replicas as containers, on port 5000
	@$(DOCKER) image inspect $(IMAGE) $(REPLICA_IMAGE) > /dev/null || { echo "run 'make image' first" >&2; exit 1; }
	@$(END_DEMO)
	$(PROJECT) up --detach
	@echo
	@echo "Ask a replica:      curl http://127.0.0.1:5000/home"
	@echo "Who they are:       curl http://127.0.0.1:5000/rep"
	@echo "How they are:       $(PROJECT) exec balancer /evenkeel ps"
	@echo "End:                make down"

# The balancer first; then the demo on this host, which has the same names and the same network; then what the balancer keeps, or
# has left because it was killed, by a look at its state; and last the network, which nobody may be on.
down: ## Stop the balancer and all of its replicas; what was asked of it is kept for the next start
	@$(PROJECT) stop
	@$(END_DEMO)
	@if $(DOCKER) volume inspect evenkeel-state > /dev/null 2>&1 && $(DOCKER) image inspect $(IMAGE) > /dev/null 2>&1; then \
		$(PROJECT) run --rm --no-deps -T balancer down --config /etc/evenkeel/evenkeel.toml; fi
	@$(PROJECT) down

test: ## Run all tests
	$(CARGO) test --workspace

compose-test: ## Try 'up', 'down' and 'clean' for real; needs the image
	tests/compose.sh

deny: ## Check licenses, origins and known weaknesses of all dependencies; needs cargo-deny
	tests/dependencies.sh

# The balancer goes first, or it would replace what is removed here. Its replicas are still on the
# network if it was killed, and then compose cannot remove that: hence the dash, and the rest. Labels
# can be written by anybody, so only what runs the demo's image goes, and the network by its name; what
# else carries them is shown.
clean: ## End everything and remove containers, networks and volumes of the demo; the images stay
	-$(PROJECT) down --volumes
	@for owner in $(OWNERS); do \
		label="label=evenkeel.owner=$$owner"; \
		for id in $$($(DOCKER) ps --all --quiet --filter "$$label" --filter "ancestor=$(REPLICA_IMAGE)"); do \
			$(DOCKER) rm --force --volumes $$id; \
		done; \
		for id in $$($(DOCKER) network ls --quiet --filter "$$label" --filter "name=^evenkeel$$"); do $(DOCKER) network rm $$id; done; \
		left="$$($(DOCKER) ps --all --filter "$$label" --format '{{.Names}} ({{.Image}})')"; \
		if [ -n "$$left" ]; then printf 'left alone, though labelled as ours; look at them:\n%s\n' "$$left"; fi; \
	done

distclean: clean ## The same, and the images and everything that was compiled
	@for image in $(IMAGE) $(REPLICA_IMAGE); do \
		if $(DOCKER) image inspect $$image > /dev/null 2>&1; then $(DOCKER) image rm $$image; fi; \
	done
	$(CARGO) clean
