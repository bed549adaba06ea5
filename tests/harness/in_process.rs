//! The gateway in a thread of the test: the same program, with a clock that the test moves and a disk that it has its hand
//! on. It listens and is called like the real one; when it is dropped, its books are checked and it is stopped.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
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
use super::setup::Setup;

/// What the clock says at the start: a Monday.
pub const START: &str = "2026-11-23T10:00:00Z";

/// The gateway, the clock and the disk.
pub struct InProcessGateway {
    instance: Instance,
    pub clock: ManualClock,
    pub wire: ClockPanic,
    pub disk: Arc<DiskControl>,
    config: PathBuf,
    _folder: TempDir,
    life: Option<Life>,
    books_checked: bool,
}

/// A wire across the clock: whichever worker asks for the time as the n-th from now on panics over it.
#[derive(Clone, Debug, Default)]
pub struct ClockPanic(Arc<AtomicI64>);

impl ClockPanic {
    /// The n-th, from 1.
    pub fn panic_at(&self, nth: i64) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// Takes the wire away; whether somebody tripped.
    pub fn disarm(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) < 0
    }

    fn crossed(&self) {
        let worker = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("actix"));
        let crossed = |left: i64| match left {
            0 => None,
            1 => Some(-1),
            left => Some(left - 1),
        };
        if worker
            && self
                .0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, crossed)
                == Ok(1)
        {
            panic!("somebody tripped over the wire of the test");
        }
    }
}

struct PanickingClock {
    clock: ManualClock,
    wire: ClockPanic,
}

impl Clock for PanickingClock {
    fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.wire.crossed();
        self.clock.boot_ms()
    }

    fn boot(&self) -> Option<u128> {
        self.clock.boot()
    }
}

struct Life {
    store: Store,
    ledger: Arc<Ledger>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Setup {
    /// Makes the data folder and starts the gateway in this process, on a Monday.
    pub fn start_in_process(self) -> InProcessGateway {
        self.start_in_process_at(START)
    }

    /// The same, at another time.
    pub fn start_in_process_at(self, instant: &str) -> InProcessGateway {
        let (folder, _data, path) = self.written(SocketAddr::from(([127, 0, 0, 1], 0)));
        let made =
            process::block_on(process::init(&read(&path))).expect("a new folder can be set up");
        let mut inside = InProcessGateway {
            instance: Instance::new(
                SocketAddr::from(([127, 0, 0, 1], 0)),
                made.expose().to_owned(),
            ),
            clock: ManualClock::at_ms(Zone::parse_rfc3339(instant).expect("an instant")),
            wire: ClockPanic::default(),
            disk: Arc::new(DiskControl::default()),
            config: path,
            _folder: folder,
            life: None,
            books_checked: true,
        };
        inside.start();
        inside
    }
}

fn read(path: &Path) -> Config {
    let text = std::fs::read_to_string(path).expect("the config was written");
    config::parse(path, &text, &Overrides::default(), &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"))
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
    /// Starts on the same folder, at a port of its own.
    pub fn start(&mut self) {
        self.try_start()
            .unwrap_or_else(|error| panic!("the gateway does not start: {error}"));
    }

    pub fn try_start(&mut self) -> Result<(), StartError> {
        assert!(self.life.is_none(), "it runs already");
        let config = read(&self.config);
        let clock = Arc::new(PanickingClock {
            clock: self.clock.clone(),
            wire: self.wire.clone(),
        });
        let hand = Arc::clone(&self.disk);
        let (stop, stopped) = oneshot::channel();
        let (started, starts) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            process::block_on(async move {
                let disk = Arc::new(ControlledDisk::lock(&config.folder, &hand));
                match process::start(
                    config,
                    Platform {
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
            .expect("the gateway's thread says how the start went")
        {
            Ok((address, store, ledger)) => {
                self.instance.address = address;
                self.life = Some(Life {
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
        let Life {
            store,
            stop,
            thread,
            ..
        } = self.life.take().expect("it runs");
        let _ = stop.send(());
        drop(store);
        thread.join().expect("the gateway's thread did not panic");
    }

    /// The ledger of this life, to be looked at past the door.
    pub fn ledger(&self) -> &Ledger {
        &self.life.as_ref().expect("it runs").ledger
    }

    /// The whole audit log, oldest first.
    pub fn audit(&self) -> Vec<Value> {
        let store = &self.life.as_ref().expect("it runs").store;
        let lines = store
            .audit(0, usize::MAX)
            .expect("the audit log can be read");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("an audit line is JSON"))
            .collect()
    }

    /// Time passes until then.
    pub fn advance_to(&self, instant: &str) {
        self.clock
            .advance_to_ms(Zone::parse_rfc3339(instant).expect("an instant"));
    }

    /// For tests whose books are wrong on purpose.
    pub fn skip_books_check(&mut self) {
        self.books_checked = false;
    }
}

impl Drop for InProcessGateway {
    fn drop(&mut self) {
        if self.life.is_none() {
            return;
        }
        self.disk.heal();
        if !std::thread::panicking() && self.books_checked {
            self.assert_books_agree();
        }
        let Life {
            store,
            stop,
            thread,
            ..
        } = self.life.take().expect("checked above");
        let _ = stop.send(());
        drop(store);
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("the gateway's thread panicked");
        }
    }
}
