//! Values as bytes: one version byte, then bincode's standard encoding. The only file that names bincode. Encoders write the newest
//! version, decoders read every earlier one. A decoder trusts no length, leaves no byte unread, and never panics.

mod audit;
mod cache;
mod capture;
mod creation;
mod declaration;
mod hold;
mod ledger;
mod lines;
mod note;
mod owner_limits;
mod refusal;
mod sign_in;
pub(in crate::store) mod status;
mod tenants;
#[cfg(test)]
pub(in crate::store) mod tests;
mod users;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::error::StoreError;

const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Type that can be stored.
pub(super) trait StoredValue: Sized {
    const KIND: &'static str;
    /// version that the encoder writes
    const VERSION: u8 = 2;
    /// row of the newest version
    type Row: DeserializeOwned;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String>;
    fn from_row(row: Self::Row) -> Result<Self, String>;

    /// Decodes the bytes after the version byte. A type whose row changes in a later version overrides this with an arm for each version,
    /// because log records and rows of earlier versions are read for ever.
    fn decode_version(version: u8, bytes: &[u8]) -> Result<Self, String> {
        match version {
            2 => read_row(bytes).and_then(Self::from_row),
            other => Err(unknown_version::<Self>(other)),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(512);
        self.encode_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Adds the encoded value to bytes.
    fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        bytes.push(Self::VERSION);
        self.encode_row(bytes).map_err(unreadable::<Self>)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let decoded = match bytes.split_first() {
            Some((version, row)) => Self::decode_version(*version, row),
            None => Err("no bytes".into()),
        };
        decoded.map_err(unreadable::<Self>)
    }
}

fn unreadable<T: StoredValue>(reason: String) -> StoreError {
    StoreError::Record {
        kind: T::KIND,
        reason,
    }
}

fn unknown_version<T: StoredValue>(version: u8) -> String {
    if version > T::VERSION {
        format!(
            "version {version} was written by a newer release; this one reads up to {}",
            T::VERSION
        )
    } else {
        format!("unknown version {version}")
    }
}

fn encoding() -> Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> {
    bincode::config::standard().with_limit::<VALUE_BYTES_MAX>()
}

fn read_row<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, String> {
    let (row, length) =
        bincode::serde::decode_from_slice(bytes, encoding()).map_err(|error| error.to_string())?;
    if length != bytes.len() {
        return Err(format!("{} bytes left over", bytes.len() - length));
    }
    Ok(row)
}

fn write_row(row: &impl Serialize, into: &mut Vec<u8>) -> Result<(), String> {
    bincode::serde::encode_into_std_write(row, into, encoding())
        .map(|_| ())
        .map_err(|error| error.to_string())
}
