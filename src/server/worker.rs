//! Parts that the handlers of one worker thread use. Built by the process on that thread; decides nothing.

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::auth::directory::DirectoryCell;
use crate::control::Control;
use crate::domain::network::Network;
use crate::domain::time::Time;
use crate::gateway::Gateway;
use crate::meter::Ledger;
use crate::server::public_url::PublicUrl;
use crate::upstream::Client;

/// Everything that a handler can reach, one per worker thread.
#[derive(Clone)]
pub struct Worker {
    pub gateway: Arc<Gateway>,
    pub control: Control,
    pub directory: Arc<DirectoryCell>,
    pub ledger: Arc<Ledger>,
    pub time: Arc<Time>,
    pub client: Client,
    /// peers whose `x-forwarded-for` is believed
    pub trusted_proxies: Arc<[Network]>,
    pub public: PublicUrl,
}

impl Worker {
    pub(super) fn of(request: &HttpRequest) -> &Worker {
        request
            .app_data()
            .expect("every app is built with its worker")
    }
}
