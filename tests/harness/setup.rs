//! Builder of a configuration: providers, settings, ledger lines. It does not run the gateway.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::strict::Places;
use super::upstream::Upstream;

/// Upstream credential in the configuration; it must appear at the upstream and nowhere else.
pub const UPSTREAM_KEY: &str = "sk-upstream-canary-4242";

/// Builder of a configuration in a temporary folder.
#[derive(Debug)]
pub struct Setup {
    providers: Vec<String>,
    settings: String,
    ledger: Vec<String>,
    folder: TempDir,
}

/// Builder of one `[providers.NAME]` section.
#[derive(Clone, Debug)]
pub struct Provider {
    name: String,
    preset: String,
    base_url: String,
    price: String,
    models: Vec<String>,
    request_ceiling: Option<String>,
    /// keys that name the credential file
    credential: &'static [&'static str],
    lines: String,
    /// the upstream's list of vendors
    places: Places,
}

impl Provider {
    /// Provider of the chat dialect at 1 and 5 dollars per million tokens, with the models `m-small` and `m-large`.
    pub fn openai(name: &str, upstream: &Upstream) -> Provider {
        Provider {
            name: name.to_owned(),
            preset: "openai_compatible".to_owned(),
            base_url: format!("{}/v1", upstream.url()),
            price: price("1.00", "5.00"),
            models: vec!["m-small".to_owned(), "m-large".to_owned()],
            request_ceiling: None,
            credential: &["api_key"],
            lines: String::new(),
            places: upstream.places(),
        }
    }

    /// Provider of the messages dialect at 1 and 5 dollars per million tokens, with the model `c-small`.
    pub fn anthropic(name: &str, upstream: &Upstream) -> Provider {
        Provider {
            preset: "anthropic".to_owned(),
            base_url: format!("{}/v1", upstream.url()),
            models: vec!["c-small".to_owned()],
            ..Provider::openai(name, upstream)
        }
    }

    /// Input and output price in dollars per million tokens.
    #[must_use]
    pub fn price(mut self, input: &str, output: &str) -> Provider {
        self.price = price(input, output);
        self
    }

    /// Name of the section.
    #[must_use]
    pub fn name(mut self, name: &str) -> Provider {
        self.name = name.to_owned();
        self
    }

    /// `free` or `sheet`.
    #[must_use]
    pub fn priced_by(mut self, word: &str) -> Provider {
        self.price = format!("{word:?}");
        self
    }

    #[must_use]
    pub fn models(mut self, models: &[&str]) -> Provider {
        self.models = models.iter().map(|model| (*model).to_owned()).collect();
        self
    }

    /// Preset by name.
    #[must_use]
    pub fn preset(mut self, preset: &str) -> Provider {
        self.preset = preset.to_owned();
        self
    }

    #[must_use]
    pub fn base_url(mut self, url: &str) -> Provider {
        self.base_url = url.to_owned();
        self
    }

    /// Ceiling of one request in dollars, where nothing else bounds its cost.
    #[must_use]
    pub fn request_ceiling(mut self, usd: &str) -> Provider {
        self.request_ceiling = Some(usd.to_owned());
        self
    }

    /// Signs requests (SigV4) instead of sending a key.
    #[must_use]
    pub fn signed(mut self) -> Provider {
        self.credential = &["access_key_id", "secret_access_key", "session_token"];
        self
    }

    /// Leaves the credential to a line of the section.
    #[must_use]
    pub fn without_credential(mut self) -> Provider {
        self.credential = &[];
        self
    }

    /// Adds any further line to the section.
    #[must_use]
    pub fn line(mut self, line: &str) -> Provider {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    fn toml(&self, key_file: &Path) -> String {
        let ceiling = self
            .request_ceiling
            .as_ref()
            .map_or(String::new(), |usd| format!("request_ceiling = {usd:?}\n"));
        let credential: String = self
            .credential
            .iter()
            .map(|line| format!("{line} = \"file:{}\"\n", key_file.display()))
            .collect();
        format!(
            "[providers.{}]\ntype = {:?}\nbase_url = {:?}\n{credential}price = {}\nmodels = {:?}\n{ceiling}{}",
            self.name, self.preset, self.base_url, self.price, self.models, self.lines
        )
    }
}

fn price(input: &str, output: &str) -> String {
    format!("{{ input = {input:?}, output = {output:?} }}")
}

impl Default for Setup {
    fn default() -> Setup {
        let folder = tempfile::Builder::new()
            .prefix("gatekeeper-")
            .tempdir()
            .expect("a temporary folder");
        Setup {
            providers: Vec::new(),
            settings: String::new(),
            ledger: Vec::new(),
            folder,
        }
    }
}

impl Setup {
    #[must_use]
    pub fn provider(mut self, provider: &Provider) -> Setup {
        let key_file = self.folder.path().join("upstream.key");
        provider
            .places
            .add(&provider.preset, &provider.base_url, &provider.models);
        self.providers.push(provider.toml(&key_file));
        self
    }

    /// Adds a line to `[ledger]`, for example `sync = "disk"`.
    #[must_use]
    pub fn ledger(mut self, line: &str) -> Setup {
        self.ledger.push(line.to_owned());
        self
    }

    /// Adds any further TOML: top-level lines and tables other than `[ledger]`.
    #[must_use]
    pub fn setting(mut self, toml: &str) -> Setup {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Writes the credential and the configuration; returns their folder, the data folder and the path of the configuration.
    pub(super) fn write_files(self, listen: SocketAddr) -> (TempDir, PathBuf, PathBuf) {
        let (data, config) = (
            self.folder.path().join("data"),
            self.folder.path().join("gatekeeper.toml"),
        );
        write_secret(&self.folder.path().join("upstream.key"), UPSTREAM_KEY);
        fs::write(&config, self.toml(listen, &data)).expect("the configuration can be written");
        (self.folder, data, config)
    }

    fn toml(&self, listen: SocketAddr, data: &Path) -> String {
        format!(
            "listen = \"{listen}\"\ndata = \"{}\"\n{}\n[ledger]\n{}\n{}",
            data.display(),
            self.settings,
            self.ledger_lines(),
            self.providers.concat()
        )
    }

    /// Lines of `[ledger]`. Segments are small unless a test says otherwise: a new data folder fills a whole segment with zeros,
    /// and 64 MB per test are most of its time.
    fn ledger_lines(&self) -> String {
        let lines = self.ledger.join("\n");
        if lines.contains("segment_mb") {
            lines
        } else {
            format!("segment_mb = 1\n{lines}")
        }
    }
}

fn write_secret(file: &Path, secret: &str) {
    fs::write(file, secret).expect("a secret can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
        .expect("permissions of a secret can be restricted");
}
