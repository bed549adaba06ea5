//! Tests of the resolver on whole files: defaults, precedence, error messages, and the packaged example file.

use super::*;

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

fn errors(text: &str) -> String {
    resolved(text).expect_err("an invalid file").to_string()
}

#[test]
fn admission_wait_covers_images_and_budget_queue() {
    assert_eq!(
        resolved("").expect("defaults").admission_wait_ms_max(),
        10_000
    );
    let text = "[limits]\nqueue_wait_s = 600\n[fetch]\nimages = \"on\"\ntimeout_s = 120";
    assert_eq!(
        resolved(text).expect("a file").admission_wait_ms_max(),
        600_000 + 120_000
    );
}

#[test]
fn empty_file_resolves_to_defaults_without_providers() {
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
fn flag_overrides_file() {
    let overrides = Overrides {
        data: Some(PathBuf::from("/flag")),
        listen: Some("localhost:5000".to_owned()),
        config: None,
    };
    let text = "data = \"/file\"\nlisten = \"0.0.0.0:1\"";
    let config =
        parse(Path::new("gatekeeper.toml"), text, &overrides, &environment).expect("a config");
    assert_eq!(
        (config.folder, config.listen.to_string()),
        (PathBuf::from("/flag"), "127.0.0.1:5000".to_owned())
    );
}

#[test]
fn relative_data_folder_resolves_against_file() {
    let folder_of = |path: &str| {
        parse(
            Path::new(path),
            "data = \"books\"",
            &Overrides::default(),
            &environment,
        )
        .expect("a config")
        .folder
    };
    assert_eq!(
        folder_of("/srv/gk/gatekeeper.toml"),
        Path::new("/srv/gk/books")
    );
    assert_eq!(folder_of("gatekeeper.toml"), Path::new("books"));
}

const INVALID_FILE: &str = r#"listen = "everywhere"
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

const INVALID_FILE_ERRORS: [&str; 14] = [
    "gatekeeper.toml:1: listen: invalid listen address `everywhere`",
    "gatekeeper.toml:2: timezone: invalid timezone `Mars/Olympus`",
    "gatekeeper.toml:3: workers: invalid value 0; use an integer from 1 to 256",
    "gatekeeper.toml:4: colour: unknown key; the keys are listen, tls, tls_cert,",
    "gatekeeper.toml:6: ledger.sync: invalid value \"never\"; use \"os\" or \"disk\"",
    "gatekeeper.toml:8: limits.ping_s: expected an integer, found a string",
    "gatekeeper.toml:9: limits.pings: unknown key",
    "gatekeeper.toml:10: providers.openai: missing api_key",
    "gatekeeper.toml:11: providers.lan: missing base_url, which type openai_compatible requires",
    "gatekeeper.toml:11: providers.lan: missing price",
    "gatekeeper.toml:14: providers.x.type: unknown provider type `vendor`",
    "gatekeeper.toml:15: providers.x.base_url: invalid scheme; start it with http:// or https://",
    "gatekeeper.toml:16: providers.x.price: invalid price; write \"sheet\"",
    "gatekeeper.toml:18: providers.ollama.request_ceiling: unquoted fraction; write it in quotes: \"0.5\"",
];

#[test]
fn every_error_is_reported_at_once_with_its_line() {
    let message = errors(INVALID_FILE);
    for expected in INVALID_FILE_ERRORS {
        assert!(
            message.contains(expected),
            "missing: {expected}\nin:\n{message}"
        );
    }
    assert_eq!(
        message.lines().count(),
        INVALID_FILE_ERRORS.len(),
        "{message}"
    );
}

#[test]
fn literal_key_in_file_is_never_repeated() {
    for text in [
        format!("[providers.openai]\napi_key = \"{KEY}\""),
        format!("[providers.openai]\napikey = \"{KEY}\""),
        format!("[providers.openai]\napi_key = {KEY}"),
        format!("[providers.openai]\napi_key = [\"{KEY}\"]"),
        format!("[providers.openai]\nbase_url = \"https://user:{KEY}@host\""),
        format!("providers = \"{KEY}\""),
    ] {
        let message = errors(&text);
        assert!(!message.contains(KEY), "{message}");
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let message = errors("listen = \"127.0.0.1:4000\"\nworkers = = 2\n");
    assert!(
        message.contains("gatekeeper.toml:2: invalid TOML"),
        "{message}"
    );
}

#[test]
fn named_file_must_exist() {
    let overrides = Overrides {
        config: Some(PathBuf::from("/nowhere/gatekeeper.toml")),
        ..Overrides::default()
    };
    assert!(
        load(&overrides)
            .expect_err("no file")
            .to_string()
            .contains("/nowhere/gatekeeper.toml: failed to read the file")
    );
}

#[test]
fn load_base_needs_no_credential() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gatekeeper.toml");
    std::fs::write(
        &path,
        "[providers.openai]\napi_key = \"env:GATEKEEPER_TEST_NO_SUCH_KEY\"\n",
    )
    .expect("write the file");
    let overrides = Overrides {
        config: Some(path),
        ..Overrides::default()
    };
    assert!(load(&overrides).is_err());
    assert!(load_base(&overrides).is_ok());
}
