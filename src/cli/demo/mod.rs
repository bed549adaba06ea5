//! `gatekeeper demo`: runs the real gateway with the built-in simulator, four teams and six steps to try. It has its own data folder,
//! which it may fill with an invented past; any other folder must never be changed.

mod banner;
mod history;
mod secrets;
mod spend;
mod teams;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::admin::AdminClient;
use super::failure::Failure;
use super::serve;
use super::signals::Signals;
use super::style::{OutputArgs, Style};
use crate::cli::data_dir;
use crate::cli::output::print;
use crate::cli::settings::DEMO_FOLDER;
use crate::config::{self, Config, LogFormat, Overrides};
use crate::domain::clock::{Clock, ManualClock, SystemClock};
use crate::domain::secret::Secret;
use crate::process::{self, Platform};
use crate::simulator::Simulator;
use banner::Banner;
use history::HistoryPlan;
use secrets::{PlayedHistory, Secrets};
use teams::{MODELS, SPENDER, TEAMS};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Data folder of the demo
    #[arg(long, value_name = "FOLDER", default_value = DEMO_FOLDER)]
    data: PathBuf,
    /// Listen address [default: the first free port of 127.0.0.1 from 4000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Fill a new folder with the invented traffic of so many days, e.g. 30d
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    history: Option<u64>,
    /// Seed of the invented traffic: the same seed gives the same days
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "history")]
    seed: u64,
    /// Also print the question for OpenAI's SDKs, in Python and JavaScript
    #[arg(long)]
    snippets: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Ports tried without `--listen`.
const PORTS: RangeInclusive<u16> = 4000..=4099;
const HISTORY_DAYS: RangeInclusive<u64> = 1..=90;

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
    // a budget that the demo itself uses up is no news
    serve::init_logging("warn,gatekeeper::control::alerts=off", LogFormat::Text);
    let secrets = open_or_create(&args)?;
    process::block_on(demo(args, listen, secrets))
}

fn parse_days(text: &str) -> Result<u64, String> {
    let days = text.trim_end_matches('d').parse().ok();
    days.filter(|days| HISTORY_DAYS.contains(days))
        .ok_or_else(|| "write 1d to 90d, such as 30d".to_owned())
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

/// Returns the secrets stored in the demo's folder; the first start creates it, with its past.
fn open_or_create(args: &Args) -> Result<Secrets, Failure> {
    if data_dir::is_initialized(&args.data) {
        let secrets = Secrets::read(&args.data)?;
        if args.history.is_some() && secrets.history().is_none() {
            let folder = args.data.display();
            return Err(Failure::usage(format!(
                "--history fills only a new folder, and {folder} has a demo; remove it, or name another one with --data"
            )));
        }
        return Ok(secrets);
    }
    data_dir::create(&args.data)?;
    let now_ms = SystemClock { boot: None }.wall_ms();
    let plan = args.history.map(|days| HistoryPlan {
        days,
        seed: args.seed,
        until_ms: now_ms,
    });
    let clock = plan.map(|plan| ManualClock::at_ms(plan.start_ms()));
    let config = settings("", &overrides(&args.data, None))?;
    let created = process::block_on(process::init(&config, platform(clock.as_ref())))?;
    let mut secrets = Secrets::new(&args.data, &created.admin_key);
    secrets.save()?;
    if let Some((plan, clock)) = plan.zip(clock) {
        print(&format!("inventing {} days of traffic …\n", plan.days))?;
        process::block_on(invent(&args.data, plan, &clock, &mut secrets))?;
    }
    Ok(secrets)
}

/// The machine's clock, or the one that runs through the past.
fn platform(clock: Option<&ManualClock>) -> Platform {
    let system = Platform {
        binary: None,
        ..Platform::system()
    };
    match clock {
        Some(clock) => Platform {
            clock: Arc::new(clock.clone()),
            ..system
        },
        None => system,
    }
}

/// Runs the gateway in the past and plays its traffic.
async fn invent(
    data: &Path,
    plan: HistoryPlan,
    clock: &ManualClock,
    secrets: &mut Secrets,
) -> Result<(), Failure> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    // no call of the past reaches a provider
    let config = settings(
        &simulator_settings("http://127.0.0.1:9/v1"),
        &overrides(data, Some(listen)),
    )?;
    let admin = AdminClient::in_folder(&config.folder);
    let running = process::start(config.clone(), platform(Some(clock))).await?;
    let played = async {
        create_teams(&admin, secrets, true).await?;
        history::play(&running, &config, &admin, clock, plan).await
    };
    let played = played.await;
    // books that end in the past would be set right only after ten minutes
    clock.advance_to_ms(SystemClock { boot: None }.wall_ms());
    running.stop().await;
    let totals = played?;
    secrets.set_history(PlayedHistory {
        days: plan.days,
        requests: totals.requests,
        refused: totals.refused,
        cost_usd: totals.cost.to_string(),
    })
}

