//! Changes while the audit log cannot be written: every one is refused, and nothing of it is stored or in force.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::auth::role::{Actor, may};
use crate::auth::user_actor;
use crate::control::sign_in::Redemption;
use crate::control::test_control::{TestControl, grant};
use crate::domain::api_error::ApiError;
use crate::domain::secret::Secret;
use crate::server::api::test_calls::{
    answer, call, created, text, with_body, with_id, with_id_and_body,
};
use crate::server::api::{audit, clock, keys, organizations, prices, sign_in, teams, users};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

/// An instance with one object of each kind.
struct Fixture {
    instance: TestControl,
    team: Value,
    key: Value,
    admin_key: Value,
    user: Value,
    organization: Value,
    /// secret of an unused link
    link: Secret,
}

impl Fixture {
    async fn open() -> Fixture {
        let instance = TestControl::open().await;
        let body = |text: &str| with_body(&instance, text);
        let organization = created(organizations::create(body(r#"{"name":"acme"}"#))).await;
        let team = r#"{"name":"eng","organization":"acme","budget_limit":5}"#;
        let team = created(teams::create(body(team))).await;
        let key = created(keys::create(body(r#"{"name":"ci","team":"eng"}"#))).await;
        let admin = r#"{"name":"ops","admin":true,"role":"auditor"}"#;
        let admin_key = created(keys::create(body(admin))).await;
        let user = json!({"email": EMAIL, "name": "Ada", "memberships": [{"role": "owner"}]});
        let user = created(users::create(body(&user.to_string()))).await;
        let link = created(sign_in::invite(with_id(&instance, &user["id"]))).await;
        let fixture = Fixture {
            link: secret_of(&link),
            team,
            key,
            admin_key,
            user,
            organization,
            instance,
        };
        let unused = created(sign_in::invite(with_id(
            &fixture.instance,
            &fixture.user["id"],
        )));
        let redemption = fixture.redemption(&secret_of(&unused.await));
        let signed_in = fixture.instance.control.redeem_link(redemption, None).await;
        signed_in.expect("a session");
        fixture
    }

    fn redemption(&self, token: &Secret) -> Redemption {
        Redemption {
            token: token.clone(),
            password: Secret::new(PASSWORD),
            owner: None,
        }
    }

    /// Everything that a change could change.
    fn state(&self) -> String {
        let store = &self.instance.store;
        let (tenants, sessions) = (store.tenants().expect("rows"), store.sessions());
        let live = self.instance.control.sessions(&Actor::Process);
        let directory = self.instance.control.directory();
        let keys: Vec<_> = directory.keys().map(|caller| caller.key.clone()).collect();
        let sessions = sessions.expect("rows");
        format!("{tenants:?} {sessions:?} {live:?} {keys:?}")
    }

    /// Changes of tenants, keys and users.
    async fn change_tenants(&self, refused: &mut Vec<(&'static str, u16, Value)>) {
        let instance = &self.instance;
        let mut note = |name, (status, body): (u16, Value)| refused.push((name, status, body));
        let body = |text: &str| with_body(instance, text);
        let id = |object: &Value| with_id(instance, &object["id"]);
        let on = |object: &Value, text: &str| with_id_and_body(instance, &object["id"], text);
        let cascade = |object: &Value| super::ApiCall {
            query: "cascade=true".to_owned(),
            ..id(object)
        };
        let (organization, team, key) = (&self.organization, &self.team, &self.key);
        let made = answer(organizations::create(body(r#"{"name":"other"}"#))).await;
        note("organization.create", made);
        let made = answer(organizations::change(on(organization, r#"{"rpm":9}"#))).await;
        note("organization.change", made);
        let made = answer(organizations::delete(cascade(organization))).await;
        note("organization.delete", made);
        note(
            "team.create",
            answer(teams::create(body(r#"{"name":"x","organization":"acme"}"#))).await,
        );
        let made = answer(teams::change(on(team, r#"{"budget_limit":7}"#))).await;
        note("team.change", made);
        note("team.delete", answer(teams::delete(cascade(team))).await);
        let made = answer(keys::create(body(r#"{"name":"x","team":"eng"}"#))).await;
        note("key.create", made);
        let made = answer(keys::change(on(key, r#"{"disabled":true}"#))).await;
        note("key.change", made);
        note("key.rotate", answer(keys::rotate(on(key, "{}"))).await);
        note("key.delete", answer(keys::delete(id(key))).await);
        let made = answer(keys::change(on(&self.admin_key, r#"{"disabled":true}"#))).await;
        note("admin_key.change", made);
        let made = answer(keys::delete(id(&self.admin_key))).await;
        note("admin_key.delete", made);
        let user = r#"{"email":"bob@example.com","name":"Bob"}"#;
        note("user.create", answer(users::create(body(user))).await);
        let made = answer(users::change(on(&self.user, r#"{"disabled":true}"#))).await;
        note("user.change", made);
        note(
            "user.delete",
            answer(users::delete(cascade(&self.user))).await,
        );
        let member = json!({"user": self.user["id"], "role": "member"}).to_string();
        note("member", answer(users::put_member(on(team, &member))).await);
    }

    /// Sign-in, and what opens something without a change of tenants.
    async fn open_things(&self, refused: &mut Vec<(&'static str, u16, Value)>) {
        let (instance, control) = (&self.instance, &self.instance.control);
        let mut note = |name, (status, body): (u16, Value)| refused.push((name, status, body));
        let error = |error: ApiError| (error.code.status(), json!(error.message));
        let invited = answer(sign_in::invite(with_id(instance, &self.user["id"]))).await;
        note("link.create", invited);
        let link = answer(sign_in::create_setup_link(with_body(instance, "{}"))).await;
        note("setup", link);
        let address: Option<IpAddr> = "192.0.2.1".parse().ok();
        let session = control.start_session(EMAIL, Secret::new(PASSWORD), address);
        note("session.start", error(session.await.expect_err("refused")));
        let redeemed = control.redeem_link(self.redemption(&self.link), address);
        note("link", error(redeemed.await.expect_err("refused")));
        let session = control.sessions(&Actor::Process).remove(0);
        let actor = user_actor(&control.directory(), session.user).expect("a user");
        let (old, new) = (Secret::new(PASSWORD), Secret::new("another password, long"));
        let changed = control.change_password(&actor, &session, old, new);
        note("password", error(changed.await.expect_err("refused")));
        note("audit.export", answer(audit::export(call(instance))).await);
        note("clock.accept", answer(clock::accept(call(instance))).await);
        let sheet = r#"{"as_of":"mine, 2100-01","models":[{"provider":"v","model":"m","mode":"chat","rates":{"input":"1"}}]}"#;
        let sheet = json!({ "sheet": sheet }).to_string();
        let applied = answer(prices::apply(with_body(instance, &sheet))).await;
        note("prices.applied", applied);
        let taken = control.backup(&grant(may::TakeBackup), "1").await;
        note("backup.taken", error(taken.err().expect("refused")));
    }
}

fn secret_of(link: &Value) -> Secret {
    let secret = text(&link["path"]).split_once('#');
    Secret::new(secret.expect("a secret").1)
}

#[tokio::test]
async fn change_is_refused_and_undone_while_its_audit_event_cannot_be_stored() {
    let fixture = Fixture::open().await;
    let before = fixture.state();
    let events = fixture.instance.audit().len();
    fixture.instance.store.break_audit_log();
    let mut refused = Vec::new();
    fixture.change_tenants(&mut refused).await;
    fixture.open_things(&mut refused).await;
    for (name, status, body) in &refused {
        assert_eq!(*status, 503, "{name}: {body}");
        assert!(body.to_string().contains("audit"), "{name}: {body}");
    }
    assert!(refused.len() > 20, "{}", refused.len());
    assert_eq!(fixture.state(), before);
    // once the log can be written again, the same changes are made
    fixture.instance.store.mend_audit_log();
    assert_eq!(fixture.instance.audit().len(), events);
    let redemption = fixture.redemption(&fixture.link);
    let redeemed = fixture.instance.control.redeem_link(redemption, None).await;
    redeemed.expect("the link was not used up");
    let mut made = Vec::new();
    fixture.change_tenants(&mut made).await;
    assert_eq!((made[0].1, made[1].1), (201, 200), "{made:?}");
    assert_ne!(fixture.state(), before);
}
