//! Composition root: the life of the gateway process on one page. `start` opens the store, builds the parts and listens;
//! `RunningServer::stop` ends them in the reverse order. Inputs: the resolved configuration and the platform (clock, disk).
//! Decides nothing about a request and renders no response.
pub mod backup;
mod certificate_watch;
mod heap;
mod instance;
mod platform;
mod reload;
mod route_catalogue;
mod seal_key;
mod sign_in;
mod start_error;
mod stored_content;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::config::{Config, ConfigErrors};
use crate::control::alerts::Alerts;
use crate::control::audit::forward::AuditCopies;
use crate::control::prices::SheetFacts;
use crate::control::{BackgroundTasks, Control, Declarations, EmbeddedSheet, StoredPrices};
use crate::domain::network::Network;
use crate::domain::secret::Secret;
use crate::gateway::{Gateway, GatewayParts};
use crate::meter::Ledger;
use crate::server::{self, Certificates, Listener, PublicUrl, Sockets, Worker};
use crate::store::Store;
use crate::store::seal::SealKey;
use crate::trace::{TraceExporter, Tracer};
use crate::upstream::{Client, Egress, FetchRules};
use certificate_watch::CertificateWatch;
use instance::Instance;
use reload::{ConfigReload, declarations};
use seal_key::seal_key;
use stored_content::ContentStores;

pub use crate::server::block_on;
pub use platform::Platform;
pub use reload::egress;
pub use start_error::StartError;

/// Local admin socket, below the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// Secrets and public keys of new books, returned this once.
#[derive(Debug)]
pub struct NewInstance {
    /// administrative key
    pub admin_key: Secret,
    /// public key that signs the audit log
    pub audit_key: String,
}

/// Creates the books in a new data folder, with the organization `default` and one administrative key.
pub async fn init(config: &Config, platform: Platform) -> Result<NewInstance, StartError> {
    let instance = Instance::open(config, platform, true)?;
    let created = set_up(config, &instance.control).await;
    instance.store.close();
    created
}

/// Puts the embedded price sheet in force again, in books that no server uses.
pub async fn reset_prices(config: &Config) -> Result<SheetFacts, StartError> {
    let instance = Instance::open(config, Platform::system(), false)?;
    instance.control.open_audit(&seal_key(config)?).await?;
    let uid = rustix::process::geteuid().as_raw();
    let grant = Grant::for_actor(&Actor::Local { uid }, may::ChangePrices)?;
    let reset = instance.control.reset_price_sheet(&grant).await;
    instance.store.close();
    Ok(reset?)
}

async fn set_up(config: &Config, control: &Control) -> Result<NewInstance, StartError> {
    let audit_key = control.open_audit(&seal_key(config)?).await?;
    let grant = Grant::for_actor(&Actor::Process, may::SetUp)?;
    Ok(NewInstance {
        admin_key: control.bootstrap(&grant).await?,
        audit_key,
    })
}

/// Creates the books like [`init`], but no administrative key: for a service, whose log is no place for a secret.
pub async fn init_without_key(config: &Config) -> Result<(), StartError> {
    let instance = Instance::open(config, Platform::system(), true)?;
    seal_key(config)?;
    let grant = Grant::for_actor(&Actor::Process, may::SetUp)?;
    let created = instance.control.bootstrap_without_key(&grant).await;
    instance.store.close();
    Ok(created?)
}

