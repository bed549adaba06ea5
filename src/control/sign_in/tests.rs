//! Sign-in against the clock: links and sessions end, and what has ended is deleted; a throttled account waits and never locks.

use std::net::IpAddr;

use super::*;
use crate::control::test_control::{NOW_MS, TestControl, grant};
use crate::domain::sign_in::{OIDC_SESSION_MS, SESSION_IDLE_MS};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

fn redemption(token: &Secret) -> Redemption {
    let owner = (
        Name::parse("Ada").expect("a name"),
        Email::parse(EMAIL).expect("an address"),
    );
    Redemption {
        token: token.clone(),
        password: Secret::new(PASSWORD),
        owner: Some(owner),
    }
}

fn address(last: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, last]))
}

async fn link(instance: &TestControl) -> NewLink {
    let link = instance
        .control
        .create_setup_link(&grant(may::SetUp), None)
        .await;
    link.expect("a link")
}

/// The first owner, by a link.
async fn owner(instance: &TestControl) -> NewSession {
    let link = link(instance).await;
    let session = instance.control.redeem_link(redemption(&link.token), None);
    session.await.expect("a session")
}

#[tokio::test]
async fn link_ends_after_its_time() {
    let instance = TestControl::open().await;
    let late = link(&instance).await;
    assert_eq!(late.link.expires_ms, NOW_MS + SETUP_LINK_MS);
    instance.clock.advance_ms(SETUP_LINK_MS);
    let refused = instance.control.redeem_link(redemption(&late.token), None);
    let error = refused.await.expect_err("expired");
    assert_eq!(error.code, ErrorCode::Authentication);
    let fresh = link(&instance).await;
    let gone = instance.store.link(&late.link.hash).expect("reads");
    assert!(gone.is_none(), "an ended link is deleted with the next one");
    instance.clock.advance_ms(SETUP_LINK_MS - 1);
    let used = instance.control.redeem_link(redemption(&fresh.token), None);
    used.await.expect("in time");
}

#[tokio::test]
async fn session_ends_when_idle_or_old_and_its_row_is_deleted() {
    let instance = TestControl::open().await;
    let (control, session) = (&instance.control, owner(&instance).await);
    let token = session.token.expose();
    instance.clock.advance_ms(SESSION_IDLE_MS - 1);
    assert!(
        control.session_actor(token).is_some(),
        "prolonged by the call"
    );
    control.store_sessions().await.expect("stored");
    let stored = instance.store.sessions().expect("rows");
    assert_eq!(stored[0].seen_ms, NOW_MS + SESSION_IDLE_MS - 1);
    instance.clock.advance_ms(SESSION_IDLE_MS);
    assert!(control.session_actor(token).is_none(), "idle");
    control.store_sessions().await.expect("stored");
    assert!(instance.store.sessions().expect("rows").is_empty());
    assert!(control.sessions(&Actor::Process).is_empty());
}

#[tokio::test]
async fn session_of_an_issuer_ends_after_twelve_hours_however_much_it_is_used() {
    let instance = TestControl::open().await;
    let first = owner(&instance).await;
    let control = &instance.control;
    let (actor, _) = control
        .session_actor(first.token.expose())
        .expect("a session");
    let session = control.insert_session(actor, None, "oidc", OIDC_SESSION_MS);
    let session = session.await.expect("a session");
    let stored = instance.store.sessions().expect("rows");
    let stored = stored.iter().find(|row| row.hash == session.session.hash);
    assert_eq!(stored, Some(&session.session), "its end survives a restart");
    for _ in 0..11 {
        instance.clock.advance_ms(3_600_000);
        assert!(control.session_actor(session.token.expose()).is_some());
        assert!(control.session_actor(first.token.expose()).is_some());
    }
    instance.clock.advance_ms(3_600_000);
    assert!(control.session_actor(session.token.expose()).is_none());
    assert!(control.session_actor(first.token.expose()).is_some());
    control.store_sessions().await.expect("stored");
    assert_eq!(instance.store.sessions().expect("rows").len(), 1);
}

#[tokio::test]
async fn account_under_attack_is_slowed_and_opens_with_its_password() {
    let instance = TestControl::open().await;
    owner(&instance).await;
    let control = &instance.control;
    let throttle = &control.sign_in.throttle;
    (0..6).for_each(|attempt| throttle.note_failure(EMAIL, address(attempt), NOW_MS));
    // attempts that wait hold no permit, so they keep nobody else out
    let waiting: Vec<_> = (0..ATTEMPTS)
        .map(|_| {
            let control = control.clone();
            tokio::spawn(async move {
                let wrong = Secret::new("not the password");
                control.start_session(EMAIL, wrong, address(7)).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let other = control.start_session("eve@example.com", Secret::new(PASSWORD), address(8));
    let refused = other.await.expect_err("no such account");
    assert_eq!(refused.code, ErrorCode::Authentication, "not overloaded");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    let begun = std::time::Instant::now();
    let opened = control.start_session(EMAIL, Secret::new(PASSWORD), address(9));
    opened.await.expect("never locked");
    assert!(begun.elapsed() >= Duration::from_millis(250), "slowed");
}

/// More than the attempts that may be worked on at once.
const ATTEMPTS: usize = 80;
