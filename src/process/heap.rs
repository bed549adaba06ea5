//! Return of memory to the system: the allocator keeps what bodies of many MiB took, unless it is asked to give it back. Asks once the
//! bodies in flight have ended, so that no call waits for it. The code that only a start runs through is given back too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::gateway::Gateway;

/// Interval between two looks at the bodies.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Bytes of ended bodies after which memory is returned.
const RELEASED_BYTES_MIN: usize = 4 << 20;

/// Running task; its owner stops it.
pub(super) struct HeapRelease {
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HeapRelease {
    /// Starts the task, and returns what the start itself has freed: price sheet and limits were read as JSON. Its code follows
    /// when the workers run.
    pub(super) fn start(gateway: Arc<Gateway>) -> HeapRelease {
        release();
        let (shutdown, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let is_stopped = |value: &bool| *value;
            let code = std::sync::Once::new();
            while tokio::time::timeout(CHECK_INTERVAL, stopped.wait_for(is_stopped))
                .await
                .is_err()
            {
                code.call_once(unmap_code);
                if gateway.take_ended_bodies(RELEASED_BYTES_MIN) {
                    // walks the whole heap; a panic is not possible
                    let _ = tokio::task::spawn_blocking(release).await;
                }
            }
        });
        HeapRelease { shutdown, task }
    }

    pub(super) async fn stop(self) {
        self.shutdown.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "release of memory failed");
        }
    }
}

/// First step of a start: pages return as soon as they are free. Kept for 10 ms, as by default, they add 2 MB at idle.
#[cfg(feature = "mimalloc")]
#[allow(unsafe_code, reason = "a call into the allocator without pointers")]
pub(super) fn return_at_once() {
    // `mi_option_purge_delay`, to which the bindings give no name
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: mi_option_set takes no pointer and sets a number that the allocator reads
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
}

#[cfg(not(feature = "mimalloc"))]
pub(super) fn return_at_once() {}

#[cfg(feature = "mimalloc")]
#[allow(unsafe_code, reason = "a call into the allocator without pointers")]
fn release() {
    // SAFETY: mi_collect takes no pointer, may be called from any thread and touches free memory only
    unsafe { libmimalloc_sys::mi_collect(true) };
    tracing::debug!("freed memory returned to the system");
}

#[cfg(all(target_env = "gnu", not(feature = "mimalloc")))]
#[allow(unsafe_code, reason = "a call into the C library without pointers")]
fn release() {
    // SAFETY: malloc_trim takes no pointer, may be called from any thread and touches free memory only
    let released = unsafe { libc::malloc_trim(0) };
    tracing::debug!(released, "freed memory returned to the system");
}

#[cfg(not(any(target_env = "gnu", feature = "mimalloc")))]
fn release() {}

/// Takes the pages of the program's code and constants out of this process. They stay in the system's page cache, and a page that is
/// needed again is mapped by its first use, a microsecond each. A start maps nearly all of them, 16 around each that it touches;
/// requests need less than half (packaged build: 15.8 MB after the start, 7.8 after a request).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the range of a mapping is told to the kernel")]
fn unmap_code() {
    unsafe extern "C" {
        // bounds that every linker of this system defines: constants and code, nothing that can be written
        static __executable_start: u8;
        static etext: u8;
    }
    // the largest page of these systems: the kernel would round a shorter length up, into writable data
    const PAGE: usize = 64 << 10;
    let start = (&raw const __executable_start).cast_mut();
    let length = (&raw const etext).addr().saturating_sub(start.addr()) / PAGE * PAGE;
    // SAFETY: the pages are a private, unwritten mapping of the executable's file, so the kernel reads the same bytes again; the
    // range begins at the first page of the program and ends before its writable data
    let failed = unsafe { libc::madvise(start.cast(), length, libc::MADV_DONTNEED) };
    tracing::debug!(length, failed, "code of the start unmapped");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn unmap_code() {}
