//! Control plane beside many tenants (10,000 keys, 1,000 teams, 5,000 users): time of a change against a bare commit of the same database in
//! the same folder, time of `keys list`, model calls beside 50 sign-ins at once, and with prompt capture off and on. Bare commits, changes
//! and both kinds of calls alternate, so that the machine's load meets them alike; medians of one run are compared.
//!
//! ```text
//! cargo bench --bench control                       full counts
//! GK_CONTROL_TEAMS=20 GK_CONTROL_USERS=20 …         smoke run
//! GK_CONTROL_ROUNDS=50 …                            changes of each kind
//! GATEKEEPER_BIN=path …                             another binary
//! ```

#[path = "control/instance.rs"]
mod instance;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use instance::{Connection, Instance};
use redb::{Database, TableDefinition};
use serde_json::{Value, json};

const KEYS_OF_TEAM: usize = 10;
const LISTS: usize = 10;
const SIGN_INS: usize = 50;
const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery";
const BARE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bare");

fn main() {
    let (teams, users) = (
        count("GK_CONTROL_TEAMS", 1_000),
        count("GK_CONTROL_USERS", 5_000),
    );
    let rounds = count("GK_CONTROL_ROUNDS", 200);
    // not below /tmp, which may be memory: a commit is a matter of the disk
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let instance = Instance::start(folder.path(), instance::vendor());
    populate(&instance, teams, users);
    measure_changes(&instance, folder.path(), rounds);
    measure_list(&instance, teams * KEYS_OF_TEAM);
    measure_capture(&instance, rounds);
    measure_sign_ins(&instance, rounds);
    println!("control: passed");
}

fn count(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_string());
    text.parse()
        .unwrap_or_else(|_| panic!("{variable}={text} is not a count"))
}

fn print_figure(name: &str, value: &str) {
    println!("FIGURE control, {name}: {value}");
}

fn populate(instance: &Instance, teams: usize, users: usize) {
    let limit = json!({"budget_limit": "100", "budget_period": "monthly"});
    let named = |name: String, more: Value| {
        let mut object = limit.clone();
        object["name"] = json!(name);
        for (member, value) in more.as_object().into_iter().flatten() {
            object[member] = value.clone();
        }
        object
    };
    let team = |number: usize| {
        let keys: Vec<Value> = (0..KEYS_OF_TEAM)
            .map(|key| named(format!("key {key}"), json!({})))
            .collect();
        named(format!("group {number}"), json!({ "keys": keys }))
    };
    let teams: Vec<Value> = (0..teams).map(team).collect();
    let state = json!({"organizations": [{"name": "default", "teams": teams}]});
    let mut owner = instance.owner();
    owner.call("POST", "/v1/state", &state);
    for number in 0..users {
        let team = format!("group {}", number % teams.len());
        let user = json!({"email": format!("user{number}@example.org"), "memberships": [{"role": "member", "team": team}]});
        owner.call("POST", "/v1/users", &user);
    }
    let provider = json!({"name": "lan", "type": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "price": "free", "models": ["n"]});
    owner.call("POST", "/v1/providers", &provider);
    owner.call("POST", "/v1/teams", &json!({"name": "callers"}));
}

/// Times of one kind of work.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.0.push(begin.elapsed());
        done
    }

    fn us(&mut self, percent: usize) -> u128 {
        self.0.sort();
        let at = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[at].as_micros()
    }
}

fn measure_changes(instance: &Instance, folder: &Path, rounds: usize) {
    let mut owner = instance.owner();
    let team = owner.call("POST", "/v1/teams", &json!({"name": "changed"}));
    let key = owner.call(
        "POST",
        "/v1/keys",
        &json!({"name": "changed", "team": team["id"]}),
    );
    let path = |kind: &str, id: &Value| format!("/v1/{kind}/{}", id.as_str().expect("an id"));
    let paths = [
        ("key", path("keys", &key["id"])),
        ("team", path("teams", &team["id"])),
        ("provider", "/v1/providers/lan".to_owned()),
    ];
    let bare = Database::create(folder.join("bare.redb")).expect("a database");
    let mut commits = Times::default();
    let mut changes: [Times; 3] = Default::default();
    for round in 1..=rounds {
        commits.measure(|| commit(&bare, round as u64));
        for ((_, path), times) in paths.iter().zip(&mut changes) {
            let body = match path.contains("providers") {
                true => json!({"models": [format!("n{round}")]}),
                false => json!({"rpm": round}),
            };
            times.measure(|| owner.call("PATCH", path, &body));
        }
    }
    let yardstick = commits.us(50);
    print_figure("bare commit, median µs", &yardstick.to_string());
    for ((kind, _), times) in paths.iter().zip(&mut changes) {
        let (median, p99) = (times.us(50), times.us(99));
        let times = median as f64 / yardstick.max(1) as f64;
        let figure = format!("median {median} µs, p99 {p99} µs, {times:.2} bare commits");
        print_figure(&format!("change of a {kind}"), &figure);
    }
}

