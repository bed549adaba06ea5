//! Connection pools of one worker: idle connections by origin and kind of destination. They are closed by the clock, so without a
//! next call. Must never lend a connection to a destination with other certificates or other permitted addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use actix_rt::task::JoinHandle;
use foldhash::fast::RandomState;

use super::destination::Dialer;
use super::shelf::{IdleLimits, Shelf};
use super::tls::{ClientTls, TlsFileError};
use crate::domain::egress::{ConnectionConfig, EgressConfig};

/// Origin of a destination, with all that its connections need.
pub(super) struct Origin {
    settings: ConnectionConfig,
    pub tls: ClientTls,
    pub dialer: Dialer,
    pub shelf: Rc<Shelf>,
}

impl Origin {
    /// True if a destination of these settings may use the connections. How long it waits for a new one does not matter.
    fn serves(&self, settings: &ConnectionConfig) -> bool {
        self.settings.private_hosts == settings.private_hosts
            && self.settings.ca_file == settings.ca_file
            && self.settings.client_pair == settings.client_pair
    }
}

/// Files of certificates; connections with the same files share their TLS sessions.
type TlsFiles = (Option<PathBuf>, Option<(PathBuf, PathBuf)>);

pub(super) struct Pools {
    egress: Arc<EgressConfig>,
    limits: IdleLimits,
    origins: RefCell<HashMap<String, Vec<Rc<Origin>>, RandomState>>,
    tls: RefCell<HashMap<TlsFiles, ClientTls, RandomState>>,
    sweeper: RefCell<Option<JoinHandle<()>>>,
}

impl Pools {
    pub fn new(egress: Arc<EgressConfig>, limits: IdleLimits) -> Rc<Pools> {
        Rc::new(Pools {
            egress,
            limits,
            origins: RefCell::default(),
            tls: RefCell::default(),
            sweeper: RefCell::default(),
        })
    }

    /// The origin of a destination, made at its first call.
    pub fn origin(
        self: &Rc<Self>,
        settings: &ConnectionConfig,
        origin: &str,
    ) -> Result<Rc<Origin>, TlsFileError> {
        let mut origins = self.origins.borrow_mut();
        let known = origins.get(origin);
        if let Some(found) = known.and_then(|known| known.iter().find(|one| one.serves(settings))) {
            return Ok(found.clone());
        }
        let made = Rc::new(Origin {
            settings: settings.clone(),
            tls: self.tls(settings)?,
            dialer: Dialer::new(self.egress.proxy.clone()),
            shelf: Rc::new(Shelf::new(self.limits)),
        });
        let same = origins.entry(origin.to_owned()).or_default();
        same.push(made.clone());
        self.start_sweeper();
        Ok(made)
    }

    fn tls(&self, settings: &ConnectionConfig) -> Result<ClientTls, TlsFileError> {
        let files = (settings.ca_file.clone(), settings.client_pair.clone());
        if let Some(tls) = self.tls.borrow().get(&files) {
            return Ok(tls.clone());
        }
        let tls = ClientTls::load(&self.egress, settings)?;
        self.tls.borrow_mut().insert(files, tls.clone());
        Ok(tls)
    }

    /// Starts the task that closes old connections, unless it runs. It ends with the last origin.
    fn start_sweeper(self: &Rc<Self>) {
        let mut sweeper = self.sweeper.borrow_mut();
        if sweeper.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (pools, pause) = (Rc::downgrade(self), self.limits.idle_max / 3);
        *sweeper = Some(actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if !Weak::upgrade(&pools).is_some_and(|pools| pools.sweep()) {
                    return;
                }
            }
        }));
    }

    /// Closes old connections, and forgets origins that no call uses and no connection leads to; returns `true` if any is left.
    fn sweep(&self) -> bool {
        let mut origins = self.origins.borrow_mut();
        origins.retain(|_, same| {
            same.retain(|origin| {
                let is_called = Rc::strong_count(origin) > 1 || Rc::strong_count(&origin.shelf) > 1;
                origin.shelf.sweep() || is_called
            });
            !same.is_empty()
        });
        !origins.is_empty()
    }
}

#[cfg(test)]
impl Pools {
    pub fn origin_count(&self) -> usize {
        self.origins.borrow().values().map(Vec::len).sum()
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get_mut() {
            sweeper.abort();
        }
    }
}
