//! The real thing: the built binary in a folder of its own, told only by its config file and its HTTP API, and ended only
//! by its own process id. When it is dropped, its books are checked, and that it never panicked.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::client::Response;
pub use super::instance::{Instance, Key, Team, text};
pub use super::setup::{Provider, Setup, UPSTREAM_KEY};
use super::upstream::Upstream;
use super::{DEADLINE, wait_until};

impl Setup {
    /// Makes the data folder, starts the server and waits until it is ready.
    pub fn start(self) -> Gatekeeper {
        let port = ReservedPort::new();
        let (folder, data, config) = self.written(port.address);
        let instance = Instance::new(port.address, initialise(&config, None));
        let mut gatekeeper = Gatekeeper {
            instance,
            folder,
            data,
            config,
            _port: port,
            namespace: None,
            running: None,
            starts: 0,
            books_checked: true,
        };
        gatekeeper.start();
        gatekeeper
    }
}

impl Setup {
    /// The same with a data folder of so many MiB, seen by the server alone: a tmpfs in a mount namespace. An error says
    /// why that cannot be had here.
    pub fn start_on_tmpfs(self, mib: u64) -> Result<Gatekeeper, String> {
        let port = ReservedPort::new();
        let (folder, data, config) = self.written(port.address);
        fs::create_dir(&data).expect("the data folder can be made");
        let namespace = Namespace::with_tmpfs(&data, mib)?;
        let key = initialise(&config, Some(&namespace));
        let mut gatekeeper = Gatekeeper {
            instance: Instance::new(port.address, key),
            folder,
            data: namespace.sees(&data),
            config,
            _port: port,
            namespace: Some(namespace),
            running: None,
            starts: 0,
            books_checked: true,
        };
        gatekeeper.start();
        Ok(gatekeeper)
    }
}

