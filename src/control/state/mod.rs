//! Declared state: organizations, teams, service and personal keys, budgets and limits as one document. `apply` makes the books agree
//! with a document in one transaction, `export` writes the document of the books. Nothing is deleted: what a document does not name
//! stays as it is. An object that it names has exactly what it says; parts left out have their defaults.

mod apply;
mod difference;
mod export;
mod wanted;

pub use apply::{NewSecret, Plan, Step, StepKind};
pub use wanted::{WantedCapture, WantedKey, WantedOrganization, WantedTeam};
