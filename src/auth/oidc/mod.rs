//! OpenID Connect, pure code: signed tokens of an issuer (`token`), its keys (`jwks`), and the secrets of one sign-in (`attempt`). Bytes
//! in, claims out: must never do IO or read a clock.

pub mod attempt;
pub mod jwks;
pub mod token;
