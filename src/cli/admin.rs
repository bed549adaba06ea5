//! The running server as the command line sees it: takes calls of the control plane, sends them over the local admin socket
//! or to a URL with an administrative key, returns the answer or the server's own words of refusal.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use super::{Failure, SettingsArgs};
use crate::cli::http::{CSV, CallError, JSON, Request, exchange};
use crate::config::{self, Config, SecretSource};
use crate::domain::secret::Secret;
use crate::process::ADMIN_SOCKET;

/// How the server is reached.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    place: SettingsArgs,
    /// Speak to this server, like http://127.0.0.1:4000, instead of the local admin socket
    #[arg(long, value_name = "URL", env = "GATEKEEPER_URL")]
    url: Option<String>,
    /// With --url: a file that holds an administrative key [default: $GATEKEEPER_ADMIN_KEY]
    #[arg(long, value_name = "FILE", requires = "url")]
    admin_key_file: Option<PathBuf>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
}

impl ServerArgs {
    pub fn admin(&self) -> Result<AdminClient, Failure> {
        match &self.url {
            Some(url) => AdminClient::at_url(url, self.admin_key_file.clone()),
            None => Ok(AdminClient::local(
                &config::load_base(&self.place.told())?.config,
            )),
        }
    }
}

/// A way to the control plane.
#[derive(Debug)]
pub struct AdminClient {
    door: Transport,
    /// before every path: the prefix of a reverse proxy
    prefix: String,
}

#[derive(Debug)]
enum Transport {
    /// its peer's user is its credential
    Socket(PathBuf),
    Address {
        address: SocketAddr,
        host: String,
        key: Secret,
    },
}

impl AdminClient {
    /// Over the socket in the data folder.
    pub fn local(config: &Config) -> AdminClient {
        AdminClient {
            door: Transport::Socket(config.folder.join(ADMIN_SOCKET)),
            prefix: String::new(),
        }
    }

    fn at_url(url: &str, key_file: Option<PathBuf>) -> Result<AdminClient, Failure> {
        let checked = config::checked_url(url)
            .map_err(|message| Failure::usage(format!("--url {message}")))?;
        let Some(rest) = checked.strip_prefix("http://") else {
            let message = "--url with https is not supported yet; run the command on the server itself, or through `ssh -L 4000:127.0.0.1:4000`";
            return Err(Failure::usage(message));
        };
        let (host, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let key = match key_file {
            Some(path) => SecretSource::File(path),
            None => SecretSource::Env("GATEKEEPER_ADMIN_KEY".to_owned()),
        };
        let key = key.read(&config::process_environment).map_err(|message| {
            Failure::usage(format!(
                "--url needs an administrative key: {message}; or give --admin-key-file"
            ))
        })?;
        Ok(AdminClient {
            door: Transport::Address {
                address: address(host)?,
                host: host.to_owned(),
                key,
            },
            prefix: prefix.to_owned(),
        })
    }

    /// One call, as it is answered.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<(u16, String), CallError> {
        self.call_for(JSON, method, path, body).await
    }

    async fn call_for(
        &self,
        accept: &str,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<(u16, String), CallError> {
        let path = &format!("{}{path}", self.prefix);
        match &self.door {
            Transport::Socket(socket) => {
                let at = || socket.display().to_string();
                let stream = UnixStream::connect(socket)
                    .await
                    .map_err(|error| not_reached(at(), error))?;
                exchange(
                    stream,
                    Request {
                        method,
                        path,
                        host: "localhost",
                        key: None,
                        accept,
                        body,
                    },
                )
                .await
            }
            Transport::Address { address, host, key } => {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| not_reached(address.to_string(), error))?;
                exchange(
                    stream,
                    Request {
                        method,
                        path,
                        host,
                        key: Some(key),
                        accept,
                        body,
                    },
                )
                .await
            }
        }
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask("GET", path, None).await
    }

    /// A report as a table.
    pub async fn csv(&self, path: &str) -> Result<String, Failure> {
        let answer = self
            .call_for(CSV, "GET", path, None)
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        granted("GET", path, answer)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask("POST", path, Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask("DELETE", path, None).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask("PATCH", path, Some(body.to_string())).await
    }

    /// The rows of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut answer = self.get(path).await?;
        Ok(answer["data"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default())
    }

    async fn ask(&self, method: &str, path: &str, body: Option<String>) -> Result<Value, Failure> {
        let answer = self
            .call(method, path, body)
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        Ok(serde_json::from_str(&granted(method, path, answer)?).unwrap_or(Value::Null))
    }
}

/// The text of an answer, or the server's reason for a refusal.
fn granted(method: &str, path: &str, (status, text): (u16, String)) -> Result<String, Failure> {
    if (200..300).contains(&status) {
        return Ok(text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let why = answer["error"]["message"]
        .as_str()
        .unwrap_or("the server gave no reason; look at its log");
    Err(Failure::refused(format!(
        "{method} {path} was answered {status}: {why}"
    )))
}

/// A text inside a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn not_reached(at: String, why: std::io::Error) -> CallError {
    match why.kind() {
        std::io::ErrorKind::PermissionDenied => CallError::NotAllowed { at },
        _ => CallError::NotReached { at, why },
    }
}

/// Names are not resolved here: a static binary has no resolver of its own machine, and the key must go to no other.
fn address(host: &str) -> Result<SocketAddr, Failure> {
    let with_port = if host.contains(':') && !host.ends_with(']') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let numeric = with_port
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"))
        .unwrap_or(with_port);
    numeric.parse().map_err(|_| {
        Failure::usage(format!(
            "--url: `{host}` is a name; write the address in numbers, like http://10.0.0.5:4000"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_address_in_numbers() {
        for (host, expected) in [
            ("127.0.0.1:4000", "127.0.0.1:4000"),
            ("localhost:4000", "127.0.0.1:4000"),
            ("10.0.0.5", "10.0.0.5:80"),
            ("[::1]", "[::1]:80"),
        ] {
            assert_eq!(
                address(host).map(|address| address.to_string()).as_deref(),
                Ok(expected)
            );
        }
        assert_eq!(
            address("gateway.lan:4000").expect_err("a name").exit_code(),
            2
        );
    }

    #[test]
    fn https_is_refused_with_a_way_out() {
        let failure = AdminClient::at_url("https://gateway.lan", None).expect_err("https");
        assert!(failure.to_string().contains("ssh -L"), "{failure}");
    }
}
