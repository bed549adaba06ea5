//! nginx as a relay, where it is installed: one process, kept connections to the upstream, nothing logged.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::servers::{Server, free_address};

/// Starts nginx in a folder of its own; an error says why it cannot run.
pub fn start(folder: &Path, upstream: SocketAddr) -> Result<Server, String> {
    let address = free_address();
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let config = folder.join("nginx.conf");
    fs::write(&config, config_text(folder, address, upstream))
        .map_err(|error| error.to_string())?;
    let mut nginx = Command::new("nginx");
    nginx
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = nginx
        .spawn()
        .map_err(|_| "nginx is not installed".to_owned())?;
    Server::started(address, child)
}

fn config_text(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_rlimit_nofile 20000;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 16000; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
         keepalive_requests 1000000;\n  upstream up {{ server {upstream}; keepalive 128; keepalive_requests 1000000; }}\n  \
         server {{ listen {address} backlog=4096; location / {{ proxy_pass http://up; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}\n}}\n"
    )
}
