//! Copies of the audit log for other systems: a receiver over HTTP, a file, syslog. Each has a cursor in the books, the last event that was
//! delivered, and reads on from there: at least once and in order, however long its receiver was away, without a queue of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;

use crate::config::{AuditConfig, SyslogAddress, Webhook};
use crate::control::plane::Control;
use crate::control::webhook;
use crate::domain::api_error::ApiError;
use crate::domain::zone::Zone;
use crate::store::{AuditScan, StoreError};
use crate::upstream::Client;

/// Events and bytes of one delivery.
const EVENTS_MAX: usize = 500;
const BATCH_BYTES: usize = 256 * 1024;
/// Pauses after failed deliveries: doubled each time up to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Facility 13 (log audit), severity 6 (informational).
const SYSLOG_PRIORITY: u8 = 13 * 8 + 6;
/// Longest datagram.
const DATAGRAM_BYTES_MAX: usize = 60_000;
const NDJSON: &str = "application/x-ndjson";

/// Receiver of the audit log.
pub(in crate::control) enum Destination {
    Http { webhook: Webhook, client: Client },
    File(PathBuf),
    Syslog(SyslogAddress),
}

/// Configured copies, and the client for those over HTTP.
pub struct AuditCopies {
    pub config: AuditConfig,
    pub client: Client,
}

impl AuditCopies {
    pub(in crate::control) fn destinations(self) -> Vec<Destination> {
        let AuditCopies { config, client } = self;
        let forward = config
            .forward
            .map(|webhook| Destination::Http { webhook, client });
        let file = config.file.map(Destination::File);
        let syslog = config.syslog.map(Destination::Syslog);
        [forward, file, syslog].into_iter().flatten().collect()
    }
}

impl Destination {
    /// Name of its cursor.
    fn name(&self) -> &'static str {
        match self {
            Destination::Http { .. } => "audit_sent_forward",
            Destination::File(_) => "audit_sent_file",
            Destination::Syslog(_) => "audit_sent_syslog",
        }
    }

    /// Delivers the lines. `Err`: reason in words, without an address that may contain a token.
    async fn deliver(&self, lines: &[String]) -> Result<(), String> {
        match self {
            Destination::Http { webhook, client } => {
                let body: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
                webhook::post(client, webhook, NDJSON, &body).await
            }
            Destination::File(path) => append(path.clone(), lines.to_vec()).await,
            Destination::Syslog(address) => {
                let send = send_syslog(address, lines).await;
                send.map_err(|error| error.to_string())
            }
        }
    }
}

/// Background task of one destination.
pub(in crate::control) async fn run(
    control: Control,
    destination: Destination,
    mut shutdown: watch::Receiver<bool>,
) {
    let copying = async {
        let mut end = control.store.audit_end();
        let mut pause = PAUSE_FIRST;
        loop {
            let failure = match copy(&control, &destination).await {
                Ok(true) => {
                    pause = PAUSE_FIRST;
                    continue;
                }
                Ok(false) => {
                    // nothing is left to deliver
                    if end.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let retry_ms = pause.as_millis() as u64;
            tracing::warn!(
                destination = destination.name(),
                error = failure,
                retry_ms,
                "failed to copy audit events; retrying"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    };
    tokio::select! {
        _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => {}
        () = copying => {}
    }
}

/// Delivers the next events and moves the cursor; `false` if there are none.
async fn copy(control: &Control, destination: &Destination) -> Result<bool, String> {
    let name = destination.name();
    let words = |error: ApiError| error.to_string();
    let page = control.read(move |store| {
        let scan = AuditScan {
            from: store.audit_cursor(name)?.saturating_add(1),
            to: u64::MAX,
            newest_first: false,
            limit: EVENTS_MAX,
            lines_max: EVENTS_MAX,
            bytes_max: BATCH_BYTES,
        };
        store.audit_page(&scan, |_| true)
    });
    let page = page.await.map_err(words)?;
    let Some(last) = page.lines.last().map(|(seq, _)| *seq) else {
        return Ok(false);
    };
    let lines: Vec<String> = page.lines.into_iter().map(|(_, line)| line).collect();
    destination.deliver(&lines).await?;
    let move_cursor = control
        .store
        .write::<(), StoreError>(move |books| books.put_audit_cursor(name, last));
    move_cursor.await.map_err(|error| error.to_string())?;
    Ok(true)
}

/// Appends lines to a file, which is opened each time, so that it can be rotated.
async fn append(path: PathBuf, lines: Vec<String>) -> Result<(), String> {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    let written = tokio::task::spawn_blocking(move || write_file(&path, &text)).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o640).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

async fn send_syslog(address: &SyslogAddress, lines: &[String]) -> std::io::Result<()> {
    match address {
        SyslogAddress::Udp(to) => {
            let from: SocketAddr = match to {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(from).await?;
            socket.connect(to).await?;
            for line in lines {
                socket.send(syslog_message(line).as_bytes()).await?;
            }
        }
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            for line in lines {
                socket.send(syslog_message(line).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// An event as a message of RFC 5424.
fn syslog_message(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    let at = Zone::utc().rfc3339(event["at_ms"].as_u64().unwrap_or(0));
    let action = event["action"].as_str().unwrap_or("-");
    let process = std::process::id();
    let head = format!("<{SYSLOG_PRIORITY}>1 {at} - gatekeeper {process} {action} - ");
    let mut end = line.len().min(DATAGRAM_BYTES_MAX - head.len());
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    head + &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_message_has_the_head_of_rfc_5424_and_a_bounded_length() {
        let line = r#"{"action":"key.create","at_ms":1795428000000,"seq":7}"#;
        let message = syslog_message(line);
        let process = std::process::id();
        assert_eq!(
            message,
            format!("<110>1 2026-11-23T10:00:00Z - gatekeeper {process} key.create - {line}")
        );
        let long = syslog_message(&format!(
            "{{\"action\":\"x\",\"a\":\"{}\"}}",
            "é".repeat(60_000)
        ));
        assert!(long.len() <= DATAGRAM_BYTES_MAX);
    }
}
