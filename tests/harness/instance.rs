//! A running gateway as its administrator and its users see it: by its HTTP API alone, however it is run. Its books are
//! checked here: no hold open, usage total = sum of the requests = what the budgets say.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::client::{self, HttpClient};
use super::{pico, usd, wait_until};

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

/// Where it listens, and the key that was printed at its creation.
#[derive(Debug)]
pub struct Instance {
    pub(super) address: SocketAddr,
    pub admin_key: String,
    /// teams whose `total` budgets over all models have stood since the team began
    team_budgets_count_all: Vec<String>,
}

impl Instance {
    pub fn new(address: SocketAddr, admin_key: String) -> Instance {
        Instance {
            address,
            admin_key,
            team_budgets_count_all: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn anon(&self) -> HttpClient {
        person::anon(self.address())
    }

    pub fn user(&self, key: &Key) -> HttpClient {
        person::user(self.address(), &key.secret)
    }

    pub fn admin(&self) -> HttpClient {
        person::admin(self.address(), &self.admin_key)
    }

    /// `POST /v1/teams`; the answer must be 201.
    #[track_caller]
    pub fn team(&mut self, team: &Value) -> Team {
        let made = self.admin().post("/v1/teams", team);
        let made = made.assert_status(201).json();
        let id = text(&made, "id");
        if team["budgets"]
            .as_array()
            .is_some_and(|budgets| !budgets.is_empty())
        {
            self.team_budgets_count_all.push(id.clone());
        }
        Team {
            id,
            name: text(&made, "name"),
        }
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
        let made = made.assert_status(201).json();
        Key {
            id: text(&made, "id"),
            secret: text(&made, "key"),
        }
    }

    /// A key of this team that may call what the team may.
    #[track_caller]
    pub fn key_of(&self, team: &Team) -> Key {
        self.key(&json!({"name": format!("{}-key", team.name), "team": team.id, "models": ["*"]}))
    }

    /// What was booked, newest first: the request log without what was refused.
    pub fn requests(&self) -> Vec<Value> {
        self.request_log()
            .into_iter()
            .filter(|row| row["status"] != "refused")
            .collect()
    }

    /// All rows of the request log, newest first.
    pub fn request_log(&self) -> Vec<Value> {
        let (admin, mut rows, mut before) = (self.admin(), Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/v1/requests?limit=500{before}"));
            let page = page.assert_status(200).json();
            rows.extend(
                page["data"]
                    .as_array()
                    .expect("a list has `data`")
                    .iter()
                    .cloned(),
            );
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
            usage = self
                .admin()
                .get("/v1/usage?start=2000-01-01&end=2100-01-01")
                .assert_status(200)
                .json();
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
        metric(
            &self.admin().get("/metrics").assert_status(200).text(),
            name,
        )
        .unwrap_or(0.0)
    }

    /// Holds that are not resolved.
    pub fn holds_open(&self) -> u64 {
        let metrics = self.admin().get("/metrics").assert_status(200).text();
        let open =
            metric(&metrics, "gatekeeper_holds_open").expect("/metrics has gatekeeper_holds_open");
        open as u64
    }

    /// No hold open, and one sum in all places.
    pub fn assert_books_agree(&self) {
        wait_until("no hold is open", || self.holds_open() == 0);
        let total = self.usage_total();
        let rows = self.requests();
        let of_rows: i128 = rows
            .iter()
            .map(|row| pico(&text(row, "net_cost_usd")))
            .sum();
        assert_eq!(
            usd(total),
            usd(of_rows),
            "/v1/usage and the sum over /v1/requests, in dollars"
        );
        for team in &self.team_budgets_count_all {
            self.checks_team(team, &rows);
        }
        let verified = self.verify_ledger();
        assert_eq!(
            verified["agrees"], true,
            "the books do not agree with themselves: {verified:#}"
        );
    }

    /// `GET /v1/ledger/verify`
    pub fn verify_ledger(&self) -> Value {
        self.admin()
            .get("/v1/ledger/verify")
            .assert_status(200)
            .json()
    }

    fn checks_team(&self, team: &str, rows: &[Value]) {
        let found = self.admin().get(&format!("/v1/teams/{team}"));
        let found = found.assert_status(200).json();
        let of_team = rows
            .iter()
            .filter(|row| row["team"] == found["id"] || row["team"] == found["name"]);
        let spent: i128 = of_team.map(|row| pico(&text(row, "net_cost_usd"))).sum();
        let budgets = found["budgets"].as_array().cloned().unwrap_or_default();
        for budget in budgets
            .iter()
            .filter(|budget| budget["period"] == "total" && budget["model"].is_null())
        {
            let said = pico(&text(budget, "spent"));
            assert_eq!(
                usd(said),
                usd(spent),
                "the budget of {team} and the sum over its requests, in dollars"
            );
        }
    }
}

fn metric(exposition: &str, name: &str) -> Option<f64> {
    let line = exposition
        .lines()
        .find(|line| line.split(['{', ' ']).next() == Some(name))?;
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
