"""Owns nginx as a subject, as a careful user runs it today: passive checks and the next upstream for whatever may be sent
again. It has no health checks of its own.
"""
from peers import Peer
from watch import Replica

# `proxy_next_upstream` sends a POST again only if nothing of it was sent.
CONFIGURATION = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes auto; worker_rlimit_nofile 20000;
events {{ worker_connections 8000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream web {{
    zone web 64k;
    random;
    keepalive 64;
{servers}
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout 250ms;
      proxy_read_timeout 2s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503;
      proxy_next_upstream_tries 3;
      proxy_next_upstream_timeout 10s;
    }}
  }}
}}
"""


class Nginx(Peer):
    name, program = "nginx", "nginx"

    def line(self, ports):
        servers = "\n".join(f"    server 127.0.0.1:{port} max_fails=3 fail_timeout=1s;" for port in ports.values())
        file = self.folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, servers=servers))
        # Its workers may be somebody else.
        self.folder.chmod(0o755)
        return ["nginx", "-c", file, "-p", self.folder]

    def look(self):
        # What it thinks of its servers it does not tell.
        return lambda: [Replica(name, (name, process.pid), process.poll() is None, "", None, None) for name, process in sorted(self.lives.items())]
