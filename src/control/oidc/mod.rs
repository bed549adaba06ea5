//! Sign-in through an OpenID Connect issuer: authorization code with PKCE. `sign_in` asks for and redeems the code, `accounts` finds the
//! user of a token and gives it the roles of its claims.

mod accounts;
pub mod sign_in;
