//! All tables of `gatekeeper.redb` and its schema number. A row is a version byte and bincode (`codec`). Names, key types and key order are
//! stored: a change of any of them needs a new schema number and a migration step.

use redb::TableDefinition;

/// Raised with every change of the tables or of the meaning of their keys.
pub(in crate::store) const SCHEMA: u64 = 12;

/// name → number: `schema`, `applied`, `next_id`, `generation`, `instance_high`, `instance_low`; after the first run `clock_now_ms`,
/// `clock_boot_ms`, `clock_jumped_ms`, and if known `clock_boot_high`, `clock_boot_low`; after the first deletion `kept_requests_ms`,
/// `kept_hours_ms`, `kept_days_ms`; `restored_ms` from a restore until it is accepted
pub(in crate::store) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// name → word: `timezone`, which defines the bounds of windows, hours and days
pub(in crate::store) const WORDS: TableDefinition<&str, &str> = TableDefinition::new("words");
/// Instant of the backup that the books come from, in `meta`, until an operator accepts it.
pub(in crate::store) const RESTORED: &str = "restored_ms";
/// Instant of the last backup, in `meta`, and its actor, in `words`; absent before the first.
pub(in crate::store) const BACKUP_MS: &str = "backup_ms";
pub(in crate::store) const BACKUP_BY: &str = "backup_by";
/// Name of the time zone in `words`.
pub(in crate::store) const TIMEZONE: &str = "timezone";
pub(in crate::store) const ORGANIZATIONS: TableDefinition<u64, &[u8]> =
    TableDefinition::new("organizations");
pub(in crate::store) const TEAMS: TableDefinition<u64, &[u8]> = TableDefinition::new("teams");
pub(in crate::store) const KEYS: TableDefinition<u64, &[u8]> = TableDefinition::new("keys");
pub(in crate::store) const ADMIN_KEYS: TableDefinition<u64, &[u8]> =
    TableDefinition::new("admin_keys");
/// absent before the first user
pub(in crate::store) const USERS: TableDefinition<u64, &[u8]> = TableDefinition::new("users");
/// key → time of the last use; absent before the first
pub(in crate::store) const KEY_USES: TableDefinition<u64, u64> = TableDefinition::new("key_uses");
/// user → hash of the password in PHC format; absent before the first password
pub(in crate::store) const PASSWORDS: TableDefinition<u64, &str> =
    TableDefinition::new("passwords");
/// SHA-256 of the secret → session; absent before the first sign-in
pub(in crate::store) const SESSIONS: TableDefinition<[u8; 32], &[u8]> =
    TableDefinition::new("sessions");
/// SHA-256 of the secret → end of a session that does not last the usual time; absent before the first
pub(in crate::store) const SESSION_ENDS: TableDefinition<[u8; 32], u64> =
    TableDefinition::new("session_ends");
/// issuer, line feed, subject → user; absent before the first sign-in through an issuer
pub(in crate::store) const OIDC_USERS: TableDefinition<&str, u64> =
    TableDefinition::new("oidc_users");
/// SHA-256 of the secret → one-time link; absent before the first link
pub(in crate::store) const LINKS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("links");
/// `text`, `sha256` and `applied_ms` of the applied price sheet; absent before the first
pub(in crate::store) const PRICES: TableDefinition<&str, &[u8]> = TableDefinition::new("prices");
/// time from which on a price sheet is in force → its SHA-256, a space and its source; absent before the first start that writes it
pub(in crate::store) const PRICE_SHEETS: TableDefinition<u64, &str> =
    TableDefinition::new("price_sheets");
/// SHA-256 of actor and idempotency key → creation; absent before the first
pub(in crate::store) const CREATIONS: TableDefinition<[u8; 32], &[u8]> =
    TableDefinition::new("creations");
/// (kind, name) → declaration of the API; absent before the first
pub(in crate::store) const DECLARATIONS: TableDefinition<(u8, &str), &[u8]> =
    TableDefinition::new("declarations");
pub(in crate::store) const BUDGETS: TableDefinition<u64, &[u8]> = TableDefinition::new("budgets");
pub(in crate::store) const RATE_LIMITS: TableDefinition<u64, &[u8]> =
    TableDefinition::new("rate_limits");
/// (kind, id) of a team or key → setting of prompt capture; absent before the first
pub(in crate::store) const CAPTURE_SETTINGS: TableDefinition<(u8, u64), &[u8]> =
    TableDefinition::new("capture_settings");
