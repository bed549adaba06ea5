//! Operations on providers, routes and aliases that are declared through the API: each takes a grant, and is audited and in force on every
//! worker before the call is answered. What the configuration file declares is changed there only.

mod edit;
mod key_list;
mod members;
mod resources;

pub use edit::DeclaredObject;
pub use resources::RoutedName;