/// Opens the books, books the calls that were in flight when the process last ended, and listens.
pub async fn start(config: Config, mut platform: Platform) -> Result<RunningServer, StartError> {
    heap::return_at_once();
    let (inherited, binary) = (platform.listener.take(), platform.binary.take());
    let sheet = EmbeddedSheet::begin();
    let instance = Instance::open(&config, platform, false)?;
    let seal_key = record_start(&config, &instance).await?;
    let egress = egress(&config)?;
    let (declarations, content, control) = control(&config, &instance, &seal_key, sheet)?;
    let (tracer, traces) = tracer(&config, &egress, &instance);
    let webhook = Client::new(&egress, None);
    let (alerts, alert_senders) = Alerts::open(&control, config.alerts.clone(), webhook.clone());
    control.put_settings_in_force();
    let copies = AuditCopies {
        config: config.audit.clone(),
        client: webhook,
    };
    let reload = ConfigReload {
        declarations: declarations.clone(),
        control: control.clone(),
        seal_key: seal_key.clone(),
    };
    let parts = GatewayParts {
        seal_key,
        memory: content.memory.clone(),
        cache: Some(content.cache.clone()),
        captures: content.captures.clone(),
        alerts: alert_senders.budgets,
        deployment_alerts: alert_senders.deployments,
        directory: instance.directory.clone(),
        ledger: instance.ledger.clone(),
        pseudonyms: control.pseudonyms().clone(),
        denials: control.denials().clone(),
        ceilings: control.ceilings().clone(),
        tracer,
        time: instance.time.clone(),
        return_memory: heap::return_memory,
    };
    let gateway = Arc::new(Gateway::new(&config, declarations.routes().clone(), parts)?);
    let certificates = certificates(&config, &control)?;
    let sockets = bind(&config, inherited)?;
    let address = sockets.api.local_addr()?;
    let admin_address = sockets.admin.as_ref().map(TcpListener::local_addr);
    let public = sign_in::public_url(&config, &sockets)?;
    let control = sign_in::with_issuer(control, &config, &public);
    let tasks = BackgroundTasks::start(&control, alerts, binary, copies).await;
    let new_worker = new_worker(&config, &instance, &gateway, &control, (egress, public));
    heap::keep_for_requests();
    Ok(RunningServer {
        address,
        admin_address: admin_address.transpose()?,
        keys: instance.directory.load().keys().count(),
        listener: server::listen(&config, certificates.as_ref(), new_worker, sockets)?,
        certificates: certificates.map(|watched| CertificateWatch::start(watched, &control)),
        reload,
        traces,
        gateway,
        ledger: instance.ledger,
        store: instance.store,
        control,
        content,
        tasks,
        socket: config.folder.join(ADMIN_SOCKET),
        drain_ms: config.limits.drain_ms,
    })
}

/// Opens the audit log and records the start in it; returns the key that seals it.
async fn record_start(config: &Config, instance: &Instance) -> Result<SealKey, StartError> {
    let seal_key = seal_key(config)?;
    let import_key = seal_key.for_purpose("imported keys");
    instance.directory.set_import_key(&import_key);
    instance.control.open_audit(&seal_key).await?;
    let (listen, control) = (config.listen.to_string(), &instance.control);
    control
        .record_start(listen, &config.written, &seal_key)
        .await?;
    Ok(seal_key)
}

/// A process that serves requests.
pub struct RunningServer {
    pub address: SocketAddr,
    /// of the control plane, if it has its own
    pub admin_address: Option<SocketAddr>,
    /// virtual keys at the start
    pub keys: usize,
    pub gateway: Arc<Gateway>,
    pub ledger: Arc<Ledger>,
    pub store: Store,
    control: Control,
    content: ContentStores,
    listener: Listener,
    certificates: Option<CertificateWatch>,
    reload: ConfigReload,
    traces: Option<TraceExporter>,
    tasks: BackgroundTasks,
    socket: PathBuf,
    drain_ms: u64,
}

impl RunningServer {
    /// Puts in force what may change while the process runs: the certificate, and of a configuration its providers and routes.
    pub async fn reload(&self, config: Option<Result<Config, ConfigErrors>>) {
        if let Some(certificates) = &self.certificates {
            certificates.reload().await;
        }
        if let Some(loaded) = config {
            self.reload.run(loaded).await;
        }
    }

    /// Returns once the data folder was found deleted or replaced: what is booked from then on is lost.
    pub async fn folder_lost(&self) {
        self.store.wal().folder_lost().await;
    }

    /// Graceful shutdown: refuses new requests, drains running ones up to the drain timeout, ends the rest, closes the books.
    pub async fn stop(self) {
        tracing::info!(
            requests = self.gateway.inflight().running(),
            wait_s_max = self.drain_ms / 1_000,
            "stopping; waiting for running requests"
        );
        self.control.close_followers();
        self.gateway.inflight().drain(self.drain_ms).await;
        self.listener.stop().await;
        self.tasks.stop().await;
        if let Some(certificates) = self.certificates {
            certificates.stop().await;
        }
        if let Some(traces) = self.traces {
            traces.stop().await;
        }
        self.control.end_audit_verification().await;
        self.control.record_stop().await;
        // in another folder of the same name, the socket is another process's
        let owns_socket = !self.store.wal().metrics().folder_lost;
        let (store, content) = (self.store, self.content);
        let closed = tokio::task::spawn_blocking(move || {
            store.close();
            content.close();
        });
        if closed.await.is_err() {
            tracing::error!("failed to close the store");
        }
        if owns_socket && let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "failed to remove the admin socket");
        }
    }
}

