//! Every endpoint of the compiled table × every role × own, foreign and unknown objects: each cell agrees with the role table. The test
//! writes `tests/ROLES.md` with `GK_WRITE_TABLES=1`, and fails if the file differs.

use std::collections::BTreeMap;
use std::fmt::Write;

use gatekeeper::auth::role::{Action, Reach};
use gatekeeper::domain::role::{Level, Role};
use gatekeeper::server::{EndpointAccess, EndpointRow, endpoints};
use serde_json::{Value, json};

use super::{Tenancy, create};
use crate::harness::client::{self, HttpClient, Response};
use crate::harness::instance::text;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ROLES.md");

/// Object of a call, seen from the organization `acme` and its team `rockets`, where the roles hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Own,
    Foreign,
    Unknown,
}

const OBJECTS: [Object; 3] = [Object::Own, Object::Foreign, Object::Unknown];

/// Ids for `{id}` by the first part of the path: own, foreign, unknown.
struct Objects(BTreeMap<&'static str, [String; 3]>);

impl Objects {
    fn create(tenancy: &Tenancy) -> Objects {
        let admin = tenancy.gateway.admin();
        let key = |team: &str| {
            let key = json!({"name": format!("key of {team}"), "team": team});
            text(&create(&admin, "keys", &key), "id")
        };
        let user = |email: &str, team: &str| {
            let user = json!({"email": email, "memberships": [{"role": "viewer", "team": team}]});
            text(&create(&admin, "users", &user), "id")
        };
        let unknown = |prefix: &str| format!("{prefix}_999");
        let default = text(&admin.get("/v1/organizations").json()["data"][0], "id");
        Objects(BTreeMap::from([
            (
                "organizations",
                [tenancy.acme.clone(), default, unknown("org")],
            ),
            (
                "teams",
                [
                    tenancy.rockets.clone(),
                    tenancy.support.clone(),
                    unknown("team"),
                ],
            ),
            ("keys", [key("rockets"), key("support"), unknown("key")]),
            (
                "users",
                [
                    user("own@example.org", "rockets"),
                    user("foreign@example.org", "support"),
                    unknown("usr"),
                ],
            ),
        ]))
    }

    fn path(&self, row: &EndpointRow, object: Object) -> Option<String> {
        if !row.path.contains('{') {
            return (object == Object::Own).then(|| row.path.clone());
        }
        let resource = row.path.split('/').nth(2)?;
        let path = row.path.replace("{member}", "usr_999");
        match self.0.get(resource) {
            Some(ids) => Some(path.replace("{id}", &ids[object as usize])),
            None => (object == Object::Unknown).then(|| path.replace("{id}", "unknown")),
        }
    }
}

/// Client of a role in `acme` and `rockets`; a member has a user.
fn client_of(tenancy: &Tenancy, role: Role) -> HttpClient {
    let mut membership = json!({"role": role.as_str()});
    match role.level() {
        Level::Instance => {}
        Level::Organization => membership["organization"] = json!("acme"),
        Level::Team => membership["team"] = json!("rockets"),
    }
    match role {
        Role::TeamMember => tenancy.as_user("member@example.org", &json!([membership])),
        _ => tenancy.with_role(&membership),
    }
}

/// A body that the endpoint accepts as far as its form, so that the answer is about the object.
fn body_of(row: &EndpointRow) -> Value {
    let name = json!({"name": "renamed"});
    match (row.method.as_str(), row.path.as_str()) {
        ("POST", "/v1/teams/{id}/members") => json!({"user": "usr_999", "role": "viewer"}),
        ("POST", "/v1/keys/verify") => json!({"key": "sk-gk-none"}),
        ("PATCH", path) if path.ends_with("/capture") => json!({"on": false}),
        ("PATCH", "/v1/teams/{id}") => json!({"tags": ["x"]}),
        ("PATCH", "/v1/providers/{id}") => json!({"models": ["x"]}),
        ("PATCH", "/v1/routes/{id}") => json!({"strategy": "ordered"}),
        ("PATCH", "/v1/aliases/{id}") => json!({"target": "x"}),
        ("PATCH", _) => name,
        _ => json!({}),
    }
}

/// Sends the call with a version that no object has, so that no call changes or deletes one.
fn send(client: &HttpClient, row: &EndpointRow, path: &str) -> Response {
    let client = client.clone().with("if-match", "\"none\"");
    let body = body_of(row);
    match row.method.as_str() {
        "GET" => client.get(path),
        "HEAD" => client.head(path),
        "POST" => client.post(path, &body),
        "PATCH" => client.patch(path, &body),
        "DELETE" => client.delete(path),
        other => panic!("no call for {other}"),
    }
}

fn status(client: &HttpClient, row: &EndpointRow, path: &str) -> u16 {
    let response = send(client, row, path);
    assert!(
        response.status < 500,
        "{} {path}: {}",
        row.method,
        response.text()
    );
    response.status
}

/// Statuses that a cell may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Denied,
    /// 404: the object does not exist for the role
    Unknown,
    /// anything but a refusal of the role
    Allowed,
}

