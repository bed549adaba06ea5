//! From what is written and what is told on the command line to one `Config`: takes flags, file and defaults, in this
//! order of weight, and answers with settings that hold, or with every fault at once.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::file::{self, ConfigErrors, Section, Spanned};
use super::secret::{Environment, process_environment};
use super::{Config, LedgerConfig, Limits, MIB, Overrun, Retention, Sync, alerts, fetch, provider};
use crate::config::reasoning_memory;
use crate::domain::zone::Zone;

/// Flags and their environment variables: what outweighs the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, `$GATEKEEPER_CONFIG`
    pub config: Option<PathBuf>,
    /// `--data`, `$GATEKEEPER_DATA`
    pub data: Option<PathBuf>,
    /// `--listen`, `$GATEKEEPER_LISTEN`
    pub listen: Option<String>,
}

/// The settings, and the file that they come from, if there is one.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    pub config: Config,
    pub file: Option<PathBuf>,
}

/// Where a file is looked for when none is named.
const PLACES: [&str; 2] = ["gatekeeper.toml", "/etc/gatekeeper/gatekeeper.toml"];
const DATA_DEFAULT: &str = "gatekeeper-data";
const LISTEN_DEFAULT: &str = "127.0.0.1:4000";
const FILE_BYTES_MAX: u64 = MIB;

/// Reads and resolves everything, credentials too.
pub fn load(told: &Overrides) -> Result<LoadedConfig, ConfigErrors> {
    load_with(told, Some(&process_environment))
}

/// As `load`, but without providers: for commands that call none, so that they need no credential.
pub fn load_base(told: &Overrides) -> Result<LoadedConfig, ConfigErrors> {
    load_with(told, None)
}

fn load_with(
    told: &Overrides,
    environment: Option<Environment<'_>>,
) -> Result<LoadedConfig, ConfigErrors> {
    let file = told.config.clone().or_else(|| {
        PLACES
            .iter()
            .map(PathBuf::from)
            .find(|place| place.exists())
    });
    let text = match &file {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let path = file.as_deref().unwrap_or(Path::new("gatekeeper.toml"));
    let config = resolve(path, &text, told, environment)?;
    Ok(LoadedConfig { config, file })
}

/// Resolves a text as if it stood in a file of that path.
pub fn parse(
    path: &Path,
    text: &str,
    told: &Overrides,
    environment: Environment<'_>,
) -> Result<Config, ConfigErrors> {
    resolve(path, text, told, Some(environment))
}

fn read(path: &Path) -> Result<String, ConfigErrors> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let mut faults = ConfigErrors::default();
    match read {
        Err(error) => faults.add(
            path.display().to_string(),
            format!("cannot be read ({error}); check the path and its owner"),
        ),
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            faults.add(path.display().to_string(), "is larger than 1 MiB")
        }
        Ok(_) => return Ok(text),
    }
    Err(faults)
}

fn resolve(
    path: &Path,
    text: &str,
    told: &Overrides,
    environment: Option<Environment<'_>>,
) -> Result<Config, ConfigErrors> {
    let mut faults = ConfigErrors::default();
    let mut top = file::parse(&path.display().to_string(), text, &mut faults);
    let config = Config {
        listen: listen(top.text("listen", &mut faults), told, &mut faults),
        folder: folder(top.text("data", &mut faults), path, told, &mut faults),
        timezone: timezone(top.text("timezone", &mut faults), &mut faults),
        workers: top.whole("workers", processors(), 1..=256, &mut faults) as usize,
        picker_aliases: top.as_str(
            "picker_aliases",
            false,
            &[("on", true), ("off", false)],
            &mut faults,
        ),
        ledger: ledger(top.section("ledger", &mut faults), &mut faults),
        retention: retention(top.section("retention", &mut faults), &mut faults),
        limits: limits(top.section("limits", &mut faults), &mut faults),
        alerts: alerts::resolve(top.section("alerts", &mut faults), environment, &mut faults),
        reasoning_memory: reasoning_memory::resolve(
            top.section("reasoning_memory", &mut faults),
            &mut faults,
        ),
        seal_key: reasoning_memory::seal_key(
            top.text("seal_key", &mut faults),
            environment,
            &mut faults,
        ),
        fetch: fetch::resolve(top.section("fetch", &mut faults), &mut faults),
        providers: match (top.section("providers", &mut faults), environment) {
            (section, Some(environment)) => {
                provider::resolve_all(section, environment, &mut faults)
            }
            (_, None) => Vec::new(),
        },
    };
    top.finish(&mut faults);
    if faults.0.is_empty() {
        Ok(config)
    } else {
        Err(faults)
    }
}

