//! The real thing: the built binary in a folder of its own, told only by its config file and its HTTP API, and ended only
//! by its own process id. When it is dropped, its books are checked: no hold open, usage total = sum of the requests =
//! what the budgets say.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::person::{self, Answer, Person};
use super::upstream::Upstream;
use super::{DEADLINE, pico, usd, wait_until};

/// The credential that the config names; it may show up at the upstream and nowhere else.
pub const UPSTREAM_KEY: &str = "sk-upstream-canary-4242";

/// A config in the making.
#[derive(Debug)]
pub struct Setup {
    providers: Vec<String>,
    settings: String,
    ledger: Vec<String>,
    folder: TempDir,
}

/// One `[providers.NAME]` in the making.
#[derive(Clone, Debug)]
pub struct Provider {
    name: String,
    preset: String,
    base_url: String,
    price: String,
    models: Vec<String>,
}

impl Provider {
    /// Speaks chat, at 1 and 5 dollars per million tokens, with the models `m-small` and `m-large`.
    pub fn openai(name: &str, upstream: &Upstream) -> Provider {
        Provider {
            name: name.to_owned(),
            preset: "openai_compatible".to_owned(),
            base_url: format!("{}/v1", upstream.url()),
            price: price("1.00", "5.00"),
            models: vec!["m-small".to_owned(), "m-large".to_owned()],
        }
    }

    /// Speaks messages, at 1 and 5 dollars per million tokens, with the model `c-small`.
    pub fn anthropic(name: &str, upstream: &Upstream) -> Provider {
        Provider {
            preset: "anthropic".to_owned(),
            base_url: format!("{}/v1", upstream.url()),
            models: vec!["c-small".to_owned()],
            ..Provider::openai(name, upstream)
        }
    }

    /// Dollars per million tokens, in and out.
    #[must_use]
    pub fn price(mut self, input: &str, output: &str) -> Provider {
        self.price = price(input, output);
        self
    }

    /// `free` or `sheet`.
    #[must_use]
    pub fn priced_by(mut self, word: &str) -> Provider {
        self.price = format!("{word:?}");
        self
    }

    #[must_use]
    pub fn models(mut self, models: &[&str]) -> Provider {
        self.models = models.iter().map(|model| (*model).to_owned()).collect();
        self
    }

    /// Another preset by its name.
    #[must_use]
    pub fn preset(mut self, preset: &str) -> Provider {
        self.preset = preset.to_owned();
        self
    }

    #[must_use]
    pub fn base_url(mut self, url: &str) -> Provider {
        self.base_url = url.to_owned();
        self
    }

    fn toml(&self, key_file: &Path) -> String {
        format!(
            "[providers.{}]\ntype = {:?}\nbase_url = {:?}\napi_key = \"file:{}\"\nprice = {}\nmodels = {:?}\n",
            self.name,
            self.preset,
            self.base_url,
            key_file.display(),
            self.price,
            self.models
        )
    }
}

fn price(input: &str, output: &str) -> String {
    format!("{{ input = {input:?}, output = {output:?} }}")
}

impl Setup {
    #[must_use]
    pub fn provider(mut self, provider: &Provider) -> Setup {
        let key_file = self.folder.path().join("upstream.key");
        self.providers.push(provider.toml(&key_file));
        self
    }

    /// A line of `[ledger]`, for example `sync = "disk"`.
    #[must_use]
    pub fn ledger(mut self, line: &str) -> Setup {
        self.ledger.push(line.to_owned());
        self
    }

    /// Any further TOML: top-level lines and tables other than `[ledger]`.
    #[must_use]
    pub fn setting(mut self, toml: &str) -> Setup {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Makes the data folder, starts the server and waits until it is ready.
    pub fn starts(self) -> Gatekeeper {
        let port = ReservedPort::new();
        let (data, config) = (self.folder.path().join("data"), self.folder.path().join("gatekeeper.toml"));
        write_secret(&self.folder.path().join("upstream.key"), UPSTREAM_KEY);
        fs::write(&config, self.toml(port.address, &data)).expect("the config can be written");
        let admin_key = initialise(&data);
        let mut gatekeeper = Gatekeeper {
            folder: self.folder,
            data,
            config,
            admin_key,
            port,
            running: None,
            starts: 0,
            team_budgets_count_all: Vec::new(),
            books_checked: true,
        };
        gatekeeper.start();
        gatekeeper
    }

    fn toml(&self, listen: SocketAddr, data: &Path) -> String {
        format!(
            "listen = \"{listen}\"\ndata = \"{}\"\n{}\n[ledger]\n{}\n{}",
            data.display(),
            self.settings,
            self.ledger.join("\n"),
            self.providers.concat()
        )
    }
}

/// A virtual key that was just made.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// A team that was just made.
#[derive(Clone, Debug)]
pub struct Team {
    pub id: String,
    pub name: String,
}

/// The running gateway.
#[derive(Debug)]
pub struct Gatekeeper {
    folder: TempDir,
    pub data: PathBuf,
    pub config: PathBuf,
    pub admin_key: String,
    port: ReservedPort,
    running: Option<Child>,
    starts: usize,
    /// teams whose `total` budgets over all models have stood since the team began
    team_budgets_count_all: Vec<String>,
    books_checked: bool,
}

impl Gatekeeper {
    /// A config without providers.
    pub fn alone() -> Setup {
        let folder = tempfile::Builder::new().prefix("gatekeeper-").tempdir().expect("a temporary folder");
        Setup { providers: Vec::new(), settings: String::new(), ledger: Vec::new(), folder }
    }

