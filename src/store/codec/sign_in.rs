//! Sessions and one-time links as rows.

use serde::{Deserialize, Serialize};

use crate::domain::id::UserId;
use crate::domain::sign_in::{SESSION_MS, Session, SignInLink};
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SessionRow {
    hash: [u8; 32],
    user: u64,
    created_ms: u64,
    seen_ms: u64,
    address: String,
}

impl StoredValue for Session {
    const KIND: &'static str = "session";
    type Row = SessionRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = SessionRow {
            hash: self.hash,
            user: self.user.0,
            created_ms: self.created_ms,
            seen_ms: self.seen_ms,
            address: self.address.clone(),
        };
        write_row(&row, into)
    }

    fn from_row(row: SessionRow) -> Result<Session, String> {
        Ok(Session {
            hash: row.hash,
            user: UserId(row.user),
            created_ms: row.created_ms,
            seen_ms: row.seen_ms,
            until_ms: row.created_ms.saturating_add(SESSION_MS),
            address: row.address,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct LinkRow {
    hash: [u8; 32],
    user: Option<u64>,
    expires_ms: u64,
}

impl StoredValue for SignInLink {
    const KIND: &'static str = "sign-in link";
    type Row = LinkRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = LinkRow {
            hash: self.hash,
            user: self.user.map(|user| user.0),
            expires_ms: self.expires_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: LinkRow) -> Result<SignInLink, String> {
        Ok(SignInLink {
            hash: row.hash,
            user: row.user.map(UserId),
            expires_ms: row.expires_ms,
        })
    }
}
