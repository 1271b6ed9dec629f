#!/usr/bin/env bash
# Packs a program of this machine as an image, where none can be pulled: `FROM scratch`, with the program, the
# libraries that it is linked with, its accounts and the folders that it needs. What comes of it is as a stock image
# is: it begins as root, and steps down.
#
#   examples/images/pack.sh nginx [IMAGE]      Debian's nginx (default: evenkeel-example-nginx), port 80,
#                                              pages in /srv; what is PUT below /data is kept in /data
set -euo pipefail

program=${1:?usage: pack.sh nginx [IMAGE]}
image=${2:-evenkeel-example-$program}
[ "$program" = nginx ] || { echo "pack.sh knows nginx, not $program" >&2; exit 2; }
binary=$(PATH=$PATH:/usr/sbin command -v nginx) || { echo "there is no nginx on this machine (apt install nginx)" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
mkdir -p "$root"/{etc/nginx,run,tmp,srv,var/log/nginx,var/lib/nginx}

# The program, with every library and the loader under the very path that it looks for.
mkdir -p "$root/usr/sbin"
cp -L "$binary" "$root/usr/sbin/nginx"
ldd "$binary" | grep -o '/[^ )]*' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cp -L /etc/nginx/mime.types "$root/etc/nginx/"
grep -E '^(root|www-data|nobody):' /etc/passwd >"$root/etc/passwd"
grep -E '^(root|www-data|nogroup):' /etc/group >"$root/etc/group"

cat >"$root/etc/nginx/nginx.conf" <<'CONF'
user www-data;
worker_processes 2;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
    include mime.types;
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 80;
        root /srv;
        location /data/ {
            root /;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }
    }
}
CONF
echo "packed by evenkeel" >"$root/srv/index.html"

# A new volume begins as the folder of the image that it lies on, its owner included.
mkdir "$folder/data"
echo "what is PUT here stays" >"$folder/data/README"

cat >"$folder/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY root/ /
COPY --chown=www-data:www-data data/ /data/
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["/usr/sbin/nginx"]
DOCKERFILE
docker build --quiet --tag "$image" "$folder" >/dev/null
echo "$image"