    /// One provider `up` that speaks chat, priced at 1 and 5 dollars per million tokens.
    pub fn before(upstream: &Upstream) -> Setup {
        Gatekeeper::alone().provider(&Provider::openai("up", upstream))
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The folder of config, data and output.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn anon(&self) -> Person {
        person::anon(self.address())
    }

    pub fn user(&self, key: &Key) -> Person {
        person::user(self.address(), &key.secret)
    }

    pub fn admin(&self) -> Person {
        person::admin(self.address(), &self.admin_key)
    }

    /// `POST /v1/teams`; the answer must be 201.
    #[track_caller]
    pub fn team(&mut self, team: &Value) -> Team {
        let made = self.admin().post("/v1/teams", team);
        let made = made.expects(201).json();
        let id = text(&made, "id");
        if team["budgets"].as_array().is_some_and(|budgets| !budgets.is_empty()) {
            self.team_budgets_count_all.push(id.clone());
        }
        Team { id, name: text(&made, "name") }
    }

    /// A team that may call everything, with a `total` budget that blocks.
    #[track_caller]
    pub fn team_with_budget(&mut self, name: &str, limit_usd: &str) -> Team {
        self.team(&json!({"name": name, "models": ["*"],
            "budgets": [{"limit": limit_usd, "period": "total", "action": "block"}]}))
    }

    /// `POST /v1/keys`; the answer must be 201.
    #[track_caller]
    pub fn key(&self, key: &Value) -> Key {
        let made = self.admin().post("/v1/keys", key);
        let made = made.expects(201).json();
        Key { id: text(&made, "id"), secret: text(&made, "key") }
    }

    /// A key of this team that may call what the team may.
    #[track_caller]
    pub fn key_of(&self, team: &Team) -> Key {
        self.key(&json!({"name": format!("{}-key", team.name), "team": team.id, "models": ["*"]}))
    }

    /// All rows of the request log, newest first.
    pub fn requests(&self) -> Vec<Value> {
        let (admin, mut rows, mut before) = (self.admin(), Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/v1/requests?limit=500{before}"));
            let page = page.expects(200).json();
            rows.extend(page["data"].as_array().expect("a list has `data`").iter().cloned());
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return rows,
            }
        }
    }

    /// `/v1/usage` of all times, once it counts everything that was logged before it was asked for.
    pub fn usage(&self) -> Value {
        let mut usage = Value::Null;
        wait_until("the usage report is up to date", || {
            usage = self.admin().get("/v1/usage?start=2000-01-01&end=2100-01-01").expects(200).json();
            !usage["as_of"].is_null()
        });
        usage
    }

    /// What all requests cost, from `/v1/usage`, in pico-dollars.
    pub fn usage_total(&self) -> i128 {
        pico(&text(&self.usage()["total"], "cost_usd"))
    }

    /// One number of `/metrics`; zero if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        metric(&self.admin().get("/metrics").expects(200).text(), name).unwrap_or(0.0)
    }

    /// Holds that are not resolved.
    pub fn holds_open(&self) -> u64 {
        let metrics = self.admin().get("/metrics").expects(200).text();
        let open = metric(&metrics, "gatekeeper_holds_open").expect("/metrics has gatekeeper_holds_open");
        open as u64
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
        self.signals(Signal::TERM);
        self.waits_for_exit()
    }

    pub fn signals(&self, signal: Signal) {
        let child = self.running.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
    }

