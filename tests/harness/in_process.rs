//! Gateway in a thread of the test: the same program with a manual clock and a controlled disk, called over HTTP like the
//! process. Its `Drop` asserts that the books agree and stops it.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use gatekeeper::config::{self, Config, Overrides};
use gatekeeper::domain::clock::{Clock, ManualClock};
use gatekeeper::domain::zone::Zone;
use gatekeeper::meter::Ledger;
use gatekeeper::process::{self, Platform, StartError};
use gatekeeper::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::controlled_disk::{ControlledDisk, DiskControl};
use super::instance::Instance;
use super::process::gatekeeper_command;
use super::setup::Setup;

/// Time of the clock at the start: a Monday.
pub const START: &str = "2026-11-23T10:00:00Z";

/// Gateway, clock and disk.
pub struct InProcessGateway {
    instance: Instance,
    pub clock: ManualClock,
    pub clock_panic: ClockPanic,
    pub disk: Arc<DiskControl>,
    config: PathBuf,
    _folder: TempDir,
    run: Option<Run>,
    check_books: bool,
}

/// Panics the worker that makes the n-th read of the clock from now on.
#[derive(Clone, Debug, Default)]
pub struct ClockPanic(Arc<AtomicI64>);

impl ClockPanic {
    /// Arms the panic for the n-th read, from 1.
    pub fn panic_at(&self, nth: i64) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// Disarms it; true if a worker panicked.
    pub fn disarm(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) < 0
    }

    fn count_read(&self) {
        let is_worker = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("actix"));
        let next = |left: i64| match left {
            0 => None,
            1 => Some(-1),
            left => Some(left - 1),
        };
        if is_worker
            && self
                .0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
                == Ok(1)
        {
            panic!("panic injected by the test");
        }
    }
}

struct PanickingClock {
    clock: ManualClock,
    panic: ClockPanic,
}

impl Clock for PanickingClock {
    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.panic.count_read();
        self.clock.boot_ms()
    }

    fn boot(&self) -> Option<u128> {
        self.clock.boot()
    }
}

