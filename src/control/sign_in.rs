//! Sign-in to the dashboard: passwords on a bounded pool, one-time links, sessions. A refusal never says whether the account exists.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::auth::session::{generate_token, hash};
use crate::auth::throttle::Verdict;
use crate::auth::{password, user_actor};
use crate::control::change::Change;
use crate::control::input::{Email, Name};
use crate::control::keys::no_random_bytes;
use crate::control::plane::Control;
use crate::control::users::insert_user;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::UserId;
use crate::domain::role::{Membership, Scope};
use crate::domain::secret::Secret;
use crate::domain::sign_in::{INVITATION_MS, SESSION_MS, SETUP_LINK_MS, Session, SignInLink};

/// The stored time of a session's last call is at most so old.
const SEEN_STALE_MS: u64 = 5 * 60_000;

/// A new session and its secret, which goes into the cookie.
#[derive(Debug)]
pub struct NewSession {
    pub token: Secret,
    pub session: Session,
}

/// A new one-time link and its secret.
#[derive(Debug)]
pub struct NewLink {
    pub token: Secret,
    pub link: SignInLink,
}

/// A link used to set a password.
#[derive(Clone, Debug)]
pub struct Redemption {
    pub token: Secret,
    pub password: Secret,
    /// name and e-mail address of a new owner
    pub owner: Option<(Name, Email)>,
}

impl Control {
    /// Actor and session of a cookie; `None` if the session or its user ended.
    pub fn session_actor(&self, token: &str) -> Option<(Actor, Session)> {
        let session = self.sign_in.sessions.find(token, self.now_ms())?;
        let actor = user_actor(&self.directory(), session.user);
        if actor.is_none() {
            self.sign_in.sessions.remove(&session.hash);
        }
        Some((actor?, session))
    }

    /// Starts a session for an e-mail address and its password.
    pub async fn start_session(
        &self,
        email: &str,
        given: Secret,
        address: Option<IpAddr>,
    ) -> Result<NewSession, ApiError> {
        let account = email.trim().to_lowercase();
        self.wait_for_turn(&account, address).await?;
        let _attempt = self
            .sign_in
            .attempts
            .try_acquire()
            .map_err(|_| overloaded())?;
        let directory = self.directory();
        let user = directory
            .users()
            .find(|user| user.email == account && user.deleted_ms.is_none())
            .map(|user| user.id);
        let stored = match user {
            Some(user) => self.read(move |store| store.password(user)).await?,
            None => None,
        };
        let matches = self.verify(given, stored).await?;
        let actor = user.filter(|_| matches);
        match actor.and_then(|user| user_actor(&directory, user)) {
            Some(actor) => {
                self.sign_in.throttle.note_success(&account);
                self.insert_session(actor, address, "password", SESSION_MS)
                    .await
            }
            None => {
                self.note_failure(&account, user, address);
                Err(refused())
            }
        }
    }

    /// Slows attempts on an account that failed, and refuses an address that fails often. Holds nothing while it waits.
    async fn wait_for_turn(&self, account: &str, address: Option<IpAddr>) -> Result<(), ApiError> {
        match self.sign_in.throttle.check(account, address, self.now_ms()) {
            Verdict::Refused { retry_after_s } => {
                self.note_denial("sign_in.throttled", None, address, "rate_limit_exceeded");
                Err(throttled(retry_after_s))
            }
            Verdict::After { delay_ms: 0 } => Ok(()),
            Verdict::After { delay_ms } => {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                Ok(())
            }
        }
    }

    /// Counts a failure; an unknown account is not named in the audit log, which it could fill with any text.
    fn note_failure(&self, account: &str, user: Option<UserId>, address: Option<IpAddr>) {
        let throttle = &self.sign_in.throttle;
        throttle.note_failure(account, address, self.now_ms());
        let subject = user.map(|user| user.to_string());
        let reason = match subject {
            Some(_) => "wrong_password",
            None => "unknown_account",
        };
        self.note_denial("sign_in.failed", subject, address, reason);
    }

    pub(super) async fn insert_session(
        &self,
        actor: Actor,
        address: Option<IpAddr>,
        by: &'static str,
        valid_ms: u64,
    ) -> Result<NewSession, ApiError> {
        let user = actor.user().ok_or_else(refused)?;
        let token = generate_token().map_err(no_random_bytes)?;
        let now_ms = self.now_ms();
        let session = Session {
            hash: hash(token.expose()),
            user,
            created_ms: now_ms,
            seen_ms: now_ms,
            until_ms: now_ms + valid_ms,
            address: address
                .map(|address| address.to_string())
                .unwrap_or_default(),
        };
        let stored = session.clone();
        let insert = move |change: &mut Change<'_, '_>| {
            change.books.put_session(&stored)?;
            let detail = json!({ "session": stored.id(), "address": stored.address, "by": by });
            change.audit("session.start", user, &detail)
        };
        self.apply(&actor, insert).await?;
        self.sign_in.sessions.put(session.clone());
        Ok(NewSession { token, session })
    }

