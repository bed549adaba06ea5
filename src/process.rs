//! Composition root: the life of the gateway process on one page. `start` opens the store, builds the parts and listens;
//! `RunningServer::stop` ends them in the reverse order. Inputs: the resolved configuration and the platform (clock, disk).
//! Decides nothing about a request and renders no response.
pub mod backup;
mod certificate_watch;
mod disposable_files;
mod heap;
mod reload;
mod route_catalogue;
mod sign_in;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::directory::DirectoryCell;
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::config::{Config, ConfigErrors, SealKeySource, Sync, process_environment};
use crate::control::alerts::Alerts;
use crate::control::audit::forward::AuditCopies;
use crate::control::{BackgroundTasks, Control};
use crate::domain::api_error::ApiError;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::network::Network;
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::gateway::{Gateway, GatewayParts};
use crate::meter::Ledger;
use crate::route::RouteCell;
use crate::server::{self, CertificateError, Certificates, Listener, PublicUrl, Sockets, Worker};
use crate::store::disk::{Disk, FolderDisk};
use crate::store::seal::{KEY_FILE, SealKey};
use crate::store::{AppendError, Options, RecoveredState, Store, StoreError};
use crate::upstream::{Client, Egress, FetchRules, TlsFileError};
use certificate_watch::CertificateWatch;
use disposable_files::DisposableFiles;
use heap::HeapRelease;
use reload::{ConfigReload, route_table};

pub use crate::server::block_on;
pub use reload::egress;

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
    let (inherited, binary) = (platform.listener.take(), platform.binary.take());
    let instance = Instance::open(&config, platform, false)?;
    let seal_key = seal_key(&config)?;
    instance.control.open_audit(&seal_key).await?;
    instance
        .control
        .record_start(config.listen.to_string(), &config.written, &seal_key)
        .await?;
    let files = DisposableFiles::open(&config, &instance.disk, &instance.time, &seal_key);
    let egress = egress(&config)?;
    let routes = Arc::new(RouteCell::new(route_table(&config)));
    let control = control(&config, &instance, &routes, &files)?;
    let control = control.with_seal_key_id(seal_key.id());
    let webhook_client = Client::new(&egress, None);
    let client = webhook_client.clone();
    let (alerts, alert_sender) = Alerts::open(&control, config.alerts.clone(), client);
    let copies = AuditCopies {
        config: config.audit.clone(),
        client: webhook_client,
    };
    let reload = ConfigReload {
        routes: routes.clone(),
        control: control.clone(),
        seal_key: seal_key.clone(),
    };
    let parts = GatewayParts {
        seal_key,
        memory: files.memory.clone(),
        cache: files.cache.clone(),
        alerts: alert_sender,
        directory: instance.directory.clone(),
        ledger: instance.ledger.clone(),
        pseudonyms: control.pseudonyms().clone(),
        denials: control.denials().clone(),
        ceilings: control.ceilings().clone(),
        time: instance.time.clone(),
    };
    let gateway = Arc::new(Gateway::new(&config, routes, parts)?);
    let certificates = match &config.listener.tls {
        Some(source) => Some(Certificates::open(source, &config.folder)?),
        None => None,
    };
    let sockets = bind(&config, inherited)?;
    let address = sockets.api.local_addr()?;
    let admin_address = sockets.admin.as_ref().map(TcpListener::local_addr);
    let public = sign_in::public_url(&config, &sockets)?;
    let control = sign_in::with_issuer(control, &config, &public);
    let tasks = BackgroundTasks::start(&control, alerts, binary, copies).await;
    let new_worker = new_worker(&config, &instance, &gateway, &control, (egress, public));
    Ok(RunningServer {
        address,
        admin_address: admin_address.transpose()?,
        keys: instance.directory.load().keys().count(),
        listener: server::listen(&config, certificates.as_ref(), new_worker, sockets)?,
        certificates: certificates
            .map(|certificates| CertificateWatch::start(certificates, &control)),
        reload,
        heap: HeapRelease::start(gateway.clone()),
        gateway,
        ledger: instance.ledger,
        store: instance.store,
        control,
        files,
        tasks,
        socket: config.folder.join(ADMIN_SOCKET),
        drain_ms: config.limits.drain_ms,
    })
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
    files: DisposableFiles,
    listener: Listener,
    certificates: Option<CertificateWatch>,
    reload: ConfigReload,
    heap: HeapRelease,
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
        self.heap.stop().await;
        self.control.end_audit_verification().await;
        self.control.record_stop().await;
        // in another folder of the same name, the socket is another process's
        let owns_socket = !self.store.wal().metrics().folder_lost;
        let (store, files) = (self.store, self.files);
        let closed = tokio::task::spawn_blocking(move || {
            store.close();
            files.close();
        });
        if closed.await.is_err() {
            tracing::error!("failed to close the store");
        }
        if owns_socket && let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "failed to remove the admin socket");
        }
    }
}

/// Clock and disk of the machine; tests replace them.
pub struct Platform {
    pub clock: Arc<dyn Clock>,
    /// `None`: the data folder itself
    pub disk: Option<Arc<dyn Disk>>,
    /// listening socket passed by the service manager, instead of the configured address
    pub listener: Option<TcpListener>,
    /// file of this process, to be hashed for the audit log
    pub binary: Option<PathBuf>,
}

impl Platform {
    pub fn system() -> Platform {
        Platform {
            clock: Arc::new(SystemClock { boot: boot_id() }),
            disk: None,
            listener: None,
            binary: Some(PathBuf::from("/proc/self/exe")),
        }
    }
}