/// One run between start and stop.
struct Run {
    store: Store,
    ledger: Arc<Ledger>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Setup {
    /// Creates the data folder and starts the gateway in this process, at `START`.
    pub fn start_in_process(self) -> InProcessGateway {
        self.start_in_process_at(START)
    }

    /// Starts at another time.
    pub fn start_in_process_at(self, instant: &str) -> InProcessGateway {
        let (folder, _data, path) = self.write_files(SocketAddr::from(([127, 0, 0, 1], 0)));
        let key = process::block_on(process::init(&read(&path), Platform::system()))
            .expect("a new folder can be initialized")
            .admin_key;
        let mut gateway = InProcessGateway::stopped(folder, path, key.expose(), instant);
        gateway.start();
        gateway
    }

    /// Starts at `instant` on a copy of a data folder that was created at `START`, with the administrative key `admin_key`.
    pub fn start_in_process_on_copy(
        self,
        source: &Path,
        admin_key: &str,
        instant: &str,
    ) -> InProcessGateway {
        let (folder, data, path) = self.write_files(SocketAddr::from(([127, 0, 0, 1], 0)));
        copy_data(source, &data);
        let mut gateway = InProcessGateway::stopped(folder, path, admin_key, START);
        gateway.advance_to(instant);
        gateway.start();
        gateway
    }

    /// Starts on the books that `gatekeeper restore` makes of a backup of `source`, at the time of its clock.
    pub fn start_in_process_on_backup(
        self,
        backup: &Path,
        source: &InProcessGateway,
    ) -> InProcessGateway {
        let (folder, _data, path) = self.write_files(SocketAddr::from(([127, 0, 0, 1], 0)));
        let restored = gatekeeper_command()
            .arg("restore")
            .arg(backup)
            .arg("--config")
            .arg(&path)
            .arg("--seal-key")
            .arg(source.data().join("seal.key"))
            .output()
            .expect("the binary runs");
        assert!(restored.status.success(), "{restored:?}");
        let mut gateway = InProcessGateway::stopped(folder, path, &source.admin_key, START);
        gateway.clock.advance_to_ms(source.clock.wall_ms());
        gateway.start();
        gateway
    }
}

/// Copies a data folder with the modes that the gateway asks for.
fn copy_data(source: &Path, target: &Path) {
    fs::create_dir(target).expect("the folder can be created");
    fs::set_permissions(target, Permissions::from_mode(0o700)).expect("a mode can be set");
    for entry in fs::read_dir(source).expect("the folder can be listed") {
        let (from, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .expect("an entry");
        let to = target.join(name);
        if from.is_dir() {
            copy_data(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file can be copied");
            fs::set_permissions(&to, Permissions::from_mode(0o600)).expect("a mode can be set");
        }
    }
}

impl InProcessGateway {
    fn stopped(
        folder: TempDir,
        config: PathBuf,
        admin_key: &str,
        instant: &str,
    ) -> InProcessGateway {
        InProcessGateway {
            instance: Instance::new(SocketAddr::from(([127, 0, 0, 1], 0)), admin_key.to_owned()),
            clock: ManualClock::at_ms(Zone::parse_rfc3339(instant).expect("an instant")),
            clock_panic: ClockPanic::default(),
            disk: Arc::new(DiskControl::default()),
            config,
            _folder: folder,
            run: None,
            check_books: true,
        }
    }
}

fn read(path: &Path) -> Config {
    let text = std::fs::read_to_string(path).expect("the configuration was written");
    config::parse(path, &text, &Overrides::default(), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

impl Deref for InProcessGateway {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl DerefMut for InProcessGateway {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }
}

impl InProcessGateway {
    /// Starts on the same folder, on a new port.
    pub fn start(&mut self) {
        self.try_start()
            .unwrap_or_else(|error| panic!("failed to start the gateway: {error}"));
    }

    pub fn try_start(&mut self) -> Result<(), StartError> {
        assert!(self.run.is_none(), "the gateway runs already");
        let config = read(&self.config);
        let clock = Arc::new(PanickingClock {
            clock: self.clock.clone(),
            panic: self.clock_panic.clone(),
        });
        let control = Arc::clone(&self.disk);
        let (stop, stopped) = oneshot::channel();
        let (started, starts) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            process::block_on(async move {
                let disk = Arc::new(ControlledDisk::lock(&config.folder, &control));
                match process::start(
                    config,
                    Platform {
                        listener: None,
                        binary: None,
                        clock,
                        disk: Some(disk),
                    },
                )
                .await
                {
                    Err(error) => drop(started.send(Err(error))),
                    Ok(running) => {
                        drop(started.send(Ok((
                            running.address,
                            running.store.clone(),
                            running.ledger.clone(),
                        ))));
                        let _ = stopped.await;
                        running.stop().await;
                    }
                }
            });
        });
        match starts
            .recv()
            .expect("the gateway's thread reports the start")
        {
            Ok((address, store, ledger)) => {
                self.instance.address = address;
                self.run = Some(Run {
                    store,
                    ledger,
                    stop,
                    thread,
                });
                Ok(())
            }
            Err(error) => {
                thread.join().expect("the gateway's thread did not panic");
                Err(error)
            }
        }
    }

    /// Stops as on SIGTERM and waits for the end.
    pub fn stop(&mut self) {
        let Run {
            store,
            stop,
            thread,
            ..
        } = self.run.take().expect("the gateway runs");
        let _ = stop.send(());
        drop(store);
        thread.join().expect("the gateway's thread did not panic");
    }

    /// Ledger of the running gateway, bypassing the API.
    pub fn ledger(&self) -> &Ledger {
        &self.run.as_ref().expect("the gateway runs").ledger
    }

    /// Configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Data folder.
    pub fn data(&self) -> PathBuf {
        read(&self.config).folder
    }

    /// Complete audit log, oldest first.
    pub fn audit(&self) -> Vec<Value> {
        let store = &self.run.as_ref().expect("the gateway runs").store;
        let lines = store
            .audit(0, usize::MAX)
            .expect("the audit log can be read");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("an audit line is JSON"))
            .collect()
    }

    /// Asserts that the stored audit log agrees with its tree and its checkpoints.
    pub fn assert_audit_log_is_intact(&self) {
        let store = &self.run.as_ref().expect("the gateway runs").store;
        let verified = store.verify_audit(&[], || true);
        let verified = verified.expect("the audit log can be read");
        assert!(verified.is_intact(), "{:?}", verified.findings);
    }

    /// Advances the clock to this instant.
    pub fn advance_to(&self, instant: &str) {
        self.clock
            .advance_to_ms(Zone::parse_rfc3339(instant).expect("an instant"));
    }

    /// Disables the check on drop, for tests whose books are wrong on purpose.
    pub fn skip_books_check(&mut self) {
        self.check_books = false;
    }
}

impl Drop for InProcessGateway {
    fn drop(&mut self) {
        if self.run.is_none() {
            return;
        }
        self.disk.heal();
        if !std::thread::panicking() && self.check_books {
            self.assert_books_agree();
            self.assert_audit_log_is_intact();
        }
        let Run {
            store,
            stop,
            thread,
            ..
        } = self.run.take().expect("checked above");
        let _ = stop.send(());
        drop(store);
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("the gateway's thread panicked");
        }
    }
}
