//! The listener: the only folder that knows actix-web. HTTP comes in, HTTP goes out; what is decided in between is decided
//! elsewhere. `start` puts the parts of the process together, `Running::stop` takes them apart in the right order.

mod api;
mod app;
mod extract;
mod health;
mod inference;
mod respond;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::task::JoinHandle;
use actix_web::{App, HttpServer};

use crate::auth::directory::DirectoryCell;
use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::config::{Config, ReasoningMemoryConfig, SealKeySource, Sync};
use crate::control::alerts::Alerts;
use crate::control::{BackgroundTasks, Control};
use crate::domain::api_error::ApiError;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::secret::Secret;
use crate::domain::time::Time;
use crate::domain::zone::Zone;
use crate::gateway::{self, Gateway};
use crate::meter::Ledger;
use crate::price::Sheet;
use crate::route::RouteTable;
use crate::store::disk::{Disk, FolderDisk};
use crate::store::reasoning_memory::{Bounds, ReasoningMemory};
use crate::store::seal::{KEY_FILE, SealKey};
use crate::store::{AppendError, Options, Store, StoreError};
use crate::upstream::{Client, FetchRules, TlsRoots};

/// The local door to the control plane, below the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Connections that send nothing are closed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the process cannot start, in an operator's words.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the ledger's log cannot be written: {0}")]
    Ledger(#[from] AppendError),
    #[error("data folder {}: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error(
        "cannot listen on {address}: {error}; stop what listens there, or choose another address with --listen"
    )]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("cannot make the admin socket {}: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    #[error("timezone `{0}` is not an IANA time zone; write it like Europe/Berlin or UTC")]
    Timezone(String),
    #[error("{0}")]
    Setup(#[from] ApiError),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the server cannot run: {0}")]
    Server(#[from] io::Error),
}

/// What a test puts in the place of the machine's own.
pub struct Platform {
    pub clock: Arc<dyn Clock>,
    /// `None`: the data folder itself
    pub disk: Option<Arc<dyn Disk>>,
}

impl Platform {
    pub fn system() -> Platform {
        Platform {
            clock: Arc::new(SystemClock { boot: boot() }),
            disk: None,
        }
    }
}

/// The number that the kernel gave to this start of the machine; there is none where `/proc` is not mounted.
fn boot() -> Option<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

/// What every handler can reach, one per worker.
#[derive(Clone)]
struct Worker {
    gateway: Arc<Gateway>,
    control: Control,
    directory: Arc<DirectoryCell>,
    ledger: Arc<Ledger>,
    time: Arc<Time>,
    client: Client,
}

/// A process that serves.
pub struct RunningServer {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub ledger: Arc<Ledger>,
    pub store: Store,
    control: Control,
    memory: Option<Arc<ReasoningMemory>>,
    server: ServerHandle,
    served: JoinHandle<io::Result<()>>,
    upkeep: BackgroundTasks,
    socket: PathBuf,
    drain_ms: u64,
}

/// Runs a future on the runtime that the listener needs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

/// Sets up a data folder: the books, the organization `default`, and one administrative key, which is returned this once.
pub async fn init(config: &Config) -> Result<Secret, StartError> {
    let house = Instance::open(config, Platform::system(), true)?;
    seal_key(config)?;
    let grant = Grant::for_actor(&Actor::Process, may::SetUp)?;
    let secret = house.control.bootstrap(&grant).await;
    house.store.close();
    Ok(secret?)
}

/// Opens the books, books what was in flight at the last end, and listens.
pub async fn start(config: Config, parts: Platform) -> Result<RunningServer, StartError> {
    let house = Instance::open(&config, parts, false)?;
    let seal_key = seal_key(&config)?;
    let memory = open_memory(&config, &house, &seal_key);
    let roots = TlsRoots::built_in()?;
    let table = Arc::new(RouteTable::new(
        &config.providers,
        Arc::new(Sheet::embedded()),
    ));
    let shown = table.clone();
    let control = house
        .control
        .with_retention(config.retention)
        .with_catalogue(Arc::new(move |visit| {
            for (name, deployment) in shown.names() {
                visit(name, &deployment.provider.name, &deployment.model);
            }
        }));
    let control = control
        .with_memory(memory.clone())
        .with_waits_ms(config.waits_ms());
    let client = Client::new(&roots, config.limits.connect_timeout_ms, None);
    let (alerts, told) = Alerts::open(&control, config.alerts.clone(), client);
    let parts = gateway::GatewayParts {
        seal_key,
        memory: memory.clone(),
        alerts: told,
        directory: house.directory.clone(),
        ledger: house.ledger.clone(),
        pseudonyms: control.pseudonyms().clone(),
        time: house.time.clone(),
    };
    let gateway = Arc::new(Gateway::new(&config, table, parts)?);
    let listener = TcpListener::bind(config.listen).map_err(|error| StartError::Listen {
        address: config.listen,
        error,
    })?;
    let address = listener.local_addr()?;
    let socket = config.folder.join(ADMIN_SOCKET);
    let door = admin_socket(&socket).map_err(|error| StartError::Socket {
        path: socket.clone(),
        error,
    })?;
    let upkeep = BackgroundTasks::start(&control, alerts).await;
    let fetching = config.fetch.clone().map(|fetch| FetchRules {
        private_hosts: fetch.private_hosts,
        bytes_max: fetch.bytes_max,
        timeout_ms: fetch.timeout_ms,
    });
    let (shared, connect_timeout_ms) = (gateway.clone(), config.limits.connect_timeout_ms);
    let (directory, ledger, time) = (house.directory, house.ledger.clone(), house.time);
    let kept = control.clone();
    let worker = move || Worker {
        gateway: shared.clone(),
        control: control.clone(),
        directory: directory.clone(),
        ledger: ledger.clone(),
        time: time.clone(),
        client: Client::new(&roots, connect_timeout_ms, fetching.as_ref()),
    };
    let server = listens(&config, worker, (listener, door))?;
    let handle = server.handle();
    Ok(RunningServer {
        address,
        gateway,
        ledger: house.ledger,
        store: house.store,
        control: kept,
        memory,
        server: handle,
        served: actix_web::rt::spawn(server),
        upkeep,
        socket,
        drain_ms: config.limits.drain_ms,
    })
}

/// The listeners with their time-outs; each worker thread makes its own parts.
fn listens(
    config: &Config,
    worker: impl Fn() -> Worker + Clone + Send + 'static,
    (listener, door): (TcpListener, UnixListener),
) -> Result<Server, StartError> {
    let client_stall_ms = config.limits.client_stall_ms;
    let server = HttpServer::new(move || App::new().app_data(worker()).configure(app::routes))
        .on_connect(move |connection, data| call::note_peer(connection, data, client_stall_ms))
        .workers(config.workers)
        // without this a client that leaves before the head is not noticed, and its upstream call runs on
        .h1_allow_half_closed(false)
        // an event waits for no acknowledgement of the one before
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(2)
        .disable_signals()
        .listen(listener)?
        .listen_uds(door)?
        .run();
    Ok(server)
}

impl RunningServer {
    /// Takes nothing new, lets running requests finish for a while, ends the rest, and closes the books.
    pub async fn stop(self) {
        self.control.close_followers();
        self.gateway.inflight().drain(self.drain_ms).await;
        self.server.stop(true).await;
        if let Ok(Err(error)) = self.served.await {
            tracing::error!("the listener ended with an error: {error}");
        }
        self.upkeep.stop().await;
        let (store, memory) = (self.store, self.memory);
        let closed = actix_web::rt::task::spawn_blocking(move || {
            store.close();
            memory.iter().for_each(|memory| memory.close());
        });
        if closed.await.is_err() {
            tracing::error!("the store could not be closed");
        }
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!("the admin socket was gone already: {error}");
        }
    }
}

/// The parts that the data folder holds together.
struct Instance {
    store: Store,
    ledger: Arc<Ledger>,
    directory: Arc<DirectoryCell>,
    control: Control,
    disk: Arc<dyn Disk>,
    time: Arc<Time>,
}

impl Instance {
    fn open(config: &Config, parts: Platform, create: bool) -> Result<Instance, StartError> {
        let zone = Zone::parse(&config.timezone)
            .ok_or_else(|| StartError::Timezone(config.timezone.clone()))?;
        let disk = match parts.disk {
            Some(disk) => disk,
            None => folder_disk(config, create)?,
        };
        let (store, recovered) = Store::open(Options {
            disk: disk.clone(),
            zone: zone.clone(),
            segment_bytes: config.ledger.segment_bytes,
            disk_reserve_mb: config.ledger.disk_reserve_mb,
            wait_for_disk: config.ledger.sync == Sync::Disk,
            create,
        })?;
        for remark in &recovered.remarks {
            tracing::warn!("{remark}");
        }
        warn_of_orphans(recovered.orphans, recovered.holds.len() as u64);
        let time = Arc::new(match store.anchor()? {
            Some(anchor) => Time::resume(parts.clock, anchor),
            None => Time::first(parts.clock),
        });
        let tenants = store.tenants()?;
        let ledger = Ledger::recover(
            store.wal(),
            zone.clone(),
            tenants.budgets,
            recovered,
            time.clone(),
        )?;
        for limit in &tenants.limits {
            // nothing runs yet
            ledger.set_limit(limit, |_| false);
        }
        let ledger = Arc::new(ledger);
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
            time,
            disk,
        })
    }
}

