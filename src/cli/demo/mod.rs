//! `gatekeeper demo`: runs the real gateway with the built-in simulator, three teams and sample commands. It has its own
//! data folder; any other folder must never be changed.

mod banner;
mod secrets;
mod teams;

use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::admin::AdminClient;
use super::failure::Failure;
use super::serve;
use super::signals::Signals;
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::cli::settings::DEMO_FOLDER;
use crate::config::{self, Config, Overrides};
use crate::process::{self, Platform};
use crate::simulator::Simulator;
use secrets::Secrets;
use teams::{LARGE, SMALL, TEAMS};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Data folder of the demo
    #[arg(long, value_name = "FOLDER", default_value = DEMO_FOLDER)]
    data: PathBuf,
    /// Listen address [default: the first free port of 127.0.0.1 from 4000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Ports tried without `--listen`.
const PORTS: RangeInclusive<u16> = 4000..=4099;

pub fn run(args: Args) -> Result<(), Failure> {
    let listen = match &args.listen {
        Some(text) => {
            let listen = config::parse_listen(text)
                .map_err(|message| Failure::usage(format!("--listen: {message}")))?;
            require_free(listen)?;
            listen
        }
        None => first_free()?,
    };
    serve::init_logging("warn");
    let secrets = open_or_create(&args.data)?;
    process::block_on(demo(args.data, listen, secrets))
}

/// Address of the first port that no other process uses.
fn first_free() -> Result<SocketAddr, Failure> {
    let mut addresses = PORTS.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let free = addresses.find(|address| TcpListener::bind(address).is_ok());
    free.ok_or_else(|| {
        Failure::runtime(
            "no free port from 4000 to 4099 on 127.0.0.1; choose an address with --listen",
        )
    })
}

/// Checks that the address is free before anything is created or started.
fn require_free(listen: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(listen).map(drop).map_err(|error| {
        let alternative = SocketAddr::new(listen.ip(), listen.port().saturating_add(1));
        Failure::runtime(format!(
            "failed to listen on {listen} ({error}); stop the process that uses it, or use another address: gatekeeper demo --listen {alternative}"
        ))
    })
}

/// Returns the secrets stored in the demo's folder; the first start creates it.
fn open_or_create(data: &Path) -> Result<Secrets, Failure> {
    if data_dir::is_initialized(data) {
        return Secrets::read(data);
    }
    data_dir::create(data)?;
    let overrides = Overrides {
        data: Some(data.to_owned()),
        ..Overrides::default()
    };
    let admin_key = process::block_on(process::init(&settings("", &overrides)?))?.admin_key;
    let secrets = Secrets::new(data, &admin_key);
    secrets.save()?;
    Ok(secrets)
}

/// Parses the demo's configuration with the ordinary parser.
fn settings(text: &str, overrides: &Overrides) -> Result<Config, Failure> {
    Ok(config::parse(Path::new("demo"), text, overrides, &|_| {
        None
    })?)
}

fn simulator_settings(base_url: &str) -> String {
    format!(
        "[providers.simulator]\nbase_url = \"{base_url}\"\nmodels = [\"{LARGE}\", \"{SMALL}\"]\n"
    )
}

async fn demo(data: PathBuf, listen: SocketAddr, mut secrets: Secrets) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let listen_error =
        |error| Failure::runtime(format!("simulator failed to listen on 127.0.0.1: {error}"));
    let simulator = Simulator::default().start().map_err(listen_error)?;
    let overrides = Overrides {
        data: Some(data.clone()),
        listen: Some(listen.to_string()),
        config: None,
    };
    let config = settings(&simulator_settings(&simulator.base_url()), &overrides)?;
    let admin = AdminClient::in_folder(&config.folder);
    let running = process::start(config, Platform::system()).await?;
    let address = running.address;

    let outcome = match populate(&admin, &mut secrets).await {
        Ok(()) => {
            print(&banner::text(address, &data, &secrets))?;
            signals.run_until_stopped(running, || (), || None).await
        }
        Err(failure) => {
            running.stop().await;
            Err(failure)
        }
    };
    simulator.stop().await;
    outcome?;
    print(&format!(
        "demo stopped; its data is kept in {}\n",
        data.display()
    ))
}

/// Creates missing teams and keys. Each secret is saved as soon as it is returned.
async fn populate(admin: &AdminClient, secrets: &mut Secrets) -> Result<(), Failure> {
    let existing = admin.list("/v1/teams").await?;
    for team in TEAMS
        .iter()
        .filter(|team| existing.iter().all(|other| other["name"] != team.name))
    {
        let budget = json!({"limit": team.limit_usd, "period": team.period, "action": "block"});
        admin
            .post(
                "/v1/teams",
                &json!({"name": team.name, "models": team.models, "budgets": [budget]}),
            )
            .await?;
    }
    for team in &TEAMS {
        if secrets.key(team.name).is_none() {
            let key = admin
                .post("/v1/keys", &json!({"name": team.name, "team": team.name}))
                .await?;
            secrets.add(team.name, key["key"].as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_settings_are_parsed_as_an_ordinary_configuration() {
        let overrides = Overrides {
            data: Some("x".into()),
            listen: Some("127.0.0.1:0".to_owned()),
            config: None,
        };
        let config = settings(&simulator_settings("http://127.0.0.1:9/v1"), &overrides)
            .expect("a good configuration");
        assert_eq!(config.providers.len(), 1);
        assert_eq!(config.providers[0].models, [LARGE, SMALL]);
        assert_eq!(config.folder, Path::new("x"));
    }

    #[test]
    fn demo_without_listen_takes_a_free_port() {
        let first = first_free().expect("a free port");
        let taken = TcpListener::bind(first);
        let next = first_free().expect("another free port");
        assert!(taken.is_err() || next.port() > first.port());
    }

    #[test]
    fn listen_address_in_use_error_suggests_another() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let failure = require_free(address).expect_err("taken");
        assert!(
            failure
                .to_string()
                .contains("gatekeeper demo --listen 127.0.0.1:"),
            "{failure}"
        );
    }
}
