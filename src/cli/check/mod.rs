//! `gatekeeper check`: prints the resolved configuration, its providers and remarks on settings that are valid and doubtful, or
//! every configuration error. Opens no connection but to the admin socket of a running server; must never open the books or print a
//! secret.

mod allow_lists;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::price_sheet;
use super::routes;
use super::settings::SettingsArgs;
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::cli::style::Style;
use crate::cli::table::Table;
use crate::config::{self, Config, LoadedConfig, PriceSetting, Provider, SyslogAddress};
use crate::domain::egress::ConnectionConfig;
use crate::domain::money::Money;
use crate::process;
use crate::route::RouteTable;
use crate::store::ceilings_in;

/// Purpose, URL and connection settings of a host.
type Destination = (String, String, ConnectionConfig);

/// Ambiguous model names listed.
const AMBIGUOUS_SHOWN: usize = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Listen address; overrides `listen` in the configuration
    #[arg(long, value_name = "ADDRESS", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
    /// List every destination that the configuration can reach, and nothing else
    #[arg(long)]
    egress: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let loaded = config::load(&config::Overrides {
        listen: args.listen,
        ..args.settings.overrides()
    })?;
    if args.egress {
        return print(&render_egress(&loaded.config));
    }
    let providers = &loaded.config.providers;
    if providers.is_empty() {
        print(&render_settings(&loaded))?;
        return Err(Failure::runtime(
            "no providers configured in the file; add a [providers.NAME] section with its api_key, or add one at the running server with \
             `gatekeeper providers add`",
        ));
    }
    let folder = &loaded.config.folder;
    let sheet = process::block_on(price_sheet::in_force(folder));
    let routes = RouteTable::new(providers, sheet).with_routing(&loaded.config.routing);
    let mut pattern_remarks: Vec<String> = providers
        .iter()
        .flat_map(|provider| allow_lists::price_remarks(provider, &routes))
        .collect();
    pattern_remarks.extend(process::block_on(allow_lists::allow_list_remarks(
        folder, &routes,
    )));
    let pattern_remarks = pattern_remarks
        .iter()
        .map(|remark| format!("\nremark: {remark}\n"));
    print(&format!(
        "{}\n{}{}{}{}{}{}{}",
        render_settings(&loaded),
        render_providers(providers, &routes),
        routes::render_routes(&routes),
        render_listener_remark(&loaded),
        render_ceilings(&loaded.config),
        render_remarks(providers),
        pattern_remarks.collect::<String>(),
        render_ambiguous(&routes)
    ))
}

fn render_settings(loaded: &LoadedConfig) -> String {
    let config = &loaded.config;
    let file = loaded
        .file
        .as_deref()
        .map_or("none; defaults apply".to_owned(), |file: &Path| {
            file.display().to_string()
        });
    let state = if data_dir::is_initialized(&config.folder) {
        "initialized"
    } else {
        "not initialized; run `gatekeeper init`"
    };
    format!(
        "configuration  {file}\nlisten         {}\ndata           {} ({state})\ntimezone       {}\n",
        config.listen,
        config.folder.display(),
        config.timezone
    )
}