    /// Sessions that the actor may see: the own ones; all for who changes users of the instance.
    pub fn sessions(&self, actor: &Actor) -> Vec<Session> {
        let all = Grant::for_actor(actor, may::ChangeUsers)
            .is_ok_and(|grant| grant.covers(Scope::Instance));
        let mut sessions = self.sign_in.sessions.all(self.now_ms());
        sessions.retain(|session| all || Some(session.user) == actor.user());
        sessions
    }

    /// Ends a session by its id, if the actor sees it.
    pub async fn end_session(&self, actor: &Actor, id: &str) -> Result<(), ApiError> {
        let sessions = self.sessions(actor);
        let session = sessions.into_iter().find(|session| session.id() == id);
        let session = session.ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                "unknown session; list them to see which exist",
            )
        })?;
        self.end_sessions(actor, vec![session.hash]).await
    }

    /// Ends every session of a user, as when the user is disabled.
    pub(super) async fn end_sessions_of(
        &self,
        actor: &Actor,
        user: UserId,
    ) -> Result<(), ApiError> {
        let sessions = self.sign_in.sessions.of_user(user);
        if sessions.is_empty() {
            return Ok(());
        }
        self.end_sessions(actor, sessions).await
    }

    async fn end_sessions(&self, actor: &Actor, hashes: Vec<[u8; 32]>) -> Result<(), ApiError> {
        // dead at once, even if the store refuses the change
        hashes
            .iter()
            .for_each(|hash| self.sign_in.sessions.remove(hash));
        let remove = move |change: &mut Change<'_, '_>| {
            for hash in &hashes {
                change.books.remove_session(hash)?;
                let id: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
                change.audit("session.end", id, &json!({}))?;
            }
            Ok(())
        };
        self.apply(actor, remove).await
    }

    /// Link that creates an owner (`user` is `None`) or resets a password; from the machine itself only.
    pub async fn create_setup_link(
        &self,
        grant: &Grant<may::SetUp>,
        email: Option<Email>,
    ) -> Result<NewLink, ApiError> {
        let directory = self.directory();
        let user = match email {
            None => None,
            Some(email) => Some(
                directory
                    .users()
                    .find(|user| user.email == email.as_str() && user.deleted_ms.is_none())
                    .map(|user| user.id)
                    .ok_or_else(|| {
                        ApiError::new(
                            ErrorCode::NotFound,
                            "unknown e-mail address; `gatekeeper users list` shows the users",
                        )
                    })?,
            ),
        };
        self.insert_link(grant.actor(), user, SETUP_LINK_MS).await
    }

    /// Link by which a user sets a first or another password.
    pub async fn create_invitation(
        &self,
        grant: &Grant<may::ChangeUsers>,
        user: UserId,
    ) -> Result<NewLink, ApiError> {
        self.user_within(grant, user)?;
        self.insert_link(grant.actor(), Some(user), INVITATION_MS)
            .await
    }

    async fn insert_link(
        &self,
        actor: &Actor,
        user: Option<UserId>,
        valid_ms: u64,
    ) -> Result<NewLink, ApiError> {
        let token = generate_token().map_err(no_random_bytes)?;
        let link = SignInLink {
            hash: hash(token.expose()),
            user,
            expires_ms: self.now_ms() + valid_ms,
        };
        let stored = link.clone();
        let insert = move |change: &mut Change<'_, '_>| {
            change.books.remove_ended_links(change.at_ms)?;
            change.books.put_link(&stored)?;
            let subject = user.map_or_else(|| "owner".to_owned(), |user| user.to_string());
            change.audit(
                "link.create",
                subject,
                &json!({ "valid_s": valid_ms / 1_000 }),
            )
        };
        self.apply(actor, insert).await?;
        Ok(NewLink { token, link })
    }

    /// Uses a link once: sets the password, ends the sessions that the account has, and starts one.
    pub async fn redeem_link(
        &self,
        redemption: Redemption,
        address: Option<IpAddr>,
    ) -> Result<NewSession, ApiError> {
        check_password(&redemption.password)?;
        let (token, owner) = (hash(redemption.token.expose()), redemption.owner);
        let now_ms = self.now_ms();
        let known = self.read(move |store| store.link(&token)).await?;
        if known.is_none_or(|link| link.expires_ms <= now_ms) {
            // the pool works for holders of a link only
            self.note_denial("sign_in.failed", None, address, "invalid_link");
            return Err(used_link());
        }
        let phc = self.hash(redemption.password).await?;
        let redeem = move |change: &mut Change<'_, '_>| {
            let link = change.books.take_link(&token)?;
            let link = link
                .filter(|link| link.expires_ms > change.at_ms)
                .ok_or_else(used_link)?;
            let user = match (link.user, owner) {
                (Some(user), _) => user,
                (None, Some((name, email))) => {
                    insert_user(change, name, email, vec![Membership::OWNER])?
                }
                (None, None) => {
                    let message = "`email` and `name` are missing; this link makes a new owner";
                    return Err(ApiError::invalid(message).with_param("email"));
                }
            };
            change.books.put_password(user, &phc)?;
            change.audit("password.set", user, &json!({ "by": "link" }))?;
            Ok(user)
        };
        let user = self.apply(&Actor::Process, redeem).await?;
        let actor = user_actor(&self.directory(), user).ok_or_else(refused)?;
        self.end_sessions_of(&actor, user).await?;
        self.insert_session(actor, address, "link", SESSION_MS)
            .await
    }

    /// Replaces the password of the actor, who gives the present one; other sessions of the account end.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: &Session,
        old: Secret,
        new: Secret,
    ) -> Result<(), ApiError> {
        check_password(&new)?;
        let user = actor.user().ok_or_else(refused)?;
        let _attempt = self
            .sign_in
            .attempts
            .try_acquire()
            .map_err(|_| overloaded())?;
        let stored = self.read(move |store| store.password(user)).await?;
        if !self.verify(old, stored).await? {
            let message = "wrong password; a forgotten one is reset by an administrator's link";
            return Err(ApiError::new(ErrorCode::PermissionDenied, message).with_param("password"));
        }
        let phc = self.hash(new).await?;
        let set = move |change: &mut Change<'_, '_>| {
            change.books.put_password(user, &phc)?;
            change.audit("password.set", user, &json!({ "by": "user" }))
        };
        self.apply(actor, set).await?;
        let mut others = self.sign_in.sessions.of_user(user);
        others.retain(|hash| *hash != current.hash);
        match others.is_empty() {
            true => Ok(()),
            false => self.end_sessions(actor, others).await,
        }
    }

    /// Stores the last call of sessions that were used, and deletes ended ones.
    pub(super) async fn store_sessions(&self) -> Result<(), ApiError> {
        let now_ms = self.now_ms();
        let changed = self.sign_in.sessions.unstored(now_ms, SEEN_STALE_MS);
        if changed.is_empty() {
            return Ok(());
        }
        let rows = changed.clone();
        self.store
            .write(move |books| {
                for session in &rows {
                    match session.is_live(now_ms) {
                        true => books.put_session(session)?,
                        false => books.remove_session(&session.hash)?,
                    }
                }
                Ok::<(), ApiError>(())
            })
            .await?;
        for session in changed {
            match session.is_live(now_ms) {
                true => self.sign_in.sessions.put(session),
                false => self.sign_in.sessions.remove(&session.hash),
            }
        }
        Ok(())
    }

    async fn verify(&self, given: Secret, stored: Option<String>) -> Result<bool, ApiError> {
        self.on_pool(move || password::verify(&given, stored.as_deref()))
            .await
    }

    async fn hash(&self, given: Secret) -> Result<String, ApiError> {
        let hash = self.on_pool(move || password::hash(&given)).await?;
        hash.ok_or_else(|| {
            ApiError::new(
                ErrorCode::Internal,
                "no random bytes from the system; try again",
            )
        })
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _permit = self
            .sign_in
            .hashes
            .acquire()
            .await
            .map_err(|_| overloaded())?;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("password hashing failed: {error}"),
            )
        })
    }
}

fn check_password(password: &Secret) -> Result<(), ApiError> {
    let chars = password.expose().chars().count();
    if (password::CHARS_MIN..=password::CHARS_MAX).contains(&chars) {
        return Ok(());
    }
    let message = format!(
        "`password` has {chars} characters; give {} to {}",
        password::CHARS_MIN,
        password::CHARS_MAX
    );
    Err(ApiError::invalid(message).with_param("password"))
}

fn refused() -> ApiError {
    let message = "wrong e-mail address or password; a forgotten password is reset by an administrator's link";
    ApiError::new(ErrorCode::Authentication, message)
}

fn used_link() -> ApiError {
    let message = "the link was used or has expired; ask for a new one";
    ApiError::new(ErrorCode::Authentication, message)
}

fn throttled(retry_after_s: u64) -> ApiError {
    let message =
        format!("too many failed sign-ins from this address; try again in {retry_after_s} s");
    ApiError::new(ErrorCode::RateLimitExceeded, message).with_retry_after(retry_after_s)
}

fn overloaded() -> ApiError {
    let message = "too many sign-ins at once; try again in a moment";
    ApiError::new(ErrorCode::Overloaded, message).with_retry_after(1)
}

#[cfg(test)]
mod tests;
