//! Server processes under test: start them, read their CPU time from `/proc`, kill them by their own id.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::content_length;

/// Levels that have a budget and a rate limit, all with room for every request of a bench.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Governance {
    /// a budget of the team
    Team,
    /// organization, team, parent key and key: two windows each, and a rate limit of the key
    AllLevels,
}

/// A server process and its address.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts this executable in another role; its first output line is its address.
    pub fn role(arguments: &[&str]) -> Server {
        let own = std::env::current_exe().expect("the path of this executable");
        let mut child = Command::new(own)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the role starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("the role's output is a pipe");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the role prints its address");
        let address = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the role printed {line:?} instead of its address"));
        Server { address, child }
    }

    /// A server process that listens on an address, once it does.
    pub fn started(address: SocketAddr, child: Child) -> Result<Server, String> {
        let mut server = Server { address, child };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("the server exited with {status}"));
            }
            if start.elapsed() > Duration::from_secs(20) {
                return Err("the server did not listen within 20 s".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Starts Gatekeeper in a folder of its own, with further settings and a key of a team under a `block` budget.
    pub fn gatekeeper(
        folder: &Path,
        sync: &str,
        upstream: SocketAddr,
        settings: &str,
    ) -> Result<(Server, String), String> {
        let team = Governance::Team;
        Server::gatekeeper_of(&binary()?, folder, sync, upstream, settings, team)
    }

    /// As [`Server::gatekeeper`], with this binary.
    pub fn gatekeeper_of(
        binary: &Path,
        folder: &Path,
        sync: &str,
        upstream: SocketAddr,
        settings: &str,
        governance: Governance,
    ) -> Result<(Server, String), String> {
        let (data, config) = (folder.join("data"), folder.join("gatekeeper.toml"));
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        fs::write(folder.join("upstream.key"), "sk-upstream").map_err(|error| error.to_string())?;
        let address = free_address();
        let text = toml(folder, &data, sync, address, upstream) + settings;
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let admin = administrative_key(binary, &data)?;
        let log = File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let mut serve = Command::new(binary);
        serve
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = serve.spawn().map_err(|error| error.to_string())?;
        let mut server = Server::started(address, child).map_err(|error| {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            format!("{error}: {log}")
        })?;
        server.wait_until_ready(&folder.join("log"))?;
        let key = server.governed_key(&admin, governance)?;
        Ok((server, key))
    }

    /// Creates a key with the owners above it; returns its secret.
    fn governed_key(&self, admin: &str, governance: Governance) -> Result<String, String> {
        let all = governance == Governance::AllLevels;
        let budget =
            |period: &str| format!(r#"{{"limit":"1000000","period":"{period}","action":"block"}}"#);
        let budgets = match all {
            true => format!("[{},{}]", budget("total"), budget("daily")),
            false => format!("[{}]", budget("total")),
        };
        let create = |path: &str, fields: &str| self.post(path, admin, &format!("{{{fields}}}"));
        let team = format!(r#""name":"bench","models":["*"],"budgets":{budgets}"#);
        if !all {
            let team = string_field(&create("/v1/teams", &team)?, "id")?;
            let key = format!(r#""name":"bench","team":"{team}","models":["*"]"#);
            return string_field(&create("/v1/keys", &key)?, "key");
        }
        let organization = format!(r#""name":"bench","budgets":{budgets}"#);
        let organization = string_field(&create("/v1/organizations", &organization)?, "id")?;
        let team = format!(r#"{team},"organization":"{organization}""#);
        let team = string_field(&create("/v1/teams", &team)?, "id")?;
        let parent =
            format!(r#""name":"parent","team":"{team}","models":["*"],"budgets":{budgets}"#);
        let parent = string_field(&create("/v1/keys", &parent)?, "id")?;
        let child = format!(
            r#""name":"child","parent":"{parent}","budgets":{budgets},"rpm":10000000,"tpm":1000000000,"max_parallel":20000"#
        );
        string_field(&create("/v1/keys", &child)?, "key")
    }

    /// Returns user and system time of the process since its start, in microseconds: the CPU clock of another process counts
    /// nanoseconds, where the times in `/proc` are ticks of 10 ms.
    #[allow(unsafe_code)]
    pub fn cpu_us(&self) -> f64 {
        // `clock_getcpuclockid` in user space: the complement of the process id and the clock of the scheduler
        let clock = ((!(self.id() as libc::clockid_t)) << 3) | 2;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes to `time` alone, which outlives it
        let failed = unsafe { libc::clock_gettime(clock, &mut time) };
        assert_eq!(failed, 0, "the server still runs");
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    }

    /// Id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns CPU time by thread name, in ticks of 10 ms; threads of the same kind are added up.
    pub fn cpu_us_by_thread(&self) -> BTreeMap<String, f64> {
        let mut threads = BTreeMap::new();
        let tasks =
            fs::read_dir(format!("/proc/{}/task", self.id())).expect("the server still runs");
        for task in tasks.flatten() {
            if let Some((name, cpu_us)) = stat_us(&task.path().join("stat").to_string_lossy()) {
                *threads
                    .entry(
                        name.trim_end_matches(|c: char| c.is_ascii_digit())
                            .to_owned(),
                    )
                    .or_default() += cpu_us;
            }
        }
        threads
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "the server exited with {status}: {}",
                    fs::read_to_string(log).unwrap_or_default()
                ));
            }
            if self.send("GET", "/readyz", "", "").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!(
            "the server was not ready within 20 s: {}",
            fs::read_to_string(log).unwrap_or_default()
        ))
    }

    fn post(&self, path: &str, key: &str, body: &str) -> Result<String, String> {
        self.send("POST", path, key, body)
    }

    fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(|error| error.to_string())?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream
            .write_all(request.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("no response to {method} {path}"))?;
        let good = head.starts_with("HTTP/1.1 20") && body.len() >= content_length(head);
        if good {
            Ok(body.to_owned())
        } else {
            Err(format!("{method} {path}: {answer}"))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns name and CPU time of a process or thread, from its `stat` line in `/proc`.
fn stat_us(path: &str) -> Option<(String, f64)> {
    let stat = fs::read_to_string(path).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let fields: Vec<f64> = rest
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    // fields 14 and 15 of the line, in ticks of 10 ms
    Some((name.to_owned(), fields.iter().sum::<f64>() * 10_000.0))
}

/// Returns the binary named by GATEKEEPER_BIN, else the one built by cargo.
fn binary() -> Result<PathBuf, String> {
    let named = std::env::var_os("GATEKEEPER_BIN").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatekeeper")));
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!(
            "{} is not a file; set GATEKEEPER_BIN",
            binary.display()
        ))
    }
}

fn toml(
    folder: &Path,
    data: &Path,
    sync: &str,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> String {
    format!(
        "listen = \"{listen}\"\ndata = \"{}\"\nworkers = 1\n[limits]\nconnections_max = 11000\n\
         connections_per_address_max = 11000\n[ledger]\nsync = \"{sync}\"\n[providers.up]\ntype = \"openai_compatible\"\n\
         base_url = \"http://{upstream}/v1\"\napi_key = \"file:{key}\"\nprice = {{ input = \"1.00\", output = \"5.00\" }}\n\
         models = [\"m-small\"]\n[providers.other]\ntype = \"anthropic\"\nbase_url = \"http://{upstream}/v1\"\n\
         api_key = \"file:{key}\"\nprice = {{ input = \"1.00\", output = \"5.00\" }}\nmodels = [\"c-small\"]\n",
        data.display(),
        key = folder.join("upstream.key").display()
    )
}

fn administrative_key(binary: &Path, data: &Path) -> Result<String, String> {
    let output = Command::new(binary)
        .arg("init")
        .arg("--data")
        .arg(data)
        .current_dir("/")
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let key = words.find(|word| word.starts_with("sk-gk-master-"));
    key.map(str::to_owned).ok_or_else(|| {
        format!(
            "init printed no key: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

/// Returns a string field of a JSON object.
fn string_field(json: &str, name: &str) -> Result<String, String> {
    let object: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("{error}: {json}"))?;
    object[name]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("no `{name}` in {json}"))
}