impl Verdict {
    fn of(action: Action, role: Role, row: &EndpointRow, object: Object) -> Verdict {
        let Some(reach) = action.reach(role) else {
            return Verdict::Denied;
        };
        let has_object = row.path.contains("{id}");
        let of_tenant = ["organizations", "teams", "keys", "users"]
            .iter()
            .any(|resource| row.path.starts_with(&format!("/v1/{resource}/")));
        if !has_object {
            return Verdict::Allowed;
        }
        if !of_tenant || object == Object::Unknown {
            return Verdict::Unknown;
        }
        let in_scope = match role.level() {
            Level::Instance => true,
            _ => object == Object::Own,
        };
        // the key of the matrix is no personal key of the member
        let covered = in_scope && reach == Reach::Scope;
        if covered {
            Verdict::Allowed
        } else {
            Verdict::Unknown
        }
    }

    fn allows(self, status: u16, row: &EndpointRow) -> bool {
        match self {
            Verdict::Denied => status == 403,
            Verdict::Unknown => status == 404,
            // a member that is no member of the team is unknown in a team that is not
            Verdict::Allowed if row.path.contains("/members") => status != 401 && status != 403,
            Verdict::Allowed => ![401, 403, 404].contains(&status),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Verdict::Denied => "403",
            Verdict::Unknown => "404",
            Verdict::Allowed => "yes",
        }
    }
}

/// Status of a public URL.
fn public(row: &EndpointRow) -> u16 {
    // a file of another build is unknown
    if row.path.contains("{hash}") {
        404
    } else {
        200
    }
}

/// True for calls that act on the whole instance once the role has the action: the matrix does not make them.
fn acts_at_once(row: &EndpointRow) -> bool {
    [
        "/v1/backup",
        "/v1/users/{id}/invitation",
        // unknown before the first verification
        "/v1/audit/verify",
        "/v1/clock/accept",
        "/v1/reasoning-memory",
        // the purge needs a selection
        "/v1/cache",
        "/v1/cache/difference",
        "/v1/keys/{id}/rotate",
    ]
    .contains(&row.path.as_str())
}

