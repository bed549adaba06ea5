//! The `[audit]` section: copies of the audit log for other systems. Must never repeat the receiver's URL in a message.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::alerts::{parse_webhook_url, read_secret};
use super::egress;
use super::file::{ConfigErrors, Section};
use super::secret::Environment;
use super::settings::{AuditConfig, SyslogAddress, Webhook};
use crate::domain::egress::ConnectionConfig;

const TIMEOUT_S_DEFAULT: u64 = 10;

/// Without an environment no secret is read and no receiver is returned: for commands that send nothing.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    errors: &mut ConfigErrors,
) -> AuditConfig {
    let url = section.string("forward", errors);
    let secret = section.string("forward_secret", errors);
    let timeout_ms =
        section.integer("forward_timeout_s", TIMEOUT_S_DEFAULT, 1..=60, errors) * 1_000;
    let file = section.string("file", errors);
    let syslog = section.string("syslog", errors);
    let private_hosts = egress::networks(&mut section, errors);
    section.finish(errors);
    if let (None, Some(secret)) = (&url, &secret) {
        secret.report(
            errors,
            "no effect without a receiver; remove it, or write forward = \"https://…\"",
        );
    }
    let forward = url.zip(environment).and_then(|(url, environment)| {
        let secret = match secret {
            Some(written) => Some(read_secret(written, environment, errors)?),
            None => None,
        };
        Some(Webhook {
            url: url.parse(errors, |url| parse_webhook_url(url))?,
            secret,
            connection: ConnectionConfig {
                private_hosts,
                ..ConnectionConfig::default()
            },
            timeout_ms,
        })
    });
    AuditConfig {
        forward,
        file: file.and_then(|file| file.parse(errors, |path| absolute(path))),
        syslog: syslog.and_then(|address| address.parse(errors, |text| parse_syslog(text))),
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("invalid path; use an absolute one, e.g. /var/log/gatekeeper/audit.jsonl".to_owned())
    }
}

fn parse_syslog(text: &str) -> Result<SyslogAddress, String> {
    let udp = text
        .strip_prefix("udp://")
        .and_then(|rest| rest.parse().ok());
    let unix = text
        .strip_prefix("unix:")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    udp.map(|address: SocketAddr| SyslogAddress::Udp(address))
        .or(unix.map(SyslogAddress::Unix))
        .ok_or_else(|| "invalid address; use udp://IP:PORT or unix:/dev/log".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<AuditConfig, String> {
        let mut errors = ConfigErrors::default();
        let section = file::parse("gatekeeper.toml", text, &mut errors);
        let audit = resolve(
            section,
            Some(&|name| (name == "KEY").then(|| "hush".to_owned())),
            &mut errors,
        );
        if errors.0.is_empty() {
            Ok(audit)
        } else {
            Err(errors.to_string())
        }
    }

    #[test]
    fn audit_copies_are_resolved_and_absent_by_default() {
        let none = resolved("").expect("defaults");
        assert!(none.forward.is_none() && none.file.is_none() && none.syslog.is_none());
        let text = "forward = \"https://host/x\"\nforward_secret = \"env:KEY\"\nfile = \"/var/log/a\"\nsyslog = \"udp://127.0.0.1:514\"";
        let audit = resolved(text).expect("valid");
        let forward = audit.forward.expect("a receiver");
        assert_eq!(
            (forward.url.expose(), forward.timeout_ms),
            ("https://host/x", 10_000)
        );
        assert_eq!(audit.file, Some(PathBuf::from("/var/log/a")));
        assert_eq!(
            audit.syslog,
            Some(SyslogAddress::Udp(([127, 0, 0, 1], 514).into()))
        );
        let unix = resolved("syslog = \"unix:/dev/log\"")
            .expect("valid")
            .syslog;
        assert_eq!(unix, Some(SyslogAddress::Unix(PathBuf::from("/dev/log"))));
    }

    #[test]
    fn audit_invalid_setting_is_reported_without_url() {
        for (text, message) in [
            ("forward = \"hunter2.example\"", "start it with http"),
            ("forward_secret = \"env:KEY\"", "without a receiver"),
            ("file = \"audit.jsonl\"", "absolute"),
            ("syslog = \"tcp://127.0.0.1:514\"", "udp://"),
            ("forwards = 1", "unknown key"),
        ] {
            let errors = resolved(text).expect_err(text);
            assert!(
                errors.contains(message) && !errors.contains("hunter2"),
                "{errors}"
            );
        }
    }
}
