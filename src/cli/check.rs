//! `gatekeeper check`: prints the resolved configuration and its providers, or every configuration error. Must never
//! open a connection or print a secret.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::settings::SettingsArgs;
use crate::cli::data_dir;
use crate::cli::table::{print, table};
use crate::config::{self, LoadedConfig, PriceSetting, Provider};
use crate::domain::money::Money;
use crate::price::Sheet;
use crate::route::RouteTable;

/// Ambiguous model names listed.
const AMBIGUOUS_SHOWN: usize = 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Listen address; overrides `listen` in the configuration
    #[arg(long, value_name = "ADDRESS", env = "GATEKEEPER_LISTEN")]
    listen: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let loaded = config::load(&config::Overrides {
        listen: args.listen,
        ..args.settings.overrides()
    })?;
    let routes = RouteTable::new(&loaded.config.providers, Arc::new(Sheet::embedded()));
    print(&format!(
        "{}\n{}{}",
        render_settings(&loaded),
        render_providers(&loaded.config.providers, &routes),
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
    if providers.is_empty() {
        return "no providers configured; add a [providers.NAME] section with its api_key\n"
            .to_owned();
    }
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
    table(
        &["PROVIDER", "TYPE", "ADDRESS", "KEY", "PRICE", "MODELS"],
        &rows,
    )
}

fn render_price(price: PriceSetting) -> String {
    let usd = |pico_per_token: u64| Money::from_pico(i128::from(pico_per_token)).times(1_000_000);
    match price {
        PriceSetting::Sheet(_) => "list prices".to_owned(),
        PriceSetting::Free => "free".to_owned(),
        PriceSetting::Fixed { input, output } => {
            format!("${} in, ${} out per million", usd(input), usd(output))
        }
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
        "\nambiguous model names ({count}); clients must use one of the qualified names:"
    );
    for (name, forms) in names.iter().take(AMBIGUOUS_SHOWN) {
        let _ = writeln!(text, "  {name}: {}", forms.join(" or "));
    }
    if count > AMBIGUOUS_SHOWN {
        let _ = writeln!(text, "  … and {} more", count - AMBIGUOUS_SHOWN);
    }
    text
}
