//! Client of the running server: sends control-plane calls over the local admin socket, or to a URL with an
//! administrative key. Returns the response, or the server's error message as a `Failure`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::settings::SettingsArgs;
use super::style::{OutputArgs, Style};
use crate::cli::http::download::{Download, download};
use crate::cli::http::{CSV, CallError, JSON, Request, exchange};
use crate::cli::settings::DEMO_FOLDER;
use crate::cli::transport::Transport;
use crate::config::{self, SealKeySource, SecretSource};
pub use crate::domain::percent::percent_encode;
use crate::domain::zone::Zone;
use crate::process::ADMIN_SOCKET;

/// Members of request bodies and query strings, and the flags that set them.
const FLAGS: [(&str, &str); 19] = [
    ("name", "the name"),
    ("team", "--team"),
    ("parent", "--parent"),
    ("organization", "--organization"),
    ("models", "--models"),
    ("model", "--model"),
    ("expires", "--expires"),
    ("budgets", "--budget"),
    ("limits", "--rpm, --tpm or --max-parallel"),
    ("rpm", "--rpm"),
    ("tpm", "--tpm"),
    ("max_parallel", "--max-parallel"),
    ("max_cost_usd", "--max-cost"),
    ("group_by", "--group-by"),
    ("start", "--start"),
    ("end", "--end"),
    ("status", "--status"),
    ("limit", "--limit"),
    ("reason", "--reason"),
];

/// Rows of a page, the most that the server gives.
const PAGE_ROWS: usize = 1_000;

/// Flags that select the server.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Base URL of the server, e.g. https://gateway.example, instead of the local admin socket
    #[arg(long, value_name = "URL", env = "GATEKEEPER_URL")]
    url: Option<String>,
    /// With --url https://: PEM file of an authority to trust beside the built-in ones
    #[arg(
        long,
        value_name = "FILE",
        requires = "url",
        env = "GATEKEEPER_CA_FILE"
    )]
    ca_file: Option<PathBuf>,
    /// With --url: file that contains an administrative key [default: $GATEKEEPER_ADMIN_KEY]
    #[arg(long, value_name = "FILE", requires = "url")]
    admin_key_file: Option<PathBuf>,
    /// Print the server's response as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    output: OutputArgs,
    /// Show method, path and status of a failed call
    #[arg(long)]
    verbose: bool,
}

impl ServerArgs {
    /// Flags that name the configuration.
    pub fn settings(&self) -> &SettingsArgs {
        &self.settings
    }

    pub fn admin(&self) -> Result<AdminClient, Failure> {
        let client = match &self.url {
            Some(url) => {
                AdminClient::at_url(url, self.admin_key_file.clone(), self.ca_file.clone())?
            }
            None => AdminClient::in_folder(&self.local_folder()?),
        };
        Ok(AdminClient {
            is_verbose: self.verbose,
            ..client
        })
    }

    /// Form of the output, with the times of the local server's zone; those of a server at a URL are in UTC.
    pub fn style(&self) -> Style {
        let style = self.output.style();
        match self.local_zone() {
            Some(zone) => Style { zone, ..style },
            None => style,
        }
    }

    /// Place of the local server's seal key, in words; `None` for a server at a URL.
    pub fn seal_key_place(&self) -> Option<String> {
        if self.url.is_some() {
            return None;
        }
        let config = config::load_base(&self.settings.overrides()).ok()?.config;
        match &config.seal_key {
            SealKeySource::Unread(source) => Some(source.place()),
            SealKeySource::Folder => {
                let folder = self.local_folder().ok()?;
                Some(folder.join("seal.key").display().to_string())
            }
            SealKeySource::Configured(_) => None,
        }
    }

    fn local_zone(&self) -> Option<Zone> {
        let is_demo = self.local_folder().ok()? == Path::new(DEMO_FOLDER);
        if self.url.is_some() || is_demo {
            return None;
        }
        let config = config::load_base(&self.settings.overrides()).ok()?.config;
        Zone::parse(&config.timezone)
    }

    /// The configured data folder; the demo's in the current folder where no other is named and none has a server.
    fn local_folder(&self) -> Result<PathBuf, Failure> {
        let configured = config::load_base(&self.settings.overrides())?.config.folder;
        Ok(self.settings.demo_folder(&configured).unwrap_or(configured))
    }
}

