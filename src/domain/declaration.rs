//! Providers, routes and aliases that are declared through the API and kept in the books, in the words of the configuration file.

/// Kind of a declaration. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeclarationKind {
    Provider = 0,
    Route = 1,
    Alias = 2,
}

impl DeclarationKind {
    pub const ALL: [DeclarationKind; 3] = [
        DeclarationKind::Provider,
        DeclarationKind::Route,
        DeclarationKind::Alias,
    ];

    pub fn of_number(number: u8) -> Option<DeclarationKind> {
        DeclarationKind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            DeclarationKind::Provider => "provider",
            DeclarationKind::Route => "route",
            DeclarationKind::Alias => "alias",
        }
    }

    /// Section of the configuration file with the declarations of this kind.
    pub fn section(self) -> &'static str {
        match self {
            DeclarationKind::Provider => "providers",
            DeclarationKind::Route => "routes",
            DeclarationKind::Alias => "aliases",
        }
    }
}

/// One declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub kind: DeclarationKind,
    pub name: String,
    /// keys of the section with their values, as a JSON object without secrets
    pub members: String,
    pub credentials: Vec<SealedCredential>,
    pub created_ms: u64,
}

/// Credential of a provider, sealed with a data key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCredential {
    /// names of the sealed members
    pub members: Vec<String>,
    /// key that sealed the data key
    pub seal_key_id: String,
    /// sealed under the seal key
    pub data_key: Vec<u8>,
    /// sealed under the data key
    pub content: Vec<u8>,
    pub created_ms: u64,
}
