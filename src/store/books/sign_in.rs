//! Rows of sign-in: password hashes, sessions, one-time links. Their tables are absent before the first of each.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::domain::id::UserId;
use crate::domain::sign_in::{SESSION_MS, Session, SignInLink};
use crate::domain::tenant::SecretHash;
use crate::store::books::store::Store;
use crate::store::books::tables::{LINKS, OIDC_USERS, PASSWORDS, SESSION_ENDS, SESSIONS};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

type ByHash = TableDefinition<'static, [u8; 32], &'static [u8]>;

impl Store {
    /// Hash of the user's password in PHC format; `None` before the first.
    pub fn password(&self, user: UserId) -> Result<Option<String>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        match read.open_table(PASSWORDS) {
            Ok(table) => Ok(table.get(user.0)?.map(|row| row.value().to_owned())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One-time link of a token; `None` once it was used.
    pub fn link(&self, hash: &SecretHash) -> Result<Option<SignInLink>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        match read.open_table(LINKS) {
            Ok(table) => {
                let row = table.get(hash)?;
                row.map(|row| SignInLink::decode(row.value())).transpose()
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All stored sessions, ended ones too.
    pub fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = match read.open_table(SESSIONS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let ends = match read.open_table(SESSION_ENDS) {
            Ok(ends) => Some(ends),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut sessions = Vec::new();
        for row in table.iter()? {
            let mut session = Session::decode(row?.1.value())?;
            if let Some(ends) = &ends
                && let Some(until_ms) = ends.get(session.hash)?
            {
                session.until_ms = until_ms.value();
            }
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// User that an issuer knows by this identity.
    pub fn oidc_user(&self, identity: &str) -> Result<Option<UserId>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        match read.open_table(OIDC_USERS) {
            Ok(table) => Ok(table.get(identity)?.map(|id| UserId(id.value()))),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl ChangeTransaction<'_> {
    pub fn put_password(&mut self, user: UserId, hash: &str) -> Result<(), StoreError> {
        let mut passwords = self.transaction.open_table(PASSWORDS)?;
        passwords.insert(user.0, hash)?;
        Ok(())
    }

    pub fn put_session(&mut self, session: &Session) -> Result<(), StoreError> {
        if session.until_ms != session.created_ms.saturating_add(SESSION_MS) {
            let mut ends = self.transaction.open_table(SESSION_ENDS)?;
            ends.insert(session.hash, session.until_ms)?;
        }
        self.put_by_hash(SESSIONS, session.hash, session)
    }

    pub fn remove_session(&mut self, hash: &SecretHash) -> Result<(), StoreError> {
        self.transaction.open_table(SESSIONS)?.remove(hash)?;
        self.transaction.open_table(SESSION_ENDS)?.remove(hash)?;
        Ok(())
    }

    pub fn oidc_user(&mut self, identity: &str) -> Result<Option<UserId>, StoreError> {
        let users = self.transaction.open_table(OIDC_USERS)?;
        let id = users.get(identity)?;
        Ok(id.map(|id| UserId(id.value())))
    }

    pub fn put_oidc_user(&mut self, identity: &str, user: UserId) -> Result<(), StoreError> {
        let mut users = self.transaction.open_table(OIDC_USERS)?;
        users.insert(identity, user.0)?;
        Ok(())
    }

    pub fn put_link(&mut self, link: &SignInLink) -> Result<(), StoreError> {
        self.put_by_hash(LINKS, link.hash, link)
    }

    /// Takes a link away; a second time there is none.
    pub fn take_link(&mut self, hash: &SecretHash) -> Result<Option<SignInLink>, StoreError> {
        let mut links = self.transaction.open_table(LINKS)?;
        let row = links.remove(hash)?;
        row.map(|row| SignInLink::decode(row.value())).transpose()
    }

    /// Deletes links that ended.
    pub fn remove_ended_links(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let mut links = self.transaction.open_table(LINKS)?;
        let ended =
            |bytes: &[u8]| SignInLink::decode(bytes).is_ok_and(|link| link.expires_ms <= now_ms);
        links.retain(|_, bytes| !ended(bytes))?;
        Ok(())
    }

    fn put_by_hash(
        &mut self,
        table: ByHash,
        hash: SecretHash,
        value: &impl StoredValue,
    ) -> Result<(), StoreError> {
        let bytes = value.encode()?;
        let mut rows = self.transaction.open_table(table)?;
        rows.insert(hash, bytes.as_slice())?;
        Ok(())
    }
}
