//! Row of the table of endpoints: method, path, and the access that a call needs.

use crate::auth::role::Action;

/// Access that an endpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointAccess {
    /// no key
    Public,
    /// a virtual key
    VirtualKey,
    /// any key: the answer is about the key itself
    AnyKey,
    /// any role: the answer is about the actor itself
    AnyRole,
    /// e-mail address and password, or a one-time link
    SignIn,
    /// a role with this action
    Action(Action),
}

impl EndpointAccess {
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointAccess::Public => "public",
            EndpointAccess::VirtualKey => "virtual key",
            EndpointAccess::AnyKey => "any key",
            EndpointAccess::AnyRole => "any role",
            EndpointAccess::SignIn => "sign-in",
            EndpointAccess::Action(action) => action.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    pub method: String,
    pub path: String,
    pub access: EndpointAccess,
}

impl EndpointRow {
    pub(super) fn new(
        method: &str,
        path: impl Into<String>,
        access: EndpointAccess,
    ) -> EndpointRow {
        EndpointRow {
            method: method.to_owned(),
            path: path.into(),
            access,
        }
    }
}
