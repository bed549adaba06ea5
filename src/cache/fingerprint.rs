//! Fingerprint of a request: a keyed hash of every member and every forwarded header, but for the lists below, and of the scope, the route
//! and the dialect. Two requests with the same fingerprint share an answer; nothing of a request can be read from it.

use ring::hmac;
use serde_json::value::RawValue;

use crate::cache::canonical::{feed, feed_bytes, feed_text};
use crate::dialect::{Dialect, Request};
use crate::domain::cache::{CacheEntryId, CacheScope};
use crate::domain::header_list::KnownHeader;
use crate::domain::id::{KeyId, OrganizationId, TeamId};
use crate::store::seal::SealKey;

/// Members that change the form of an answer and nothing of its content.
pub const IGNORED_MEMBERS: [&str; 2] = ["stream", "stream_options"];
/// Forwarded headers that name the client's software.
pub const IGNORED_HEADERS: [&str; 2] = ["user-agent", "accept"];
/// Members that a policy with `ignore_user` leaves out.
pub const USER_MEMBERS: [&str; 2] = ["user", "metadata"];

/// Makes fingerprints; the key keeps them from being guessed.
pub struct Fingerprints(hmac::Key);

/// Everything beside the body that an answer depends on.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    pub scope: ScopeId,
    /// version of the route, or of the model called by its own name
    pub route: &'a [u8],
    /// chosen by the client
    pub namespace: Option<&'a str>,
    /// the client's headers that are forwarded
    pub headers: &'a [KnownHeader],
    /// end user, from the header that the configuration names
    pub user: Option<&'a str>,
    pub ignore_user: bool,
}

/// Owner of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeId {
    Key(KeyId),
    Team(TeamId),
    Organization(OrganizationId),
}

impl ScopeId {
    pub fn of(
        scope: CacheScope,
        (organization, team, key): (OrganizationId, TeamId, KeyId),
    ) -> ScopeId {
        match scope {
            CacheScope::Key => ScopeId::Key(key),
            CacheScope::Team => ScopeId::Team(team),
            CacheScope::Organization => ScopeId::Organization(organization),
        }
    }

    fn text(self) -> String {
        match self {
            ScopeId::Key(id) => id.to_string(),
            ScopeId::Team(id) => id.to_string(),
            ScopeId::Organization(id) => id.to_string(),
        }
    }
}

/// The last message of a request, if it is a text of the user.
pub struct LastMessage<'r> {
    pub text: String,
    /// the messages before it, as the client wrote them
    before: &'r str,
    member: &'static str,
}

impl Fingerprints {
    pub fn new(key: &SealKey) -> Fingerprints {
        let key = key.for_purpose("answer cache: names");
        Fingerprints(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// Fingerprint of the whole request. `None` for a body whose values cannot be told apart.
    pub fn exact(&self, request: &Request, context: &RequestContext<'_>) -> Option<CacheEntryId> {
        let mut digest = self.begin("exact", request, context);
        feed_members(request, context, None, &mut digest)?;
        Some(CacheEntryId(first_16(&digest)))
    }

    /// Fingerprint of everything but the text of the last message; `about` names the embedder.
    pub fn namespace(
        &self,
        request: &Request,
        context: &RequestContext<'_>,
        last: &LastMessage<'_>,
        about: &str,
    ) -> Option<[u8; 16]> {
        let mut digest = self.begin("namespace", request, context);
        feed_text(about, &mut digest);
        feed_text(last.before, &mut digest);
        feed_members(request, context, Some(last.member), &mut digest)?;
        Some(first_16(&digest))
    }

    /// Keyed hash of a property by which entries are purged.
    pub fn tag(&self, kind: &str, value: &str) -> u64 {
        let mut digest = hmac::Context::with_key(&self.0);
        feed_text("tag", &mut digest);
        feed_text(kind, &mut digest);
        feed_text(value, &mut digest);
        u64::from_be_bytes(first(&digest))
    }

    fn begin(&self, kind: &str, request: &Request, context: &RequestContext<'_>) -> hmac::Context {
        let mut digest = hmac::Context::with_key(&self.0);
        for text in [
            kind,
            request.dialect.as_str(),
            request.operation.record_name(request.dialect),
            &context.scope.text(),
            context.namespace.unwrap_or(""),
        ] {
            feed_text(text, &mut digest);
        }
        feed_bytes(b'r', context.route, &mut digest);
        let counts = |name: &str| !IGNORED_HEADERS.contains(&name);
        let headers = context.headers.iter().filter(|(name, _)| counts(name));
        let mut headers: Vec<&KnownHeader> = headers.collect();
        headers.sort_unstable();
        feed_bytes(b'h', &(headers.len() as u64).to_le_bytes(), &mut digest);
        for (name, value) in headers {
            feed_text(name, &mut digest);
            feed_text(value, &mut digest);
        }
        if let Some(user) = context.user.filter(|_| !context.ignore_user) {
            feed_bytes(b'u', user.as_bytes(), &mut digest);
        }
        digest
    }
}

/// Feeds the members in the order of their names.
fn feed_members(
    request: &Request,
    context: &RequestContext<'_>,
    except: Option<&str>,
    digest: &mut hmac::Context,
) -> Option<()> {
    let counts = |name: &&str| {
        let is_user = context.ignore_user && USER_MEMBERS.contains(name);
        !IGNORED_MEMBERS.contains(name) && !is_user && except != Some(*name)
    };
    let mut names: Vec<&str> = request.member_names().filter(counts).collect();
    names.sort_unstable();
    for name in names {
        feed_text(name, digest);
        feed(request.member(name)?, digest).ok()?;
    }
    Some(())
}

fn first_16(digest: &hmac::Context) -> [u8; 16] {
    first(digest)
}

fn first<const N: usize>(digest: &hmac::Context) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest.clone().sign().as_ref()[..N]);
    bytes
}

/// The last message; `None` unless it has a role of the user, and one text and nothing else.
pub fn last_message(request: &Request) -> Option<LastMessage<'_>> {
    let member = match request.dialect {
        Dialect::Responses => "input",
        _ => "messages",
    };
    let raw = request.member(member)?;
    if let Ok(text) = serde_json::from_str::<String>(raw) {
        // the short form of Responses
        return Some(LastMessage {
            text,
            before: "",
            member,
        });
    }
    let messages: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let last = messages.last()?.get();
    let text = user_text(last)?;
    let end = last.as_ptr() as usize - raw.as_ptr() as usize;
    Some(LastMessage {
        text,
        before: &raw[..end],
        member,
    })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'m> {
    role: String,
    #[serde(borrow)]
    content: &'m RawValue,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

fn user_text(message: &str) -> Option<String> {
    let message: Message<'_> = serde_json::from_str(message).ok()?;
    if message.role != "user" || message.kind.is_some_and(|kind| kind != "message") {
        return None;
    }
    let content = message.content.get();
    if let Ok(text) = serde_json::from_str::<String>(content) {
        return Some(text);
    }
    let [part] = <[Part; 1]>::try_from(serde_json::from_str::<Vec<Part>>(content).ok()?).ok()?;
    matches!(part.kind.as_str(), "text" | "input_text").then_some(part.text)
}

#[cfg(test)]
mod tests;