#[test]
fn every_endpoint_answers_every_role_as_the_table_says() {
    let tenancy = Tenancy::start();
    let objects = Objects::create(&tenancy);
    let virtual_key = tenancy
        .gateway
        .key(&json!({"name": "v", "team": "rockets"}));
    let clients: Vec<(Role, HttpClient)> = Role::ALL
        .into_iter()
        .map(|role| (role, client_of(&tenancy, role)))
        .collect();
    let (anon, user) = (tenancy.gateway.anon(), tenancy.gateway.user(&virtual_key));
    let admin = tenancy.gateway.admin();
    let (mut cells, mut faults) = (0, Vec::new());
    for row in endpoints() {
        for object in OBJECTS {
            let Some(path) = objects.path(&row, object) else {
                continue;
            };
            let path = path.replace("{id:.+}", "m-small");
            let mut expect = |who: &str, client: &HttpClient, fits: &dyn Fn(u16) -> bool| {
                let status = status(client, &row, &path);
                cells += 1;
                if !fits(status) {
                    faults.push(format!("{} {path} as {who}: {status}", row.method));
                }
            };
            match row.access {
                EndpointAccess::Public => expect("anon", &anon, &|status| status == public(&row)),
                EndpointAccess::VirtualKey => {
                    expect("anon", &anon, &|status| status == 401);
                    expect("owner", &admin, &|status| status == 403);
                    expect("virtual key", &user, &|status| {
                        ![401, 403].contains(&status)
                    });
                }
                EndpointAccess::AnyKey => {
                    expect("anon", &anon, &|status| status == 401);
                    expect("owner", &admin, &|status| status == 200);
                    expect("virtual key", &user, &|status| status == 200);
                }
                EndpointAccess::SignIn => {
                    expect("anon", &anon, &|status| (400..500).contains(&status));
                }
                EndpointAccess::AnyRole => {
                    expect("anon", &anon, &|status| status == 401);
                    expect("virtual key", &user, &|status| status == 403);
                }
                EndpointAccess::Action(action) => {
                    expect("anon", &anon, &|status| status == 401);
                    expect("virtual key", &user, &|status| status == 403);
                    for (role, client) in &clients {
                        let expected = Verdict::of(action, *role, &row, object);
                        if acts_at_once(&row) && expected == Verdict::Allowed {
                            continue;
                        }
                        let name = format!("{role:?}, {object:?} object");
                        expect(&name, client, &|status| expected.allows(status, &row));
                    }
                }
            }
        }
    }
    assert!(
        faults.is_empty() && cells > 800,
        "{} of {cells} cells:\n{}",
        faults.len(),
        faults.join("\n")
    );
    println!("FIGURE cells of the role matrix: {cells}");
}

#[test]
fn url_in_an_odd_form_gives_no_access() {
    let tenancy = Tenancy::start();
    let viewer = tenancy.with_role(&json!({"role": "viewer", "team": "rockets"}));
    let foreign = &tenancy.support;
    for path in [
        "//v1/teams",
        "/v1//teams",
        "/v1/./teams",
        "/v1/x/../teams",
        "/v1/%74eams",
        "/v1/teams%2f",
        "/V1/teams",
        "/v1/teams/%2e%2e/keys",
        "/v1/teams;x=1",
        "http://127.0.0.1/v1/teams",
    ] {
        for client in [&viewer, &tenancy.gateway.anon()] {
            let response = client.get(path);
            let text = response.text();
            assert!(
                response.status >= 400 || !text.contains(foreign.as_str()),
                "{path}: {} {text}",
                response.status
            );
        }
        let anon = tenancy.gateway.anon().get(path);
        assert!(anon.status >= 400, "{path}: {}", anon.text());
    }
    let host = client::anon(tenancy.gateway.address()).with("host", "other.example");
    assert!(host.get("/v1/teams").status >= 400);
}

/// Odd forms of a path: empty, dotted and encoded parts, a slash at the end, and the absolute form.
fn odd_forms(path: &str) -> Vec<String> {
    let rest = path.trim_start_matches('/');
    let (first, tail) = rest.split_once('/').unwrap_or((rest, ""));
    vec![
        format!("/{path}"),
        format!("/{first}//{tail}"),
        format!("/%2e/{rest}"),
        format!("/{first}/%2e%2e/{first}/{tail}"),
        format!("/x/../{rest}"),
        format!("/{first}%2f{tail}"),
        format!("{path}/"),
        format!("{path};x=1"),
        format!("http://127.0.0.1{path}"),
    ]
}

