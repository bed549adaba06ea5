//! dialect
/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Chat,
    Messages,
}
