//! Parts of sign-in that depend on the address under which browsers reach the control plane.

use std::io;

use crate::config::Config;
use crate::control::Control;
use crate::control::issuer::Issuer;
use crate::server::{OIDC_CALLBACK, PublicUrl, Sockets};

/// `public_url`, else the address of the control plane.
pub(super) fn public_url(config: &Config, sockets: &Sockets) -> io::Result<PublicUrl> {
    let listener = sockets.admin.as_ref().unwrap_or(&sockets.api);
    let configured = config.listener.public_url.as_deref();
    let tls = config.listener.tls.is_some();
    Ok(PublicUrl::new(configured, listener.local_addr()?, tls))
}

/// The control plane with the issuer of the configuration.
pub(super) fn with_issuer(control: Control, config: &Config, public: &PublicUrl) -> Control {
    let redirect_uri = public.link(OIDC_CALLBACK);
    let issuer = config.oidc.clone();
    control.with_issuer(issuer.map(|oidc| Issuer::new(oidc, redirect_uri)))
}
