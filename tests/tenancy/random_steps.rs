//! Random steps of a team's administrator and members through the API: no key of the team can call, spend or outlive more than the team
//! may, and nothing of another organization is returned, counted or named. `GK_TENANCY_STEPS` sets the number of steps.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Tenancy, create, listed};
use crate::budget::call::Call;
use crate::harness::client::{self, HttpClient, Response};
use crate::harness::instance::text;
use crate::harness::rng::SeededRng;
use crate::harness::{pico, print_figure, repetitions, usd};

/// Part of every name in the other organization.
const FOREIGN: &str = "zzforeign";
/// Micro-dollars that the team may spend in all, for each step: about half of the calls find room.
const TEAM_LIMIT_MICROS: usize = 12;
const MEMBER_LIMIT: &str = "0.0005";
const MEMBER_KEYS: usize = 3;

struct Walk {
    tenancy: Tenancy,
    actors: Vec<HttpClient>,
    rng: SeededRng,
    /// secrets of the keys that were made, by id
    secrets: BTreeMap<String, String>,
    /// ids of the keys that were not deleted by name, nor refused in a call
    live: Vec<String>,
    /// ids of the users behind the actors
    users: Vec<String>,
    /// dollars that the team may spend in all
    team_limit: String,
    /// ids of objects of the other organization
    foreign: Vec<String>,
    calls: usize,
    /// keys that members made for themselves
    member_keys: usize,
    /// monthly budget that each of them must have, and how many each member may have
    rules: (&'static str, usize),
}

/// Position of the team's administrator among the actors.
const ADMIN: usize = 0;

impl Walk {
    fn start(steps: usize) -> Walk {
        let team_limit = usd((steps * TEAM_LIMIT_MICROS) as i128 * 1_000_000);
        let tenancy = Tenancy::start();
        let owner = tenancy.gateway.admin();
        let team = json!({
            "models": ["m-small"], "budget_limit": team_limit, "budget_period": "total",
            "member_key_budget": MEMBER_LIMIT, "member_keys_max": MEMBER_KEYS,
        });
        let path = format!("/v1/teams/{}", tenancy.rockets);
        owner.patch(&path, &team).assert_status(200);
        let foreign = foreign_objects(&owner);
        let user = |name: &str, role: &str| {
            let membership = json!([{"role": role, "team": "rockets"}]);
            tenancy.as_user(&format!("{name}@example.org"), &membership)
        };
        let actors = vec![
            user("admin", "admin"),
            user("one", "member"),
            user("two", "member"),
        ];
        let all = owner.get("/v1/users").assert_status(200).json();
        let id_of = |name: &str| {
            let mut all = all["data"].as_array().expect("`data`").iter();
            let user = all.find(|user| user["email"] == format!("{name}@example.org"));
            text(user.expect("a user"), "id")
        };
        let users = ["admin", "one", "two"].map(id_of).to_vec();
        Walk {
            actors,
            foreign,
            tenancy,
            rng: SeededRng::new(16),
            secrets: BTreeMap::new(),
            live: Vec::new(),
            users,
            team_limit,
            calls: 0,
            member_keys: 0,
            rules: (MEMBER_LIMIT, MEMBER_KEYS),
        }
    }

