//! Checks of the machine: data folder, free space, time of a sync, descriptors, certificate of the listener, age of the prices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use rustix::process::{Resource, geteuid, getrlimit};

use super::finding::Finding;
use crate::cli::data_dir;
use crate::config::{Config, Sync, TlsSource};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::zone::Zone;
use crate::server::Certificates;

/// Syncs that are timed.
const SYNCS: usize = 20;
/// Bytes of a timed write: a page.
const PAGE: [u8; 4096] = [0; 4096];
/// Median of a sync from which `sync = "disk"` slows every request down noticeably.
const SLOW_SYNC: Duration = Duration::from_millis(10);
/// Median of a sync at which the log cannot keep up with its 20 ms.
const STALLED_SYNC: Duration = Duration::from_millis(200);
/// Descriptors below which fewer than about 2,000 clients are served at once.
const DESCRIPTORS: u64 = 4_096;
/// Days before its end at which a certificate is worth a warning.
const CERTIFICATE_DAYS: u64 = 21;
/// Days after its month at which the price sheet is worth a warning.
const SHEET_DAYS: u64 = 120;
const DAY_MS: u64 = 86_400_000;

/// `prices`: source and month of the price sheet in force.
pub(super) fn examine(config: &Config, prices: &str) -> Vec<Finding> {
    let now_ms = SystemClock { boot: None }.wall_ms();
    let mut findings = vec![data_folder(&config.folder)];
    if config.folder.is_dir() {
        findings.extend(private_files(&config.folder));
        findings.push(free_space(&config.folder, config.ledger.disk_reserve_mb));
        findings.push(sync_time(&config.folder, config.ledger.sync));
    }
    findings.push(descriptors());
    findings.extend(certificate(config, now_ms));
    findings.push(price_sheet(prices, now_ms));
    findings
}

fn data_folder(folder: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let shown = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) => {
            return Finding::fault(CHECK, format!("{shown}: {error}; run `gatekeeper init`"));
        }
    };
    let (owner, user) = (found.uid(), geteuid().as_raw());
    if !data_dir::is_initialized(folder) {
        return Finding::fault(
            CHECK,
            format!("{shown} not initialized; run `gatekeeper init`"),
        );
    }
    if owner != user && user != 0 {
        let remedy = format!("run doctor as that user, or `chown -R {user} {shown}`");
        return Finding::fault(CHECK, format!("{shown} belongs to user {owner}; {remedy}"));
    }
    match found.mode() & 0o077 {
        0 => Finding::ok(CHECK, format!("{shown}, private to user {owner}")),
        _ => Finding::warning(
            CHECK,
            format!("{shown} can be read by other users; `chmod 700 {shown}`"),
        ),
    }
}

/// Files of the folder that hold secrets or books and that other users may read.
fn private_files(folder: &Path) -> Option<Finding> {
    let open: Vec<String> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| {
            let found = entry.metadata().ok();
            // the certificate of a self-signed pair is public
            let is_public = entry.path().extension().is_some_and(|end| end == "pem");
            !is_public && found.is_some_and(|found| found.is_file() && found.mode() & 0o077 != 0)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    (!open.is_empty()).then(|| {
        let names = open.join(", ");
        let detail = format!("readable by other users: {names}; `chmod 600` them");
        Finding::warning("files", detail)
    })
}

fn free_space(folder: &Path, reserve_mb: u64) -> Finding {
    const CHECK: &str = "free space";
    let free_mb = match statvfs(folder) {
        Ok(found) => found.f_bavail * found.f_frsize / (1 << 20),
        Err(error) => return Finding::fault(CHECK, format!("{}: {error}", folder.display())),
    };
    let detail = format!("{free_mb} MB free; below {reserve_mb} MB requests are refused");
    if free_mb < reserve_mb {
        Finding::fault(CHECK, format!("{detail}; free space now"))
    } else if free_mb < reserve_mb.saturating_mul(4) {
        Finding::warning(CHECK, format!("{detail}; free space soon"))
    } else {
        Finding::ok(CHECK, detail)
    }
}

fn sync_time(folder: &Path, sync: Sync) -> Finding {
    const CHECK: &str = "sync time";
    let mut times = match time_syncs(folder) {
        Ok(times) => times,
        Err(error) => {
            let detail = format!("{} cannot be written: {error}", folder.display());
            return Finding::fault(CHECK, detail);
        }
    };
    times.sort_unstable();
    let (median, slowest) = (times[SYNCS / 2], times[SYNCS - 1]);
    let detail = format!(
        "median {:.1} ms, slowest {:.1} ms of {SYNCS} syncs of 4 KiB",
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3
    );
    if median >= STALLED_SYNC {
        Finding::fault(
            CHECK,
            format!("{detail}; the log cannot keep up: use a faster disk"),
        )
    } else if median >= SLOW_SYNC && sync == Sync::Disk {
        let remedy = "every request waits for two with sync = \"disk\": use a faster disk";
        Finding::warning(CHECK, format!("{detail}; {remedy}"))
    } else {
        Finding::ok(CHECK, detail)
    }
}

/// A file of the data folder that is removed at the end.
struct ScratchFile(PathBuf);

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // a file that is left is small, and the next run takes its place
        let _ = fs::remove_file(&self.0);
    }
}

