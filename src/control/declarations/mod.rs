//! Declarations in force: providers, routes and aliases of the configuration file and those of the API, whose credentials are sealed.
//! Edits are in `declaration_edits`.

pub(in crate::control) mod seal;
pub(in crate::control) mod set;
pub(in crate::control) mod state;

pub use set::FileDeclarations;
pub use state::Declarations;