/// The declarations with their routes, the stored content that they ask for, and the control plane with what it needs to know of
/// configuration, routes and stored content.
fn control(
    config: &Config,
    instance: &Instance,
    seal_key: &SealKey,
    sheet: EmbeddedSheet,
) -> Result<(Arc<Declarations>, ContentStores, Control), StartError> {
    let prices = StoredPrices::load(&instance.store, sheet)?;
    let declarations = declarations(config, &instance.store, seal_key, prices.sheet.clone())?;
    let routes = declarations.routes().load_full();
    let content = ContentStores::open((config, &routes), &instance.disk, &instance.time, seal_key);
    let catalogue = route_catalogue::of(declarations.routes().clone());
    let to_routes = declarations.clone();
    let publish = move |sheet| {
        to_routes.set_sheet(sheet);
        route_catalogue::warn_of_names(&to_routes.routes().load());
    };
    let control = instance.control.clone().with_settings(&config.written);
    let threshold = config.alerts.threshold_percent;
    let control = control
        .with_stored_settings(config.retention, threshold)?
        .with_webhook(config.alerts.webhook.clone())
        .with_catalogue(catalogue)
        .with_declarations(declarations.clone())
        .with_memory(content.memory.clone())
        .with_captures(content.captures.clone())
        .with_cache(content.cache.clone())
        .with_sessions(instance.store.sessions()?)
        .with_admission_wait_ms(config.admission_wait_ms_max())
        .with_prices(prices, Arc::new(publish));
    Ok((declarations, content, control))
}

/// Certificate of the listener, if it has TLS.
fn certificates(
    config: &Config,
    control: &Control,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(source) = &config.listener.tls else {
        return Ok(None);
    };
    let certificates = Certificates::open(source, &config.folder)?;
    let shown = certificates.clone();
    control.note_certificate(Arc::new(move || shown.not_after_ms()));
    Ok(Some(certificates))
}

/// Entrance of spans, and their export if a collector is configured.
fn tracer(
    config: &Config,
    egress: &Egress,
    instance: &Instance,
) -> (Arc<Tracer>, Option<TraceExporter>) {
    let Some(otlp) = &config.otlp else {
        return (Tracer::off(), None);
    };
    let id = u128::from_be_bytes(instance.store.instance());
    let client = Client::new(egress, None);
    let (tracer, exporter) = TraceExporter::start(otlp.clone(), client, format!("{id:032x}"));
    (tracer, Some(exporter))
}

fn bind(config: &Config, inherited: Option<TcpListener>) -> Result<Sockets, StartError> {
    let bind = |address: SocketAddr| {
        server::bind(address).map_err(|error| StartError::Listen { address, error })
    };
    let api = inherited.map_or_else(|| bind(config.listen), Ok)?;
    let admin = config.listener.admin.map(bind).transpose()?;
    let path = config.folder.join(ADMIN_SOCKET);
    let local = admin_socket(&path).map_err(|error| StartError::Socket { path, error })?;
    Ok(Sockets { api, admin, local })
}

/// A socket that only its owner can open. A file left behind by a crash is replaced: this process holds the folder's lock.
fn admin_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes the parts of a worker thread on that thread: an upstream client belongs to one thread.
fn new_worker(
    config: &Config,
    instance: &Instance,
    gateway: &Arc<Gateway>,
    control: &Control,
    (egress, public): (Egress, PublicUrl),
) -> impl Fn() -> Worker + Clone + Send + 'static + use<> {
    let fetch_rules = config.fetch.clone().map(|fetch| FetchRules {
        private_hosts: fetch.private_hosts,
        bytes_max: fetch.bytes_max,
        timeout_ms: fetch.timeout_ms,
    });
    let trusted_proxies: Arc<[Network]> = config.listener.trusted_proxies.as_slice().into();
    let (gateway, control) = (gateway.clone(), control.clone());
    let (directory, ledger, time) = (
        instance.directory.clone(),
        instance.ledger.clone(),
        instance.time.clone(),
    );
    move || {
        heap::return_regularly();
        Worker {
            gateway: gateway.clone(),
            control: control.clone(),
            directory: directory.clone(),
            ledger: ledger.clone(),
            time: time.clone(),
            client: Client::new(&egress, fetch_rules.as_ref()),
            trusted_proxies: trusted_proxies.clone(),
            public: public.clone(),
        }
    }
}
