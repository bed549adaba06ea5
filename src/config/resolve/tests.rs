//! What a file, the flags and the environment come to.

use super::*;
use crate::config::PriceSetting;

const KEY: &str = "sk-canary-0123456789";

fn environment(name: &str) -> Option<String> {
    ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"].contains(&name).then(|| KEY.to_owned())
}

fn resolved(text: &str) -> Result<Config, Faults> {
    parse(Path::new("gatekeeper.toml"), text, &Told::default(), &environment)
}

fn faults(text: &str) -> String {
    resolved(text).expect_err("a faulty file").to_string()
}

#[test]
fn an_empty_file_means_the_defaults_and_no_providers() {
    let config = resolved("").expect("defaults");
    assert_eq!(config.listen, "127.0.0.1:4000".parse().expect("an address"));
    assert_eq!(config.folder, Path::new("gatekeeper-data"));
    assert_eq!(config.timezone, "UTC");
    assert_eq!((config.limits.head_timeout_ms, config.limits.body_bytes_max), (300_000, 32 << 20));
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
    let openai = config.providers.iter().find(|provider| provider.name == "openai").expect("openai");
    assert_eq!(Some(openai.base_url.as_str()), openai.preset.base_url);
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
    assert_eq!(lan.price, PriceSetting::Fixed { input: 250_000, output: 5_000_000 });
    assert_eq!((lan.models.as_slice(), lan.api_key.is_none()), (["llama-4".to_owned()].as_slice(), true));
    assert_eq!(lan.request_ceiling.map(|ceiling| ceiling.to_string()).as_deref(), Some("0.5"));
}

#[test]
fn a_flag_outweighs_the_file() {
    let told = Told { data: Some(PathBuf::from("/flag")), listen: Some("localhost:5000".to_owned()), config: None };
    let text = "data = \"/file\"\nlisten = \"0.0.0.0:1\"";
    let config = parse(Path::new("gatekeeper.toml"), text, &told, &environment).expect("a config");
    assert_eq!((config.folder, config.listen.to_string()), (PathBuf::from("/flag"), "127.0.0.1:5000".to_owned()));
}

#[test]
fn a_relative_data_folder_counts_from_the_file() {
    let at = |path: &str| parse(Path::new(path), "data = \"books\"", &Told::default(), &environment).expect("a config").folder;
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
        assert!(message.contains(expected), "missing: {expected}\nin:\n{message}");
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
    let told = Told { config: Some(PathBuf::from("/nowhere/gatekeeper.toml")), ..Told::default() };
    assert!(load(&told).expect_err("no file").to_string().contains("/nowhere/gatekeeper.toml: cannot be read"));
}

#[test]
fn commands_that_call_no_provider_need_no_credential() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gatekeeper.toml");
    std::fs::write(&path, "[providers.openai]\napi_key = \"env:GATEKEEPER_TEST_NO_SUCH_KEY\"\n").expect("write the file");
    let told = Told { config: Some(path), ..Told::default() };
    assert!(load(&told).is_err());
    assert!(load_base(&told).is_ok());
}

/// The file that the package installs says what holds when it says nothing.
#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let example = include_str!("../../../packaging/gatekeeper.toml");
    let uncommented: Vec<&str> = example.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let environment = |_: &str| Some(KEY.to_owned());
    let path = Path::new("/etc/gatekeeper/gatekeeper.toml");
    let shown = parse(path, &uncommented.join("\n"), &Told::default(), &environment).expect("every example line is valid");
    let usual = parse(path, "", &Told::default(), &environment).expect("defaults");
    assert_eq!(format!("{:?}", shown.limits), format!("{:?}", usual.limits));
    assert_eq!(format!("{:?}", shown.ledger), format!("{:?}", usual.ledger));
    assert_eq!((shown.listen, &shown.timezone), (usual.listen, &usual.timezone));
    let table =
        |name: &str| example.split(&format!("#: [{name}]")).nth(1).expect("the table").split("#: [").next().map(str::to_owned);
    for (section, keys) in [("limits", 12), ("ledger", 4)] {
        let shown = table(section).expect("the table").lines().filter(|line| line.starts_with("#: ")).count();
        assert_eq!(shown, keys, "[{section}] of the example");
    }
}
