//! Declarations of the API as rows.

use serde::{Deserialize, Serialize};

use crate::domain::declaration::{Declaration, DeclarationKind, SealedCredential};
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct DeclarationRow {
    kind: u8,
    name: String,
    members: String,
    credentials: Vec<CredentialRow>,
    created_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct CredentialRow {
    members: Vec<String>,
    seal_key_id: String,
    data_key: Vec<u8>,
    content: Vec<u8>,
    created_ms: u64,
}

impl CredentialRow {
    fn of(credential: &SealedCredential) -> CredentialRow {
        CredentialRow {
            members: credential.members.clone(),
            seal_key_id: credential.seal_key_id.clone(),
            data_key: credential.data_key.clone(),
            content: credential.content.clone(),
            created_ms: credential.created_ms,
        }
    }

    fn into_credential(self) -> SealedCredential {
        SealedCredential {
            members: self.members,
            seal_key_id: self.seal_key_id,
            data_key: self.data_key,
            content: self.content,
            created_ms: self.created_ms,
        }
    }
}

impl StoredValue for Declaration {
    const KIND: &'static str = "declaration";
    type Row = DeclarationRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = DeclarationRow {
            kind: self.kind as u8,
            name: self.name.clone(),
            members: self.members.clone(),
            credentials: self.credentials.iter().map(CredentialRow::of).collect(),
            created_ms: self.created_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: DeclarationRow) -> Result<Declaration, String> {
        let kind = DeclarationKind::of_number(row.kind);
        let credentials = row.credentials.into_iter();
        Ok(Declaration {
            kind: kind.ok_or_else(|| format!("unknown kind {}", row.kind))?,
            name: row.name,
            members: row.members,
            credentials: credentials.map(CredentialRow::into_credential).collect(),
            created_ms: row.created_ms,
        })
    }
}