/// names in use, by (scope, name)
pub(in crate::store) const NAMES: TableDefinition<(&str, &str), ()> = TableDefinition::new("names");
/// sequence → event as a JSON line, of the open segment
pub(in crate::store) const AUDIT: TableDefinition<u64, &str> = TableDefinition::new("audit");
/// sequence of the first event → lines of a sealed segment
pub(in crate::store) const AUDIT_SEGMENTS: TableDefinition<u64, &[u8]> =
    TableDefinition::new("audit_segments");
/// (height, index) → node of the tree over all events, at every eighth height
pub(in crate::store) const AUDIT_NODES: TableDefinition<(u8, u64), &[u8]> =
    TableDefinition::new("audit_nodes");
/// size → signed checkpoint
pub(in crate::store) const AUDIT_CHECKPOINTS: TableDefinition<u64, &str> =
    TableDefinition::new("audit_checkpoints");
/// `log` → frontier of the tree, open segment; `seed` → sealed signing key; `public_keys` → its public keys
pub(in crate::store) const AUDIT_STATE: TableDefinition<&str, &[u8]> =
    TableDefinition::new("audit_state");
/// Attempt number of a refusal; attempts are numbered from 1.
pub(in crate::store) const REFUSED: u8 = 0;
/// (request, attempt) → usage record, or refusal
pub(in crate::store) const RECORDS: TableDefinition<(u128, u8), &[u8]> =
    TableDefinition::new("records");
/// index of `records`: (key, request, attempt), in order of time
pub(in crate::store) const RECORDS_OF_KEY: TableDefinition<(u64, u128, u8), ()> =
    TableDefinition::new("records_of_key");
/// index of `records` with a status other than `ok`: (status class, request, attempt), in order of time
pub(in crate::store) const RECORDS_NOT_OK: TableDefinition<(u8, u128, u8), ()> =
    TableDefinition::new("records_not_ok");
/// (request, attempt) of the uncorrected orphaned records
pub(in crate::store) const ORPHANS: TableDefinition<(u128, u8), ()> =
    TableDefinition::new("orphans");
/// (request, attempt, number from 1) → compensating entry
pub(in crate::store) const CORRECTIONS: TableDefinition<(u128, u8, u32), &[u8]> =
    TableDefinition::new("corrections");
/// (request, attempt) → hold that was open at the last commit
pub(in crate::store) const OPEN_HOLDS: TableDefinition<(u128, u8), &[u8]> =
    TableDefinition::new("open_holds");
/// (budget, window start) → amount
pub(in crate::store) type BalanceTable = TableDefinition<'static, (u64, u64), &'static [u8]>;
/// settled amounts
pub(in crate::store) const BALANCES: BalanceTable = TableDefinition::new("balances");
/// the part of each balance that comes from deleted records
pub(in crate::store) const CARRIED: BalanceTable = TableDefinition::new("carried");
/// (budget, window start) → requests and pico-dollars that a budget which warns would have refused; absent before the first
pub(in crate::store) const WOULD_REFUSE: TableDefinition<(u64, u64), (u64, i128)> =
    TableDefinition::new("would_refuse");
/// name → value of a setting that was changed through the API; absent before the first
pub(in crate::store) const SETTINGS: TableDefinition<&str, u64> = TableDefinition::new("settings");
/// alerts sent: (budget, window start, kind) → message, empty once delivered
pub(in crate::store) const ALERTS: TableDefinition<(u64, u64, u8), &str> =
    TableDefinition::new("alerts");
/// (start, key, model asked, provider, model, status class) → sums
pub(in crate::store) type RollupTable = TableDefinition<
    'static,
    (u64, u64, &'static str, &'static str, &'static str, u8),
    &'static [u8],
>;
/// (start of the day, kind, tag or pseudonym, key) → sums; absent before the first tag or user
pub(in crate::store) const STATED_DAYS: TableDefinition<(u64, u8, &str, u64), &[u8]> =
    TableDefinition::new("stated_days");
/// (start of the day, kind) → number of values with rows of their own; absent before the first
pub(in crate::store) const STATED_COUNTS: TableDefinition<(u64, u8), u64> =
    TableDefinition::new("stated_counts");
pub(in crate::store) const HOURS: RollupTable = TableDefinition::new("hours");
pub(in crate::store) const DAYS: RollupTable = TableDefinition::new("days");