fn listen(
    written: Option<Spanned<String>>,
    told: &Overrides,
    faults: &mut ConfigErrors,
) -> SocketAddr {
    let text = written.unwrap_or_else(|| given("listen", LISTEN_DEFAULT));
    let text = told
        .listen
        .as_deref()
        .map_or(text, |listen| given("--listen", listen));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    text.checked(faults, |text| parse_listen(text))
        .unwrap_or(any)
}

/// An address to listen on. `localhost` is put in numbers here: a static binary resolves no names of its own machine.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let parsed = numeric.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_| format!("`{text}` is no address to listen on; write it like 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000"))
}

fn given(place: &str, value: &str) -> Spanned<String> {
    Spanned {
        place: place.to_owned(),
        key: "listen".to_owned(),
        value: value.to_owned(),
    }
}

/// A relative `data` in the file counts from the file's own folder, so that it means the same from everywhere.
fn folder(
    written: Option<Spanned<String>>,
    path: &Path,
    told: &Overrides,
    faults: &mut ConfigErrors,
) -> PathBuf {
    let beside = path.parent().unwrap_or(Path::new(""));
    let from_file = written.and_then(|written| {
        written.checked(faults, |folder| match folder.as_str() {
            "" => Err("is empty; write the path of the data folder".to_owned()),
            folder => Ok(beside.join(folder)),
        })
    });
    told.data
        .clone()
        .or(from_file)
        .unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
}

fn timezone(written: Option<Spanned<String>>, faults: &mut ConfigErrors) -> String {
    let zone = written.and_then(|written| {
        written.checked(faults, |name| match Zone::parse(name) {
            Some(_) => Ok(name.clone()),
            None => Err(format!(
                "`{name}` is no zone of the IANA list; write it like \"Europe/Berlin\" or \"UTC\""
            )),
        })
    });
    zone.unwrap_or_else(|| "UTC".to_owned())
}

fn processors() -> u64 {
    std::thread::available_parallelism()
        .map_or(1, |count| count.get() as u64)
        .min(256)
}

fn ledger(mut section: Section<'_>, faults: &mut ConfigErrors) -> LedgerConfig {
    let usual = LedgerConfig::default();
    let ledger = LedgerConfig {
        sync: section.as_str(
            "sync",
            usual.sync,
            &[("os", Sync::Os), ("disk", Sync::Disk)],
            faults,
        ),
        segment_bytes: section.whole("segment_mb", usual.segment_bytes / MIB, 1..=1024, faults)
            * MIB,
        disk_reserve_mb: section.whole(
            "disk_reserve_mb",
            usual.disk_reserve_mb,
            0..=1_000_000,
            faults,
        ),
        budget_overrun: section.as_str(
            "budget_overrun",
            usual.budget_overrun,
            &[("refuse", Overrun::Refuse), ("clamp", Overrun::Clamp)],
            faults,
        ),
    };
    section.finish(faults);
    ledger
}

fn retention(mut section: Section<'_>, faults: &mut ConfigErrors) -> Retention {
    const DAYS_MAX: u64 = 36_500;
    let usual = Retention::default();
    let mut days = |key, usual| section.whole(key, usual, 0..=DAYS_MAX, faults);
    let retention = Retention {
        requests_days: days("requests_days", usual.requests_days),
        refused_days: days("refused_days", usual.refused_days),
        hours_days: days("hours_days", usual.hours_days),
        days_days: days("days_days", usual.days_days),
    };
    section.finish(faults);
    retention
}

