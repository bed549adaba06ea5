//! Providers, routes and aliases that are declared through the API: stored with sealed credentials, audited, and in force on every worker
//! before the call is answered. What the configuration file declares is changed there only.

mod edit;
mod resources;
mod seal;
mod set;
mod state;

pub use edit::DeclaredObject;
pub use resources::RoutedName;
pub use set::FileDeclarations;
pub use state::Declarations;
