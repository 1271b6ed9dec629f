//! An nginx of the test's own, with a file that names ports and folders of an ordinary machine: they are moved to
//! free ones, and nothing else of it is changed.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::rig::backend::Backend;

/// A file of the example, and where what it names is on this machine.
pub(crate) struct NginxFile<'a> {
    pub(crate) text: &'a str,
    pub(crate) folder: &'a Path,
    /// Three that are alike, and the API.
    pub(crate) applications: &'a [Backend],
}

pub(crate) struct Nginx {
    process: Child,
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
}

impl NginxFile<'_> {
    /// A file with the ports and folders of this machine.
    pub(crate) fn moved(&self, text: &str) -> String {
        let folder = self.folder.display().to_string();
        let mut text = text
            .replace("/etc/ssl", &folder)
            .replace("/srv/www", &folder)
            .replace("/etc/nginx/htpasswd", &format!("{folder}/htpasswd"))
            .replace("/run/nginx-switch.pid", &format!("{folder}/nginx.pid"));
        for (port, application) in ["9001", "9002", "9003", "9010"].into_iter().zip(self.applications) {
            text = text.replace(&format!("127.0.0.1:{port}"), &application.address.to_string());
        }
        // Nobody listens there.
        text.replace("127.0.0.1:9020", "127.0.0.1:1")
    }
}

impl Nginx {
    /// Nothing, with a word about it, where there is no nginx.
    pub(crate) fn start(file: &NginxFile<'_>) -> Option<Self> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            let is_required = std::env::var_os("EVENKEEL_REQUIRE_NGINX").is_some();
            assert!(!is_required, "EVENKEEL_REQUIRE_NGINX is set and there is no nginx");
            eprintln!("skipped: there is no nginx on this machine");
            return None;
        }
        let [plain, secure] = [(); 2].map(|()| free_address());
        let folder = file.folder;
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", folder.join(name).display()));
        let text = file
            .moved(file.text)
            .replace("listen 80 ", &format!("listen {plain} "))
            .replace("listen 443 ", &format!("listen {secure} "))
            .replace("http {\n", &format!("http {{\naccess_log off;\n{}", temporary.concat()));
        let path = folder.join("nginx.conf");
        fs::write(&path, text).unwrap();
        let process = Command::new("nginx")
            .args(["-e", "stderr", "-g", "daemon off;", "-c"])
            .arg(&path)
            .arg("-p")
            .arg(folder)
            .spawn()
            .unwrap();
        Some(Self { process, plain, secure })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