fn limits(mut section: Section<'_>, faults: &mut ConfigErrors) -> Limits {
    const DAY_S: u64 = 86_400;
    let usual = Limits::default();
    let mut megabytes = |key, usual: usize, most| {
        (section.whole(key, usual as u64 / MIB, 1..=most, faults) * MIB) as usize
    };
    let body_bytes_max = megabytes("body_mb", usual.body_bytes_max, 1024);
    let answer_bytes_max = megabytes("answer_mb", usual.answer_bytes_max, 1024);
    let mut seconds =
        |key, usual_ms: u64, most_s| section.whole(key, usual_ms / 1000, 1..=most_s, faults) * 1000;
    let limits = Limits {
        body_bytes_max,
        answer_bytes_max,
        body_timeout_ms: seconds("body_timeout_s", usual.body_timeout_ms, 3600),
        connect_timeout_ms: seconds("connect_timeout_s", usual.connect_timeout_ms, 300),
        head_timeout_ms: seconds("head_timeout_s", usual.head_timeout_ms, DAY_S),
        idle_timeout_ms: seconds("idle_timeout_s", usual.idle_timeout_ms, DAY_S),
        call_timeout_ms: seconds("call_timeout_s", usual.call_timeout_ms, DAY_S),
        client_stall_ms: seconds("client_stall_s", usual.client_stall_ms, 3600),
        ping_ms: seconds("ping_s", usual.ping_ms, 3600),
        queue_wait_ms: seconds("queue_wait_s", usual.queue_wait_ms, 600),
        drain_ms: seconds("drain_s", usual.drain_ms, 3600),
        queue_max: section.whole("queue_max", usual.queue_max as u64, 0..=100_000, faults) as usize,
    };
    section.finish(faults);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PriceSetting;

    const KEY: &str = "sk-canary-0123456789";

    fn environment(name: &str) -> Option<String> {
        ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]
            .contains(&name)
            .then(|| KEY.to_owned())
    }

    fn resolved(text: &str) -> Result<Config, ConfigErrors> {
        parse(
            Path::new("gatekeeper.toml"),
            text,
            &Overrides::default(),
            &environment,
        )
    }

    fn faults(text: &str) -> String {
        resolved(text).expect_err("a faulty file").to_string()
    }

    #[test]
    fn a_request_waits_for_its_images_and_for_a_budget() {
        assert_eq!(resolved("").expect("defaults").waits_ms(), 10_000);
        let text = "[limits]\nqueue_wait_s = 600\n[fetch]\nimages = \"on\"\ntimeout_s = 120";
        assert_eq!(
            resolved(text).expect("a file").waits_ms(),
            600_000 + 20 * 120_000
        );
    }

    #[test]
    fn an_empty_file_means_the_defaults_and_no_providers() {
        let config = resolved("").expect("defaults");
        assert_eq!(config.listen, "127.0.0.1:4000".parse().expect("an address"));
        assert_eq!(config.folder, Path::new("gatekeeper-data"));
        assert_eq!(config.timezone, "UTC");
        assert_eq!(
            (config.limits.head_timeout_ms, config.limits.body_bytes_max),
            (300_000, 32 << 20)
        );
        assert_eq!(config.ledger.sync, Sync::Os);
        assert!(config.providers.is_empty());
    }

    #[test]
    fn a_vendor_needs_five_lines() {
        let config = resolved(
            r#"
        [providers.openai]
        api_key = "env:OPENAI_API_KEY"
        [providers.anthropic]
        api_key = "env:ANTHROPIC_API_KEY"
        "#,
        )
        .expect("two providers");
        let openai = config
            .providers
            .iter()
            .find(|provider| provider.name == "openai")
            .expect("openai");
        assert_eq!(openai.base_url, "https://api.openai.com/v1");
        assert_eq!(openai.api_key.as_ref().map(|key| key.expose()), Some(KEY));
        assert!(matches!(openai.price, PriceSetting::Sheet(_)));
    }

    #[test]
    fn a_server_on_the_lan_needs_an_address_and_a_price() {
        let config = resolved(
            r#"
        [providers.lan]
        type = "openai_compatible"
        base_url = "http://10.0.0.5:8000/v1/"
        price = { input = "0.25", output = 5 }
        models = ["llama-4"]
        request_ceiling = "0.50"
        "#,
        )
        .expect("one provider");
        let lan = &config.providers[0];
        assert_eq!(lan.base_url, "http://10.0.0.5:8000/v1");
        assert_eq!(
            lan.price,
            PriceSetting::Fixed {
                input: 250_000,
                output: 5_000_000
            }
        );
        assert_eq!(
            (lan.models.as_slice(), lan.api_key.is_none()),
            (["llama-4".to_owned()].as_slice(), true)
        );
        assert_eq!(
            lan.request_ceiling
                .map(|ceiling| ceiling.to_string())
                .as_deref(),
            Some("0.5")
        );
    }

    #[test]
    fn a_vendor_whose_models_the_customer_names() {
        let azure = |lines: &str| {
            let text = format!(
                "[providers.azure]\napi_key = \"env:OPENAI_API_KEY\"\nbase_url = \"https://r.openai.azure.com/\"\n{lines}"
            );
            resolved(&text).map(|config| config.providers[0].clone())
        };
        let url = |provider: &crate::config::Provider, model: &str| {
            provider.url(
                provider
                    .preset
                    .endpoint(crate::dialect::Dialect::Chat, model)
                    .expect("chat"),
                model,
                false,
            )
        };
        let plain = azure("").expect("azure");
        assert_eq!(
            url(&plain, "our-chat"),
            "https://r.openai.azure.com/openai/v1/chat/completions"
        );
        let older = azure("api_version = \"2024-10-21\"\nunsupported = \"error\"\npriced_as = { our-chat = \"gpt-4.1\" }")
            .expect("azure");
        assert_eq!(
            url(&older, "a/b?c é"),
            "https://r.openai.azure.com/openai/deployments/a%2Fb%3Fc%20%C3%A9/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(older.priced_as["our-chat"], "gpt-4.1");
        for (lines, message) in [
            (
                "api_version = \"2024&x=1\"",
                "providers.azure.api_version: is no version",
            ),
            (
                "priced_as = { a = \"gpt-nobody\" }",
                "providers.azure.priced_as.a: `gpt-nobody` is not on the price sheet",
            ),
            (
                "priced_as = { a = 3 }",
                "providers.azure.priced_as.a: is a whole number",
            ),
            (
                "price = \"free\"\npriced_as = { a = \"gpt-4.1\" }",
                "has a meaning only with price = \"sheet\"",
            ),
            ("unsupported = \"ignore\"", "write \"drop\" or \"error\""),
        ] {
            let faults = azure(lines).expect_err(lines).to_string();
            assert!(faults.contains(message), "{faults}");
        }
        let message =
            faults("[providers.openai]\napi_key = \"env:OPENAI_API_KEY\"\napi_version = \"1\"");
        assert!(
            message.contains("type openai takes no version"),
            "{message}"
        );
        assert!(
            faults("[providers.azure]\napi_key = \"env:OPENAI_API_KEY\"")
                .contains("https://RESOURCE.openai.azure.com")
        );
    }

    #[test]
    fn a_vendor_of_aws_is_called_with_a_key_or_signed_for_a_region() {
        let bedrock = |lines: &str| {
            resolved(&format!("[providers.bedrock]\n{lines}"))
                .map(|config| config.providers[0].clone())
        };
        const KEYS: &str = "access_key_id = \"env:OPENAI_API_KEY\"\nsecret_access_key = \"env:ANTHROPIC_API_KEY\"\n";
        let keyed =
            bedrock("region = \"eu-west-1\"\napi_key = \"env:OPENAI_API_KEY\"").expect("a key");
        assert_eq!(
            keyed.base_url,
            "https://bedrock-runtime.eu-west-1.amazonaws.com"
        );
        assert!(keyed.api_key.is_some() && keyed.signer.is_none());
        let signed = bedrock(&format!(
            "{KEYS}region = \"us-gov-west-1\"\nsession_token = \"env:OPENAI_API_KEY\""
        ))
        .expect("keys");
        let signer = signed.signer.clone().expect("a signer");
        assert_eq!(
            (
                signer.region.as_str(),
                signer.service,
                signed.api_key.is_none()
            ),
            ("us-gov-west-1", "bedrock", true)
        );
        assert_eq!(
            signer
                .keys
                .session_token
                .as_ref()
                .map(|token| token.expose()),
            Some(KEY)
        );
        let converse = keyed
            .preset
            .endpoint(crate::dialect::Dialect::Chat, "m")
            .expect("an endpoint");
        let url = keyed.url(
            converse,
            "arn:aws:bedrock:x/eu.anthropic.claude-opus-5:0",
            true,
        );
        let model = "arn%3Aaws%3Abedrock%3Ax%2Feu.anthropic.claude-opus-5%3A0";
        assert_eq!(
            url,
            format!(
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/{model}/converse-stream"
            )
        );
        let private =
            bedrock("base_url = \"https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com\"")
                .expect("an address");
        assert!(private.signer.is_none() && private.base_url.starts_with("https://vpce-1."));
        for (lines, message) in [
            (
                "",
                "providers.bedrock: has no region; write region = \"eu-west-1\"",
            ),
            (
                "region = \"eu-west-1\"",
                "providers.bedrock: has no credential; write api_key",
            ),
            (
                "region = \"EU/west\"\napi_key = \"env:OPENAI_API_KEY\"",
                "providers.bedrock.region: is no region",
            ),
            (
                "region = \"eu-west-1\"\naccess_key_id = \"env:OPENAI_API_KEY\"",
                "has no secret_access_key; write",
            ),
            (
                "region = \"eu-west-1\"\nsession_token = \"env:OPENAI_API_KEY\"",
                "has no access_key_id; write",
            ),
            (
                &format!("{KEYS}base_url = \"http://10.0.0.5\""),
                "has no region; write",
            ),
            (
                &format!("{KEYS}region = \"eu-west-1\"\napi_key = \"env:OPENAI_API_KEY\""),
                "api_key: stands beside keys of AWS",
            ),
            (
                "region = \"eu-west-1\"\naccess_key_id = \"AKID\"",
                "access_key_id: a key itself does not belong in this file",
            ),
        ] {
            let faults = bedrock(lines).expect_err(lines).to_string();
            assert!(faults.contains(message), "{faults}");
        }
        let message = faults(&format!(
            "[providers.openai]\napi_key = \"env:OPENAI_API_KEY\"\nregion = \"eu-west-1\"\n{KEYS}"
        ));
        assert!(
            message.contains("openai.region: has no meaning")
                && message.contains("access_key_id: has no meaning"),
            "{message}"
        );
    }

    #[test]
    fn a_flag_outweighs_the_file() {
        let told = Overrides {
            data: Some(PathBuf::from("/flag")),
            listen: Some("localhost:5000".to_owned()),
            config: None,
        };
        let text = "data = \"/file\"\nlisten = \"0.0.0.0:1\"";
        let config =
            parse(Path::new("gatekeeper.toml"), text, &told, &environment).expect("a config");
        assert_eq!(
            (config.folder, config.listen.to_string()),
            (PathBuf::from("/flag"), "127.0.0.1:5000".to_owned())
        );
    }

    #[test]
    fn a_relative_data_folder_counts_from_the_file() {
        let at = |path: &str| {
            parse(
                Path::new(path),
                "data = \"books\"",
                &Overrides::default(),
                &environment,
            )
            .expect("a config")
            .folder
        };
        assert_eq!(at("/srv/gk/gatekeeper.toml"), Path::new("/srv/gk/books"));
        assert_eq!(at("gatekeeper.toml"), Path::new("books"));
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_line() {
        let text = r#"listen = "everywhere"
timezone = "Mars/Olympus"
workers = 0
colour = "red"
[ledger]
sync = "never"
[limits]
ping_s = "often"
pings = 3
[providers.openai]
[providers.lan]
type = "openai_compatible"
[providers.x]
type = "vendor"
base_url = "host"
price = 1.5
[providers.ollama]
request_ceiling = 0.5
"#;
        let message = faults(text);
        for expected in [
            "gatekeeper.toml:1: listen: `everywhere` is no address",
            "gatekeeper.toml:2: timezone: `Mars/Olympus` is no zone",
            "gatekeeper.toml:3: workers: is 0; write a whole number from 1 to 256",
            "gatekeeper.toml:4: colour: is not a key that is known here",
            "gatekeeper.toml:6: ledger.sync: is \"never\"; write \"os\" or \"disk\"",
            "gatekeeper.toml:8: limits.ping_s: is a text",
            "gatekeeper.toml:9: limits.pings: is not a key",
            "gatekeeper.toml:10: providers.openai: has no api_key",
            "gatekeeper.toml:11: providers.lan: type openai_compatible has no address of its own",
            "gatekeeper.toml:11: providers.lan: has no price",
            "gatekeeper.toml:14: providers.x.type: `vendor` is no type of provider",
            "gatekeeper.toml:15: providers.x.base_url: must begin with http:// or https://",
            "gatekeeper.toml:16: providers.x.price: write \"sheet\"",
            "gatekeeper.toml:18: providers.ollama.request_ceiling: is a number with a point; write it in quotes: \"0.5\"",
        ] {
            assert!(
                message.contains(expected),
                "missing: {expected}\nin:\n{message}"
            );
        }
        assert_eq!(message.lines().count(), 14, "{message}");
    }

    #[test]
    fn no_fault_repeats_a_key_that_was_pasted_into_the_file() {
        for text in [
            format!("[providers.openai]\napi_key = \"{KEY}\""),
            format!("[providers.openai]\napikey = \"{KEY}\""),
            format!("[providers.openai]\napi_key = {KEY}"),
            format!("[providers.openai]\napi_key = [\"{KEY}\"]"),
            format!("[providers.openai]\nbase_url = \"https://user:{KEY}@host\""),
            format!("providers = \"{KEY}\""),
        ] {
            let message = faults(&text);
            assert!(!message.contains(KEY), "{message}");
        }
    }

    #[test]
    fn what_is_not_toml_is_named_with_its_line() {
        let message = faults("listen = \"127.0.0.1:4000\"\nworkers = = 2\n");
        assert!(message.contains("gatekeeper.toml:2: not TOML"), "{message}");
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let told = Overrides {
            config: Some(PathBuf::from("/nowhere/gatekeeper.toml")),
            ..Overrides::default()
        };
        assert!(
            load(&told)
                .expect_err("no file")
                .to_string()
                .contains("/nowhere/gatekeeper.toml: cannot be read")
        );
    }

    #[test]
    fn commands_that_call_no_provider_need_no_credential() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("gatekeeper.toml");
        std::fs::write(
            &path,
            "[providers.openai]\napi_key = \"env:GATEKEEPER_TEST_NO_SUCH_KEY\"\n",
        )
        .expect("write the file");
        let told = Overrides {
            config: Some(path),
            ..Overrides::default()
        };
        assert!(load(&told).is_err());
        assert!(load_base(&told).is_ok());
    }

    /// The file that the package installs says what holds when it says nothing.
    #[test]
    fn the_example_file_shows_every_key_with_its_default() {
        let example = include_str!("../../packaging/gatekeeper.toml");
        let uncommented: Vec<&str> = example
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .collect();
        let environment = |_: &str| Some(KEY.repeat(2));
        let path = Path::new("/etc/gatekeeper/gatekeeper.toml");
        let shown = parse(
            path,
            &uncommented.join("\n"),
            &Overrides::default(),
            &environment,
        )
        .expect("every example line is valid");
        let usual = parse(path, "", &Overrides::default(), &environment).expect("defaults");
        assert_eq!(format!("{:?}", shown.limits), format!("{:?}", usual.limits));
        assert_eq!(format!("{:?}", shown.ledger), format!("{:?}", usual.ledger));
        assert_eq!(
            format!("{:?}", shown.reasoning_memory),
            format!("{:?}", usual.reasoning_memory)
        );
        assert_eq!(shown.retention, usual.retention);
        assert_eq!(
            (shown.listen, &shown.timezone),
            (usual.listen, &usual.timezone)
        );
        let table = |name: &str| {
            example
                .split(&format!("#: [{name}]"))
                .nth(1)
                .expect("the table")
                .split("#: [")
                .next()
                .map(str::to_owned)
        };
        for (section, keys) in [
            ("limits", 12),
            ("ledger", 4),
            ("retention", 4),
            ("alerts", 4),
            ("reasoning_memory", 4),
        ] {
            let shown = table(section)
                .expect("the table")
                .lines()
                .filter(|line| line.starts_with("#: "))
                .count();
            assert_eq!(shown, keys, "[{section}] of the example");
        }
    }
}
