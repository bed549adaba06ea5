//! Server process on the folder under test: sets it up with its keys, starts it, calls it over HTTP, kills it by its own id.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fill::KEYS;

const TEAMS: usize = 5;
const READY_MAX: Duration = Duration::from_secs(120);
/// Verification of ten million requests takes minutes.
const RESPONSE_MAX: Duration = Duration::from_secs(1_800);

pub struct Server {
    address: SocketAddr,
    child: Child,
    admin: String,
}

impl Server {
    /// Creates the data folder with 50 keys in 5 teams, each with budgets; returns the administrative key.
    pub fn set_up(folder: &Path, data: &Path) -> String {
        let output = Command::new(binary())
            .arg("init")
            .arg("--data")
            .arg(data)
            .current_dir("/")
            .output()
            .expect("init runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let admin = words
            .find(|word| word.starts_with("sk-gk-master-"))
            .expect("init prints a key")
            .to_owned();
        let server = Server::start(folder).with_key(admin.clone());
        let budgets = json!([{"limit": "1000000", "period": "daily"}, {"limit": "1000000", "period": "monthly"}]);
        for number in 0..KEYS {
            let team = format!("team-{}", number % TEAMS);
            if number < TEAMS {
                server.post(
                    "/v1/teams",
                    &json!({"name": team, "models": ["*"], "budgets": budgets}),
                );
            }
            server
                .post("/v1/keys", &json!({"name": format!("key-{number}"), "team": team, "models": ["*"], "budgets": budgets}));
        }
        server.stop();
        admin
    }

    /// Starts the server and waits until it is ready.
    pub fn start(folder: &Path) -> Server {
        let (config, log) = (folder.join("gatekeeper.toml"), folder.join("log"));
        let address = free_address();
        let toml =
            format!("listen = \"{address}\"\ndata = \"data\"\nworkers = 1\n[providers.ollama]\n");
        fs::write(&config, toml).expect("the config is written");
        let output = File::create(&log).expect("the log is made");
        let errors = output.try_clone().expect("the log is shared");
        let mut serve = Command::new(binary());
        serve
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut server = Server {
            address,
            child: serve.spawn().expect("the server starts"),
            admin: String::new(),
        };
        let start = Instant::now();
        while server
            .send("GET", "/readyz", "")
            .is_none_or(|(status, _)| status != 200)
        {
            let exit = server
                .child
                .try_wait()
                .expect("the server is a child process");
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(
                exit.is_none() && start.elapsed() < READY_MAX,
                "the server is not ready: {exit:?} {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Records of the log that the books lacked at the last start.
    pub fn replayed(folder: &Path) -> u64 {
        let log = fs::read_to_string(folder.join("log")).expect("the log of the server");
        let line = log.lines().find(|line| line.contains("only the log had"));
        let words = line.into_iter().flat_map(|line| line.split_whitespace());
        words
            .filter_map(|word| word.strip_prefix("records=")?.parse().ok())
            .next()
            .unwrap_or(0)
    }

    pub fn with_key(mut self, admin: String) -> Server {
        self.admin = admin;
        self
    }

    /// Stops the server with SIGTERM and waits for its end.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill")
            .arg("-TERM")
            .arg(pid)
            .status()
            .expect("kill runs");
        assert!(kill.success() && self.child.wait().expect("the server ends").success());
    }

    /// Restarts the server, so that its cache is empty.
    pub fn restart(self, folder: &Path) -> Server {
        let admin = self.admin.clone();
        self.stop();
        Server::start(folder).with_key(admin)
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self
            .send("GET", path, "")
            .unwrap_or_else(|| panic!("no response to GET {path}"));
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    fn post(&self, path: &str, body: &Value) {
        let (status, text) = self
            .send("POST", path, &body.to_string())
            .unwrap_or_else(|| panic!("no response to POST {path}"));
        assert_eq!(status, 201, "POST {path}: {text}");
    }

    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.send("GET", "/metrics", "").expect("metrics");
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name))
            .unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{line}"))
    }

    /// Returns the peak resident memory of the process.
    pub fn memory_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the server still runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("VmHWM");
        let kb: f64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of kB");
        kb * 1_024.0 / 1e6
    }

    /// Returns status and body; `None` if the server is unreachable.
    fn send(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(RESPONSE_MAX)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.admin,
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the binary named by GATEKEEPER_BIN, else the one built by cargo.
fn binary() -> PathBuf {
    let named = std::env::var_os("GATEKEEPER_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatekeeper")))
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}
