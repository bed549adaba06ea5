//! Running gateway as its administrator and users see it: through the HTTP API alone, for a process and in process.
//! Asserts that the books agree: no hold open, usage total = sum of the requests = spend of the budgets.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::client::{self, HttpClient};
use super::{pico, usd, wait_until};

/// Created virtual key.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// Created team.
#[derive(Clone, Debug)]
pub struct Team {
    pub id: String,
    pub name: String,
}

/// Listen address and the administrative key printed by `init`.
#[derive(Debug)]
pub struct Instance {
    pub(super) address: SocketAddr,
    pub admin_key: String,
    /// teams created with budgets: their `total` budgets over all models count every request
    teams_with_budgets: Vec<String>,
}

impl Instance {
    pub fn new(address: SocketAddr, admin_key: String) -> Instance {
        Instance {
            address,
            admin_key,
            teams_with_budgets: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn anon(&self) -> HttpClient {
        client::anon(self.address())
    }

    pub fn user(&self, key: &Key) -> HttpClient {
        client::user(self.address(), &key.secret)
    }

    pub fn admin(&self) -> HttpClient {
        client::admin(self.address(), &self.admin_key)
    }

    /// Creates a team; asserts status 201.
    #[track_caller]
    pub fn team(&mut self, team: &Value) -> Team {
        let created = self.admin().post("/v1/teams", team);
        let created = created.assert_status(201).json();
        let id = text(&created, "id");
        if team["budgets"]
            .as_array()
            .is_some_and(|budgets| !budgets.is_empty())
        {
            self.teams_with_budgets.push(id.clone());
        }
        Team {
            id,
            name: text(&created, "name"),
        }
    }

    /// Creates a team that may call every model, with a blocking `total` budget.
    #[track_caller]
    pub fn team_with_budget(&mut self, name: &str, limit_usd: &str) -> Team {
        self.team(&json!({"name": name, "models": ["*"],
            "budgets": [{"limit": limit_usd, "period": "total", "action": "block"}]}))
    }

    /// Creates a virtual key; asserts status 201.
    #[track_caller]
    pub fn key(&self, key: &Value) -> Key {
        let created = self.admin().post("/v1/keys", key);
        let created = created.assert_status(201).json();
        Key {
            id: text(&created, "id"),
            secret: text(&created, "key"),
        }
    }

    /// Creates a key of the team that may call every model of the team.
    #[track_caller]
    pub fn key_of(&self, team: &Team) -> Key {
        self.key(&json!({"name": format!("{}-key", team.name), "team": team.id, "models": ["*"]}))
    }

    /// Request log without refusals, newest first.
    pub fn requests(&self) -> Vec<Value> {
        self.request_log()
            .into_iter()
            .filter(|row| row["status"] != "refused")
            .collect()
    }

    /// Request log, newest first.
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

    /// `/v1/usage` over all time; waits until it covers everything logged before the call.
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

    /// Total cost of all requests from `/v1/usage`, in pico-dollars.
    pub fn usage_total(&self) -> i128 {
        pico(&text(&self.usage()["total"], "cost_usd"))
    }

    /// Value of one metric; zero if it is missing.
    pub fn metric(&self, name: &str) -> f64 {
        metric(
            &self.admin().get("/metrics").assert_status(200).text(),
            name,
        )
        .unwrap_or(0.0)
    }

    /// Number of open holds.
    pub fn holds_open(&self) -> u64 {
        let metrics = self.admin().get("/metrics").assert_status(200).text();
        let open =
            metric(&metrics, "gatekeeper_holds_open").expect("/metrics has gatekeeper_holds_open");
        open as u64
    }

    /// Asserts that no hold is open and that usage, requests, budgets and `/v1/ledger/verify` agree.
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
        for team in &self.teams_with_budgets {
            self.assert_team_spend(team, &rows);
        }
        let verified = self.verify_ledger();
        assert_eq!(
            verified["agrees"], true,
            "/v1/ledger/verify reports a disagreement: {verified:#}"
        );
    }

    /// `GET /v1/ledger/verify`
    pub fn verify_ledger(&self) -> Value {
        self.admin()
            .get("/v1/ledger/verify")
            .assert_status(200)
            .json()
    }

    fn assert_team_spend(&self, team: &str, rows: &[Value]) {
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
            let reported = pico(&text(budget, "spent"));
            assert_eq!(
                usd(reported),
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

/// String or number field as text; panics if it is missing.
#[track_caller]
pub fn text(object: &Value, name: &str) -> String {
    match &object[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("`{name}` is {other} in {object}"),
    }
}
