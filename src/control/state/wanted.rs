//! Objects of a document.

use crate::control::input::{Budgets, Models, Name};
use crate::control::limits::Limits;
use crate::domain::capture::{CaptureReaders, KeepDays};
use crate::domain::money::Money;
use crate::domain::tenant::{Endpoint, Labels, MemberKeyRules};

#[derive(Clone, Debug)]
pub struct WantedOrganization {
    pub name: Name,
    pub models: Models,
    pub budgets: Budgets,
    pub limits: Limits,
    pub teams: Vec<WantedTeam>,
}

#[derive(Clone, Debug)]
pub struct WantedTeam {
    pub name: Name,
    pub models: Models,
    pub endpoints: Option<Vec<Endpoint>>,
    pub labels: Labels,
    pub member_keys: MemberKeyRules,
    pub max_cost: Option<Money>,
    pub budgets: Budgets,
    pub limits: Limits,
    pub capture: WantedCapture,
    pub keys: Vec<WantedKey>,
}

#[derive(Clone, Debug)]
pub struct WantedKey {
    pub name: Name,
    /// name of the parent key, in the books or earlier in the document
    pub parent: Option<String>,
    /// e-mail address or id of the owner of a personal key
    pub user: Option<String>,
    pub models: Models,
    pub endpoints: Option<Vec<Endpoint>>,
    pub labels: Labels,
    pub max_cost: Option<Money>,
    pub expires_ms: Option<u64>,
    pub disabled: bool,
    pub budgets: Budgets,
    pub limits: Limits,
    pub capture: WantedCapture,
}

/// Prompt capture of a team or key.
#[derive(Clone, Copy, Debug, Default)]
pub struct WantedCapture {
    /// `None`: off
    pub keep: Option<KeepDays>,
    /// of a team
    pub readers: CaptureReaders,
}
