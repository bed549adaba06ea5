//! Surface of a listener: the URLs that it serves.

/// URLs that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    Everything,
    /// models and health, where the control plane has its own listener
    Models,
    /// control plane, pages, metrics and health
    Administration,
}

/// Mark of a connection through TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encrypted;