fn render_providers(providers: &[Arc<Provider>], routes: &RouteTable) -> String {
    let row = |provider: &Arc<Provider>| {
        let models = routes
            .names()
            .filter(|(_, deployment)| deployment.provider.name == provider.name)
            .count();
        let credential = if provider.has_credential() {
            "found"
        } else {
            "none"
        };
        vec![
            provider.name.clone(),
            provider.preset.name.to_owned(),
            provider.base_url.clone(),
            credential.to_owned(),
            render_price(provider.price),
            models.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = providers.iter().map(row).collect();
    let titles = ["PROVIDER", "TYPE", "ADDRESS", "KEY", "PRICE", "MODELS"];
    Table::of_texts(&titles, rows).render(&Style::default())
}

/// Every outgoing connection that the process may open: its purpose, host and port, and way.
fn render_egress(config: &Config) -> String {
    let mut rows = Vec::new();
    let mut add = |purpose: String, url: &str, connection: &ConnectionConfig| {
        let (host, authority) = host_of(url);
        let proxy = config
            .egress
            .proxy
            .as_ref()
            .filter(|proxy| !proxy.bypasses(&host));
        let way = match proxy {
            Some(proxy) => format!("through proxy {}", proxy.authority),
            None => "direct".to_owned(),
        };
        let private: Vec<String> = connection
            .private_hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        let private = match private.is_empty() {
            true => "-".to_owned(),
            false => private.join(", "),
        };
        rows.push(vec![purpose, authority, way, private]);
    };
    for (purpose, url, connection) in destinations(config) {
        add(purpose, &url, &connection);
    }
    if let Some(fetch) = &config.fetch {
        let private: Vec<String> = fetch
            .private_hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        let hosts = "any public host that a client names".to_owned();
        rows.push(vec![
            "images".to_owned(),
            hosts,
            "direct".to_owned(),
            private.join(", "),
        ]);
    }
    if rows.is_empty() {
        return "the configuration reaches no destination\n".to_owned();
    }
    let names = "names are resolved by the servers in /etc/resolv.conf, or by the proxy\n";
    let titles = ["PURPOSE", "DESTINATION", "WAY", "PRIVATE ADDRESSES"];
    Table::of_texts(&titles, rows).render(&Style::default()) + names
}

/// Host and port of a valid URL, without its path.
pub(super) fn destination_of(url: &str) -> String {
    host_of(url).1
}

/// Purpose, URL and connection settings of the hosts that the configuration names.
fn destinations(config: &Config) -> Vec<Destination> {
    let providers = config.providers.iter().map(|provider| {
        let purpose = format!("provider {}", provider.name);
        (
            purpose,
            provider.base_url.clone(),
            provider.connection.clone(),
        )
    });
    providers.chain(other_destinations(config)).collect()
}

/// Destinations other than the providers.
pub(super) fn other_destinations(config: &Config) -> Vec<Destination> {
    let receivers = [
        ("alerts", &config.alerts.webhook),
        ("copies of the audit log", &config.audit.forward),
    ];
    let receivers = receivers.into_iter().filter_map(|(purpose, receiver)| {
        let receiver = receiver.as_ref()?;
        let url = receiver.url.expose().to_owned();
        Some((purpose.to_owned(), url, receiver.connection.clone()))
    });
    let syslog = match &config.audit.syslog {
        Some(SyslogAddress::Udp(address)) => Some(format!("udp://{address}")),
        _ => None,
    };
    let syslog = syslog.map(|url| ("syslog".to_owned(), url, ConnectionConfig::default()));
    let issuer = config.oidc.as_ref().map(|oidc| {
        let purpose = "sign-in, also the hosts that its discovery document names".to_owned();
        let connection = ConnectionConfig {
            private_hosts: oidc.private_hosts.clone(),
            ..ConnectionConfig::default()
        };
        (purpose, oidc.issuer.clone(), connection)
    });
    let collector = config.otlp.as_ref().map(|otlp| {
        let connection = otlp.connection.clone();
        ("traces".to_owned(), otlp.url.clone(), connection)
    });
    let others = syslog.into_iter().chain(issuer).chain(collector);
    receivers.chain(others).collect()
}

/// Host, and host with port, of a valid URL. The path is left out: a webhook's may hold a token.
fn host_of(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let after_ip = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after_ip..].rfind(':') {
        Some(at) => (authority[..after_ip + at].to_owned(), authority.to_owned()),
        None => {
            let port = if scheme == "http" { 80 } else { 443 };
            (authority.to_owned(), format!("{authority}:{port}"))
        }
    }
}

/// A plain listener that other machines can reach.
fn render_listener_remark(loaded: &LoadedConfig) -> String {
    let config = &loaded.config;
    if config.listener.tls.is_some() || config.listen.ip().is_loopback() {
        return String::new();
    }
    format!(
        "\nremark: {} is reachable from other machines without TLS; set tls_cert and tls_key, or listen on 127.0.0.1 behind a proxy\n",
        config.listen
    )
}

/// Deployments whose bills have been higher than their ceilings, as the server stored them.
fn render_ceilings(config: &Config) -> String {
    let mut text = String::new();
    for ceiling in ceilings_in(&config.folder).unwrap_or_default() {
        let (provider, model) = (&ceiling.provider, &ceiling.model);
        // writing to a String cannot fail
        let _ = match ceiling.members.join("`, `") {
            members if members.is_empty() => writeln!(
                text,
                "\nremark: calls of {provider}/{model} are held at {} times their ceilings, because a bill was higher; compare the price of \
                 provider {provider} with its bills",
                ceiling.factor
            ),
            members => writeln!(
                text,
                "\nremark: a call of {provider}/{model} with `{members}` cost more than its ceiling; such members are not sent where a \
                 budget blocks; take them out of `takes` of provider {provider}"
            ),
        };
    }
    text
}

fn render_remarks(providers: &[Arc<Provider>]) -> String {
    let mut text = String::new();
    for provider in providers {
        let preset = provider.preset;
        if let Some(path) = preset.missing_path(&provider.base_url) {
            // writing to a String cannot fail
            let _ = writeln!(
                text,
                "\nremark: base_url of provider {} has no path; type {} usually needs {path}",
                provider.name, preset.name
            );
        }
        let fixed = matches!(provider.price, PriceSetting::Own(_));
        if fixed && provider.models.is_empty() && !provider.prices_all_models {
            let _ = writeln!(
                text,
                "\nremark: price of provider {} applies to no model; list its models in `models`, or write models = [\"*\"] if every \
                 model has this price",
                provider.name
            );
        }
    }
    text
}

fn render_price(price: PriceSetting) -> String {
    let usd = |pico_per_token: u64| Money::from_pico(i128::from(pico_per_token)).times(1_000_000);
    match price {
        PriceSetting::Sheet(_) => "list prices".to_owned(),
        PriceSetting::Free => "free".to_owned(),
        PriceSetting::Own(rates) => {
            let (input, output) = rates.input_and_output();
            format!("${} in, ${} out per million", usd(input), usd(output))
        }
        PriceSetting::Reported => "as reported".to_owned(),
    }
}

fn render_ambiguous(routes: &RouteTable) -> String {
    let names: Vec<(&str, &[String])> = routes.ambiguous().collect();
    let mut text = String::new();
    if names.is_empty() {
        return text;
    }
    let count = names.len();
    // writing to a String cannot fail
    let _ = writeln!(
        text,
        "\nambiguous model names ({count}), refused without their provider; set bare_names = false for all but one of the providers, \
         or let clients use a qualified name:"
    );
    for (name, forms) in names.iter().take(AMBIGUOUS_SHOWN) {
        let _ = writeln!(text, "  {name}: {}", forms.join(" or "));
    }
    if count > AMBIGUOUS_SHOWN {
        let _ = writeln!(text, "  … and {} more", count - AMBIGUOUS_SHOWN);
    }
    text
}