/// A mount namespace, for as long as the process lives that holds it.
#[derive(Debug)]
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn with_tmpfs(data: &Path, mib: u64) -> Result<Namespace, String> {
        let script = format!(
            "mount -t tmpfs -o size={mib}m tmpfs '{}' && echo mounted && exec sleep 600",
            data.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = command
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut said = String::new();
        let out = holder.stdout.take().expect("a pipe");
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said);
        if said.trim() == "mounted" {
            return Ok(Namespace { holder });
        }
        let output = holder
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        Err(format!(
            "no tmpfs in a mount namespace: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    /// A path inside, as it is reached from outside.
    fn sees(&self, path: &Path) -> PathBuf {
        let inside = path.strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(inside)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The running gateway.
#[derive(Debug)]
pub struct Gatekeeper {
    instance: Instance,
    folder: TempDir,
    pub data: PathBuf,
    pub config: PathBuf,
    _port: ReservedPort,
    namespace: Option<Namespace>,
    running: Option<Child>,
    starts: usize,
    books_checked: bool,
}

impl Deref for Gatekeeper {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl DerefMut for Gatekeeper {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }
}

impl Gatekeeper {
    /// A config without providers.
    pub fn without_providers() -> Setup {
        Setup::default()
    }

    /// One provider `up` that speaks chat, priced at 1 and 5 dollars per million tokens.
    pub fn with_upstream(upstream: &Upstream) -> Setup {
        Gatekeeper::without_providers().provider(&Provider::openai("up", upstream))
    }

    /// The folder of config, data and output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").id()
    }

    /// `kill -9`, and the process is gone.
    pub fn kill_9(&mut self) {
        let mut child = self.running.take().expect("the server runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child ends");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit()
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.running.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
    }

    /// Until the process has ended by itself; past the deadline it is killed and the test fails.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.running.take().expect("the server runs");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("the server did not end within 60 s\n{}", self.output());
    }

    /// Starts again on the same folder and port, and waits until it is ready.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        self.spawn();
        let start = Instant::now();
        while !self.is_ready() {
            let ended = self
                .running
                .as_mut()
                .and_then(|child| child.try_wait().expect("a child can be asked"));
            assert!(
                ended.is_none(),
                "the server ended with {ended:?} instead of getting ready\n{}",
                self.output()
            );
            assert!(
                start.elapsed() < DEADLINE,
                "the server was not ready within {DEADLINE:?}\n{}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts again and waits only until it listens: for a server that will not call itself ready.
    pub fn start_until_listening(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        self.spawn();
        wait_until("the server listens", || {
            std::net::TcpStream::connect(self.address()).is_ok()
        });
    }

    /// Starts a server that is expected to refuse, and returns how it ended and what it said.
    pub fn start_expecting_failure(&mut self) -> (ExitStatus, String) {
        self.spawn();
        let status = self.wait_for_exit();
        (status, self.output())
    }

    pub fn restart(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
        self.start();
    }

    /// Runs another command of the binary with this config's environment: `["verify", "sk-gk-…"]`.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        gatekeeper_command()
            .current_dir(self.folder())
            .args(arguments)
            .output()
            .expect("the binary runs")
    }

    /// What the server of this start has printed.
    pub fn output(&self) -> String {
        let file = self.folder().join(format!("serve-{}.log", self.starts));
        fs::read_to_string(file).unwrap_or_default()
    }

    /// What all starts have printed.
    pub fn all_output(&self) -> String {
        let files = (1..=self.starts).map(|start| self.folder().join(format!("serve-{start}.log")));
        files
            .map(|file| fs::read_to_string(file).unwrap_or_default())
            .collect()
    }

    /// For tests whose books are wrong on purpose.
    pub fn skip_books_check(&mut self) {
        self.books_checked = false;
    }

    fn spawn(&mut self) {
        self.starts += 1;
        let log = File::create(self.folder().join(format!("serve-{}.log", self.starts)))
            .expect("a file for the output");
        let same = log.try_clone().expect("one file for both outputs");
        let child = gatekeeper_command_in(self.namespace.as_ref())
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(same)
            .spawn()
            .expect("the binary starts");
        self.running = Some(child);
    }

    fn is_ready(&self) -> bool {
        std::net::TcpStream::connect(self.address()).is_ok()
            && self
                .try_get("/readyz")
                .is_ok_and(|answer| answer.status == 200)
    }

    fn try_get(&self, path: &str) -> Result<Response, String> {
        let mut connection = self.anon().connect();
        connection.send_request("GET", path, None);
        connection.try_read_response("GET")
    }
}

impl Drop for Gatekeeper {
    fn drop(&mut self) {
        if self.running.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("--- the server said\n{}", tail(&self.output(), 60));
        } else if self.books_checked {
            self.assert_books_agree();
            let said = self.all_output();
            assert!(
                !said.contains("panicked at"),
                "the server panicked:\n{}",
                tail(&said, 60)
            );
        }
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody else is given, through restarts: bound but never listened on.
#[derive(Debug)]
pub struct ReservedPort {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    pub fn new() -> ReservedPort {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port on loopback");
        ReservedPort {
            address: socket.local_addr().expect("a bound socket has an address"),
            _socket: socket,
        }
    }
}

/// The binary with an environment that cannot surprise it.
pub fn gatekeeper_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatekeeper"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GATEKEEPER_") {
            command.env_remove(name);
        }
    }
    command
}

fn gatekeeper_command_in(namespace: Option<&Namespace>) -> Command {
    let plain = gatekeeper_command();
    let Some(namespace) = namespace else {
        return plain;
    };
    let mut command = Command::new("nsenter");
    command
        .args(["-m", "-t", &namespace.holder.id().to_string(), "--"])
        .arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn initialise(config: &Path, namespace: Option<&Namespace>) -> String {
    let beside = config
        .parent()
        .expect("the config lies in the test's folder");
    let made = gatekeeper_command_in(namespace)
        .arg("init")
        .arg("--config")
        .arg(config)
        .current_dir(beside)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        made.status.success(),
        "init failed: {said}{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let key = words.find(|word| word.starts_with("sk-gk-master-"));
    key.unwrap_or_else(|| panic!("init printed no administrative key: {said}"))
        .to_owned()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
