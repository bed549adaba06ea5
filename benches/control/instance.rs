//! Instance under measurement: a server process with a folder of its own, the vendor behind it, and HTTP connections that are kept.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const READY_MAX: Duration = Duration::from_secs(120);
/// Answer of the vendor: 2 KB of text.
fn answer() -> String {
    let content = "word ".repeat(400);
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 400, "total_tokens": 800}})
    .to_string()
}

/// Connection that is kept for many requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    pub fn to(address: SocketAddr, key: &str) -> Connection {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("without delay");
        let wait = Some(Duration::from_secs(300));
        stream.set_read_timeout(wait).expect("a deadline");
        Connection {
            stream: BufReader::new(stream),
            head: format!(
                "host: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nsec-fetch-site: same-origin\r\n"
            ),
        }
    }

    /// Sends a request and reads the answer whole; returns status and body.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}content-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes()).expect("sent");
        let head = read_head(&mut self.stream).expect("an answer");
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let mut body = vec![0; length_of(&head)];
        self.stream.read_exact(&mut body).expect("a whole body");
        let body = String::from_utf8(body).expect("text");
        (status.expect("a status"), body)
    }

    /// Sends JSON, asserts a status of success and returns the JSON of the answer.
    pub fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let (status, text) = self.send(method, path, &body.to_string());
        assert!(status < 300, "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn length_of(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or(0)
}

/// Vendor that answers every request at once; returns its address.
pub fn vendor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = answer();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || serve(stream, &answer));
        }
    });
    address
}

fn serve(stream: TcpStream, answer: &str) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream) {
        let mut body = vec![0; length_of(&head)];
        let is_read = stream.read_exact(&mut body).is_ok();
        if !is_read || stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Server process; killed by its own id at the end.
pub struct Instance {
    pub address: SocketAddr,
    pub admin: String,
    config: PathBuf,
    child: Child,
}

impl Instance {
    /// Creates the data folder below `folder` and starts the server.
    pub fn start(folder: &Path, vendor: SocketAddr) -> Instance {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let (config, key) = (folder.join("gatekeeper.toml"), folder.join("key"));
        fs::write(&key, "sk-vendor").expect("written");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("private");
        let text = format!(
            "listen = \"{address}\"\ndata = \"data\"\nworkers = 2\n[providers.up]\ntype = \"openai_compatible\"\n\
             base_url = \"http://{vendor}/v1\"\napi_key = \"file:{}\"\nprice = {{ input = \"1\", output = \"5\" }}\nmodels = [\"m\"]\n",
            key.display()
        );
        fs::write(&config, text).expect("written");
        let made = command(&config, &["init"]).output().expect("init runs");
        let made = String::from_utf8_lossy(&made.stdout).into_owned();
        let mut words = made.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
        let admin = words.find(|word| word.starts_with("sk-gk-master-"));
        let log = File::create(folder.join("log")).expect("a log");
        let mut serve = command(&config, &["serve"]);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let instance = Instance {
            address,
            admin: admin.expect("init prints a key").to_owned(),
            child: serve.spawn().expect("the server starts"),
            config,
        };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begin.elapsed() < READY_MAX, "the server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        instance
    }

    pub fn owner(&self) -> Connection {
        Connection::to(self.address, &self.admin)
    }

    /// Runs a command of the command line; returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = command(&self.config, arguments).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Command of the binary named by GATEKEEPER_BIN, else of the one built by cargo.
fn command(config: &Path, arguments: &[&str]) -> Command {
    let named = std::env::var_os("GATEKEEPER_BIN").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatekeeper")));
    let mut command = Command::new(binary);
    command.args(arguments).arg("--config").arg(config);
    command.current_dir(config.parent().expect("a folder"));
    command
}