/// The kernel's id of this boot; `None` where `/proc` is not mounted.
fn boot_id() -> Option<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

/// Reasons why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("failed to write the ledger's log: {0}")]
    Ledger(#[from] AppendError),
    #[error("data folder {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error(
        "failed to listen on {address}: {error}; stop the process that uses it, or choose another address with --listen"
    )]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("failed to create the admin socket {}: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    #[error("invalid timezone `{0}`; use an IANA name such as Europe/Berlin")]
    Timezone(String),
    #[error("{0}")]
    Setup(#[from] ApiError),
    #[error("unusable certificate {0}")]
    Certificate(#[from] CertificateError),
    #[error("unusable certificates {0}")]
    TlsFile(#[from] TlsFileError),
    #[error("no random numbers from the system: {0}")]
    Random(#[from] getrandom::Error),
    #[error("failed to run the server: {0}")]
    Server(#[from] io::Error),
}

/// Parts that share the data folder.
struct Instance {
    store: Store,
    ledger: Arc<Ledger>,
    directory: Arc<DirectoryCell>,
    control: Control,
    disk: Arc<dyn Disk>,
    time: Arc<Time>,
}

impl Instance {
    fn open(config: &Config, platform: Platform, create: bool) -> Result<Instance, StartError> {
        let zone = Zone::parse(&config.timezone)
            .ok_or_else(|| StartError::Timezone(config.timezone.clone()))?;
        let disk = match platform.disk {
            Some(disk) => disk,
            None => folder_disk(config, create)?,
        };
        let (store, recovered) = open_store(config, disk.clone(), &zone, create)?;
        let time = Arc::new(match store.anchor()? {
            Some(anchor) => Time::resume(platform.clock, anchor),
            None => Time::new(platform.clock),
        });
        let ledger = Arc::new(recover_ledger(&store, &zone, recovered, time.clone())?);
        let directory = Arc::new(DirectoryCell::open(&store)?);
        let control = Control::new(
            store.clone(),
            ledger.clone(),
            directory.clone(),
            time.clone(),
            zone,
        );
        Ok(Instance {
            store,
            ledger,
            directory,
            control,
            disk,
            time,
        })
    }
}

fn folder_disk(config: &Config, create: bool) -> Result<Arc<dyn Disk>, StartError> {
    if !create && !config.folder.is_dir() {
        return Err(StoreError::NotInitialised.into());
    }
    let folder = config.folder.clone();
    match FolderDisk::lock(&folder) {
        Ok(disk) => Ok(Arc::new(disk)),
        Err(error) => Err(StartError::Folder { folder, error }),
    }
}

fn open_store(
    config: &Config,
    disk: Arc<dyn Disk>,
    zone: &Zone,
    create: bool,
) -> Result<(Store, RecoveredState), StoreError> {
    let (store, recovered) = Store::open(Options {
        disk,
        zone: zone.clone(),
        segment_bytes: config.ledger.segment_bytes,
        disk_reserve_mb: config.ledger.disk_reserve_mb,
        wait_for_disk: config.ledger.sync == Sync::Disk,
        create,
    })?;
    for remark in &recovered.remarks {
        tracing::warn!(remark = %remark, "data folder opened with a remark");
    }
    warn_of_orphans(&recovered);
    Ok((store, recovered))
}

fn warn_of_orphans(recovered: &RecoveredState) {
    let from_last_run = recovered.holds.len() as u64;
    let orphans = recovered.orphans + from_last_run;
    if orphans > 0 {
        tracing::warn!(
            orphans,
            from_last_run,
            "requests in flight when the process ended are booked at their ceiling and flagged `orphaned`; \
             list them with `gatekeeper ledger orphans`, correct them with --settle-estimated"
        );
    }
}

fn recover_ledger(
    store: &Store,
    zone: &Zone,
    recovered: RecoveredState,
    time: Arc<Time>,
) -> Result<Ledger, StartError> {
    let tenants = store.tenants()?;
    let ledger = Ledger::recover(store.wal(), zone.clone(), tenants.budgets, recovered, time)?;
    for limit in &tenants.limits {
        // no call is running yet, so none counts towards the limit
        ledger.set_limit(limit, |_| false);
    }
    Ok(ledger)
}

/// Key-encryption key: the configured one, or that of the data folder.
fn seal_key(config: &Config) -> Result<SealKey, StartError> {
    let key = match &config.seal_key {
        SealKeySource::Folder => SealKey::in_folder(&config.folder),
        SealKeySource::Configured(secret) => Ok(SealKey::of_secret(secret)),
        SealKeySource::Unread(source) => source
            .read(&process_environment)
            .map(|secret| SealKey::of_secret(&secret))
            .map_err(io::Error::other),
    };
    key.map_err(|error| StartError::Folder {
        folder: config.folder.join(KEY_FILE),
        error,
    })
}

/// The control plane with what it needs to know of configuration, routes and reasoning memory.
fn control(
    config: &Config,
    instance: &Instance,
    routes: &Arc<RouteCell>,
    files: &DisposableFiles,
) -> Result<Control, StartError> {
    let catalogue = route_catalogue::of(routes.clone());
    Ok(instance
        .control
        .clone()
        .with_retention(config.retention)
        .with_settings(&config.written)
        .with_webhook(config.alerts.webhook.clone())
        .with_catalogue(catalogue)
        .with_memory(files.memory.clone())
        .with_cache(files.cache.clone())
        .with_sessions(instance.store.sessions()?)
        .with_admission_wait_ms(config.admission_wait_ms_max()))
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
    move || Worker {
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