fn time_syncs(folder: &Path) -> io::Result<Vec<Duration>> {
    let scratch = ScratchFile(folder.join("doctor.tmp"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file: File = options.open(&scratch.0)?;
    (0..SYNCS)
        .map(|_| {
            file.write_all(&PAGE)?;
            let began = Instant::now();
            file.sync_data()?;
            Ok(began.elapsed())
        })
        .collect()
}

fn descriptors() -> Finding {
    const CHECK: &str = "descriptors";
    // the server raises its limit to the hard one
    let most = getrlimit(Resource::Nofile).maximum;
    match most {
        Some(most) if most < DESCRIPTORS => {
            let remedy = format!(
                "a client needs two: `ulimit -Hn {DESCRIPTORS}` or more, or LimitNOFILE in the unit"
            );
            Finding::warning(CHECK, format!("{most} at most in this shell; {remedy}"))
        }
        Some(most) => Finding::ok(CHECK, format!("{most} at most")),
        None => Finding::ok(CHECK, "no limit"),
    }
}

fn certificate(config: &Config, now_ms: u64) -> Option<Finding> {
    const CHECK: &str = "certificate";
    let source = match config.listener.tls.as_ref()? {
        TlsSource::SelfSigned => {
            return Some(Finding::ok(CHECK, "self-signed; for a first evening"));
        }
        files => files,
    };
    let opened = match Certificates::open(source, &config.folder) {
        Ok(opened) => opened,
        Err(error) => return Some(Finding::fault(CHECK, error.to_string())),
    };
    let Some(end_ms) = opened.not_after_ms() else {
        return Some(Finding::warning(CHECK, "its end cannot be read"));
    };
    let end = Zone::utc().rfc3339(end_ms);
    Some(if end_ms <= now_ms {
        Finding::fault(CHECK, format!("expired at {end}; put a new pair in place"))
    } else if end_ms - now_ms < CERTIFICATE_DAYS * DAY_MS {
        let days = (end_ms - now_ms) / DAY_MS;
        Finding::warning(CHECK, format!("expires in {days} days, at {end}; renew it"))
    } else {
        Finding::ok(CHECK, format!("valid until {end}"))
    })
}

/// Age of the price sheet by the month at the end of its name, `litellm 1.110.2, 2026-11`.
fn price_sheet(as_of: &str, now_ms: u64) -> Finding {
    const CHECK: &str = "price sheet";
    let month = as_of.rsplit(' ').next().unwrap_or_default();
    let Some(began_ms) = Zone::utc().date_start_ms(&format!("{month}-01")) else {
        return Finding::warning(CHECK, format!("{as_of}: its month cannot be read"));
    };
    if now_ms < began_ms {
        // a wall clock before the sheet's month is a wrong clock
        let now = Zone::utc().rfc3339(now_ms);
        return Finding::fault(
            "wall clock",
            format!("{now} is before the prices of {month}; set the clock"),
        );
    }
    match (now_ms - began_ms) / DAY_MS {
        days if days > SHEET_DAYS => {
            let remedy = "apply a newer sheet with `gatekeeper prices apply FILE`, or install a newer release";
            Finding::warning(CHECK, format!("{as_of}, {days} days old; {remedy}"))
        }
        _ => Finding::ok(CHECK, as_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn price_sheet_old_is_a_warning_and_one_of_the_future_a_wrong_clock() {
        let at = |date: &str| Zone::utc().date_start_ms(date).expect("a date");
        for (date, verdict) in [
            ("2026-11-20", Verdict::Ok),
            ("2027-02-20", Verdict::Ok),
            ("2027-04-01", Verdict::Warning),
            ("2026-10-31", Verdict::Fault),
        ] {
            let finding = price_sheet("litellm 1.110.2, 2026-11", at(date));
            assert_eq!(finding.verdict, verdict, "{date}: {}", finding.detail);
        }
        assert_eq!(price_sheet("unknown", 0).verdict, Verdict::Warning);
    }

    #[test]
    fn data_folder_open_to_others_is_a_warning_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        assert_eq!(data_folder(path).verdict, Verdict::Fault);
        fs::write(path.join("gatekeeper.redb"), "").expect("books");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, open).expect("permissions");
        let finding = data_folder(path);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.detail.contains("chmod 700"), "{}", finding.detail);
    }

    #[test]
    fn sync_time_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let finding = sync_time(folder.path(), Sync::Os);
        assert!(finding.detail.contains("median"), "{}", finding.detail);
        let left = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn free_space_below_the_reserve_is_a_fault() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(free_space(folder.path(), u64::MAX).verdict, Verdict::Fault);
        assert_eq!(free_space(folder.path(), 0).verdict, Verdict::Ok);
    }
}