/// Client of the control plane.
#[derive(Debug)]
pub struct AdminClient {
    transport: Transport,
    /// path prefix of a reverse proxy
    prefix: String,
    /// failures show method, path and status
    is_verbose: bool,
}

impl AdminClient {
    /// Connects to the socket in the data folder.
    pub fn in_folder(folder: &Path) -> AdminClient {
        AdminClient {
            transport: Transport::Socket(folder.join(ADMIN_SOCKET)),
            prefix: String::new(),
            is_verbose: false,
        }
    }

    fn at_url(
        url: &str,
        key_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<AdminClient, Failure> {
        let checked = config::parse_base_url(url)
            .map_err(|message| Failure::usage(format!("--url: {message}")))?;
        let (scheme, rest) = checked.split_once("://").unwrap_or(("http", &checked));
        let (host, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let key = match key_file {
            Some(path) => SecretSource::File(path),
            None => SecretSource::Env("GATEKEEPER_ADMIN_KEY".to_owned()),
        };
        let key = key.read(&config::process_environment).map_err(|message| {
            Failure::usage(format!(
                "missing administrative key for --url: {message}; or set --admin-key-file"
            ))
        })?;
        let address = (scheme != "https").then(|| parse_host(host)).transpose()?;
        let host = host.to_owned();
        let transport = match address {
            Some(address) => Transport::Tcp { address, host, key },
            None => Transport::Tls { host, ca_file, key },
        };
        Ok(AdminClient {
            transport,
            prefix: prefix.to_owned(),
            is_verbose: false,
        })
    }

    /// Sends one call and returns status and body.
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
        let stream = self.transport.connect().await?;
        exchange(stream, self.request(method, path, accept, body)).await
    }

    fn request<'a>(
        &'a self,
        method: &'a str,
        path: &'a str,
        accept: &'a str,
        body: Option<String>,
    ) -> Request<'a> {
        Request {
            method,
            path,
            host: self.transport.host(),
            key: self.transport.key(),
            accept,
            body,
        }
    }

    /// Writes the body of the answer to a new file; returns its bytes.
    pub async fn download(&self, path: &str, file: &Path) -> Result<u64, Failure> {
        let path = &format!("{}{path}", self.prefix);
        let request = self.request("POST", path, "application/octet-stream", None);
        let stream = self.transport.connect().await.map_err(failed)?;
        let written = download(stream, request, file).await;
        match written.map_err(failed)? {
            Download::Complete(bytes) => Ok(bytes),
            Download::Refused(status, text) => {
                self.body_of("POST", path, (status, text))?;
                Err(Failure::runtime(format!("unexpected status {status}")))
            }
        }
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call_json("GET", path, None).await
    }

    /// Returns a report as CSV.
    pub async fn csv(&self, path: &str) -> Result<String, Failure> {
        let response = self
            .call_for(CSV, "GET", path, None)
            .await
            .map_err(|error| Failure::runtime(error.to_string()))?;
        self.body_of("GET", path, response)
    }

    /// Returns the body as it came, such as a signed note.
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let response = self
            .call("GET", path, None)
            .await
            .map_err(|error| Failure::runtime(error.to_string()))?;
        self.body_of("GET", path, response)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call_json("POST", path, Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call_json("DELETE", path, None).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call_json("PATCH", path, Some(body.to_string())).await
    }

    /// Returns the rows of a list, of every page.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut rows = Vec::new();
        for page in self.pages(path).await? {
            let mut page: Value = serde_json::from_str(&page).unwrap_or(Value::Null);
            if let Some(data) = page["data"].as_array_mut() {
                rows.append(data);
            }
        }
        Ok(rows)
    }

    /// Returns the pages of a list as they came.
    pub async fn pages(&self, path: &str) -> Result<Vec<String>, Failure> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit={PAGE_ROWS}");
        let (mut pages, mut next) = (Vec::new(), first.clone());
        loop {
            let page = self.text(&next).await?;
            let cursor = cursor_of(&page);
            pages.push(page);
            match cursor {
                Some(after) => next = format!("{first}&after={}", percent_encode(&after)),
                None => return Ok(pages),
            }
        }
    }

    async fn call_json(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Value, Failure> {
        let response = self
            .call(method, path, body)
            .await
            .map_err(|error| Failure::runtime(error.to_string()))?;
        let text = self.body_of(method, path, response)?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Returns the body of a 2xx response, or the server's error in the words of the command line.
    fn body_of(
        &self,
        method: &str,
        path: &str,
        (status, text): (u16, String),
    ) -> Result<String, Failure> {
        if (200..300).contains(&status) {
            return Ok(text);
        }
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let message = refusal_message(&body["error"], status);
        Err(Failure::runtime(if self.is_verbose {
            format!("{message} ({method} {path} answered {status})")
        } else {
            message
        }))
    }
}

fn failed(error: CallError) -> Failure {
    Failure::runtime(error.to_string())
}

/// Cursor of the next page of a list; `None` on the last. It is the last member of a page of thousands of rows, so its end is read first.
fn cursor_of(page: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct PageEnd {
        next: Option<String>,
    }
    let end = page
        .rfind("\"next\":")
        .map(|at| format!("{{{}", &page[at..]));
    let read = |text: &str| serde_json::from_str::<PageEnd>(text).ok();
    let end = end.and_then(|end| read(&end)).or_else(|| read(page));
    end?.next
}

/// Message of the server with the flag that the member of the body came from.
fn refusal_message(error: &Value, status: u16) -> String {
    let Some(message) = error["message"].as_str() else {
        return format!("the server answered {status} without a reason; check its log");
    };
    let Some(param) = error["param"].as_str() else {
        return message.to_owned();
    };
    let member = param.split(['.', '[']).next().unwrap_or(param);
    let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == member) else {
        return message.to_owned();
    };
    match message.replace(&format!("`{param}`"), flag) {
        replaced if replaced.contains(flag) => replaced,
        message => format!("{flag}: {message}"),
    }
}

