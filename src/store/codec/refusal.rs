//! Refusals as rows. Rows are positional: the order of the fields is stored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::api_error::ErrorCode;
use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::refusal::Refusal;
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RefusalRow<'a> {
    request: u128,
    at_ms: u64,
    organization: u64,
    team: u64,
    key: u64,
    model_asked: Cow<'a, str>,
    user: Option<u64>,
    tag: Option<Cow<'a, str>>,
    dialect: Cow<'a, str>,
    word: Cow<'a, str>,
}

impl StoredValue for Refusal {
    const KIND: &'static str = "refusal";
    type Row = RefusalRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = RefusalRow {
            request: self.request.0,
            at_ms: self.at_ms,
            organization: self.organization.0,
            team: self.team.0,
            key: self.key.0,
            model_asked: Cow::Borrowed(&self.model_asked),
            user: self.attribution.user.map(|user| user.0),
            tag: self
                .attribution
                .tag
                .as_ref()
                .map(|tag| Cow::Borrowed(tag.as_str())),
            dialect: Cow::Borrowed(&self.dialect),
            word: Cow::Borrowed(self.code.as_str()),
        };
        write_row(&row, into)
    }

    fn from_row(row: RefusalRow<'static>) -> Result<Refusal, String> {
        Ok(Refusal {
            request: RequestId(row.request),
            at_ms: row.at_ms,
            organization: OrganizationId(row.organization),
            team: TeamId(row.team),
            key: KeyId(row.key),
            model_asked: row.model_asked.into_owned(),
            attribution: Attribution {
                user: row.user.map(UserHash),
                tag: row.tag.and_then(|tag| Tag::parse(tag.as_bytes())),
            },
            dialect: row.dialect.into_owned(),
            code: ErrorCode::parse(&row.word)
                .ok_or_else(|| format!("unknown error code `{}`", row.word))?,
        })
    }
}
