//! The key that signs checkpoints: an Ed25519 seed, sealed, in the books. If the seal key is another one, a new seed is made, and the log
//! says so; the public keys of earlier seeds are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};
use serde_json::{Value, json};

use crate::audit::checkpoint::origin;
use crate::audit::note::{PublicKey, Signer};
use crate::store::books::audit::append::AuditEvent;
use crate::store::books::store::Store;
use crate::store::books::tables::{AUDIT_STATE, META};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::error::StoreError;
use crate::store::seal::{Seal, SealKey};

const PURPOSE: &str = "audit";
/// Row of the sealed seed, and of the public keys, one per line, the present one last.
const SEED: &str = "seed";
const PUBLIC_KEYS: &str = "public_keys";
/// Row of the settings at the last start, as JSON; secrets only as digests.
const SETTINGS: &str = "settings";

impl Store {
    /// Opens the signing key, or makes one, and signs with it from now on. A new key is an event, which `announce` makes of action and
    /// detail.
    pub async fn open_audit_key(
        &self,
        seal_key: &SealKey,
        announce: impl Fn(&'static str, Value) -> AuditEvent + Send + 'static,
    ) -> Result<PublicKey, StoreError> {
        let seal = Seal::new(seal_key.for_purpose(PURPOSE));
        let instance = self.instance;
        let open = move |books: &mut ChangeTransaction<'_>| {
            let (signer, is_new) = books.open_signer(&seal, &instance)?;
            let public = signer.public_key();
            if is_new {
                let detail = json!({ "public_key": public.to_string() });
                books.append_audit(&announce("audit.key", detail))?;
            }
            books.remember_key(public)?;
            Ok::<_, StoreError>(signer)
        };
        let signer = self.write(open).await?;
        let public = signer.public_key().clone();
        // a second opening finds the same key
        let _already_set = self.audit_signer.set(Arc::new(signer));
        Ok(public)
    }

    /// Public keys of the log, the present one last, in the text form of signed notes.
    pub fn audit_public_keys(&self) -> Result<Vec<String>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let row = read.open_table(AUDIT_STATE)?.get(PUBLIC_KEYS)?;
        let text = row.map(|row| String::from_utf8_lossy(row.value()).into_owned());
        Ok(text
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect())
    }
}

impl ChangeTransaction<'_> {
    /// The signer of the present generation, and `true` if its key is new.
    fn open_signer(
        &mut self,
        seal: &Seal,
        instance: &[u8; 16],
    ) -> Result<(Signer, bool), StoreError> {
        let meta = self.transaction.open_table(META)?;
        let generation = meta.get("generation")?.map_or(1, |value| value.value());
        let name = origin(instance, generation as u32);
        let mut rows = self.transaction.open_table(AUDIT_STATE)?;
        let sealed = rows.get(SEED)?.map(|row| row.value().to_vec());
        let seed = sealed.and_then(|sealed| seal.open(instance, &sealed));
        let stored = seed.and_then(|seed| Signer::new(&name, &seed));
        let (signer, is_new) = match stored {
            Some(signer) => (signer, false),
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|error| fault(&error.to_string()))?;
                let sealed = seal
                    .seal(instance, &seed)
                    .ok_or_else(|| fault("not sealed"))?;
                rows.insert(SEED, sealed.as_slice())?;
                let signer = Signer::new(&name, &seed).ok_or_else(|| fault("invalid seed"))?;
                (signer, true)
            }
        };
        Ok((signer, is_new))
    }

    fn remember_key(&mut self, public: &PublicKey) -> Result<(), StoreError> {
        let (known, public) = (self.public_keys()?, public.to_string());
        if known.lines().all(|line| line != public) {
            let mut rows = self.transaction.open_table(AUDIT_STATE)?;
            rows.insert(PUBLIC_KEYS, format!("{known}{public}\n").as_bytes())?;
        }
        Ok(())
    }

    fn public_keys(&mut self) -> Result<String, StoreError> {
        let rows = self.transaction.open_table(AUDIT_STATE)?;
        let row = rows.get(PUBLIC_KEYS)?;
        Ok(row.map_or(String::new(), |row| {
            String::from_utf8_lossy(row.value()).into_owned()
        }))
    }
}

impl ChangeTransaction<'_> {
    /// Remembers the settings of a start; returns those of the start before.
    pub fn replace_settings(
        &mut self,
        settings: &BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let mut rows = self.transaction.open_table(AUDIT_STATE)?;
        let before = rows
            .get(SETTINGS)?
            .and_then(|row| serde_json::from_slice(row.value()).ok());
        let bytes = serde_json::to_vec(settings).map_err(|error| fault(&error.to_string()))?;
        rows.insert(SETTINGS, bytes.as_slice())?;
        Ok(before)
    }
}

fn fault(reason: &str) -> StoreError {
    StoreError::Record {
        kind: "signing key of the audit log",
        reason: reason.to_owned(),
    }
}
