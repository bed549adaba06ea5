//! Gateway as a process: the built binary in its own folder, controlled only by its configuration file, its HTTP API and
//! signals to its process id. Its `Drop` asserts that the books agree and that the process never panicked.

use std::fs::{self, File};
use std::io::Write;
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
    /// Creates the data folder, starts the server and waits until it is ready.
    pub fn start(self) -> Gatekeeper {
        let port = ReservedPort::new();
        let (folder, data, config) = self.write_files(port.address);
        let instance = Instance::new(port.address, initialize(&config, None));
        let mut gatekeeper = Gatekeeper {
            instance,
            folder,
            data,
            config,
            _port: port,
            namespace: None,
            child: None,
            starts: 0,
            log_level: None,
            check_books: true,
        };
        gatekeeper.start();
        gatekeeper
    }
}

impl Setup {
    /// Starts with a data folder of so many MiB: a tmpfs in a mount namespace of the server. An error gives the reason why
    /// this machine cannot provide it.
    pub fn start_on_tmpfs(self, mib: u64) -> Result<Gatekeeper, String> {
        let port = ReservedPort::new();
        let (folder, data, config) = self.write_files(port.address);
        fs::create_dir(&data).expect("the data folder can be made");
        let namespace = Namespace::with_tmpfs(&data, mib)?;
        let key = initialize(&config, Some(&namespace));
        let mut gatekeeper = Gatekeeper {
            instance: Instance::new(port.address, key),
            folder,
            data: namespace.outside_path(&data),
            config,
            _port: port,
            namespace: Some(namespace),
            child: None,
            starts: 0,
            log_level: None,
            check_books: true,
        };
        gatekeeper.start();
        Ok(gatekeeper)
    }
}

/// Mount namespace; it exists as long as the process that holds it.
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
        let mut line = String::new();
        let out = holder.stdout.take().expect("a pipe");
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line);
        if line.trim() == "mounted" {
            return Ok(Namespace { holder });
        }
        let output = holder
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        Err(format!(
            "failed to mount a tmpfs in a mount namespace: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    /// Path inside the namespace, as reached from outside.
    fn outside_path(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(relative)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Gateway process.
#[derive(Debug)]
pub struct Gatekeeper {
    instance: Instance,
    folder: TempDir,
    pub data: PathBuf,
    pub config: PathBuf,
    _port: ReservedPort,
    namespace: Option<Namespace>,
    child: Option<Child>,
    starts: usize,
    log_level: Option<&'static str>,
    check_books: bool,
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
    /// Configuration without providers.
    pub fn without_providers() -> Setup {
        Setup::default()
    }

    /// Configuration with one provider `up` of the chat dialect, at 1 and 5 dollars per million tokens.
    pub fn with_upstream(upstream: &Upstream) -> Setup {
        Gatekeeper::without_providers().provider(&Provider::openai("up", upstream))
    }

    /// Folder of configuration, data and output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill_9(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child ends");
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_exit()
    }

    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
    }

    /// Waits for the exit; past the deadline the process is killed and the test fails.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!(
            "the server did not exit within {DEADLINE:?}\n{}",
            self.output()
        );
    }

    /// Starts again on the same folder and port and waits until it is ready.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.spawn();
        let start = Instant::now();
        while !self.is_ready() {
            let exit = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("a child can be asked"));
            assert!(
                exit.is_none(),
                "the server exited with {exit:?} before it was ready\n{}",
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

    /// Starts again; the output if the server exits before it is ready.
    pub fn try_start(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "the server runs already");
        self.spawn();
        let start = Instant::now();
        while !self.is_ready() {
            let child = self.child.as_mut().expect("the server was started");
            if child.try_wait().expect("a child can be asked").is_some() {
                self.child = None;
                return Err(self.output());
            }
            assert!(
                start.elapsed() < DEADLINE,
                "neither ready nor ended: {}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts again and waits only until it listens: for a server that never becomes ready.
    pub fn start_until_listening(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.spawn();
        wait_until("the server listens", || {
            std::net::TcpStream::connect(self.address()).is_ok()
        });
    }

    /// Starts a server that is expected to exit; returns its exit status and output.
    pub fn start_expecting_failure(&mut self) -> (ExitStatus, String) {
        self.spawn();
        let status = self.wait_for_exit();
        (status, self.output())
    }

    /// Level of the log from the next start on.
    pub fn log_at(&mut self, level: &'static str) {
        self.log_level = Some(level);
    }

    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.start();
    }

    /// Runs another command of the binary in the folder: `["verify", "sk-gk-…"]`.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        gatekeeper_command()
            .current_dir(self.folder())
            .args(arguments)
            .output()
            .expect("the binary runs")
    }

    /// The same with a text on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> std::process::Output {
        let mut child = gatekeeper_command()
            .current_dir(self.folder())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // a command that reads nothing closes it
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("the binary ends")
    }

    /// Output of the current start.
    pub fn output(&self) -> String {
        let file = self.folder().join(format!("serve-{}.log", self.starts));
        fs::read_to_string(file).unwrap_or_default()
    }

    /// Output of all starts.
    pub fn all_output(&self) -> String {
        let files = (1..=self.starts).map(|start| self.folder().join(format!("serve-{start}.log")));
        files
            .map(|file| fs::read_to_string(file).unwrap_or_default())
            .collect()
    }

    /// Disables the check on drop, for tests whose books are wrong on purpose.
    pub fn skip_books_check(&mut self) {
        self.check_books = false;
    }

    fn spawn(&mut self) {
        self.starts += 1;
        let log = File::create(self.folder().join(format!("serve-{}.log", self.starts)))
            .expect("a file for the output");
        let stderr = log.try_clone().expect("one file for both outputs");
        let child = gatekeeper_command_in(self.namespace.as_ref())
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .envs(self.log_level.map(|level| ("GATEKEEPER_LOG", level)))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
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
        if self.child.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("--- output of the server\n{}", tail(&self.output(), 60));
        } else if self.check_books {
            self.assert_books_agree();
            let output = self.all_output();
            assert!(
                !output.contains("panicked at"),
                "the server panicked:\n{}",
                tail(&output, 60)
            );
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Port that stays reserved across restarts: bound but never listening.
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

/// Command of the binary, or of the one that `GK_BINARY` names, without inherited `GATEKEEPER_*` variables.
pub fn gatekeeper_command() -> Command {
    let named = std::env::var_os("GK_BINARY");
    let mut command =
        Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_gatekeeper").into()));
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

/// Runs `init`; returns the administrative key that it printed.
fn initialize(config: &Path, namespace: Option<&Namespace>) -> String {
    let folder = config
        .parent()
        .expect("the configuration lies in the test's folder");
    let init = gatekeeper_command_in(namespace)
        .arg("init")
        .arg("--config")
        .arg(config)
        .current_dir(folder)
        .output()
        .expect("the binary runs");
    let output = String::from_utf8_lossy(&init.stdout).into_owned();
    assert!(
        init.status.success(),
        "init failed: {output}{}",
        String::from_utf8_lossy(&init.stderr)
    );
    let mut words = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let key = words.find(|word| word.starts_with("sk-gk-master-"));
    key.unwrap_or_else(|| panic!("init printed no administrative key: {output}"))
        .to_owned()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