#[test]
fn url_of_every_endpoint_in_an_odd_form_gives_no_more_than_the_plain_one() {
    let tenancy = Tenancy::start();
    let objects = Objects::create(&tenancy);
    let viewer = tenancy.with_role(&json!({"role": "viewer", "team": "rockets"}));
    let (mut calls, mut faults) = (0, Vec::new());
    let guarded = |row: &EndpointRow| !matches!(row.access, EndpointAccess::Public);
    for row in endpoints().into_iter().filter(guarded) {
        for object in OBJECTS {
            let Some(path) = objects.path(&row, object) else {
                continue;
            };
            let path = path.replace("{id:.+}", "m-small");
            for client in [&viewer, &tenancy.gateway.anon()] {
                let plain = status(client, &row, &path);
                let mut expect = |status: u16, form: &str| {
                    calls += 1;
                    // 501: no endpoint, where clients expect those of a vendor
                    if (status < 400 && status != plain) || (status >= 500 && status != 501) {
                        faults.push(format!("{} {form}: {status}, not {plain}", row.method));
                    }
                };
                for form in odd_forms(&path) {
                    expect(send(client, &row, &form).status, &form);
                }
                let other_host = client.clone().with("host", "other.example");
                let other = send(&other_host, &row, &path).status;
                expect(other, &format!("{path} at another host"));
                let two_hosts = other_host.with("host", "localhost");
                let twice = send(&two_hosts, &row, &path).status;
                assert_eq!(twice, 400, "{} {path} with two hosts", row.method);
            }
        }
    }
    assert!(
        faults.is_empty() && calls > 2_000,
        "{calls}: {}",
        faults.join("\n")
    );
    for (method, path) in [
        ("GET", "/v1/nothing"),
        ("POST", "/v1/teams/x/nothing"),
        ("PUT", "/nothing"),
    ] {
        let unknown = tenancy.gateway.admin().connect().call(method, path, None);
        assert!([404, 501].contains(&unknown.status), "{method} {path}");
    }
}

#[test]
fn role_table_of_the_document_is_the_compiled_one() {
    let written = table();
    if std::env::var_os("GK_WRITE_TABLES").is_some() {
        std::fs::write(FILE, &written).expect("the table is written");
    }
    let found = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        found == written,
        "tests/ROLES.md differs from the code; write it anew with GK_WRITE_TABLES=1"
    );
}

fn table() -> String {
    let mut text = String::from(
        "# Roles\n\nWritten by a test from the compiled tables (`GK_WRITE_TABLES=1`); `gatekeeper roles` and `gatekeeper endpoints` print the \
         same.\n\n`scope`: everything in the scope of the role. `own`: the personal keys of the user and what they did. `granted`: \
         captured calls of the teams for which an owner names the role. Empty: 403.\n\n## \
         Actions\n\n",
    );
    let names: Vec<String> = Role::ALL
        .iter()
        .map(|role| format!("{} {}", role.level().as_str(), role.as_str()))
        .collect();
    let _ = writeln!(text, "| action | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
    for action in Action::ALL {
        let reach = |role: &Role| action.reach(*role).map_or("", Reach::as_str);
        let cells: Vec<&str> = Role::ALL.iter().map(reach).collect();
        let _ = writeln!(text, "| `{}` | {} |", action.as_str(), cells.join(" | "));
    }
    text.push_str("\n## Endpoints\n\nFor each role: own / foreign / unknown object.\n\n");
    let _ = writeln!(text, "| method | path | access | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|---|{}", "---|".repeat(names.len()));
    for row in endpoints() {
        let cell = |role: &Role| match row.access {
            EndpointAccess::Action(action) => OBJECTS
                .map(|object| Verdict::of(action, *role, &row, object).word())
                .join(" / "),
            _ => String::new(),
        };
        let cells: Vec<String> = Role::ALL.iter().map(cell).collect();
        let path = row.path.replace("{id:.+}", "{id}");
        let access = row.access.as_str();
        let _ = writeln!(
            text,
            "| {} | `{path}` | {access} | {} |",
            row.method,
            cells.join(" | ")
        );
    }
    text
}