/// Parses `HOST[:PORT]`. Only `localhost` is resolved: without TLS, the key must not be sent to the host that a name server chose.
fn parse_host(host: &str) -> Result<SocketAddr, Failure> {
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
            "--url: host name `{host}` not supported without TLS; use https://, or an IP address, e.g. http://10.0.0.5:4000"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_of_a_page_is_that_of_the_list_and_of_no_row() {
        for (page, cursor) in [
            (r#"{"data":[{"next":"row"}],"next":"list"}"#, Some("list")),
            (r#"{"data":[],"next":"list","total":2}"#, Some("list")),
            (r#"{"next":"list","data":[{"next":"row"}]}"#, Some("list")),
            (r#"{"data":[{"name":"\"next\":1"}],"next":null}"#, None),
            (r#"{"data":[{"next":"row"}]}"#, None),
            ("no page", None),
        ] {
            assert_eq!(cursor_of(page).as_deref(), cursor, "{page}");
        }
    }

    #[test]
    fn url_host_must_be_an_ip_address() {
        for (host, expected) in [
            ("127.0.0.1:4000", "127.0.0.1:4000"),
            ("localhost:4000", "127.0.0.1:4000"),
            ("10.0.0.5", "10.0.0.5:80"),
            ("[::1]", "[::1]:80"),
        ] {
            assert_eq!(
                parse_host(host)
                    .map(|address| address.to_string())
                    .as_deref(),
                Ok(expected)
            );
        }
        assert_eq!(
            parse_host("gateway.lan:4000")
                .expect_err("a name")
                .exit_code(),
            2
        );
    }

    #[test]
    fn server_error_names_the_flag_instead_of_the_member() {
        for (error, expected) in [
            (
                serde_json::json!({"message": "`expires` must be in the future", "param": "expires"}),
                "--expires must be in the future",
            ),
            (
                serde_json::json!({"message": "`budgets[1].limit` is missing", "param": "budgets[1].limit"}),
                "--budget is missing",
            ),
            (
                serde_json::json!({"message": "no such team", "param": "team"}),
                "--team: no such team",
            ),
            (
                serde_json::json!({"message": "refused", "param": null}),
                "refused",
            ),
        ] {
            assert_eq!(refusal_message(&error, 400), expected);
        }
        assert!(refusal_message(&Value::Null, 502).contains("502"));
    }
}
