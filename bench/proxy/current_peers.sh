#!/usr/bin/env bash
# Puts the newest nginx and HAProxy that Debian has into target/bench-peers, beside what this machine has
# installed and without touching it: their packages are unpacked there, with the libraries that they need.
#
#   bench/proxy/current_peers.sh
#   PATH="$PWD/target/bench-peers/bin:$PATH" bench/proxy/run.py
set -euo pipefail
cd "$(dirname "$0")/../.."

suite=${1:-sid}
home=$PWD/target/bench-peers
root=$home/root
rm -rf "$home"
mkdir -p "$home"/{bin,root} "$home"/apt/{lists/partial,cache/archives/partial}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] http://deb.debian.org/debian $suite main" > "$home/apt/sources.list"
: > "$home/apt/status"
settings=(-o "Dir::State::lists=$home/apt/lists" -o "Dir::State::status=$home/apt/status" -o "Dir::Cache=$home/apt/cache"
  -o "Dir::Etc::sourcelist=$home/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
apt-get "${settings[@]}" -qq update
apt-get "${settings[@]}" -qq install --yes --download-only --no-install-recommends nginx haproxy > /dev/null
for package in "$home"/apt/cache/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
for name in nginx haproxy; do
  # Their own loader and libraries: those of this machine may be older.
  cat > "$home/bin/$name" <<END
#!/bin/sh
exec $root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $root/usr/lib/x86_64-linux-gnu --argv0 $name $root/usr/sbin/$name "\$@"
END
  chmod +x "$home/bin/$name"
  "$home/bin/$name" -v 2>&1 | head -1
done
rm -r "$home/apt"