fn overrides(data: &Path, listen: Option<SocketAddr>) -> Overrides {
    Overrides {
        data: Some(data.to_owned()),
        listen: listen.map(|listen| listen.to_string()),
        config: None,
    }
}

/// Parses the demo's configuration with the ordinary parser.
fn settings(text: &str, overrides: &Overrides) -> Result<Config, Failure> {
    Ok(config::parse(Path::new("demo"), text, overrides, &|_| {
        None
    })?)
}

fn simulator_settings(base_url: &str) -> String {
    let names = MODELS.map(|model| model.name);
    let mut text =
        format!("[providers.simulator]\nbase_url = \"{base_url}\"\nmodels = {names:?}\n");
    for model in &MODELS {
        // writing to a text cannot fail
        let _ = write!(
            text,
            "[providers.simulator.prices.\"{}\"]\ninput = \"{}\"\ncache_read = \"{}\"\noutput = \"{}\"\n",
            model.name, model.input, model.cached, model.output
        );
    }
    text
}

async fn demo(args: Args, listen: SocketAddr, mut secrets: Secrets) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let listen_error =
        |error| Failure::runtime(format!("simulator failed to listen on 127.0.0.1: {error}"));
    let simulator = Simulator::default().start().map_err(listen_error)?;
    let config = settings(
        &simulator_settings(&simulator.base_url()),
        &overrides(&args.data, Some(listen)),
    )?;
    let admin = AdminClient::in_folder(&config.folder);
    let running = process::start(config, Platform::system()).await?;
    let address = running.address;

    let outcome = match populate(&admin, address, &mut secrets).await {
        Ok(()) => {
            print(&greeting(&args, address, &secrets))?;
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
        args.data.display()
    ))
}

fn greeting(args: &Args, address: SocketAddr, secrets: &Secrets) -> String {
    let style: Style = args.output.style();
    let banner = Banner {
        address,
        data: &args.data,
        secrets,
        program: &program(),
        style: &style,
    };
    let snippets = if args.snippets {
        banner.snippets()
    } else {
        String::new()
    };
    banner.text() + &snippets + &banner.closing()
}

/// The command as the user typed it, so that a pasted line finds it.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "gatekeeper".to_owned())
}

/// Creates missing teams and keys, and uses one budget up. Each secret is saved as soon as it is returned.
async fn populate(
    admin: &AdminClient,
    address: SocketAddr,
    secrets: &mut Secrets,
) -> Result<(), Failure> {
    create_teams(admin, secrets, false).await?;
    if let Some(key) = secrets.key(SPENDER).map(Secret::new)
        && !secrets.is_spent()
    {
        spend::spend(address, &key).await?;
        secrets.set_spent()?;
    }
    Ok(())
}

async fn create_teams(
    admin: &AdminClient,
    secrets: &mut Secrets,
    has_history: bool,
) -> Result<(), Failure> {
    let existing = admin.list("/v1/teams").await?;
    for team in TEAMS
        .iter()
        .filter(|team| existing.iter().all(|other| other["name"] != team.name))
    {
        let budget = if has_history {
            team.budget_with_history
        } else {
            team.budget
        };
        let budget = json!({"limit": budget.limit_usd, "period": budget.period, "action": "block"});
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
        let listen = "127.0.0.1:0".parse().expect("an address");
        let overrides = overrides(Path::new("x"), Some(listen));
        let config = settings(&simulator_settings("http://127.0.0.1:9/v1"), &overrides)
            .expect("a good configuration");
        assert_eq!(config.providers.len(), 1);
        assert_eq!(
            config.providers[0].models,
            MODELS.map(|model| model.name.to_owned())
        );
        assert_eq!(config.folder, Path::new("x"));
    }

    #[test]
    fn history_is_a_number_of_days() {
        assert_eq!((parse_days("30d"), parse_days("7")), (Ok(30), Ok(7)));
        for text in ["", "0d", "91d", "3w", "-1d"] {
            assert!(parse_days(text).is_err(), "{text}");
        }
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
