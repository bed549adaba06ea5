//! Import of a virtual key whose secret another gateway issued. That gateway stored the SHA-256 of the secret, and only that is known
//! here; the books store a keyed hash of it. The client keeps its secret.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::keys::{self, KeyChange, NewVirtualKey, Origin, StoredSecret};
use crate::control::owner_limits::WithLimits;
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::event::Charge;
use crate::domain::money::Money;
use crate::domain::tenant::{SecretHash, VirtualKey};

/// A key of another gateway.
#[derive(Clone, Debug)]
pub struct ImportedKey {
    pub key: NewVirtualKey,
    /// SHA-256 of the secret
    pub sha256: SecretHash,
    /// last characters of the secret
    pub hint: String,
    pub disabled: bool,
    /// spent in the present window of each of its budgets over all models
    pub spent: Money,
}

impl Control {
    /// Creates the key. A secret that is known already is a conflict; that of an administrative key is refused.
    pub async fn import_key(
        &self,
        grant: &Grant<may::ImportKeys>,
        new: ImportedKey,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let keys = Grant::for_actor(grant.actor(), may::ChangeKeys)?;
        let origin = Origin::of(&self.directory(), &keys, &new.key)?;
        let zone = self.zone.clone();
        let import = move |change: &mut Change<'_, '_>| {
            check_unknown(change, &new.sha256)?;
            let hash = change.directory.imported_hash(&new.sha256);
            let secret = StoredSecret {
                hash: hash.ok_or_else(|| ApiError::defect("the seal key was not read"))?,
                hint: new.hint,
                imported: true,
            };
            let (key, stored) = keys::insert(change, &keys, origin, new.key, secret)?;
            let counted = stored
                .budgets
                .iter()
                .filter(|budget| budget.model.is_none());
            for budget in counted.filter(|_| new.spent > Money::ZERO) {
                let window_start_ms = zone.window(budget.period, change.at_ms).start_ms;
                let charge = Charge {
                    budget: budget.id,
                    window_start_ms,
                };
                change.books.open_balance(charge, new.spent)?;
            }
            let detail = json!({ "hint": key.hint, "spent_usd": new.spent.to_string() });
            change.audit("key.import", key.id, &detail)?;
            if !new.disabled {
                return Ok((key, stored));
            }
            let update = KeyChange {
                disabled: Some(true),
                ..KeyChange::default()
            };
            let (key, _) = keys::change_row(change, &keys, key, update)?;
            Ok((key, stored))
        };
        let (key, stored) = self.apply(grant.actor(), import).await?;
        Ok(self.with_status(key, stored))
    }
}

fn check_unknown(change: &Change<'_, '_>, sha256: &SecretHash) -> Result<(), ApiError> {
    let conflict =
        |message: String| Err(ApiError::new(ErrorCode::Conflict, message).with_param("sha256"));
    if change.directory.admin(sha256).is_some() {
        return conflict("an administrative key is never imported; leave it out".to_owned());
    }
    match change.directory.caller(sha256) {
        Some(known) => conflict(format!("{} has this secret already", known.key.id)),
        None => Ok(()),
    }
}
