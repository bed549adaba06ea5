//! Return of memory to the system. Freed pages are kept for the next request, because one that the system gives anew costs some two
//! microseconds; every ten seconds each worker returns those that it does not use. The code that only a start runs through is given
//! back too.

use std::cell::Cell;
use std::sync::Once;
use std::time::Duration;

/// Time after which a start is over.
const START: Duration = Duration::from_secs(2);
/// Interval at which a worker returns its free pages.
const INTERVAL: Duration = Duration::from_secs(10);

/// First step of a start: pages return as soon as they are free, because what a start reads is not needed again. Kept for 10 ms, as
/// by default, they add 2 MB at idle.
pub(super) fn return_at_once() {
    keep_pages(0);
}

/// Last step of a start: returns what it has freed (price sheet and limits were read as JSON), and keeps free pages from now on.
pub(super) fn keep_for_requests() {
    // longer than records wait for a commit of the books; other threads than the workers return pages when they free more after it
    const KEPT_MS: u16 = 1_000;
    return_memory();
    keep_pages(KEPT_MS);
}

/// Starts the task that returns the free pages of the present thread, and after the start the code that only a start needs. Does
/// nothing on a thread that has it.
pub(super) fn return_regularly() {
    static CODE: Once = Once::new();
    thread_local! {
        static IS_STARTED: Cell<bool> = const { Cell::new(false) };
    }
    if IS_STARTED.replace(true) {
        return;
    }
    // ends with the thread
    tokio::task::spawn_local(async {
        tokio::time::sleep(START).await;
        CODE.call_once(unmap_code);
        loop {
            return_memory();
            tokio::time::sleep(INTERVAL).await;
        }
    });
}

/// Sets how long the allocator keeps free pages.
#[cfg(feature = "mimalloc")]
#[allow(unsafe_code, reason = "a call into the allocator without pointers")]
fn keep_pages(kept_ms: u16) {
    // `mi_option_purge_delay`, to which the bindings give no name
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: mi_option_set takes no pointer and writes one aligned word, of which other threads read the old or the new value
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, kept_ms.into()) };
}

#[cfg(not(feature = "mimalloc"))]
fn keep_pages(_kept_ms: u16) {}

/// Returns the free pages of the present thread, and those of threads that have ended.
#[cfg(feature = "mimalloc")]
#[allow(unsafe_code, reason = "a call into the allocator without pointers")]
pub(super) fn return_memory() {
    // SAFETY: mi_collect takes no pointer, may be called from any thread and touches free memory only
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(all(target_env = "gnu", not(feature = "mimalloc")))]
#[allow(unsafe_code, reason = "a call into the C library without pointers")]
pub(super) fn return_memory() {
    // SAFETY: malloc_trim takes no pointer, may be called from any thread and touches free memory only
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(any(target_env = "gnu", feature = "mimalloc")))]
pub(super) fn return_memory() {}

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