/// Says once how many requests are booked at their ceiling: of earlier ends of the process, and of the last one.
fn warn_of_orphans(earlier: u64, now: u64) {
    let booked = match earlier + now {
        0 => return,
        1 => {
            "1 request is booked at its ceiling, flagged `orphaned`, because the process ended while it was in flight".to_owned()
        }
        all => format!(
            "{all} requests are booked at their ceiling, flagged `orphaned`, because the process ended while they were in flight, \
             {now} of them when it ended last"
        ),
    };
    tracing::warn!(
        "{booked}; `gatekeeper ledger orphans` lists, with --settle-estimated it corrects"
    );
}

/// The key of all seals: the operator's, or the data folder's own.
fn seal_key(config: &Config) -> Result<SealKey, StartError> {
    let found = match &config.seal_key {
        SealKeySource::Folder => SealKey::in_folder(&config.folder),
        SealKeySource::Configured(secret) => Ok(SealKey::of_secret(secret)),
    };
    found.map_err(|error| StartError::Folder {
        folder: config.folder.join(KEY_FILE),
        error,
    })
}

fn open_memory(config: &Config, house: &Instance, key: &SealKey) -> Option<Arc<ReasoningMemory>> {
    let ReasoningMemoryConfig {
        enabled,
        keep_ms,
        entries_max,
        bytes_max,
    } = config.reasoning_memory;
    if !enabled {
        ReasoningMemory::forget(&*house.disk);
        return None;
    }
    let bounds = Bounds {
        keep_ms,
        entries_max,
        bytes_max,
    };
    Some(Arc::new(ReasoningMemory::open(
        house.disk.clone(),
        house.time.clone(),
        key,
        bounds,
    )))
}

fn folder_disk(config: &Config, create: bool) -> Result<Arc<dyn Disk>, StartError> {
    if !create && !config.folder.is_dir() {
        return Err(StoreError::NotInitialised.into());
    }
    match FolderDisk::lock(&config.folder) {
        Ok(disk) => Ok(Arc::new(disk)),
        Err(error) => Err(StartError::Folder {
            folder: config.folder.clone(),
            error,
        }),
    }
}

/// A socket only its owner can open. A file left behind by a crash is replaced: the folder's lock is ours.
fn admin_socket(path: &PathBuf) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