/// One row of the size of an audit event, committed like the books.
fn commit(database: &Database, key: u64) {
    let mut transaction = database.begin_write().expect("a transaction");
    transaction.set_quick_repair(true);
    transaction
        .open_table(BARE)
        .expect("a table")
        .insert(key, [7_u8; 400].as_slice())
        .expect("a row");
    transaction.commit().expect("committed");
}

fn measure_list(instance: &Instance, keys: usize) {
    let mut times = Times::default();
    for _ in 0..LISTS {
        let text = times.measure(|| instance.run(&["keys", "list"]));
        assert!(
            text.lines().count() > keys,
            "{} lines",
            text.lines().count()
        );
    }
    let figure = format!("{:.1} ms", times.us(50) as f64 / 1_000.0);
    print_figure(&format!("`keys list` of {keys} keys, median"), &figure);
}

/// Connection of a new key.
fn caller(instance: &Instance, name: &str) -> (Connection, String) {
    let key = json!({"name": name, "team": "callers", "budget_limit": "1000"});
    let key = instance.owner().call("POST", "/v1/keys", &key);
    let secret = key["key"].as_str().expect("a secret");
    let id = key["id"].as_str().expect("an id");
    (Connection::to(instance.address, secret), id.to_owned())
}

fn chat(connection: &mut Connection) {
    let question = json!({"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "word ".repeat(400)}]});
    let (status, text) = connection.send("POST", "/v1/chat/completions", &question.to_string());
    assert_eq!(status, 200, "{text}");
}

/// Calls in blocks that alternate, so that both kinds meet the same machine.
fn measure_capture(instance: &Instance, rounds: usize) {
    let (mut off, _) = caller(instance, "capture off");
    let (mut on, id) = caller(instance, "capture on");
    let setting = format!("/v1/keys/{id}/capture");
    instance
        .owner()
        .call("PATCH", &setting, &json!({"on": true}));
    let (mut without, mut with) = (Times::default(), Times::default());
    for _ in 0..rounds {
        for (connection, times) in [(&mut off, &mut without), (&mut on, &mut with)] {
            for _ in 0..10 {
                times.measure(|| chat(connection));
            }
        }
    }
    for (name, times) in [("off", &mut without), ("on", &mut with)] {
        let figure = format!("median {} µs, p99 {} µs", times.us(50), times.us(99));
        print_figure(&format!("model call with capture {name}"), &figure);
    }
}

fn measure_sign_ins(instance: &Instance, rounds: usize) {
    let link: Value = serde_json::from_str(&instance.run(&["setup", "--json"])).expect("a link");
    let token = link["path"].as_str().and_then(|path| path.split_once('#'));
    let account = json!({"token": token.expect("a secret").1, "password": PASSWORD, "email": EMAIL, "name": "Ada"});
    let mut browser = Connection::to(instance.address, "none");
    let mut single = Times::default();
    browser.call("POST", "/v1/sign-in/link", &account);
    let sign_in = json!({"email": EMAIL, "password": PASSWORD});
    for _ in 0..10 {
        single.measure(|| browser.call("POST", "/v1/sign-in", &sign_in));
    }
    let (mut connection, _) = caller(instance, "beside");
    let mut alone = Times::default();
    for _ in 0..rounds * 10 {
        alone.measure(|| chat(&mut connection));
    }
    let (mut beside, is_over) = (Times::default(), AtomicBool::new(false));
    let begin = Instant::now();
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| {
        let signing: Vec<_> = (0..SIGN_INS)
            .map(|_| {
                scope.spawn(|| {
                    let mut browser = Connection::to(instance.address, "none");
                    browser.send("POST", "/v1/sign-in", &sign_in.to_string()).0
                })
            })
            .collect();
        let calls = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                beside.measure(|| chat(&mut connection));
            }
        });
        let statuses: Vec<u16> = signing
            .into_iter()
            .map(|one| one.join().expect("an answer"))
            .collect();
        took = begin.elapsed();
        is_over.store(true, Ordering::SeqCst);
        calls.join().expect("the calls end");
        assert!(
            statuses
                .iter()
                .all(|status| [200, 429, 503].contains(status)),
            "{statuses:?}"
        );
    });
    print_figure(
        "one sign-in, median ms",
        &format!("{:.1}", single.us(50) as f64 / 1_000.0),
    );
    for (name, times) in [
        ("alone", &mut alone),
        ("beside 50 sign-ins at once", &mut beside),
    ] {
        let figure = format!("median {} µs, p99 {} µs", times.us(50), times.us(99));
        print_figure(&format!("model call {name}"), &figure);
    }
    print_figure("50 sign-ins at once, ms", &took.as_millis().to_string());
}