    fn pick<'v>(&mut self, from: &'v [&'v str]) -> &'v str {
        from[self.rng.next() as usize % from.len()]
    }

    /// Id of any key that was made, or of an object of the other organization.
    fn any_id(&mut self) -> String {
        let known = self.secrets.len() as u64;
        let chosen = self.rng.next() % (known + 3);
        match self.secrets.keys().nth(chosen as usize) {
            Some(id) => id.clone(),
            None => self.foreign[self.rng.next() as usize % self.foreign.len()].clone(),
        }
    }

    /// Terms that ask for more than the team has as often as for less.
    fn terms(&mut self) -> Value {
        let mut terms = json!({});
        if self.rng.next().is_multiple_of(2) {
            let models = self.pick(&["m-small", "m-large", "*", "m-*"]);
            terms["models"] = json!([models]);
        }
        if self.rng.next().is_multiple_of(2) {
            terms["budget_limit"] = json!(self.pick(&["0.0001", "0.0004", "1", "100"]));
            terms["budget_period"] = json!(self.pick(&["daily", "monthly", "total"]));
        }
        if self.rng.next().is_multiple_of(3) {
            terms["rpm"] = json!(self.rng.between(1, 1_000));
        }
        if self.rng.next().is_multiple_of(4) {
            terms["expires"] = json!(self.pick(&["30m", "7d", "3000d"]));
        }
        terms
    }

    fn step(&mut self, number: usize) {
        let which = self.rng.next() as usize % self.actors.len();
        let actor = self.actors[which].clone();
        match self.rng.next() % 16 {
            0..=3 => self.create_key(which, number),
            4..=5 => {
                let (id, terms) = (self.any_id(), self.terms());
                let response = actor.patch(&format!("/v1/keys/{id}"), &terms);
                self.check(&response, &id);
            }
            6 => {
                let id = self.any_id();
                let response =
                    actor.post(&format!("/v1/keys/{id}/rotate"), &json!({"grace": "0h"}));
                self.check(&response, &id);
                if response.status == 200 {
                    self.secrets.insert(id, text(&response.json(), "key"));
                }
            }
            7 => {
                let id = self.any_id();
                self.delete_key(&actor, &id);
            }
            8 => self.change_team(&actor),
            9 => self.read(&actor),
            10 => self.change_members(&actor),
            11 => self.change_rules(&actor, which == ADMIN),
            12 if which != ADMIN => self.renew_own_key(which, number),
            _ => self.call(),
        }
    }

    fn delete_key(&mut self, actor: &HttpClient, id: &str) {
        let response = actor.delete(&format!("/v1/keys/{id}?cascade=true"));
        self.check(&response, id);
        if response.status < 300 {
            self.live.retain(|live| live != id);
        }
    }

    /// A member makes a key within the rules, and deletes own ones first where it has as many as the team allows.
    fn renew_own_key(&mut self, member: usize, number: usize) {
        let (actor, (limit, keys_max)) = (self.actors[member].clone(), self.rules);
        let path = format!("/v1/keys?limit=1000&user={}", self.users[member]);
        let own = listed(&self.tenancy.gateway.admin(), &path, "id");
        for id in own.iter().skip(keys_max - 1) {
            self.delete_key(&actor, id);
        }
        let body = json!({"name": format!("own{number}"), "team": "rockets", "budget_limit": limit, "budget_period": "monthly"});
        let response = actor.post("/v1/keys", &body);
        self.check(&response, "");
        if response.status == 201 {
            self.add_key(&response.json(), member);
        }
    }

    fn add_key(&mut self, key: &Value, creator: usize) {
        assert_eq!(key["team"], self.tenancy.rockets, "a key of another team");
        let id = text(key, "id");
        self.secrets.insert(id.clone(), text(key, "key"));
        self.live.push(id);
        if creator != ADMIN {
            self.assert_member_key(key);
        }
    }

    fn create_key(&mut self, creator: usize, number: usize) {
        let mut body = self.terms();
        body["name"] = json!(format!("k{number}"));
        match self.rng.next() % 5 {
            0 => body["parent"] = json!(self.any_id()),
            1 => body["team"] = json!(self.pick(&["zzforeign-team", "default", "support"])),
            _ => body["team"] = json!("rockets"),
        }
        if self.rng.next().is_multiple_of(4) {
            let users = [
                "one@example.org",
                "two@example.org",
                "zzforeign@example.org",
            ];
            body["user"] = json!(self.pick(&users));
        }
        let given = body.to_string();
        let response = self.actors[creator].post("/v1/keys", &body);
        self.check(&response, &given);
        if response.status == 201 {
            self.add_key(&response.json(), creator);
        }
    }

    /// A key that a member made is the member's own, has the budget that the team demands, and is one of the number that it allows.
    fn assert_member_key(&mut self, key: &Value) {
        let (limit, keys_max) = self.rules;
        self.member_keys += 1;
        let is_bound = |budget: &Value| {
            let terms = [&budget["period"], &budget["action"], &budget["model"]];
            terms == [&json!("monthly"), &json!("block"), &Value::Null]
                && pico(&text(budget, "limit")) <= pico(limit)
        };
        let budgets = key["budgets"].as_array().expect("budgets");
        assert!(budgets.iter().any(is_bound), "{key}");
        let path = format!("/v1/keys?limit=1000&user={}", text(key, "user"));
        let own = listed(&self.tenancy.gateway.admin(), &path, "id").len();
        assert!(own <= keys_max, "{own} keys of {}", key["user"]);
    }

    /// An administrator of the team sets the limits of members' keys; a member does not.
    fn change_rules(&mut self, actor: &HttpClient, is_admin: bool) {
        let budgets = ["0.0003", "0.0005", "0.0008"];
        let limit = budgets[self.rng.next() as usize % budgets.len()];
        let keys_max = self.rng.between(1, 5) as usize;
        let body = json!({"member_key_budget": limit, "member_keys_max": keys_max});
        let path = format!("/v1/teams/{}", self.tenancy.rockets);
        let response = actor.patch(&path, &body);
        self.check(&response, &path);
        if is_admin {
            response.assert_status(200);
            self.rules = (limit, keys_max);
        } else {
            response.assert_status(403);
        }
    }

    /// Only labels and the limits of members' keys may change, and those by an administrator alone.
    fn change_team(&mut self, actor: &HttpClient) {
        let own = self.tenancy.rockets.clone();
        let id = match self.rng.next() % 3 {
            0 => self.foreign[1].clone(),
            _ => own,
        };
        let body = match self.rng.next() % 5 {
            0 => json!({"tags": ["x"]}),
            1 => json!({"budget_limit": "1000"}),
            2 => json!({"models": ["*"]}),
            3 => json!({"budgets": []}),
            _ => json!({"name": "renamed", "rpm": null}),
        };
        let path = format!("/v1/teams/{id}");
        let response = actor.patch(&path, &body);
        self.check(&response, &id);
        assert!(
            response.status != 200 || body["tags"].is_array(),
            "{body} was allowed"
        );
        let deleted = actor.delete(&format!("{path}?cascade=true"));
        self.check(&deleted, &id);
        assert!(deleted.status >= 400, "a team was deleted");
    }

    fn change_members(&mut self, actor: &HttpClient) {
        let team = match self.rng.next() % 3 {
            0 => self.foreign[1].clone(),
            _ => self.tenancy.rockets.clone(),
        };
        let user = self.pick(&[
            "one@example.org",
            "two@example.org",
            "zzforeign@example.org",
        ]);
        let role = self.pick(&["member", "viewer", "owner", "auditor"]);
        let body = json!({"user": user, "role": role});
        let response = actor.post(&format!("/v1/teams/{team}/members"), &body);
        self.check(&response, &body.to_string());
        if user.starts_with(FOREIGN) {
            return;
        }
        let member = json!({"user": user, "role": "member"});
        let restored = self.tenancy.gateway.admin().post(
            &format!("/v1/teams/{}/members", self.tenancy.rockets),
            &member,
        );
        restored.assert_status(200);
    }

    fn read(&mut self, actor: &HttpClient) {
        let foreign = self.foreign.clone();
        let id = &foreign[self.rng.next() as usize % foreign.len()];
        for path in [
            format!("/v1/keys/{id}"),
            format!("/v1/teams/{id}"),
            format!("/v1/users/{id}"),
            format!("/v1/keys?team={id}"),
            "/v1/usage?group_by=team,key".to_owned(),
            "/v1/requests?limit=50".to_owned(),
        ] {
            let response = actor.get(&path);
            self.check(&response, &path);
        }
        for (list, member) in [
            ("/v1/organizations", "id"),
            ("/v1/teams", "organization"),
            ("/v1/keys?limit=1000", "organization"),
            ("/v1/budgets?limit=1000", "team"),
        ] {
            let response = actor.get(list);
            self.check(&response, list);
            let rows = response.json()["data"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for row in rows {
                let place = text(&row, member);
                assert!(
                    place == self.tenancy.acme || place == self.tenancy.rockets,
                    "{list}: {row}"
                );
            }
        }
    }

    /// A model that the team may not call is refused with every key.
    fn call(&mut self) {
        let at = self.rng.next() as usize;
        // three of four times a key that may still work
        let id = match self.rng.next() % 4 {
            0 => self.secrets.keys().nth(at % self.secrets.len().max(1)),
            _ => self.live.get(at % self.live.len().max(1)),
        };
        let Some(id) = id.cloned() else { return };
        let user = client::user(self.tenancy.gateway.address(), &self.secrets[&id]);
        let mut call = Call::chat().at_most(20).body();
        let status = user.chat(&call).status;
        assert!([200, 401, 402, 403, 429].contains(&status), "{status}");
        self.calls += usize::from(status == 200);
        if status == 401 {
            self.live.retain(|live| *live != id);
        }
        call["model"] = json!("m-large");
        let status = user.chat(&call).status;
        assert!([401, 403].contains(&status), "m-large: {status}");
    }

    /// The answer names nothing of the other organization but what the call itself named.
    fn check(&self, response: &Response, given: &str) {
        let text = response.text();
        assert!(response.status < 500, "{text}");
        let named = text.contains(FOREIGN) && !given.contains(FOREIGN);
        assert!(!named, "{given}: {text}");
        for id in &self.foreign {
            let pointed = [format!("\"{id}\""), format!("{id} ")];
            let known = pointed.iter().any(|id| text.contains(id.as_str()));
            assert!(!known || given.contains(id.as_str()), "{given}: {text}");
        }
    }

    /// Spend of the team is within its budget, and with the team every key ends.
    fn assert_limits(&mut self) {
        let owner = self.tenancy.gateway.admin();
        let team = owner
            .get(&format!("/v1/teams/{}", self.tenancy.rockets))
            .json();
        assert_eq!(team["budgets"][0]["limit"], self.team_limit, "{team}");
        assert_eq!(team["models"], json!(["m-small"]));
        let money = |text: &Value| -> f64 {
            let text = text.as_str().expect("an amount");
            text.parse().expect("a number")
        };
        let spent = money(&team["budgets"][0]["spent"]);
        assert!(spent <= money(&json!(self.team_limit)), "{spent}");
        let keys = owner.get("/v1/keys?limit=1000&team=rockets").json();
        let left = keys["data"].as_array().map_or(0, Vec::len);
        print_figure(
            "random steps of a team",
            &format!(
                "{left} keys left, {} keys of members, {} calls served, ${spent} spent",
                self.member_keys, self.calls
            ),
        );
        let path = format!("/v1/teams/{}?cascade=true", self.tenancy.rockets);
        owner.delete(&path).assert_status(204);
        for secret in self.secrets.values() {
            let user = client::user(self.tenancy.gateway.address(), secret);
            user.get("/v1/models").assert_status(401);
        }
        assert!(
            listed(&owner, "/v1/keys", "name")
                .iter()
                .all(|name| name.starts_with(FOREIGN))
        );
    }
}

/// An organization with one object of each kind; returns their ids, the team second.
fn foreign_objects(owner: &HttpClient) -> Vec<String> {
    let named = |name: &str| format!("{FOREIGN}-{name}");
    let organization = create(owner, "organizations", &json!({"name": FOREIGN}));
    let team =
        json!({"name": named("team"), "organization": organization["id"], "budget_limit": "7"});
    let team = create(owner, "teams", &team);
    let key = json!({"name": named("key"), "team": team["id"]});
    let key = create(owner, "keys", &key);
    let user = json!({"email": format!("{FOREIGN}@example.org"), "memberships": [{"role": "member", "team": team["id"]}]});
    let user = create(owner, "users", &user);
    [organization, team, key, user]
        .iter()
        .map(|object| text(object, "id"))
        .collect()
}

#[test]
fn random_steps_of_a_team_stay_within_the_team() {
    let steps = repetitions("GK_TENANCY_STEPS", 250);
    let mut walk = Walk::start(steps);
    for number in 0..steps {
        walk.step(number);
    }
    walk.assert_limits();
}
