//! Rotation of a virtual key's secret: the new secret works at once, the one before it until the grace period ends.

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::key;
use crate::auth::role::may;
use crate::control::change::Change;
use crate::control::keys::{self, instant, no_random_bytes};
use crate::control::owner_limits::WithLimits;
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::id::KeyId;
use crate::domain::secret::Secret;
use crate::domain::tenant::{PreviousSecret, VirtualKey};

/// Grace period of a rotation that names none.
pub const GRACE_DEFAULT_MS: u64 = 24 * 3_600_000;
/// Longest grace period.
pub const GRACE_MAX_MS: u64 = 90 * 86_400_000;

impl Control {
    /// Gives a key a new secret. A second rotation within the grace period ends the first secret at once.
    pub async fn rotate_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        id: KeyId,
        grace_ms: u64,
    ) -> Result<(WithLimits<VirtualKey>, Secret), ApiError> {
        let allowed = grant.clone();
        // the slug is a part of the secret and comes from the name
        let name = self.directory().live_key(id).map(|key| key.name.clone());
        let generated = key::generate(&name.unwrap_or_default()).map_err(no_random_bytes)?;
        let secret = generated.secret.clone();
        let rotate = move |change: &mut Change<'_, '_>| {
            let mut key = keys::load(change, &allowed, id)?;
            let until_ms = change.at_ms.saturating_add(grace_ms);
            let (secret_hash, hint) = (key.secret_hash, key.hint.clone());
            let imported = std::mem::replace(&mut key.imported, false);
            key.previous = (grace_ms > 0).then_some(PreviousSecret {
                secret_hash,
                imported,
                hint,
                until_ms,
            });
            let before = std::mem::replace(&mut key.hint, generated.hint);
            key.secret_hash = generated.hash;
            change.books.put_key(&key)?;
            let detail = json!({
                "hint": { "from": before, "to": key.hint },
                "previous_until": (grace_ms > 0).then(|| instant(until_ms)),
            });
            change.audit("key.rotate", id, &detail)?;
            let stored = change.directory.limits_of(Owner::Key(id));
            Ok((key, stored))
        };
        let (key, stored) = self.apply(grant.actor(), rotate).await?;
        Ok((self.with_status(key, stored), secret))
    }
}