    /// Until the process has ended by itself; past the deadline it is killed and the test fails.
    pub fn waits_for_exit(&mut self) -> ExitStatus {
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
            let ended = self.running.as_mut().and_then(|child| child.try_wait().expect("a child can be asked"));
            assert!(ended.is_none(), "the server ended with {ended:?} instead of getting ready\n{}", self.output());
            assert!(start.elapsed() < DEADLINE, "the server was not ready within {DEADLINE:?}\n{}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts a server that is expected to refuse, and returns how it ended and what it said.
    pub fn start_refused(&mut self) -> (ExitStatus, String) {
        self.spawn();
        let status = self.waits_for_exit();
        (status, self.output())
    }

    pub fn restart(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
        self.start();
    }

    /// Runs another command of the binary with this config's environment: `["verify", "sk-gk-…"]`.
    pub fn runs(&self, arguments: &[&str]) -> std::process::Output {
        gatekeeper_command().current_dir(self.folder()).args(arguments).output().expect("the binary runs")
    }

    /// What the server of this start has printed.
    pub fn output(&self) -> String {
        let file = self.folder().join(format!("serve-{}.log", self.starts));
        fs::read_to_string(file).unwrap_or_default()
    }

    /// What all starts have printed.
    pub fn all_output(&self) -> String {
        let files = (1..=self.starts).map(|start| self.folder().join(format!("serve-{start}.log")));
        files.map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
    }

    /// For tests whose books are wrong on purpose.
    pub fn without_checking_books(&mut self) {
        self.books_checked = false;
    }

    fn spawn(&mut self) {
        self.starts += 1;
        let log = File::create(self.folder().join(format!("serve-{}.log", self.starts))).expect("a file for the output");
        let same = log.try_clone().expect("one file for both outputs");
        let child = gatekeeper_command()
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
        std::net::TcpStream::connect(self.address()).is_ok() && self.try_get("/readyz").is_ok_and(|answer| answer.status == 200)
    }

    fn try_get(&self, path: &str) -> Result<Answer, String> {
        let mut connection = self.anon().connects();
        connection.sends_request("GET", path, None);
        connection.try_answer("GET")
    }

    /// No hold open, and one sum in all places.
    pub fn checks_books(&self) {
        wait_until("no hold is open", || self.holds_open() == 0);
        let total = self.usage_total();
        let rows = self.requests();
        let of_rows: i128 = rows.iter().map(|row| pico(&text(row, "cost_usd"))).sum();
        assert_eq!(usd(total), usd(of_rows), "/v1/usage and the sum over /v1/requests, in dollars");
        for team in &self.team_budgets_count_all {
            self.checks_team(team, &rows);
        }
    }

    fn checks_team(&self, team: &str, rows: &[Value]) {
        let found = self.admin().get(&format!("/v1/teams/{team}"));
        let found = found.expects(200).json();
        let of_team = rows.iter().filter(|row| row["team"] == found["id"] || row["team"] == found["name"]);
        let spent: i128 = of_team.map(|row| pico(&text(row, "cost_usd"))).sum();
        let budgets = found["budgets"].as_array().cloned().unwrap_or_default();
        for budget in budgets.iter().filter(|budget| budget["period"] == "total" && budget["model"].is_null()) {
            let said = pico(&text(budget, "spent"));
            assert_eq!(usd(said), usd(spent), "the budget of {team} and the sum over its requests, in dollars");
        }
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
            self.checks_books();
        }
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody else is given, through restarts: bound but never listened on.
#[derive(Debug)]
struct ReservedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    fn new() -> ReservedPort {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("SO_REUSEADDR");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port on loopback");
        ReservedPort { address: socket.local_addr().expect("a bound socket has an address"), _socket: socket }
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

fn initialise(data: &Path) -> String {
    let beside = data.parent().expect("the data folder lies in the test's folder");
    let made = gatekeeper_command().arg("init").arg("--data").arg(data).current_dir(beside).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "init failed: {said}{}", String::from_utf8_lossy(&made.stderr));
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let key = words.find(|word| word.starts_with("sk-gk-master-"));
    key.unwrap_or_else(|| panic!("init printed no administrative key: {said}")).to_owned()
}

fn write_secret(file: &Path, secret: &str) {
    fs::write(file, secret).expect("a secret can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a secret can be closed");
}

fn metric(exposition: &str, name: &str) -> Option<f64> {
    let line = exposition.lines().find(|line| line.split(['{', ' ']).next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A member that must be there; numbers are taken as written.
#[track_caller]
pub fn text(object: &Value, name: &str) -> String {
    match &object[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("`{name}` is {other} in {object}"),
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
