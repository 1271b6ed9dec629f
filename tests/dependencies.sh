#!/usr/bin/env bash
# Every dependency, also of the workspaces that only fuzz or measure: its license, where it comes from, and
# whether a weakness of it is known. Needs cargo-deny (see deny.toml).
set -euo pipefail
cd "$(dirname "$0")/.."

FETCH_SECONDS=60
workspaces=(Cargo.toml fuzz/Cargo.toml bench/placement/Cargo.toml)

deny() { cargo deny --manifest-path "$1" --config "$config" --locked --log-level warn "${@:2}"; }

# The database of advisories: a copy that somebody names, or a fresh one, or none.
config=$PWD/deny.toml
fetched=()
has_advisories=yes
if [ -n "${ADVISORY_DB:-}" ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  sed "s|^\[advisories\]|&\ndb-path = \"$scratch\"|" deny.toml > "$scratch/deny.toml"
  config=$scratch/deny.toml
  # What cargo-deny calls its clone of https://github.com/RustSec/advisory-db.
  git -c advice.detachedHead=false clone --quiet "$ADVISORY_DB" "$scratch/advisory-db-3157b0e258782691"
  git -C "$scratch/advisory-db-3157b0e258782691" fetch --quiet
  fetched=(--offline)
elif ! said=$(timeout "$FETCH_SECONDS" cargo deny --locked --log-level error fetch db 2>&1); then
  has_advisories=no
fi

for workspace in "${workspaces[@]}"; do
  echo "$workspace: bans, licenses, sources"
  deny "$workspace" check --hide-inclusion-graph bans licenses sources
  if [ "$has_advisories" = yes ]; then
    echo "$workspace: advisories"
    deny "$workspace" "${fetched[@]}" check advisories
  fi
done
if [ "$has_advisories" = no ]; then
  echo "SKIPPED: advisories. Their database cannot be reached from here (${said##*fatal: }); ADVISORY_DB=/a/clone/of/it uses a copy"
fi
